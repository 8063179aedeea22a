import Dispatch
public import JSON
public import MCPTransport
import MCPTypes

/// One conversation with one server, in whichever era it speaks.
///
/// The owner calls ``run()`` once and stays in it. Everybody else calls the protocol's methods, from any task, before or during;
/// they wait until the conversation is ready.
public final class ClientSession: Sendable {
    /// Who waits for an answer.
    struct Waiter: Sendable {
        var continuation: CheckedContinuation<Reply, Never>
        var progress: ProgressHandler?
        var isInitialize = false
        /// The server does something for it that cannot be undone.
        var isCall = false
    }

    /// Somebody who wants to know about progress: told on a queue of his own, so that he may take his time (L9), and before his call
    /// returns.
    struct ProgressHandler: Sendable {
        private let queue = DispatchQueue(label: "mcp.progress")
        let handle: @Sendable (ProgressNotificationParams) -> Void

        init(_ handle: @escaping @Sendable (ProgressNotificationParams) -> Void) { self.handle = handle }

        func tell(_ progress: ProgressNotificationParams) { self.queue.async { self.handle(progress) } }
        func whenTold(_ next: @escaping @Sendable () -> Void) { self.queue.async(execute: next) }
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
    let timekeeper: any Timekeeper
    let accounts: ResourceAccounts
    let state: Locked<SessionStateMachine<Waiter>>
    let opened = Completion<Bool>()
    package let ready = Completion<Result<ServerDescription, MCPError>>()
    /// Why nothing will come any more.
    package let broken = Completion<MCPError>()
    /// What every modern request carries, encoded once.
    private let encodedInfo: RawJSON
    private let encodedCapabilities: RawJSON
    private let failedCount = Locked(0)
    private let probing = Locked(false)
    private let alarm = Locked(Alarm())
    private let notificationSink: AsyncStream<ServerNotification>.Continuation
    private let dropped = Locked(0)

    private struct Alarm {
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
    ///   - accounts: the books in which waiting requests are entered.
    ///   - timekeeper: where time limits come from.
    public init(
        transport: any Transport,
        configuration: ClientConfiguration = ClientConfiguration(),
        accounts: ResourceAccounts = ResourceAccounts(),
        timekeeper: any Timekeeper = SystemTimekeeper()
    ) {
        self.transport = transport
        self.configuration = configuration
        self.accounts = accounts
        self.timekeeper = timekeeper
        var capabilities = JSONWriter()
        configuration.capabilities.encode(to: &capabilities, for: .latest)
        self.encodedCapabilities = capabilities.finish()
        self.encodedInfo = RawJSON(encoding: configuration.clientInfo)
        self.state = Locked(
            SessionStateMachine(
                limits: .init(inFlight: configuration.maximumInFlight, waiting: configuration.maximumWaiting)
            )
        )
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
            let end = await self.transport.run(self)
            await group.waitForAll()
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
        var handshakeError: MCPError?
        if case .failure(let error) = self.ready.value { handshakeError = error }
        return End(
            transport: transport,
            handshakeError: handshakeError,
            endedDuringProbe: self.probing.withLock { $0 },
            requestsFailed: self.failedCount.withLock { $0 }
        )
    }

    /// Waits until the conversation is ready.
    /// - Throws: why it cannot be, or `cancelled` if the calling task is; the conversation goes on then.
    public func waitUntilReady() async throws(MCPError) -> ServerDescription {
        guard let result = await self.ready.waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the server was cancelled")
        }
        return try result.get()
    }

    /// What the server said about itself; nil until the conversation is ready.
    public var server: ServerDescription? {
        guard case .success(let description) = self.ready.value else { return nil }
        return description
    }

    /// How many notifications were dropped because nobody read them.
    public var droppedNotifications: Int { self.dropped.withLock { $0 } }

    /// Asks for the end. From any task, any number of times; ``run()`` returns when it is done.
    public func close(_ manner: CloseManner = .orderly) {
        self.fail(MCPError(.hostClosed, "the connection is closing"))
        self.transport.close(manner)
    }

    private func shakeHands() async {
        let result: Result<ServerDescription, MCPError>
        do throws(MCPError) {
            guard await self.opened.wait() else {
                throw self.state.withLock { $0.brokenBy } ?? MCPError(.connectionLost, "the connection did not open")
            }
            result = .success(try await Handshake(session: self).negotiate())
            self.setProbing(false)
        } catch {
            result = .failure(error)
            // An end that follows from our own verdict is no answer to the question.
            if error.code != .connectionLost { self.setProbing(false) }
        }
        self.ready.complete(result)
        if case .failure = result { self.transport.close(.orderly) }
    }

    /// Whether the era question is open: an end in this time is an answer to it.
    func setProbing(_ isProbing: Bool) { self.probing.withLock { $0 = isProbing } }

    // MARK: Requests

