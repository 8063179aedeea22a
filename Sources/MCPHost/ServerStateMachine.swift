import MCPTransport

/// Where a server of a host stands. Pure: told what happened, says what to do.
///
/// `idle -> starting -> ready -> closing -> closed`. One that is started on demand goes from `idle` to `dormant`, and back when somebody needs
/// it; and from `ready`, when nobody does any more, through `ending` to `dormant`. A session that is lost goes to `ending` until nothing of it is
/// left, then to `waiting` and `starting` again, or to `failed`. A restart that somebody asks for goes the same way, without the waiting (T11);
/// from `failed` it goes back to `idle`. Events carry the generation that they belong to, and those of an older one change nothing.
struct ServerStateMachine {
    /// What the world may know.
    enum State: Equatable {
        case idle
        /// Not started, because nobody needs it.
        case dormant
        case starting
        case ready
        /// The session is lost or given up; its process is being ended.
        case ending
        /// For the time of the restart.
        case waiting
        case closing
        /// Ended by itself, and not started again. A restart by hand revives it.
        case failed
        /// Closed, because somebody asked.
        case closed
    }

    private(set) var state: State = .idle
    private(set) var generation = 0
    private var mode: TeardownMode?
    /// How the session is to be ended, while it is.
    var requestedClose: TeardownMode? {
        switch self.state {
        case .closing: self.mode
        case .ending where self.isRestarting: .graceful
        default: nil
        }
    }
    private var legacyOnly = false
    /// Somebody has asked for a restart, and what is being started, or will be, is its answer. Whoever asks meanwhile joins.
    private(set) var isRestarting = false
    private let startsOnDemand: Bool
    /// Somebody needs it, and it has not been stopped since because nobody did.
    private(set) var isDemanded = false
    /// It is being ended because nobody needs it.
    private(set) var isStoppingIdle = false
    /// It is being ended for that, whatever comes after.
    var isStopping: Bool { self.state == .ending && self.isStoppingIdle }
    /// It does not run because nobody needs it, or is being ended for that and nobody has come since.
    var isAsleep: Bool { self.state == .dormant || self.isStopping && !self.isDemanded }

    /// - Parameter startsOnDemand: it is not started before somebody needs it.
    init(startsOnDemand: Bool = false) { self.startsOnDemand = startsOnDemand }

    enum StartAction: Equatable {
        case connect(generation: Int, legacyOnly: Bool)
        /// Wait until somebody needs it.
        case sleep
        /// Somebody closed it before it was started.
        case finish
    }

    /// The root enters the server, or its time of waiting is over.
    mutating func start() -> StartAction {
        switch self.state {
        case .idle where self.startsOnDemand && !self.isDemanded && !self.isRestarting:
            self.state = .dormant
            return .sleep
        case .idle, .waiting:
            return .connect(generation: self.connect(), legacyOnly: self.legacyOnly)
        case .closing:
            self.state = .closed
            return .finish
        case .dormant, .starting, .ready, .ending, .failed, .closed:
            preconditionFailure("a server is run once at a time")
        }
    }

    private mutating func connect() -> Int {
        self.state = .starting
        self.generation += 1
        // Whoever wants it restarted needs it.
        self.isDemanded = true
        self.isStoppingIdle = false
        return self.generation
    }

    /// Somebody needs it.
    /// - Returns: whether it has to be woken for that.
    mutating func demand() -> Bool {
        switch self.state {
        case .idle: self.isDemanded = true
        case .dormant:
            self.isDemanded = true
            self.state = .idle
            return true
        case .ending: if self.isStoppingIdle { self.isDemanded = true }
        case .starting, .ready, .waiting, .closing, .failed, .closed: break
        }
        return false
    }

    /// Nobody has needed it for a while: its session is being ended, and it is not started again before somebody does.
    /// - Returns: whether it was in use.
    mutating func stopIdle(_ generation: Int) -> Bool {
        guard self.startsOnDemand, self.broke(generation) else { return false }
        self.isStoppingIdle = true
        self.isDemanded = false
        return true
    }

    /// The handshake of a generation succeeded.
    /// - Returns: whether that still matters (B17).
    mutating func becameReady(_ generation: Int) -> Bool {
        guard generation == self.generation, self.state == .starting else { return false }
        self.state = .ready
        self.isRestarting = false
        return true
    }

