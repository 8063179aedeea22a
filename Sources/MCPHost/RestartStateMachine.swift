import MCPTransport

/// When a server that died is started again, and when not any more.
public struct RestartPolicy: Sendable, Hashable {
    /// Start it again at all. Default true.
    public var isEnabled = true
    /// Also when its last start did not make it ready. Default true; who waits for one answer only does not want to wait for five starts.
    public var includesFailedStarts = true
    /// The first delay; each further one doubles. Default 0.5 s.
    public var initialDelay: Duration = .milliseconds(500)
    /// No delay is longer, before jitter. Default 30 s.
    public var maximumDelay: Duration = .seconds(30)
    /// Share of the delay by which it varies up and down, after the maximum was applied: servers that lost the same thing at the same
    /// time do not come back at the same time (G15). 0 to 1, default 0.5.
    public var jitter = 0.5
    /// Starts within ``period``, the first one included; then the server has failed in a crash loop (G10). Default 5.
    public var intensity = 5
    /// Default 60 s.
    public var period: Duration = .seconds(60)
    /// A server that was ready for so long starts again at once. Default 60 s.
    public var promptAfter: Duration = .seconds(60)
    /// A server that was ready for so long has no past. Default 10 min.
    public var forgetAfter: Duration = .seconds(600)

    /// The defaults of docs/architecture.md, section 10.
    public init() {}

    /// Servers stay down.
    public static var never: Self {
        var policy = Self()
        policy.isEnabled = false
        return policy
    }
}

extension RestartPolicy: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("isEnabled", \.isEnabled), Setting("includesFailedStarts", \.includesFailedStarts),
        Setting("initialDelay", \.initialDelay),
        Setting("maximumDelay", \.maximumDelay),
        Setting("jitter", \.jitter), Setting("intensity", \.intensity), Setting("period", \.period),
        Setting("promptAfter", \.promptAfter), Setting("forgetAfter", \.forgetAfter),
    ]

    /// Reads it; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults; times in seconds.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}

/// Decides about restarts. Pure: told when a server was started and when it died, says what to do.
struct RestartStateMachine {
    enum Action: Equatable {
        case restart(after: Duration)
        /// Too many starts in too short a time.
        case giveUp(starts: Int)
        case stayDown
    }

    private let policy: RestartPolicy
    private var starts: [Duration] = []
    private var deaths = 0

    init(_ policy: RestartPolicy) { self.policy = policy }

    /// A process is being started.
    mutating func started(now: Duration) {
        self.starts.append(now)
        if self.starts.count > self.policy.intensity { self.starts.removeFirst() }
    }

    /// It has ended when it was asked which era it speaks.
    /// - Returns: whether it may be started at once to be asked in the older way. That counts as any other start: one that has died too often
    ///   before it was asked has died once more (G10). Where a single start is allowed, it is for both questions.
    func mayAskAgain(now: Duration) -> Bool { self.recent(now) < max(self.policy.intensity, 2) }

    private func recent(_ now: Duration) -> Int { self.starts.count { now - $0 < self.policy.period } }

    /// It has died by itself.
    /// - Parameters:
    ///   - readyFor: how long it had been of use; nil if it never was.
    ///   - random: 0 ..< 1.
    mutating func died(now: Duration, readyFor: Duration?, random: Double) -> Action {
        guard self.policy.isEnabled, readyFor != nil || self.policy.includesFailedStarts else { return .stayDown }
        if let readyFor, readyFor >= self.policy.forgetAfter {
            self.starts = []
            self.deaths = 0
        }
        let recent = self.recent(now)
        if recent >= self.policy.intensity { return .giveUp(starts: recent) }
        defer { self.deaths += 1 }
        if self.deaths == 0, let readyFor, readyFor >= self.policy.promptAfter { return .restart(after: .zero) }
        var delay = self.policy.initialDelay
        for _ in 0..<min(self.deaths, 32) where delay < self.policy.maximumDelay { delay = delay * 2 }
        delay = min(delay, self.policy.maximumDelay)
        return .restart(after: delay * (1 + self.policy.jitter * (2 * random - 1)))
    }
}
