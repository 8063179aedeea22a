import JSON
import MCPTransport
import MCPTypes

/// The requests of one conversation: which are waiting, which are on their way, and that each ends exactly once. Pure: no clock,
/// no transport; `Waiter` is whoever waits.
///
/// Numbers are never used twice in the life of a connection (F6), so an answer that comes late finds nobody (F7).
struct SessionStateMachine<Waiter> {
    /// How many requests may be where.
    struct Limits: Sendable, Hashable {
        /// On their way at once. Default 64.
        var inFlight = 64
        /// Waiting for their turn. Default 256; beyond that `busy`.
        var waiting = 256
    }

    /// What a request may take.
    struct Patience: Sendable, Hashable {
        /// Without a sign of life.
        var idle: Duration
        /// In all.
        var hard: Duration
    }

    private struct Pending {
        var waiter: Waiter
        var patience: Patience
        var started: Duration
        var lastSign: Duration
        var progress: Double?
        /// The message, while it waits for its turn.
        var frame: RawJSON?
        var isProbe: Bool

        /// - Parameter isIdleCounted: no, while the server waits for us.
        func deadline(_ isIdleCounted: Bool) -> Duration {
            let hard = self.started + self.patience.hard
            return isIdleCounted ? min(self.lastSign + self.patience.idle, hard) : hard
        }
    }

    private let limits: Limits
    private var nextID: Int64 = 1
    private var pending: [Int64: Pending] = [:]
    private var line: [Int64] = []
    private var inFlight = 0
    private(set) var brokenBy: MCPError?
    /// Cancelled between taking a number and starting.
    private var cancelledEarly: Set<Int64> = []
    /// Set when a message could not be sent because the transport is full: nothing leaves the line until it drains.
    private var isBlocked = false
    /// Requests of the server that have no answer yet.
    private var questions = 0

    init(limits: Limits) { self.limits = limits }

    var pendingCount: Int { self.pending.count }
    var isBroken: Bool { self.brokenBy != nil }

    /// Takes the next number.
    mutating func takeID() -> Int64 {
        defer { self.nextID += 1 }
        return self.nextID
    }

    // MARK: Start

    enum StartAction {
        case send(RawJSON)
        case wait
        case refuse(Waiter, MCPError)
    }

    /// A request enters, its message written.
    mutating func start(
        _ id: Int64,
        _ waiter: Waiter,
        _ frame: RawJSON,
        patience: Patience,
        isProbe: Bool = false,
        now: Duration
    ) -> StartAction {
        if let error = self.brokenBy { return .refuse(waiter, error) }
        if self.cancelledEarly.remove(id) != nil {
            return .refuse(waiter, MCPError(.cancelled, "the call was cancelled before it was sent"))
        }
        var entry = Pending(
            waiter: waiter,
            patience: patience,
            started: now,
            lastSign: now,
            frame: nil,
            isProbe: isProbe
        )
        if !self.isBlocked, self.line.isEmpty, self.inFlight < self.limits.inFlight {
            self.inFlight += 1
            self.pending[id] = entry
            return .send(frame)
        }
        guard self.line.count < self.limits.waiting else {
            let message = "busy: \(self.inFlight) requests in flight and \(self.line.count) waiting, which is the limit"
            return .refuse(waiter, MCPError(.busy, message))
        }
        entry.frame = frame
        self.pending[id] = entry
        self.line.append(id)
        return .wait
    }

    /// The transport had no room for the message of `id`: it goes back to the head of the line.
    mutating func sendRefused(_ id: Int64, _ frame: RawJSON) {
        self.isBlocked = true
        guard self.pending[id] != nil else { return }
        self.pending[id]?.frame = frame
        self.inFlight -= 1
        self.line.insert(id, at: 0)
    }

    /// The transport has room again.
    mutating func drained() { self.isBlocked = false }

    /// The next message whose turn it is, if there is a free place. Ask until nil.
    mutating func nextToSend() -> (id: Int64, frame: RawJSON)? {
        guard !self.isBlocked, self.inFlight < self.limits.inFlight else { return nil }
        while let id = self.line.first {
            self.line.removeFirst()
            guard let frame = self.pending[id]?.frame else { continue }  // ended while it waited
            self.pending[id]?.frame = nil
            self.inFlight += 1
            return (id, frame)
        }
        return nil
    }