    /// Sends a request as soon as the conversation is ready and waits for its outcome.
    ///
    /// Cancelling the calling task ends the waiting at once and tells the server (F8, F9).
    /// - Parameter writeParams: writes the members of `params`; `_meta` is added.
    func request(
        _ method: Method,
        options: RequestOptions = RequestOptions(),
        writeParams: (inout JSONWriter) -> Void = { _ in }
    ) async throws(MCPError) -> RawJSON {
        let revision: ProtocolRevision
        if case .success(let description)? = self.ready.value {
            revision = description.revision
        } else {
            revision = try await self.waitUntilReady().revision
        }
        return try await self.exchange(method, revision: revision, options: options, writeParams: writeParams)
    }

    /// Sends a request now, ready or not: the handshake's own way.
    func exchange(
        _ method: Method,
        revision: ProtocolRevision?,
        options: RequestOptions = RequestOptions(),
        isProbe: Bool = false,
        writeParams: (inout JSONWriter) -> Void
    ) async throws(MCPError) -> RawJSON {
        let id = self.state.withLock { $0.takeID() }
        let isInitialize = method == .initialize
        let frame = Wire.request(
            id: SessionStateMachine<Waiter>.wireID(id, isProbe: isProbe),
            method: method,
            meta: isInitialize ? .none : revision?.isModern == true ? .modern(self.modernMeta(revision)) : .legacy,
            token: id,
            writeParams: writeParams
        )
        let patience = SessionStateMachine<Waiter>.Patience(
            idle: options.idleTimeout ?? self.configuration.idleTimeout,
            hard: options.hardTimeout ?? self.configuration.hardTimeout
        )
        self.accounts.add(1, \.requests)
        let reply = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Reply, Never>) in
                let waiter = Waiter(
                    continuation: continuation,
                    progress: options.onProgress.map(ProgressHandler.init),
                    isInitialize: isInitialize,
                    isCall: method == .toolsCall
                )
                self.start(id, waiter, frame, patience, isProbe)
            }
        } onCancel: {
            self.cancel(id)
        }
        self.state.withLock { $0.forget(id) }
        switch reply {
        case .result(let result?): return result
        case .result(nil): throw MCPError(.badResponse, "\(method.rawValue) was answered with nothing")
        case .error(let payload): throw Self.serverError(method, payload)
        case .failure(let error): throw error
        }
    }

    /// The one way to end a request. It is off the books before its caller knows.
    private func resume(_ waiter: Waiter, _ reply: Reply) {
        self.accounts.add(-1, \.requests)
        waiter.continuation.resume(returning: reply)
    }

    private static func serverError(_ method: Method, _ payload: RawJSON?) -> MCPError {
        guard let error = try? payload?.decode(JSONRPCErrorObject.self) else {
            return MCPError(
                .badResponse,
                "\(method.rawValue) was refused with an error that is not one: \(payload?.description ?? "nothing")"
            )
        }
        return MCPError(
            .serverError,
            "\(method.rawValue) failed: \(error.message) (\(error.code.rawValue))",
            rpcError: error
        )
    }

    private func modernMeta(_ revision: ProtocolRevision?) -> ModernMeta {
        ModernMeta(
            protocolVersion: (revision ?? .latest).rawValue,
            clientInfo: self.encodedInfo,
            clientCapabilities: self.encodedCapabilities
        )
    }

    private func start(
        _ id: Int64,
        _ waiter: Waiter,
        _ frame: RawJSON,
        _ patience: SessionStateMachine<Waiter>.Patience,
        _ isProbe: Bool
    ) {
        let now = self.timekeeper.now
        let action = self.state.withLock {
            $0.start(id, waiter, frame, patience: patience, isProbe: isProbe, now: now)
        }
        switch action {
        case .send(let frame):
            self.wake(at: now + min(patience.idle, patience.hard))
            self.sendOrFail(id, frame)
        case .wait: self.wake(at: now + min(patience.idle, patience.hard))
        case .refuse(let waiter, let error): self.resume(waiter, .failure(error))
        }
    }

    private func sendOrFail(_ id: Int64, _ frame: RawJSON) {
        do throws(MCPError) {
            try self.transport.send(frame)
        } catch {
            if error.code == .busy { return self.state.withLock { $0.sendRefused(id, frame) } }
            let ending = self.state.withLock { $0.failed(id) }
            if let ending { self.resume(ending.waiter, .failure(error)) }
            self.sendNext()
        }
    }

    /// Sends what waited for a place.
    private func sendNext() {
        while let (id, frame) = self.state.withLock({ $0.nextToSend() }) { self.sendOrFail(id, frame) }
    }

    private func cancel(_ id: Int64) {
        guard let ending = self.state.withLock({ $0.cancelled(id) }) else { return }
        self.end(ending, MCPError(.cancelled, "the call was cancelled"), reason: "the caller cancelled")
        self.sendNext()
    }

    /// Ends one request without an answer, and tells the server not to bother; never for `initialize` (F8).
    private func end(_ ending: SessionStateMachine<Waiter>.Ending, _ error: MCPError, reason: String) {
        if ending.wasSent, !ending.waiter.isInitialize {
            try? self.transport.send(Wire.cancelled(ending.id, reason: reason))
        }
        self.resume(ending.waiter, .failure(error))
    }

    private func fail(_ error: MCPError) {
        let endings = self.state.withLock { $0.broke(error) }
        self.failedCount.withLock { $0 += endings.count }
        self.broken.complete(error)
        for ending in endings {
            var error = error
            if error.code == .connectionLost, ending.waiter.isCall, ending.wasSent {
                error.code = .outcomeUnknown
                error.message += "; the call was on its way and may have been executed (it is not repeated by itself)"
            }
            self.resume(ending.waiter, .failure(error))
        }
    }

    // MARK: Time

    /// One timer for all requests: set to the earliest deadline, and set again when it rings.
    private func wake(at deadline: Duration) {
        self.alarm.withLock { alarm in
            if alarm.isOver { return }
            if let current = alarm.deadline, current <= deadline { return }
            if alarm.timer == nil {
                self.accounts.add(1, \.timers)
                alarm.timer = self.timekeeper.makeTimer { [weak self] in self?.expire() }
            }
            alarm.deadline = deadline
            alarm.timer?.set(deadline)
        }
    }

    private func expire() {
        self.alarm.withLock { $0.deadline = nil }
        let now = self.timekeeper.now
        let (endings, next) = self.state.withLock { ($0.expire(now: now), $0.nextDeadline) }
        for (ending, error) in endings { self.end(ending, error, reason: "timeout") }
        if let next { self.wake(at: next) }
        self.sendNext()
    }
}

