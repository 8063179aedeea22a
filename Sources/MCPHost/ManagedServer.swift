public import MCPClient
import MCPSession
public import MCPTransport
import MCPTypes

/// One server of a host, from the moment it is added until nothing of it is left: its name, its place among the others, its events and
/// the calls that wait for it, over all its connections.
///
/// The host's root runs it; everybody else asks it for its session, waits for it, or asks for its restart or its end. Those belong to the
/// server and not to the task that asks: they go on when that task ends, and who asks meanwhile joins (T11).
public final class ManagedServer: Sendable {
    /// Where a server stands.
    public struct Status: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String, Sendable, Hashable {
            case dormant, starting, ready, restarting, closing, closed, failed, needsAuthorization
        }

        private let kind: Kind
        /// Not running, because nobody needs it: whoever does starts it (``ServerPolicy/onDemand(idleStop:)``).
        public static let dormant = Self(kind: .dormant)
        /// Being opened.
        public static let starting = Self(kind: .starting)
        /// Can be used.
        public static let ready = Self(kind: .ready)
        /// Lost, and about to be started again; ``ManagedServer/failure`` says why it was lost.
        public static let restarting = Self(kind: .restarting)
        /// Being closed, or stopped because nobody has used it for a while.
        public static let closing = Self(kind: .closing)
        /// Closed because somebody asked.
        public static let closed = Self(kind: .closed)
        /// Could not be opened, or ended by itself too often; ``ManagedServer/failure`` says why.
        public static let failed = Self(kind: .failed)
        /// Somebody has to sign in before it can be used, and to restart it then; ``ManagedServer/failure`` says how.
        public static let needsAuthorization = Self(kind: .needsAuthorization)
        /// It stays down until somebody restarts it.
        var isDown: Bool { self == .failed || self == .needsAuthorization }
        /// One word.
        public var description: String { self.kind.rawValue }
    }

    /// Its name in the host.
    public var name: String { self.definition.name }
    /// How it is reached, and its bounds.
    public let definition: ServerDefinition
    /// What the program adds to that.
    let runtime: ServerRuntime
    /// How it is reached, all in all.
    let endpoint: Endpoint

    typealias Attempt = OneShot<Result<ServerDescription, MCPError>>

    struct State {
        var machine: ServerStateMachine
        var restarts: RestartStateMachine
        var connection: Connection?
        /// What a caller has to wait for who needs a session now. A new one for each start that is expected.
        var attempt = Attempt()
        var wasReady = false
        /// It has ended by itself, and is started again.
        var isComingBack = false
        var readySince: Duration?
        /// Sees that nobody needs it any more, where it is to stop then.
        var watch: IdleWatch?
        var failure: MCPError?
        var closeCause = ""
        var closeTask = ""
        /// Ends the waiting for a restart, or for somebody who needs it.
        var alarm: OneShot<Void>?
        /// Ends the waiting for a turn to start.
        var leaveLine: (@Sendable () -> Void)?
        var report: TeardownReport.Server
        /// What each generation has left, as far as it is not gone by now.
        var remains: [Int: Remains] = [:]
        /// Generations of which nothing is left any more, that had been given up.
        var cleared: Set<Int> = []
        /// Completed when it is not run any more. A new one where it is entered again.
        var gone = OneShot<TeardownReport.Server>()
    }

    /// What a connection has left, or may have.
    struct Remains {
        var processes: [Int32]
        var doubt: String?
    }

    let state: Locked<State>
    let context: HostContext
    let desiredSubscriptions: DesiredSubscriptions
    let events: Broadcast<ServerEvent>
    /// The outcome of the first attempt; also when it is not started because nobody needs it.
    let ready = OneShot<Result<Void, MCPError>>()
    /// What it has listed, for when it is dormant.
    let lists = RememberedLists()
    /// What was not as it has to be in what it has said.
    let problemBook: ServerProblems
    /// Counts the servers of the host.
    let serial: Int
    /// The server that it stands in for, where it is one caller's own.
    let principal: ManagedServer?
    /// That caller.
    let caller: String?
    /// Its name in the journal and in the report; a caller's own has the number of the caller too.
    let label: String

    /// - Parameters:
    ///   - definition: what it is.
    ///   - runtime: what the program adds to that.
    ///   - endpoint: how it is reached, all in all.
    ///   - context: what the host has for all.
    ///   - serial: its number.
    ///   - principal: it is one caller's own, in the place of that one.
    ///   - caller: that caller.
    ///   - number: the number of that caller.
    init(
        _ definition: ServerDefinition,
        _ runtime: ServerRuntime,
        endpoint: Endpoint,
        context: HostContext,
        serial: Int,
        standingFor principal: ManagedServer? = nil,
        for caller: String? = nil,
        number: Int = 0
    ) {
        self.definition = definition
        self.runtime = runtime
        self.endpoint = endpoint
        self.context = context
        self.serial = serial
        (self.principal, self.caller) = (principal, caller)
        self.label = principal == nil ? definition.name : "\(definition.name)/\(number)"
        self.problemBook = ServerProblems(server: definition.name) {
            [label = self.label, journal = context.journal, mask = endpoint.mask] in
            journal.note("problem", server: label, cause: mask.masked($0.description))
        }
        let desired = DesiredSubscriptions()
        self.desiredSubscriptions = desired
        self.events = Broadcast { desired.setListeners($0) }
        self.state = Locked(
            State(
                machine: ServerStateMachine(startsOnDemand: definition.policy.startsOnDemand),
                restarts: RestartStateMachine(definition.restart),
                report: TeardownReport.Server(name: self.label)
            )
        )
    }

    // MARK: For everybody

    /// What the server tells by itself, across its restarts. The sequence ends when the server is closed for good.
    /// - Parameter buffer: so many events are kept for a reader that is slow; then the oldest are lost and counted.
    public func serverEvents(buffer: Int = 1024) -> ServerEvents<ServerEvent> {
        ServerEvents(self.events, buffer: buffer)
    }

    /// Where it stands now.
    public var status: Status {
        self.state.withLock { state in
            switch state.machine.state {
            case .idle: state.machine.isRestarting ? .restarting : .starting
            case .dormant: .dormant
            case .starting:
                state.wasReady || state.machine.isRestarting || state.isComingBack ? .restarting : .starting
            // Lost, and nobody has come to say so yet (G9).
            case .ready: state.connection?.session.broken.value == nil ? .ready : .restarting
            case .ending where state.machine.isAsleep: .closing
            case .ending, .waiting: .restarting
            case .closing: .closing
            case .closed: state.failure == nil ? .closed : .failed
            case .failed: state.failure?.code == .needsAuthorization ? .needsAuthorization : .failed
            }
        }
    }

    /// Why it could not be opened, or ended by itself.
    public var failure: MCPError? { self.state.withLock { $0.failure } }

    /// What was not as it has to be in what it has said since it was started, and what was made of it: the latest, each once (U3). They quote
    /// the server, so they are as little trusted as that.
    public var problems: [ServerProblem] { self.problemBook.all }

    /// What the server said about itself, once it is ready.
    public var server: ServerDescription? { try? self.state.withLock { $0.attempt }.value?.get() }

    /// Waits until the server can be used, and gives its conversation. One that is dormant is started.
    ///
    /// When the server had been in use and is being restarted, or somebody has asked for a restart, this waits for the outcome of the next
    /// start. One that has never been of use is not waited for again after its first failure.
    /// - Throws: why it cannot be used; `cancelled` if the calling task is, while the opening goes on.
    public func session() async throws(MCPError) -> ClientSession {
        if let session = self.liveSession { return session }
        while true {
            let (attempt, failure, sleeping) = self.state.withLock { state -> (Attempt, MCPError?, Sleep?) in
                switch state.machine.state {
                case .waiting where !state.wasReady && !state.machine.isRestarting, .failed:
                    (state.attempt, state.failure, nil)
                case .closed: (state.attempt, state.failure ?? self.isClosed, nil)
                default:
                    (state.attempt, nil, state.machine.demand() ? Sleep(state.alarm, state.machine.generation) : nil)
                }
            }
            if let failure { throw failure }
            if let sleeping { self.wake(sleeping) }
            guard let result = await attempt.waitUnlessCancelled() else {
                throw MCPError(.cancelled, "waiting for the server was cancelled", server: self.name)
            }
            _ = try result.get()
            let (session, isCurrent, later) = self.state.withLock { state -> (ClientSession?, Bool, MCPError?) in
                // Between the outcome and now there may have been a loss or a restart: another start is the one to wait for.
                guard state.attempt === attempt else { return (nil, false, nil) }
                let isUsable = state.machine.state == .ready || state.machine.state == .closing
                return (isUsable ? state.connection?.session : nil, true, state.failure)
            }
            guard isCurrent else { continue }
            guard let session else { throw later ?? self.isClosed }
            if session.broken.value != nil, self.lose(session) { continue }
            return session
        }
    }

    /// The conversation, where it can be used at once.
    var liveSession: ClientSession? {
        let session = self.state.withLock { state in
            // Ready is told to everybody else when what belongs to it is done.
            state.machine.state == .ready && state.attempt.isComplete ? state.connection?.session : nil
        }
        return session?.broken.isComplete == false ? session : nil
    }

    private var isClosed: MCPError { MCPError(.hostClosed, "the connection is closed", server: self.name) }

    /// Waits until nothing is left of the server; does not ask for its end.
    public func waitUntilGone() async -> TeardownReport.Server { await self.state.withLock { $0.gone }.wait() }

    /// The same, unless the calling task is cancelled.
    package func waitUntilGoneUnlessCancelled() async -> TeardownReport.Server? {
        await self.state.withLock { $0.gone }.waitUnlessCancelled()
    }

    /// Waits until the loss of a session is known here too.
    /// - Returns: whether another one will follow.
    func waitForLoss(of session: ClientSession) async -> Bool {
        guard await session.broken.waitUnlessCancelled() != nil else { return false }
        self.lose(session)
        return self.state.withLock { state in
            switch state.machine.state {
            case .closing, .closed, .failed: false
            case .ending:
                state.machine.isRestarting || state.machine.isStopping || self.definition.restart.isEnabled
            case .idle, .dormant, .starting, .ready, .waiting: true
            }
        }
    }

    /// Whoever sees first that a session is lost says so, and all that come later wait for the next one.
    /// - Returns: whether this was the first to see it.
    @discardableResult
    func lose(_ session: ClientSession) -> Bool {
        guard let error = session.broken.value else { return false }
        let generation: Int? = self.state.withLock { state in
            guard state.connection?.session === session, state.machine.broke(state.machine.generation) else {
                return nil
            }
            state.failure = self.shown(error)
            state.attempt = Attempt()
            return state.machine.generation
        }
        if let generation { self.note("lost", generation, error.message) }
        return generation != nil
    }

    /// Whether a tool says that calling it twice does no more than calling it once.
    func isIdempotent(_ tool: String) -> Bool {
        self.context.tools.isIdempotent(tool, of: self.principal?.serial ?? self.serial)
    }

    /// Whether nobody can use it any more: a caller's own is replaced then.
    package var isOver: Bool { self.state.withLock { [.closing, .closed].contains($0.machine.state) } }

    /// It does not run because nobody needs it, or is just being stopped for that: what it has listed is given without starting it.
    var isAsleep: Bool { self.state.withLock { $0.machine.isAsleep } }

    /// Whether it answers whoever asks, without being waited for because it was lost: it is ready, or comes up for the first time or on demand.
    var canBeHeard: Bool {
        self.state.withLock { $0.machine.isStopping } || [.ready, .starting, .dormant].contains(self.status)
    }

    // MARK: Restart and end, for the host

    /// A restart that has been decided on.
    struct Restart: Sendable {
        /// The outcome of the start.
        var outcome: OneShot<Result<ServerDescription, MCPError>>
        /// It is not being run: the root has to enter it again.
        var hasToBeEntered: Bool
        /// What is to be done about it, outside of all locks.
        var perform: @Sendable () -> Void
    }

    /// Decides on a restart with a clean past, also after a crash loop; whoever asks while one is under way joins it. For the root, under
    /// its lock, so that nobody enters or leaves meanwhile.
    /// - Returns: nil if the server is closing or closed.
    func decideOnRestart(cause: String) -> Restart? {
        let task = TaskIdentity.current
        let (action, session, generation, alarm, leaveLine, outcome) = self.state.withLock { state in
            let wasReady = state.machine.state == .ready
            let action = state.machine.restart()
            switch action {
            case .join, .refuse: break
            case .follow, .closeSession, .wake, .enter:
                state.restarts = RestartStateMachine(self.definition.restart)
                state.wasReady = false
                state.readySince = nil
                // Whoever has come up has done so before this restart, even if those who wait for it have not been told yet.
                if state.attempt.value != nil || wasReady { state.attempt = Attempt() }
                if action == .enter {
                    state.failure = nil
                    state.gone = OneShot()
                }
            }
            return (
                action, state.connection?.session, state.machine.generation, state.alarm, state.leaveLine, state.attempt
            )
        }
        if action == .refuse { return nil }
        return Restart(outcome: outcome, hasToBeEntered: action == .enter) {
            if action != .join { self.note("restart asked for", generation, cause, task: task) }
            if action == .wake { alarm?.complete(()) }
            if action == .closeSession {
                leaveLine?()
                session?.close(.graceful, because: MCPError(.connectionLost, "the server is being restarted"))
            }
        }
    }

    /// Asks for the end. From any task, at any moment, any number of times.
    func close(_ mode: TeardownMode, cause: String) { self.decideOnClose(mode, cause: cause)() }

    /// Decides on the end: from now on nothing is started for it.
    /// - Returns: what is to be done about it.
    func decideOnClose(_ mode: TeardownMode, cause: String) -> @Sendable () -> Void {
        let task = TaskIdentity.current
        let (action, session, generation, alarm, leaveLine, isOver) = self.state.withLock { state in
            let action = state.machine.close(mode)
            if action != .nothing, state.closeCause.isEmpty { (state.closeCause, state.closeTask) = (cause, task) }
            return (
                action, state.connection?.session, state.machine.generation, state.alarm, state.leaveLine,
                state.machine.state == .failed
            )
        }
        if action != .nothing { self.note("closing", generation, cause, task: task) }
        return {
            switch action {
            case .nothing:
                // It has failed, and nobody can revive it any more.
                if isOver { self.events.finish() }
            case .wake: alarm?.complete(())
            case .wait: break
            case .closeSession(let mode):
                leaveLine?()
                session?.close(mode)
            }
        }
    }

    func note(_ event: String, _ generation: Int, _ cause: String, task: String = TaskIdentity.current) {
        let shown = self.endpoint.mask.masked(cause)
        self.context.journal.note(event, server: self.label, generation: generation, cause: shown, task: task)
    }

    /// An error as it may be shown: with the server's name, and without its secrets (U1).
    func shown(_ error: MCPError) -> MCPError {
        var error = error.naming(self.name)
        let message = self.endpoint.mask.masked(error.message)
        if message != error.message { error.message = message }
        return error
    }
}
