import MCPJSON
import MCPSession
public import MCPTransport
import MCPTypes
import Synchronization

/// One conversation with one server, in whichever era it speaks.
///
/// The owner calls ``run()`` once and stays in it. Everybody else calls the protocol's methods, from any task, before or during;
/// they wait until the conversation is ready.
public final class ClientSession: Sendable {
    /// Who waits for an answer.
    struct Waiter: Sendable {
        var continuation: RequestContinuation
        var progress: ProgressHandler?
        var isInitialize = false
        /// The server does something for it that cannot be undone.
        var isCall = false
        /// The answer, while the progress handler is still busy.
        var reply: Reply?
    }

    /// How a request ended.
    enum Reply: Sendable {
        case result(RawJSON?)
        case error(RawJSON?)
        case failure(MCPError)
    }

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

    let transport: any Transport
    let configuration: ClientConfiguration
    let runtime: SessionRuntime
    let clock: any MonotonicClock
    let accounts: ResourceAccounts
    let state: Locked<SessionStateMachine<Waiter>>
    let opened = OneShot<Bool?>()
    package let ready = OneShot<Result<ServerDescription, MCPError>>()
    /// The server has said something: one that is only believed to be there has shown it (``SessionRuntime/knownServer``).
    package var hasHeard: Bool { self.heard.load(ordering: .relaxed) }
    let heard = Atomic(false)
    /// Why nothing will come any more.
    package let broken = OneShot<MCPError>()
    let inboundRequests = InboundRequests()
    /// What runs beside the conversation, and is waited for at its end.
    private let spawned = Gathering()
    let desiredSubscriptions: DesiredSubscriptions
    let appliedSubscriptions = AppliedSubscriptions()
    let cache = ResultCache()
    let catalog = ToolCatalog()
    let events: Broadcast<ServerEvent>
    /// Who is told of the progress of tasks, by the token of the request that became one.
    let taskProgress = Locked<[Int64: ProgressHandler]>([:])
    private let jobs: AsyncStream<@Sendable () async -> Void>
    private let job: AsyncStream<@Sendable () async -> Void>.Continuation
    private let known = Published<Negotiated>()
    private let nextID = Atomic<Int64>(1)
    /// From which level on the server is to log.
    private let logLevel: Locked<LoggingLevel?>
    /// Whether there is one: nearly always there is none, and then a request does not ask under the lock.
    private let hasLogLevel: Atomic<Bool>
    /// What every modern request carries, encoded once.
    let encodedInfo: RawJSON
    let encodedCapabilities: RawJSON
    let failedCount = Locked(0)
    /// Whether the transport was told last to deliver, and whether somebody is telling it now.
    let receiving = Locked((told: true, isBeingTold: false))
    private let probing = Locked(false)
    let hasLateAnswer = Locked(false)
    /// The server has answered a request that nobody waited for any more under a name that only a probe has.
    package var hasAnsweredProbeLate: Bool { self.hasLateAnswer.withLock { $0 } }
    let alarm = Locked(Alarm())
    let notificationSink: AsyncStream<ServerNotification>.Continuation
    let dropped = Locked(0)

    struct Alarm {
        var timer: (any DeadlineTimer)?
        var deadline: Duration?
        /// The session has ended, and whoever is late wakes nobody.
        var isOver = false
    }

