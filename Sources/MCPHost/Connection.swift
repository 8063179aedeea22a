public import MCPClient
import MCPStdio
public import MCPTransport
import MCPTypes

/// One server of a host, from the moment it is added until nothing of it is left.
///
/// The host's root runs it; everybody else asks it for its session, waits for it, or asks for its end.
public final class Connection: Sendable {
    /// Where a connection stands.
    public struct Status: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String, Sendable, Hashable { case starting, ready, restarting, closing, closed, failed }
        private let kind: Kind
        /// Being opened.
        public static let starting = Self(kind: .starting)
        /// Can be used.
        public static let ready = Self(kind: .ready)
        /// Lost, and about to be started again; ``Connection/failure`` says why it was lost.
        public static let restarting = Self(kind: .restarting)
        /// Being closed.
        public static let closing = Self(kind: .closing)
        /// Closed because somebody asked.
        public static let closed = Self(kind: .closed)
        /// Could not be opened, or ended by itself too often; ``Connection/failure`` says why.
        public static let failed = Self(kind: .failed)
        /// One word.
        public var description: String { self.kind.rawValue }
    }

    /// Its name in the host.
    public var name: String { self.configuration.name }
    /// How it is reached.
    public let configuration: ServerDefinition

    private typealias Attempt = OneShot<Result<ServerDescription, MCPError>>

    private struct State {
        var machine = ConnectionStateMachine()
        var restarts: RestartStateMachine
        var session: ClientSession?
        /// What a caller has to wait for who needs a session now.
        var attempt = Attempt()
        var wasReady = false
        var readySince: Duration?
        var failure: MCPError?
        var closeCause = ""
        var closeTask = ""
        /// Ends the waiting for a restart.
        var alarm: OneShot<Void>?
        /// What each generation has left, as far as it is not gone by now.
        var rests: [Int: Rest] = [:]
        /// Generations of which nothing is left any more, that had been given up.
        var cleared: Set<Int> = []
    }

    /// What a server has left, or may have.
    private struct Rest {
        var processes: [Int32]
        var doubt: String?
    }

    private let state: Locked<State>
    private let context: HostContext
    let desiredSubscriptions: DesiredSubscriptions
    private let events: Broadcast<ServerEvent>
    /// The outcome of the first attempt.
    let ready = OneShot<Result<ServerDescription, MCPError>>()
    let gone = OneShot<TeardownReport.Server>()

    init(_ configuration: ServerDefinition, context: HostContext) {
        self.configuration = configuration
        self.context = context
        let desiredSubscriptions = DesiredSubscriptions()
        self.desiredSubscriptions = desiredSubscriptions
        self.events = Broadcast { desiredSubscriptions.setListeners($0) }
        self.state = Locked(State(restarts: RestartStateMachine(configuration.restart)))
    }

    // MARK: For everybody

    /// What the server tells by itself, across its restarts. The sequence ends when the connection is closed for good.
    /// - Parameter buffer: so many events are kept for a reader that is slow; then the oldest are lost and counted.
    public func serverEvents(buffer: Int = 1024) -> ServerEvents<ServerEvent> {
        ServerEvents(self.events, buffer: buffer)
    }

    /// Where it stands now.
    public var status: Status {
        self.state.withLock { state in
            switch state.machine.state {
            case .idle: .starting
            case .starting: state.wasReady || state.machine.generation > 2 ? .restarting : .starting
            // Lost, and nobody has come to say so yet (G9).
            case .ready: state.session?.broken.value == nil ? .ready : .restarting
            case .ending, .waiting: .restarting
            case .closing: .closing
            case .closed: state.failure == nil ? .closed : .failed
            }
        }
    }

    /// Why it could not be opened, or ended by itself.
    public var failure: MCPError? { self.state.withLock { $0.failure } }

    /// What the server said about itself, once it is ready.
    public var server: ServerDescription? { try? self.state.withLock { $0.attempt }.value?.get() }

    /// Waits until the server can be used, and gives its conversation.
    ///
    /// When the server had been in use and is being restarted, this waits for the outcome of the next start. One that has never been
    /// of use is not waited for again after its first failure.
    /// - Throws: why it cannot be used; `cancelled` if the calling task is, while the opening goes on.
    public func session() async throws(MCPError) -> ClientSession {
        let (attempt, isHopeless, failure) = self.state.withLock { state in
            (state.attempt, state.machine.state == .waiting && !state.wasReady, state.failure)
        }
        if isHopeless, let failure { throw failure }
        guard let result = await attempt.waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the server was cancelled", server: self.name)
        }
        _ = try result.get()
        let (session, state, later) = self.state.withLock { ($0.session, $0.machine.state, $0.failure) }
        if let session, state == .ready, session.broken.value != nil, self.lose(session) {
            return try await self.session()
        }
        if let session, state == .ready || state == .closing { return session }
        throw later ?? MCPError(.hostClosed, "the connection is closed", server: self.name)
    }

    /// Waits until the loss of a session is known here too.
    /// - Returns: whether another one will follow.
    func waitForLoss(of session: ClientSession) async -> Bool {
        guard self.configuration.restart.isEnabled, await session.broken.waitUnlessCancelled() != nil else {
            return false
        }
        self.lose(session)
        return true
    }

    /// Waits until nothing is left of the connection; does not ask for its end.
    public func waitUntilGone() async -> TeardownReport.Server { await self.gone.wait() }

    // MARK: For the root

    /// Opens, serves, starts again, closes. The only place where this connection's transport is entered and left.
    func run() async {
        var action = self.state.withLock { $0.machine.start() }
        var report = self.emptyReport
        var start = self.context.clock.now
        while case .connect(let generation, let legacyOnly) = action {
            let now = self.context.clock.now
            self.state.withLock { $0.restarts.started(now: now) }
            let end = await self.converse(generation, legacyOnly: legacyOnly, since: start, &report)
            let next = self.state.withLock { state in
                state.session = nil
                return state.machine.ended(generation, duringProbe: end.endedDuringProbe)
            }
            switch next {
            case .connect(let generation, let legacyOnly):
                self.note("restarting", generation, "the server ended when asked which revision it speaks")
                action = .connect(generation: generation, legacyOnly: legacyOnly)
            case .decide:
                action = await self.comeBack(after: self.explain(end), generation)
                start = self.context.clock.now
            case .finish: action = .finish
            }
        }
        self.finish(report)
    }

    /// The server ended by itself: waits for the time of its restart, if there is to be one.
    private func comeBack(after error: MCPError, _ generation: Int) async -> ConnectionStateMachine.StartAction {
        let now = self.context.clock.now
        let decision: RestartStateMachine.Action = self.state.withLock { state in
            // What was wrong from the start will be wrong again; what has worked before, or was only unlucky, may work again.
            guard state.readySince != nil || error.code == .connectionLost else { return .stayDown }
            let readyFor = state.readySince.map { now - $0 }
            return state.restarts.died(now: now, readyFor: readyFor, random: .random(in: 0..<1))
        }
        switch decision {
        case .stayDown: self.giveUp(error)
        case .giveUp(let starts):
            let period = self.configuration.restart.period
            var error = error
            error.code = .crashLoop
            error.message =
                "crash loop: \(starts) starts within \(period), no more will follow; restart it by hand when the cause is mended."
                + " The last end: \(error.message)"
            self.giveUp(error)
        case .restart(let delay):
            let alarm = OneShot<Void>()
            let (waits, failed) = self.state.withLock { state in
                state.failure = error
                // Who asks after the loss of a session waits for this very restart; who waited for a start is told that it failed.
                let failed = state.readySince == nil ? state.attempt : nil
                if failed != nil { state.attempt = Attempt() }
                state.readySince = nil
                state.alarm = alarm
                return (state.machine.wait(), failed)
            }
            failed?.complete(.failure(error))
            self.ready.complete(.failure(error))
            guard waits else { return self.state.withLock { $0.machine.start() } }
            self.note("restarting", generation, "in \(delay), because \(error.message)")
            let timer = self.context.clock.makeTimer { alarm.complete(()) }
            self.context.accounts.add(1, \.timers)
            timer.set(self.context.clock.now + delay)
            await alarm.wait()
            timer.cancel()
            self.context.accounts.add(-1, \.timers)
            return self.state.withLock { state in
                state.alarm = nil
                return state.machine.start()
            }
        }
        return .finish
    }

    private func giveUp(_ error: MCPError) {
        self.state.withLock { state in
            if state.machine.state != .closing { state.failure = error }
            state.machine.giveUp()
        }
    }

    private func converse(
        _ generation: Int,
        legacyOnly: Bool,
        since start: Duration,
        _ report: inout TeardownReport.Server
    ) async -> ClientSession.End {
        self.note("opening", generation, self.configuration.endpointDescription)
        let session = self.makeSession(generation, legacyOnly: legacyOnly, since: start)
        let mode = self.state.withLock { state in
            state.session = session
            return state.machine.requestedClose  // between the machine's yes and now
        }
        if let mode { session.close(mode) }
        let end = await withTaskGroup(of: Void.self) { group in
            self.context.accounts.add(1, \.tasks)
            group.addTask(name: "MCP readiness") { await self.watch(session, generation) }
            let end = await session.run()
            await group.waitForAll()
            self.context.accounts.add(-1, \.tasks)
            return end
        }
        report.generation = generation
        report.step = end.transport.step
        report.stepTimes = end.transport.stepTimes
        report.processID = end.transport.processID
        report.startedAt = end.transport.startedAt
        for helper in end.transport.descendantsEnded { report.descendantsSeenAt[helper] = end.transport.endedAt }
        report.exitStatus = end.transport.exitStatus
        report.descendantsEnded += end.transport.descendantsEnded
        if !end.transport.processesLeft.isEmpty || end.transport.doubt != nil {
            let rest = Rest(processes: end.transport.processesLeft, doubt: end.transport.doubt)
            self.state.withLock { if !$0.cleared.contains(generation) { $0.rests[generation] = rest } }
        }
        report.callsFailed += end.requestsFailed
        report.stderrTail = end.transport.stderrTail
        self.note("ended", generation, self.explain(end).message)
        return end
    }

    private func explain(_ end: ClientSession.End) -> MCPError {
        if let error = end.transport.launchError { return error.naming(self.name) }
        if var error = end.handshakeError {
            if error.code == .connectionLost, let status = end.transport.exitStatus,
                !error.message.contains("\(status)")
            {
                error.message += "; then its process ended with \(status)"
            }
            if let surroundings = self.configuration.surroundings { error.message += "\n" + surroundings }
            return error.naming(self.name)
        }
        if let status = end.transport.exitStatus {
            return MCPError(.connectionLost, "the server's process ended with \(status)", server: self.name)
        }
        return MCPError(.connectionLost, "the server went away", server: self.name)
    }

    /// All attempts together have one budget (B9).
    private func makeSession(_ generation: Int, legacyOnly: Bool, since start: Duration) -> ClientSession {
        var client = self.configuration.client
        if legacyOnly { client.era = .legacyOnly }
        client.serverName = self.name
        client.handlers = client.handlers.filled(from: self.context.handlers)
        client.launch = self.context.launch
        client.desiredSubscriptions = self.desiredSubscriptions
        client.events = self.events
        client.onEvent = { [name = self.name, events = self.context.events] event in
            events.send(HostEvent(server: name, event: event))
        }
        client.connectTimeSpent = self.context.clock.now - start
        let transport: any Transport
        switch self.configuration.endpoint.kind {
        case .custom(_, let make): transport = make()
        case .stdio(let launch):
            transport = StdioTransport(
                launch,
                options: self.configuration.stdio,
                accounts: self.context.accounts,
                clock: self.context.clock,
                endedLate: { [weak self, name = self.name, journal = self.context.journal] what, isClear in
                    if isClear { self?.clear(generation) }
                    journal.note("ended late", server: name, cause: what)
                }
            )
        }
        return ClientSession(
            transport: transport,
            configuration: client,
            accounts: self.context.accounts,
            clock: self.context.clock
        )
    }

    /// Follows a session from its handshake to its loss.
    private func watch(_ session: ClientSession, _ generation: Int) async {
        guard case .success(let description) = await session.ready.wait() else { return }
        let now = self.context.clock.now
        let attempt = self.state.withLock { state -> Attempt? in
            guard state.machine.becameReady(generation) else { return nil }
            state.wasReady = true
            state.readySince = now
            state.failure = nil
            return state.attempt
        }
        guard let attempt else { return }
        self.note("ready", generation, "revision \(description.revision.rawValue)")
        attempt.complete(.success(description))
        self.ready.complete(.success(description))
        _ = await session.broken.wait()
        self.lose(session)
    }

    /// Whoever sees first that a session is lost says so, and all that come later wait for the next one.
    /// - Returns: whether this was the first to see it.
    @discardableResult
    private func lose(_ session: ClientSession) -> Bool {
        guard let error = session.broken.value else { return false }
        let generation: Int? = self.state.withLock { state in
            guard state.session === session, state.machine.broke(state.machine.generation) else { return nil }
            state.failure = error.naming(self.name)
            state.attempt = Attempt()
            return state.machine.generation
        }
        if let generation { self.note("lost", generation, error.message) }
        return generation != nil
    }

    private var emptyReport: TeardownReport.Server {
        TeardownReport.Server(
            name: self.name,
            generation: 0,
            step: .none,
            stepTimes: [],
            processID: nil,
            exitStatus: nil,
            descendantsEnded: [],
            processesLeft: [],
            doubt: nil,
            callsFailed: 0,
            failure: nil,
            stderrTail: ""
        )
    }

    /// The root left before it came to run this connection.
    func neverRan() {
        self.state.withLock { state in
            _ = state.machine.close(.graceful)
            _ = state.machine.start()
        }
        self.finish(self.emptyReport)
    }

    /// What was given up of a generation is gone.
    private func clear(_ generation: Int) {
        self.state.withLock { state in
            if state.rests.removeValue(forKey: generation) == nil { state.cleared.insert(generation) }
        }
    }

    private func finish(_ report: TeardownReport.Server) {
        var report = report
        let (failure, cause, task, rests) = self.state.withLock { state in
            (state.failure, state.closeCause, state.closeTask, state.rests.sorted { $0.key < $1.key }.map(\.value))
        }
        report.processesLeft = rests.flatMap(\.processes)
        // The same doubt after each of many restarts is one doubt.
        var doubts: [String] = []
        for doubt in rests.compactMap(\.doubt) where !doubts.contains(doubt) { doubts.append(doubt) }
        if !doubts.isEmpty { report.doubt = doubts.joined(separator: "; ") }
        report.failure = failure?.message
        let last = failure ?? MCPError(.hostClosed, "the connection was closed", server: self.name)
        self.ready.complete(.failure(last))
        self.state.withLock { state in
            if state.attempt.value != nil { state.attempt = Attempt() }
            return state.attempt
        }.complete(.failure(last))
        if cause.isEmpty {
            self.note("closed", report.generation, failure?.message ?? "ended by itself")
        } else {
            self.note("closed", report.generation, cause, task: task)
        }
        self.events.finish()
        self.gone.complete(report)
    }

    /// Asks for the end. From any task, at any moment, any number of times.
    func close(_ mode: TeardownMode, cause: String) {
        let task = TaskIdentity.current
        let (action, session, generation, alarm) = self.state.withLock { state in
            let action = state.machine.close(mode)
            if action != .nothing, state.closeCause.isEmpty { (state.closeCause, state.closeTask) = (cause, task) }
            return (action, state.session, state.machine.generation, state.alarm)
        }
        switch action {
        case .nothing: return
        case .wake:
            self.note("closing", generation, cause, task: task)
            alarm?.complete(())
        case .wait: self.note("closing", generation, cause, task: task)
        case .closeSession(let mode):
            self.note("closing", generation, cause, task: task)
            session?.close(mode)
        }
    }

    private func note(_ event: String, _ generation: Int, _ cause: String, task: String = TaskIdentity.current) {
        self.context.journal.note(event, server: self.name, generation: generation, cause: cause, task: task)
    }
}
