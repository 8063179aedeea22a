import MCPTransport

/// Where a connection stands. Pure: told what happened, says what to do.
///
/// `idle -> starting -> ready -> closing -> closed`; `starting` and `ready` may also end in `closed` by themselves. Events carry the
/// generation that they belong to, and those of an older one change nothing.
struct ConnectionStateMachine {
    /// What the world may know.
    enum State: Equatable {
        case idle
        case starting
        case ready
        case closing
        case closed
    }

    private(set) var state: State = .idle
    private(set) var generation = 0
    private var manner: CloseManner?
    /// How it is to be closed, while it is closing.
    var requestedClose: CloseManner? { self.state == .closing ? self.manner : nil }
    private var legacyOnly = false

    enum StartAction: Equatable {
        case connect(generation: Int, legacyOnly: Bool)
        /// Somebody closed it before it was started.
        case finish
    }

    /// The root enters the connection.
    mutating func start() -> StartAction {
        switch self.state {
        case .idle:
            self.state = .starting
            self.generation += 1
            return .connect(generation: self.generation, legacyOnly: self.legacyOnly)
        case .closing:
            self.state = .closed
            return .finish
        case .starting, .ready, .closed: preconditionFailure("a connection is run once")
        }
    }

    /// The handshake of a generation succeeded.
    /// - Returns: whether that still matters (B17).
    mutating func becameReady(_ generation: Int) -> Bool {
        guard generation == self.generation, self.state == .starting else { return false }
        self.state = .ready
        return true
    }

    enum CloseAction: Equatable {
        /// It is not started: the root will see it.
        case wait
        case closeSession(CloseManner)
        case nothing
    }

    /// Somebody wants the end.
    mutating func close(_ manner: CloseManner) -> CloseAction {
        switch self.state {
        case .idle:
            self.state = .closing
            self.manner = manner
            return .wait
        case .starting, .ready:
            self.state = .closing
            self.manner = manner
            return .closeSession(manner)
        case .closing:
            guard let current = self.manner, manner > current else { return .nothing }
            self.manner = manner
            return .closeSession(manner)
        case .closed: return .nothing
        }
    }

    enum EndAction: Equatable {
        /// Ask again, in the older way.
        case connect(generation: Int, legacyOnly: Bool)
        case finish
    }

    /// The session of a generation has ended, and everything of it is gone.
    mutating func ended(_ generation: Int, duringProbe: Bool) -> EndAction {
        guard generation == self.generation else { return .finish }
        if self.state == .starting, duringProbe, !self.legacyOnly {
            self.legacyOnly = true
            self.generation += 1
            return .connect(generation: self.generation, legacyOnly: true)
        }
        self.state = .closed
        return .finish
    }
}
