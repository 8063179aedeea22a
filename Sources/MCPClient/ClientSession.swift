import MCPSession
public import MCPTransport
import MCPTypes

/// One conversation with one server, in whichever era it speaks.
///
/// The owner calls ``run()`` once and stays in it. Everybody else calls the protocol's methods, from any task, before or during;
/// they wait until the conversation is ready.
public final class ClientSession: Sendable {
    // The methods of the protocol are in extensions, and put these together. Each has one job, and those below stand on those above.

    let context: SessionContext
    /// What came of the handshake.
    private let readiness = Readiness()
    /// Requests, on their way out and back.
    let channel: RequestChannel
    /// What runs beside the conversation.
    let background: BackgroundWork
    /// What the server tells by itself.
    let hub: ServerEventHub
    /// What the server asks for.
    private let requests: ServerRequests
    /// Subscriptions, brought to the server.
    let subscriptions: SubscriptionKeeper
    /// Lists, and answers that are still good.
    let lists: ListReader
    /// The tools, known before they are called.
    let tools: ToolReader
    /// Calls that have become tasks of the server.
    let tasks: TaskFollower
    /// Requests that the server answers with a question.
    let rounds: MultiRoundTrip
    /// What the transport talks to.
    package let receiver: SessionReceiver

    /// How a session ended.
    public struct End: Sendable {
        /// How its transport ended.
        public var transport: TransportEnd
        /// Why the handshake failed, if it did.
        public var handshakeError: MCPError?
        /// The server went away because of the question which era it speaks: a new one should be asked with `legacyOnly`.
        public var endedDuringProbe: Bool
        /// Requests that were waiting when it ended.
        public var requestsFailed: Int
    }

    /// A session that has not begun.
    /// - Parameters:
    ///   - transport: not yet run; the session runs it.
    ///   - configuration: eras, time limits, bounds.
    ///   - runtime: what this program adds to it.
    ///   - accounts: the books in which waiting requests are entered.
    ///   - clock: where time limits come from.
    public init(
        transport: any Transport,
        configuration: ClientConfiguration = ClientConfiguration(),
        runtime: SessionRuntime = SessionRuntime(),
        accounts: ResourceAccounts = ResourceAccounts(),
        clock: any MonotonicClock = SystemMonotonicClock()
    ) {
        self.context = SessionContext(configuration, runtime, clock, accounts)
        self.channel = RequestChannel(self.context, self.readiness, transport)
        self.background = BackgroundWork(self.context, self.channel.broken)
        let (cache, catalog) = (ResultCache(), ToolCatalog())
        let desired = runtime.desiredSubscriptions ?? DesiredSubscriptions()
        self.hub = ServerEventHub(self.context, desired, cache, catalog)
        self.requests = ServerRequests(self.channel, self.background)
        self.subscriptions = SubscriptionKeeper(self.channel, self.background, self.hub, desired)
        self.lists = ListReader(self.channel, cache)
        self.tools = ToolReader(self.channel, self.background, self.lists, catalog)
        self.tasks = TaskFollower(self.channel, self.background, self.hub, self.requests)
        self.rounds = MultiRoundTrip(self.channel, self.background, self.hub, self.requests, self.tasks)
        self.receiver = SessionReceiver(self.channel, self.requests, self.subscriptions, self.tasks, self.hub)
    }

    // MARK: Life

    /// Opens the transport, shakes hands, serves until the end. The owner's call.
    public func run() async -> End {
        // Whatever has ended is gone at once: the handshake would keep a quarter of what a server takes.
        let transport = await withDiscardingTaskGroup { group in
            self.context.accounts.add(1, \.tasks)
            group.addTask(name: "MCP handshake") { await self.shakeHands() }
            group.addTask(name: "MCP subscriptions") { await self.subscriptions.keep() }
            group.addTask(name: "MCP handlers") { await self.background.run() }
            let end = await self.channel.transport.run(self.receiver)
            self.requests.end()
            self.background.finish()
            return end
        }
        await self.background.waitForEnd()
        return self.finish(transport)
    }

