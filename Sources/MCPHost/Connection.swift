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
        private enum Kind: String, Sendable, Hashable { case starting, ready, closing, closed, failed }
        private let kind: Kind
        /// Being opened.
        public static let starting = Self(kind: .starting)
        /// Can be used.
        public static let ready = Self(kind: .ready)
        /// Being closed.
        public static let closing = Self(kind: .closing)
        /// Closed because somebody asked.
        public static let closed = Self(kind: .closed)
        /// Could not be opened, or ended by itself; ``Connection/failure`` says why.
        public static let failed = Self(kind: .failed)
        /// One word.
        public var description: String { self.kind.rawValue }
    }

    /// Its name in the host.
    public var name: String { self.configuration.name }
    /// How it is reached.
    public let configuration: ServerConfiguration

    private struct State {
        var machine = ConnectionStateMachine()
        var session: ClientSession?
        var failure: MCPError?
        var closeCause = ""
        var closeTask = ""
    }

    private let state = Locked(State())
    private let context: HostContext
    let ready = Completion<Result<ServerDescription, MCPError>>()
    let gone = Completion<TeardownReport.Server>()

    init(_ configuration: ServerConfiguration, context: HostContext) {
        self.configuration = configuration
        self.context = context
    }

    // MARK: For everybody

    /// Where it stands now.
    public var status: Status {
        self.state.withLock { state in
            switch state.machine.state {
            case .idle, .starting: .starting
            case .ready: .ready
            case .closing: .closing
            case .closed: state.failure == nil ? .closed : .failed
            }
        }
    }

    /// Why it could not be opened, or ended by itself.
    public var failure: MCPError? { self.state.withLock { $0.failure } }

    /// What the server said about itself, once it is ready.
    public var server: ServerDescription? { try? self.ready.value?.get() }

    /// Waits until the server can be used, and gives its conversation.
    /// - Throws: why it cannot; `cancelled` if the calling task is, while the opening goes on.
    public func session() async throws(MCPError) -> ClientSession {
        guard let result = await self.ready.waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the server was cancelled", server: self.name)
        }
        _ = try result.get()
        let (session, state, failure) = self.state.withLock { ($0.session, $0.machine.state, $0.failure) }
        if let session, state == .ready || state == .closing { return session }
        throw failure ?? MCPError(.hostClosed, "the connection is closed", server: self.name)
    }

    /// Waits until nothing is left of the connection; does not ask for its end.
    public func waitUntilGone() async -> TeardownReport.Server { await self.gone.wait() }

    // MARK: For the root

    /// Opens, serves, closes. The only place where this connection's transport is entered and left.
    func run() async {
        var action = self.state.withLock { $0.machine.start() }
        var report = self.emptyReport
        let start = self.context.timekeeper.now
        loop: while true {
            switch action {
            case .finish: break loop
            case .connect(let generation, let legacyOnly):
                let end = await self.converse(generation, legacyOnly: legacyOnly, since: start, &report)
                let next = self.state.withLock { state in
                    let wasAsked = state.machine.state == .closing
                    let next = state.machine.ended(generation, duringProbe: end.endedDuringProbe)
                    state.session = nil
                    // Asked for, an end is no failure; neither is one that is followed by another try.
                    if next == .finish, !wasAsked { state.failure = self.explain(end) }
                    return next
                }
                switch next {
                case .finish: action = .finish
                case .connect(let generation, let legacyOnly):
                    self.note("restarting", generation, "the server ended when asked which revision it speaks")
                    action = .connect(generation: generation, legacyOnly: legacyOnly)
                }
            }
        }
        self.finish(report)
    }

    private func converse(
        _ generation: Int,
        legacyOnly: Bool,
        since start: Duration,
        _ report: inout TeardownReport.Server
    ) async -> ClientSession.End {
        self.note("opening", generation, self.configuration.endpointDescription)
        let session = self.makeSession(legacyOnly: legacyOnly, since: start)
        let manner = self.state.withLock { state in
            state.session = session
            return state.machine.requestedClose  // between the machine's yes and now
        }
        if let manner { session.close(manner) }
        let end = await withTaskGroup(of: Void.self) { group in
            self.context.accounts.add(1, \.tasks)
            group.addTask(name: "MCP readiness") { await self.watchReadiness(of: session, generation) }
            let end = await session.run()
            await group.waitForAll()
            self.context.accounts.add(-1, \.tasks)
            return end
        }
        report.generation = generation
        report.rung = end.transport.rung
        report.rungTimes = end.transport.rungTimes
        report.processID = end.transport.processID
        report.exitStatus = end.transport.exitStatus
        report.helpersEnded += end.transport.helpersEnded
        report.processesLeft += end.transport.processesLeft
        report.callsFailed += end.requestsFailed
        report.stderrTail = end.transport.stderrTail
        let error = self.explain(end)
        self.note(
            "ended",
            generation,
            error?.message ?? end.transport.exitStatus?.description ?? end.transport.rung.rawValue
        )
        return end
    }

    private func explain(_ end: ClientSession.End) -> MCPError? {
        if var error = end.transport.launchError ?? end.handshakeError {
            if error.code == .connectionLost, let status = end.transport.exitStatus,
                !error.message.contains("\(status)")
            {
                error.message += "; then its process ended with \(status)"
            }
            return error.naming(self.name)
        }
        if let status = end.transport.exitStatus {
            return MCPError(.connectionLost, "the server's process ended with \(status)", server: self.name)
        }
        return MCPError(.connectionLost, "the server went away", server: self.name)
    }

    /// All attempts together have one budget (B9).
    private func makeSession(legacyOnly: Bool, since start: Duration) -> ClientSession {
        var client = self.configuration.client
        if legacyOnly { client.era = .legacyOnly }
        client.connectTimeSpent = self.context.timekeeper.now - start
        let transport: any Transport
        switch self.configuration.endpoint.kind {
        case .custom(_, let make): transport = make()
        case .stdio(let launch):
            transport = StdioTransport(
                launch,
                options: self.configuration.stdio,
                accounts: self.context.accounts,
                timekeeper: self.context.timekeeper
            )
        }
        return ClientSession(
            transport: transport,
            configuration: client,
            accounts: self.context.accounts,
            timekeeper: self.context.timekeeper
        )
    }

    private func watchReadiness(of session: ClientSession, _ generation: Int) async {
        guard case .success(let description) = await session.ready.wait() else { return }
        guard self.state.withLock({ $0.machine.becameReady(generation) }) else { return }
        self.note("ready", generation, "revision \(description.revision.rawValue)")
        self.ready.complete(.success(description))
    }

    private var emptyReport: TeardownReport.Server {
        TeardownReport.Server(
            name: self.name,
            generation: 0,
            rung: .none,
            rungTimes: [],
            processID: nil,
            exitStatus: nil,
            helpersEnded: [],
            processesLeft: [],
            callsFailed: 0,
            failure: nil,
            stderrTail: ""
        )
    }

    /// The root left before it came to run this connection.
    func neverRan() {
        self.state.withLock { state in
            _ = state.machine.close(.orderly)
            _ = state.machine.start()
        }
        self.finish(self.emptyReport)
    }

    private func finish(_ report: TeardownReport.Server) {
        var report = report
        let (failure, cause, task) = self.state.withLock { ($0.failure, $0.closeCause, $0.closeTask) }
        report.failure = failure?.message
        self.ready.complete(.failure(failure ?? MCPError(.hostClosed, "the connection was closed", server: self.name)))
        if cause.isEmpty {
            self.note("closed", report.generation, failure?.message ?? "ended by itself")
        } else {
            self.note("closed", report.generation, cause, task: task)
        }
        self.gone.complete(report)
    }

    /// Asks for the end. From any task, at any moment, any number of times.
    func close(_ manner: CloseManner, cause: String) {
        let task = TaskIdentity.current
        let (action, session, generation) = self.state.withLock { state in
            let action = state.machine.close(manner)
            if action != .nothing, state.closeCause.isEmpty { (state.closeCause, state.closeTask) = (cause, task) }
            return (action, state.session, state.machine.generation)
        }
        switch action {
        case .nothing: return
        case .wait: self.note("closing", generation, cause, task: task)
        case .closeSession(let manner):
            self.note("closing", generation, cause, task: task)
            session?.close(manner)
        }
    }

    private func note(_ event: String, _ generation: Int, _ cause: String, task: String = TaskIdentity.current) {
        self.context.journal.note(event, server: self.name, generation: generation, cause: cause, task: task)
    }
}

/// What all connections of a host share.
struct HostContext: Sendable {
    var accounts: ResourceAccounts
    var journal: LifecycleJournal
    var timekeeper: any Timekeeper
}