// MARK: What the transport tells

extension ClientSession: TransportReceiver {
    /// The transport is open; the handshake may begin.
    public func transportDidOpen() { self.opened.complete(true) }

    /// A message arrived: an answer goes to the task that waits for it, unread.
    public func transportDidReceive(_ message: RawJSON) {
        if message.withUnsafeBytes({ $0.first == UInt8(ascii: "[") }) { return self.receiveBatch(message) }
        do throws(Envelope.Malformed) {
            let envelope = try Envelope(scanning: message)
            switch envelope.kind {
            case .result(let id): self.answer(id, .result(envelope.payload))
            case .error(let id?): self.answer(id, .error(envelope.payload))
            case .error(nil): break  // about a message that the server could not read: it belongs to nobody
            case .request(let id, let method): self.reply(to: id, method)
            case .notification(let method): self.notified(method, envelope.payload)
            }
        } catch {
            guard error.isAnswer, let id = error.id else { return }
            self.answer(id, .failure(MCPError(.badResponse, "the server's answer is malformed: \(error.reason)")))
        }
    }

    /// A batch, which one old revision allows (C20): each element counts.
    private func receiveBatch(_ batch: RawJSON) {
        guard let messages = try? batch.decode([RawJSON].self) else { return }
        for message in messages where message.withUnsafeBytes({ $0.first == UInt8(ascii: "{") }) {
            self.transportDidReceive(message)
        }
    }

    private func answer(_ id: RequestID, _ reply: Reply) {
        guard let ending = self.state.withLock({ $0.answered(id) }) else { return }
        let waiter = ending.waiter
        if let progress = waiter.progress {
            progress.whenTold { self.resume(waiter, reply) }
        } else {
            self.resume(waiter, reply)
        }
        self.sendNext()
    }

    /// Requests of a legacy server. Sampling, elicitation and roots are not offered, so asking for them is an error of the server.
    /// A modern one must not ask, and must not be answered (`RPC-36`, `STDIO-06`).
    private func reply(to id: RequestID, _ method: String) {
        if self.server?.revision.isModern == true { return }
        let answer = method == Method.ping.rawValue ? Wire.emptyResult(id) : Wire.methodNotFound(id, method)
        do throws(MCPError) {
            try self.transport.send(answer)
        } catch  where error.code == .busy {
            // It asks faster than it reads the answers: stop listening until it reads.
            self.transport.setReceiving(false)
        } catch {}
    }

    private func notified(_ method: String, _ params: RawJSON?) {
        if method == NotificationMethod.progress.rawValue, let params {
            guard let progress = try? params.decode(ProgressNotificationParams.self),
                case .integer(let token) = progress.progressToken
            else { return }
            let now = self.timekeeper.now
            let waiter = self.state.withLock { $0.progressed(token, progress.progress, now: now) }
            waiter?.progress?.tell(progress)
            return
        }
        if case .dropped = self.notificationSink.yield(ServerNotification(method: method, params: params)) {
            self.dropped.withLock { $0 += 1 }
        }
    }

    /// A message was too large: the request that it answers fails, the others go on (C6).
    public func transportDidDropOversized(start: RawJSON, size: Int, limit: Int) {
        guard let id = Envelope.id(inStart: start) else { return }
        let error = MCPError(.messageTooLarge, "the answer has \(size) bytes, more than the limit of \(limit)")
        self.answer(id, .failure(error))
    }

    /// The transport has room again.
    public func transportDidDrain() {
        self.transport.setReceiving(true)
        self.state.withLock { $0.drained() }
        self.sendNext()
    }

    /// Nothing will come any more.
    public func transportDidBreak(_ error: MCPError) {
        self.fail(error)
        self.opened.complete(false)
    }
}