    /// Not inlined: it would be part of a frame that is there for as long as the conversation.
    @inline(never)
    private func finish(_ transport: TransportEnd) -> End {
        self.context.accounts.add(-1, \.tasks)
        self.channel.timer.end()
        self.hub.finish()
        var handshakeError: MCPError?
        if case .failure(let error) = self.readiness.outcome.value { handshakeError = error }
        let mayFallBack = self.context.configuration.era.mayFallBack
        return self.channel.state.withLock { machine in
            End(
                transport: transport,
                handshakeError: handshakeError,
                endedDuringProbe: mayFallBack && machine.endedDuringProbe,
                requestsFailed: machine.requestsFailed
            )
        }
    }

    /// Waits until the conversation is ready.
    /// - Throws: why it cannot be, or `cancelled` if the calling task is; the conversation goes on then.
    public func waitUntilReady() async throws(MCPError) -> ServerDescription { try await self.readiness.wait() }

    /// What the server said about itself; nil until the conversation is ready.
    public var server: ServerDescription? { self.readiness.server }

    /// Notifications of the server, in order; for one reader. When it is slow, the oldest are dropped.
    public var notifications: AsyncStream<ServerNotification> { self.hub.notifications }

    /// How many notifications were dropped: because nobody read them, or because they are not what was asked for.
    public var droppedNotifications: Int { self.hub.droppedNotifications }

    /// What was not as it has to be in what the server has said, and what was made of it: the latest, each once (U3).
    public var problems: [ServerProblem] { self.context.problems.all }

    /// Asks for the end. From any task, any number of times; ``run()`` returns when it is done.
    public func close(_ mode: TeardownMode = .graceful) {
        self.close(mode, because: MCPError(.hostClosed, "the connection is closing"))
    }

    /// The same, with the reason that waiting calls are told.
    package func close(_ mode: TeardownMode, because error: MCPError) {
        self.channel.close(mode, error)
        self.channel.transport.close(mode)
    }

    private func shakeHands() async {
        let handshake = Handshake(self.channel)
        let result: Result<ServerDescription, MCPError>
        do throws(MCPError) { result = .success(try await handshake.negotiate()) } catch { result = .failure(error) }
        self.channel.state.withLock { machine in
            switch result {
            case .success: machine.agreed()
            case .failure(let error): machine.disagreed(error)
            }
        }
        self.channel.isLegacy.complete(false)
        self.readiness.complete(result)
        switch result {
        case .failure: self.channel.transport.close(.graceful)
        case .success(let server):
            // A legacy server is told once, beside whatever callers ask meanwhile; a modern one with each request.
            guard let level = self.context.configuration.logLevel, !server.revision.isModern,
                server.capabilities.logging != nil
            else { return }
            try? await self.setLogLevel(level)
        }
    }

    // MARK: For a host

    /// What came of the handshake.
    package var ready: OneShot<Result<ServerDescription, MCPError>> { self.readiness.outcome }

    /// Why nothing will come any more.
    package var broken: OneShot<MCPError> { self.channel.broken }

    /// How it talks.
    package var transport: any Transport { self.channel.transport }

    /// The server has said something: one that is only believed to be there has shown it (``SessionRuntime/knownServer``).
    package var hasHeard: Bool { self.receiver.hasHeard }

    /// The server has answered a request that nobody waited for any more under a name that only a probe has.
    package var hasAnsweredProbeLate: Bool { self.channel.state.withLock { $0.hasAnsweredProbeLate } }

    /// A number that stays the same for as long as nobody uses the conversation; nil while somebody does. A subscription of the session's own
    /// is no use, one that a caller holds is.
    package var idleMark: Int? { self.channel.state.withLock { $0.idleMark } }

    /// Refuses all requests from now on, if nobody has used the conversation since a mark was taken.
    ///
    /// It is decided in one moment: a request is on its way before it, and the answer is no; or it comes after it, has not been sent, and may be
    /// made in the next conversation.
    /// - Parameters:
    ///   - mark: ``idleMark`` from before.
    ///   - error: what whoever comes later is told.
    /// - Returns: nil if somebody has used it; otherwise what is to be done next, outside of all locks.
    package func retire(since mark: Int, because error: MCPError) -> (@Sendable () -> Void)? {
        self.channel.retire(since: mark, because: error)
    }

    /// Makes the tools of the server known, if they are not: the catalog has what the server lists, as far as it does.
    package func prepareTools(_ options: RequestOptions = RequestOptions()) async throws(MCPError) {
        try await self.tools.prepare(options)
    }
}