    /// Notifications of the server, in order; for one reader. When it is slow, the oldest are dropped.
    public let notifications: AsyncStream<ServerNotification>

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
        self.transport = transport
        self.configuration = configuration
        self.runtime = runtime
        self.accounts = accounts
        self.clock = clock
        var capabilities = JSONWriter()
        configuration.offered(runtime.handlers).encode(to: &capabilities, for: .latest)
        self.encodedCapabilities = capabilities.finish()
        self.encodedInfo = RawJSON(encoding: configuration.clientInfo)
        self.state = Locked(
            SessionStateMachine(
                limits: .init(
                    inFlight: configuration.maximumInFlight,
                    waitingPerCaller: configuration.maximumWaitingPerCaller,
                    waiting: configuration.maximumWaiting
                )
            )
        )
        let desiredSubscriptions = runtime.desiredSubscriptions ?? DesiredSubscriptions()
        self.desiredSubscriptions = desiredSubscriptions
        self.events = runtime.events ?? Broadcast { desiredSubscriptions.setListeners($0) }
        self.logLevel = Locked(configuration.logLevel)
        self.hasLogLevel = Atomic(configuration.logLevel != nil)
        (self.jobs, self.job) = AsyncStream.makeStream()
        (self.notifications, self.notificationSink) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(configuration.notificationBuffer)
        )
    }

    // MARK: Life

    /// Opens the transport, shakes hands, serves until the end. The owner's call.
    public func run() async -> End {
        let transport = await withTaskGroup(of: Void.self) { group in
            self.accounts.add(1, \.tasks)
            group.addTask(name: "MCP handshake") { await self.shakeHands() }
            group.addTask(name: "MCP subscriptions") { await self.keepSubscriptions() }
            group.addTask(name: "MCP handlers") {
                await withDiscardingTaskGroup { handlers in
                    for await job in self.jobs { handlers.addTask { await job() } }
                }
            }
            let end = await self.transport.run(SessionReceiver(self))
            self.inboundRequests.end()
            self.job.finish()
            await group.waitForAll()
            // Handlers of the user end when they like: nobody can make them, and nobody waits for long.
            await self.spawned.end().wait(atMost: .seconds(1), by: self.clock, late: ())
            self.accounts.add(-1, \.tasks)
            return end
        }
        self.alarm.withLock { alarm in
            if let timer = alarm.timer {
                timer.cancel()
                self.accounts.add(-1, \.timers)
            }
            alarm.timer = nil
            alarm.isOver = true
        }
        self.notificationSink.finish()
        if self.runtime.events == nil { self.events.finish() }
        var handshakeError: MCPError?
        if case .failure(let error) = self.ready.value { handshakeError = error }
        return End(
            transport: transport,
            handshakeError: handshakeError,
            endedDuringProbe: self.configuration.era.mayFallBack && self.probing.withLock { $0 },
            requestsFailed: self.failedCount.withLock { $0 }
        )
    }

    /// Runs something beside the conversation.
    /// - Parameter left: called when it is over and off the books, also if it is too late for it to begin.
    func spawn(_ work: @escaping @Sendable () async -> Void, left: @escaping @Sendable () -> Void = {}) {
        self.accounts.add(1, \.tasks)
        self.spawned.begin()
        let over: @Sendable () -> Void = {
            self.accounts.add(-1, \.tasks)
            left()
            self.spawned.leave()
        }
        let counted: @Sendable () async -> Void = {
            await work()
            over()
        }
        if let launch = self.runtime.launch { return launch(counted) }
        if case .terminated = self.job.yield(counted) { over() }
    }

    /// Waits until the conversation is ready.
    /// - Throws: why it cannot be, or `cancelled` if the calling task is; the conversation goes on then.
    public func waitUntilReady() async throws(MCPError) -> ServerDescription {
        if let result = self.ready.value { return try result.get() }
        guard let result = await self.ready.waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the server was cancelled")
        }
        return try result.get()
    }

    /// What every message has to know, without copying all that the server said.
    struct Negotiated: Sendable {
        var revision: ProtocolRevision
        /// `tools/call` may be a task of the core protocol (`TASKL-02` to `TASKL-04`).
        var takesTasks: Bool
    }

    func negotiated() async throws(MCPError) -> Negotiated {
        if let known = self.known.value { return known }
        let server = try await self.waitUntilReady()
        return Negotiated(revision: server.revision, takesTasks: Self.takesTasks(server))
    }

    /// The revision that is spoken; nil before it is known.
    var spokenRevision: ProtocolRevision? { self.known.value?.revision }

    /// Whether the modern era is spoken; not before it is known.
    var isModern: Bool { self.spokenRevision?.isModern == true }

    /// What the server said about itself; nil until the conversation is ready.
    public var server: ServerDescription? {
        guard case .success(let description) = self.ready.value else { return nil }
        return description
    }

    /// How many notifications were dropped because nobody read them.
    public var droppedNotifications: Int { self.dropped.withLock { $0 } }

    /// Asks for the end. From any task, any number of times; ``run()`` returns when it is done.
    public func close(_ mode: TeardownMode = .graceful) {
        self.close(mode, because: MCPError(.hostClosed, "the connection is closing"))
    }

    /// The same, with the reason that waiting calls are told.
    package func close(_ mode: TeardownMode, because error: MCPError) {
        self.fail(error)
        self.transport.close(mode)
    }

    /// The budget for connecting counts from the start on, so that a start which does not come back is an error of its own (T4).
    /// - Returns: whether the transport is open; false if it has ended.
    private func waitForOpening() async throws(MCPError) -> Bool {
        let limit = self.configuration.connectTimeout - self.runtime.connectTimeSpent
        // Patiently, whatever happens to the calling task: who cancels it closes the transport, and that ends the waiting.
        let isOpen = await self.opened.wait(atMost: limit, by: self.clock, self.accounts, late: nil)
        if let isOpen { return isOpen }
        throw MCPError(
            .timeout,
            "not ready within \(self.configuration.connectTimeout) (connect timeout): the server's process has not come up yet"
        )
    }

    private func shakeHands() async {
        let result: Result<ServerDescription, MCPError>
        do throws(MCPError) {
            let start = self.clock.now
            guard try await self.waitForOpening() else {
                throw self.state.withLock { $0.brokenBy } ?? MCPError(.connectionLost, "the connection did not open")
            }
            result = .success(try await Handshake(session: self, since: start).negotiate())
            self.setProbing(false)
        } catch {
            result = .failure(error)
            // An end that follows from our own verdict is no answer to the question.
            if error.code != .connectionLost || error.isOfOneRequest { self.setProbing(false) }
        }
        if case .success(let server) = result {
            self.known.set(Negotiated(revision: server.revision, takesTasks: Self.takesTasks(server)))
        }
        self.ready.complete(result)
        if case .failure = result { self.transport.close(.graceful) }
    }

    /// From which level on the server is to log, where a request does not say.
    var standardLogLevel: LoggingLevel? {
        self.hasLogLevel.load(ordering: .acquiring) ? self.logLevel.withLock { $0 } : nil
    }

    /// From now on.
    func setStandardLogLevel(_ level: LoggingLevel) {
        self.logLevel.withLock { $0 = level }
        self.hasLogLevel.store(true, ordering: .releasing)
    }

    /// A number for a request; none is given twice (F6).
    func takeID() -> Int64 { self.nextID.add(1, ordering: .relaxed).oldValue }

    /// Whether the era question is open: an end in this time is an answer to it.
    func setProbing(_ isProbing: Bool) { self.probing.withLock { $0 = isProbing } }
}