    /// The session of a generation is lost, and nobody had asked for that.
    /// - Returns: whether it was in use.
    mutating func broke(_ generation: Int) -> Bool {
        guard generation == self.generation, self.state == .ready else { return false }
        self.state = .ending
        return true
    }

    enum RestartAction: Equatable {
        /// What is being started, or is just about to be, is what was asked for.
        case join
        /// The same after what is just being ended.
        case follow
        /// End the session; what is started after it is the answer.
        case closeSession
        /// It waits, for its own restart or for somebody who needs it: wake it.
        case wake
        /// It is not being run: the root has to enter it again.
        case enter
        /// It is closing or closed.
        case refuse
    }

    /// Somebody wants it ended and started anew, with a clean past.
    mutating func restart() -> RestartAction {
        switch self.state {
        case .idle:
            self.isDemanded = true
            return .join
        case .starting where self.isRestarting, .ending where self.isRestarting, .waiting where self.isRestarting:
            return .join
        case .starting, .ready:
            self.isRestarting = true
            self.state = .ending
            return .closeSession
        case .ending:
            self.isRestarting = true
            return .follow
        case .waiting:
            self.isRestarting = true
            return .wake
        case .dormant:
            self.isRestarting = true
            self.legacyOnly = false
            self.state = .idle
            return .wake
        case .failed:
            self.isRestarting = true
            self.legacyOnly = false
            self.state = .idle
            return .enter
        case .closing, .closed: return .refuse
        }
    }

    enum CloseAction: Equatable {
        /// It is not started: the root will see it.
        case wait
        case closeSession(TeardownMode)
        /// It waits, for its restart or for somebody who needs it: wake it, there will be none.
        case wake
        case nothing
    }

    /// Somebody wants the end.
    mutating func close(_ mode: TeardownMode) -> CloseAction {
        switch self.state {
        case .idle, .waiting, .dormant:
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
        case .failed, .closed: return .nothing
        }
    }

    enum EndAction: Equatable {
        /// Ask again, in the older way; or begin anew, where that was asked for.
        case connect(generation: Int, legacyOnly: Bool)
        /// It ended by itself: decide about a restart, and tell with ``wait()`` or ``giveUp()``.
        case decide
        /// Wait until somebody needs it.
        case sleep
        case finish
    }

    /// The session of a generation has ended, and everything of it is gone.
    /// - Parameters:
    ///   - generation: which.
    ///   - duringProbe: it ended because of the question which era it speaks.
    ///   - wasGuess: it was taken for a legacy server because it had been one, and that has failed.
    mutating func ended(_ generation: Int, duringProbe: Bool, wasGuess: Bool = false) -> EndAction {
        guard generation == self.generation else { return .finish }
        if self.state == .starting, wasGuess {
            return .connect(generation: self.connect(), legacyOnly: false)
        }
        if self.state == .starting, duringProbe, !self.legacyOnly {
            self.legacyOnly = true
            return .connect(generation: self.connect(), legacyOnly: true)
        }
        if self.state == .ending, self.isRestarting {
            self.legacyOnly = false
            return .connect(generation: self.connect(), legacyOnly: false)
        }
        if self.state == .ending, self.isStoppingIdle {
            if self.isDemanded { return .connect(generation: self.connect(), legacyOnly: self.legacyOnly) }
            self.isStoppingIdle = false
            self.state = .dormant
            return .sleep
        }
        if self.state != .closing {
            self.state = .ending
            self.isRestarting = false
            return .decide
        }
        self.state = .closed
        return .finish
    }

    /// It is to be started again after a while.
    /// - Returns: false if somebody has closed it meanwhile, or wants it at once: ``next()`` says which.
    mutating func wait() -> Bool {
        guard self.state == .ending, !self.isRestarting else { return false }
        self.state = .waiting
        return true
    }

    /// What follows where ``wait()`` was refused, or the time of waiting is over.
    mutating func next() -> StartAction {
        if self.state == .ending { self.state = .waiting }
        if self.isRestarting { self.legacyOnly = false }
        return self.start()
    }

    /// It is not to be started again, unless somebody wants it.
    /// - Returns: false if somebody has asked for a restart or for the end meanwhile: ``next()`` says which.
    mutating func giveUp() -> Bool {
        guard self.state == .ending, !self.isRestarting else { return false }
        self.state = .failed
        return true
    }
}
