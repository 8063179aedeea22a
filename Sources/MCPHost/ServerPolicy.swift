import MCPTransport

/// When a server is started, and for how long it is kept.
public struct ServerPolicy: Sendable, Hashable {
    private enum Kind: Sendable, Hashable {
        case eager
        case onDemand(idleStop: Duration?)
        case perCaller(idleStop: Duration, maximum: Int)
    }

    private let kind: Kind

    /// Started when it comes into the host, and kept until it is removed or the host ends. The default.
    public static let eager = Self(kind: .eager)

    /// Started when somebody needs it: a call, a list that it has not given yet, a restart by hand. Stopped when nobody does any more, and
    /// started again for the next who does. Until then it is `dormant`, and has no process.
    ///
    /// It is in use while a request of a caller is on its way, a subscription of a caller is open, a task is being followed, or it waits for an
    /// answer. It is not while somebody listens to its events, or has a task that nobody asks for. What it has listed since it was started
    /// last is given without starting it.
    /// - Parameter idleStop: for how long nobody has to have used it, at least 1 s; it is stopped at most as long again after that. Nil keeps
    ///   it. Default 5 min.
    public static func onDemand(idleStop: Duration? = .seconds(300)) -> Self {
        Self(kind: .onDemand(idleStop: idleStop.map { max($0, .seconds(1)) }))
    }

    /// A server for each caller (`RequestOptions.caller`), where what one does is nobody else's business: started when that caller needs it,
    /// and gone when the caller has not used it for a while. The program itself, which is the caller without a name, has one too, on demand;
    /// its lists are the host's. A removal, and another server in its place, concern all of them; so does a restart that names no caller. In the
    /// journal and in the report the callers' own servers are `name/1`, `name/2` and so on. One that has failed stays down for its caller until
    /// somebody restarts it, or another caller needs its place.
    /// - Parameters:
    ///   - idleStop: as in ``onDemand(idleStop:)``. Default 5 min.
    ///   - maximum: so many callers at once, at least 1; `busy` to the next. Default 64.
    public static func perCaller(idleStop: Duration = .seconds(300), maximum: Int = 64) -> Self {
        Self(kind: .perCaller(idleStop: max(idleStop, .seconds(1)), maximum: max(1, maximum)))
    }

    /// It is not started before somebody needs it.
    public var startsOnDemand: Bool { self.kind != .eager }

    /// For how long nobody has to have used it before it is stopped; nil where it is kept.
    public var idleStop: Duration? {
        switch self.kind {
        case .eager: nil
        case .onDemand(let idleStop): idleStop
        case .perCaller(let idleStop, _): idleStop
        }
    }

    /// So many callers have servers of their own at once; nil where all share one.
    public var maximumCallers: Int? { if case .perCaller(_, let maximum) = self.kind { maximum } else { nil } }
}

extension ServerPolicy: Codable {
    private enum Word: String, Codable { case eager, onDemand, perCaller }
    private static let start = SettingName("start")
    private static let idleStop = SettingName("idleStop")
    private static let maximum = SettingName("maximum")

    /// Reads it: `start` says which it is; of the rest, what is missing is the default, and `null` in the place of `idleStop` keeps the server.
    /// - Throws: `DecodingError`, also for a name that this policy does not have.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: SettingName.self)
        let hasIdleStop = container.contains(Self.idleStop)
        let idleStop = hasIdleStop ? try container.decode(Seconds?.self, forKey: Self.idleStop)?.duration : nil
        let word = try container.decode(Word.self, forKey: Self.start)
        let names = [Self.start, Self.idleStop, Self.maximum].map(\.stringValue)
        try Settings.check(container, Array(names.prefix(word == .eager ? 1 : word == .onDemand ? 2 : 3)))
        switch word {
        case .eager: self = .eager
        case .onDemand: self = hasIdleStop ? .onDemand(idleStop: idleStop) : .onDemand()
        case .perCaller:
            let standard = Self.perCaller()
            guard let limit = hasIdleStop ? idleStop : standard.idleStop else {
                throw Settings.invalid("a server for each caller is not kept: give a time", [Self.idleStop])
            }
            let maximum = try container.decodeIfPresent(Int.self, forKey: Self.maximum)
            self = .perCaller(idleStop: limit, maximum: maximum ?? standard.maximumCallers ?? 1)
        }
    }

    /// Writes it, with the time in seconds.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: SettingName.self)
        switch self.kind {
        case .eager: try container.encode(Word.eager, forKey: Self.start)
        case .onDemand(let idleStop):
            try container.encode(Word.onDemand, forKey: Self.start)
            try container.encode(idleStop.map(Seconds.init(duration:)), forKey: Self.idleStop)
        case .perCaller(let idleStop, let maximum):
            try container.encode(Word.perCaller, forKey: Self.start)
            try container.encode(Seconds(duration: idleStop), forKey: Self.idleStop)
            try container.encode(maximum, forKey: Self.maximum)
        }
    }
}