    // MARK: Ends, one for each request

    /// What ended, for whom, and whether the server has to be told.
    struct Ending {
        var id: Int64
        var waiter: Waiter
        /// The message had left, so the server works on it.
        var wasSent: Bool
    }

    private mutating func take(_ id: Int64) -> Ending? {
        guard let entry = self.pending.removeValue(forKey: id) else { return nil }
        let wasSent = entry.frame == nil
        if wasSent { self.inFlight -= 1 }
        return Ending(id: id, waiter: entry.waiter, wasSent: wasSent)
    }

    /// An answer came. A number that came back as a string is taken for the number, if nobody has that string (F5).
    mutating func answered(_ id: RequestID) -> Ending? {
        guard let number = Self.number(of: id) else { return nil }
        guard let entry = self.pending[number], entry.frame == nil else { return nil }
        if case .integer = id, entry.isProbe { return nil }
        return self.take(number)
    }

    /// How the number of a request looks on the wire; a probe's is a string, so that its late answer is never taken for another's.
    static func wireID(_ id: Int64, isProbe: Bool) -> RequestID { isProbe ? .string("probe-\(id)") : .integer(id) }

    private static func number(of id: RequestID) -> Int64? {
        switch id {
        case .integer(let number): number
        case .string(let text): text.hasPrefix("probe-") ? Int64(text.dropFirst(6)) : Int64(text)
        }
    }

    /// The caller has gone.
    mutating func cancelled(_ id: Int64) -> Ending? {
        if let ending = self.take(id) { return ending }
        if id >= self.nextID || self.brokenBy != nil { return nil }
        self.cancelledEarly.insert(id)
        return nil
    }

    /// The number will not be used: whatever was noted for it is forgotten.
    mutating func forget(_ id: Int64) { self.cancelledEarly.remove(id) }

    /// The message cannot be sent.
    mutating func failed(_ id: Int64) -> Ending? { self.take(id) }

    /// Nothing will come any more.
    mutating func broke(_ error: MCPError) -> [Ending] {
        guard self.brokenBy == nil else { return [] }
        self.brokenBy = error
        self.line = []
        self.cancelledEarly = []
        return self.pending.keys.sorted().compactMap { self.take($0) }
    }

    // MARK: Time

    /// The server reported progress: its idle time starts again, the hard limit does not (F11, F12). A token of nobody and a value
    /// that does not grow change nothing (F14).
    mutating func progressed(_ token: Int64, _ value: Double, now: Duration) -> Waiter? {
        guard let entry = self.pending[token], entry.frame == nil, value > entry.progress ?? -.infinity else {
            return nil
        }
        self.pending[token]?.progress = value
        self.pending[token]?.lastSign = now
        return entry.waiter
    }

    /// The server asks for something: until it has that, its own silence is no idleness.
    mutating func serverAsks() { self.questions += 1 }

    /// The server has its answer, and idle time begins anew.
    mutating func serverIsAnswered(now: Duration) {
        self.questions -= 1
        guard self.questions == 0 else { return }
        for id in self.pending.keys { self.pending[id]?.lastSign = now }
    }

    /// Requests whose time is over, each with the limit that it exceeded.
    mutating func expire(now: Duration) -> [(ending: Ending, error: MCPError)] {
        let due = self.pending.filter { $0.value.deadline(self.questions == 0) <= now }.keys.sorted()
        return due.compactMap { id in
            guard let entry = self.pending[id], let ending = self.take(id) else { return nil }
            let hard = entry.started + entry.patience.hard <= now
            let message =
                hard
                ? "timeout: no result within \(entry.patience.hard), the limit for one request"
                : "timeout: no answer and no progress for \(entry.patience.idle), the idle limit of a request"
            return (ending, MCPError(.timeout, message))
        }
    }

    /// When to call ``expire(now:)`` next.
    var nextDeadline: Duration? { self.pending.values.lazy.map { $0.deadline(self.questions == 0) }.min() }
}
