import MCPTransport

/// Where a connection stands. Pure: told what happened, says what to do.
///
/// `idle -> starting -> ready -> closing -> closed`. A session that is lost goes to `ending` until nothing of it is left, then to
/// `waiting` and `starting` again, or to `closed`. Events carry the generation that they belong to, and those of an older one change
/// nothing.
struct ConnectionStateMachine {
    /// What the world may know.
    enum State: Equatable {
        case idle
        case starting
        case ready
        /// The session is lost; its process is being ended.
        case ending
        /// For the time of the restart.
        case waiting
        case closing
        case closed
    }

    private(set) var state: State = .idle
    private(set) var generation = 0
    private var mode: TeardownMode?
    /// How it is to be closed, while it is closing.
    var requestedClose: TeardownMode? { self.state == .closing ? self.mode : nil }
    private var legacyOnly = false

    enum StartAction: Equatable {
        case connect(generation: Int, legacyOnly: Bool)
        /// Somebody closed it before it was started.
        case finish
    }

    /// The root enters the connection, or its time of waiting is over.
    mutating func start() -> StartAction {
        switch self.state {
        case .idle, .waiting:
            self.state = .starting
            self.generation += 1
            return .connect(generation: self.generation, legacyOnly: self.legacyOnly)
        case .closing:
            self.state = .closed
            return .finish
        case .starting, .ready, .ending, .closed: preconditionFailure("a connection is run once")
        }
    }

    /// The handshake of a generation succeeded.
    /// - Returns: whether that still matters (B17).
    mutating func becameReady(_ generation: Int) -> Bool {
        guard generation == self.generation, self.state == .starting else { return false }
        self.state = .ready
        return true
    }

    /// The session of a generation is lost, and nobody had asked for that.
    /// - Returns: whether it was in use.
    mutating func broke(_ generation: Int) -> Bool {
        guard generation == self.generation, self.state == .ready else { return false }
        self.state = .ending
        return true
    }

    enum CloseAction: Equatable {
        /// It is not started: the root will see it.
        case wait
        case closeSession(TeardownMode)
        /// It waits for its restart: wake it, there will be none.
        case wake
        case nothing
    }

    /// Somebody wants the end.
    mutating func close(_ mode: TeardownMode) -> CloseAction {
        switch self.state {
        case .idle, .waiting:
            let action: CloseAction = self.state == .idle ? .wait : .wake
            self.state = .closing
            self.mode = mode
            return action
        case .starting, .ready, .ending:
            self.state = .closing
            self.mode = mode
            return .closeSession(mode)
        case .closing:
            guard let current = self.mode, mode > current else { return .nothing }
            self.mode = mode
            return .closeSession(mode)
        case .closed: return .nothing
        }
    }

    enum EndAction: Equatable {
        /// Ask again, in the older way.
        case connect(generation: Int, legacyOnly: Bool)
        /// It ended by itself: decide about a restart, and tell with ``wait()`` or ``giveUp()``.
        case decide
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
        if self.state != .closing {
            self.state = .ending
            return .decide
        }
        self.state = .closed
        return .finish
    }

    /// It is to be started again after a while.
    /// - Returns: false if somebody has closed it meanwhile: ``start()`` says so then.
    mutating func wait() -> Bool {
        guard self.state == .ending else { return false }
        self.state = .waiting
        return true
    }

    /// It is not to be started again.
    mutating func giveUp() { self.state = .closed }
}
