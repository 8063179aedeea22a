import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes
import Synchronization

/// What a request is, apart from its parameters.
struct RequestHead: Sendable {
    var method: Method
    /// What it is about, for the transport: a tool, a prompt, a URI, a task.
    var name: String?
    /// Arguments that the transport repeats.
    var mirrored: [OutgoingMessage.MirroredParameter] = []
    /// There is always room for it.
    var isReserved = false

    init(_ method: Method, about name: String? = nil, mirroring mirrored: [OutgoingMessage.MirroredParameter] = []) {
        (self.method, self.name, self.mirrored) = (method, name, mirrored)
    }
}

/// The way of a request: from its caller to the transport, and back to the caller with one outcome. And of messages that nobody waits for.
///
/// Around ``SessionStateMachine``, which decides everything; here it is done, outside of its lock.
final class RequestChannel: Sendable {
    typealias Machine = SessionStateMachine<Waiter>

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

    let context: SessionContext
    let readiness: Readiness
    let metadata: RequestMetadata
    let transport: any Transport
    let state: Locked<Machine>
    /// Why nothing will come any more.
    let broken = OneShot<MCPError>()
    /// Completed when it is known how the server is spoken to: true when it is asked in the older way, false when it need not be.
    let isLegacy = OneShot<Bool>()
    /// Calls that were given up when they were with the server, by their numbers.
    let givenUp = Locked<Set<Int64>>([])
    /// Whether the transport is open; nil if that took too long.
    let opening = OneShot<Bool?>()
    /// The last of what came instead of messages, each with the number that the next request would have had then.
    let strays = Locked<[(line: @Sendable () -> String, next: Int64)]>([])
    let timer: RequestTimer
    let nextID = Atomic<Int64>(1)

    init(_ context: SessionContext, _ readiness: Readiness, _ transport: any Transport) {
        self.context = context
        self.readiness = readiness
        self.transport = transport
        self.metadata = RequestMetadata(context)
        self.timer = RequestTimer(context)
        let configuration = context.configuration
        self.state = Locked(
            Machine(
                limits: .init(
                    inFlight: configuration.maximumInFlight,
                    waitingPerCaller: configuration.maximumWaitingPerCaller,
                    waiting: configuration.maximumWaiting
                )
            )
        )
    }

    /// Why nothing can be sent any more.
    var brokenBy: MCPError? { self.state.withLock { $0.brokenBy } }

    /// A number for a request; none is given twice (F6).
    func takeID() -> Int64 { self.nextID.add(1, ordering: .relaxed).oldValue }

    // MARK: Requests

    /// Sends a request as soon as the conversation is ready and waits for its outcome.
    ///
    /// Cancelling the calling task ends the waiting at once and tells the server (F8, F9).
    /// - Parameter writeParams: writes the members of `params`; `_meta` is added.
    func request(
        _ head: RequestHead,
        options: RequestOptions = RequestOptions(),
        writeParams: (inout JSONWriter) -> Void = { _ in }
    ) async throws(MCPError) -> RawJSON {
        let revision = try await self.readiness.negotiated().revision
        return try await self.exchange(head, revision: revision, options: options, writeParams: writeParams)
    }

    /// The same, for a request that is about nothing that has a name.
    func request(
        _ method: Method,
        options: RequestOptions = RequestOptions(),
        writeParams: (inout JSONWriter) -> Void = { _ in }
    ) async throws(MCPError) -> RawJSON {
        try await self.request(RequestHead(method), options: options, writeParams: writeParams)
    }

    /// Sends a request now, ready or not.
    func exchange(
        _ head: RequestHead,
        revision: ProtocolRevision?,
        options: RequestOptions = RequestOptions(),
        isProbe: Bool = false,
        id given: Int64? = nil,
        writeParams: (inout JSONWriter) -> Void
    ) async throws(MCPError) -> RawJSON {
        let id = given ?? self.takeID()
        self.context.accounts.addRequest(1)
        let reply = await withTaskCancellationHandler {
            // The message is written in here: whatever lives across the waiting is room that every call needs.
            await Self.withRequestContinuation { continuation in
                self.start(id, continuation, head, revision, options, isProbe, writeParams)
            }
        } onCancel: {
            self.cancel(id)
        }
        let method = head.method
        // Only who was cancelled, or has a number that others know, may have left something to forget; from here on its own task cancels it no
        // more.
        if given != nil || Task.isCancelled { self.state.withLock { $0.forget(id) } }
        switch reply {
        case .result(let result?): return result
        case .result(nil): throw MCPError(.badResponse, "\(method.rawValue) was answered with nothing")
        case .error(let payload): throw Self.serverError(method, payload)
        case .failure(let error): throw error
        }
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
            "\(method.rawValue) failed: \(error.message.isEmpty ? "no message" : error.message) (\(error.code.rawValue))",
            rpcError: error
        )
    }

    /// Writes the request, and sends it or lets it wait for its turn.
    private func start(
        _ id: Int64,
        _ continuation: RequestContinuation,
        _ head: RequestHead,
        _ revision: ProtocolRevision?,
        _ options: RequestOptions,
        _ isProbe: Bool,
        _ writeParams: (inout JSONWriter) -> Void
    ) {
        let isInitialize = head.method == .initialize
        var message = MessageWriter.request(
            id: Machine.wireID(id, isProbe: isProbe),
            method: head.method,
            revision: isInitialize ? nil : revision,
            meta: isInitialize ? .none : self.metadata.meta(revision, options),
            token: id,
            writeParams: writeParams
        )
        message.name = head.name
        message.mirrored = head.mirrored
        let waiter = Waiter(
            continuation: continuation,
            progress: ProgressHandler.of(options),
            isInitialize: isInitialize,
            isCall: head.method == .toolsCall
        )
        let now = self.context.clock.now
        let timeouts = Machine.Timeouts(
            idle: options.idleTimeout ?? self.context.configuration.idleTimeout,
            hard: options.hardTimeout ?? self.context.configuration.hardTimeout,
            spent: options.startedAt.map { now - $0 } ?? .zero
        )
        let (action, alarm) = self.state.withLock { machine -> (Machine.StartAction, Duration?) in
            let action = machine.start(
                id,
                waiter,
                message,
                timeouts: timeouts,
                isProbe: isProbe,
                isStanding: head.method == .subscriptionsListen,
                isReserved: head.isReserved,
                caller: options.caller,
                now: now
            )
            if case .refuse = action { return (action, nil) }
            return (action, machine.arm(now + timeouts.left))
        }
        if let alarm { self.wake(at: alarm) }
        switch action {
        case .send(let message, let drains): if self.send(id, message, drains) { self.sendNext() }
        case .wait: break
        case .refuse(let waiter, let error): self.resume(waiter, .failure(error))
        }
    }

    /// - Returns: whether somebody else may be sent now.
    private func send(_ id: Int64, _ message: OutgoingMessage, _ drains: Int) -> Bool {
        do throws(MCPError) {
            try self.transport.send(message)
        } catch {
            // Between the refusal and this lock the transport may have drained and said so: the machine knows by the number (T6).
            if error.code == .busy { return self.state.withLock { $0.sendRefused(id, message, drains: drains) } }
            let ending = self.state.withLock { $0.failed(id) }
            if let ending { self.resume(ending.waiter, .failure(error)) }
            return true
        }
        // Whoever gave it up in the meantime has left it to us to tell the server: it would have come before the request.
        if let reason = self.state.withLock({ $0.sent(id) }), message.method != Method.initialize.rawValue,
            case .request(let request) = message.kind
        {
            self.tellCancelled(request, reason)
        }
        return false
    }

    /// The caller does not want the answer any more.
    func cancel(_ id: Int64) {
        guard let ending = self.state.withLock({ $0.cancelled(id) }) else { return }
        self.end(ending, MCPError(.cancelled, "the call was cancelled"), reason: "the caller cancelled")
        self.sendNext()
    }

    /// Nobody will cancel that number again.
    func forget(_ id: Int64) { self.state.withLock { $0.forget(id) } }

    /// Tells the server not to bother.
    func tellCancelled(_ request: JSONRPCRequestID, _ reason: String) {
        let message = MessageWriter.cancelled(request, reason: reason, revision: self.readiness.revision)
        self.post(message, cancels: request)
    }

    // MARK: Whatever waits for room

    /// Sends a message that nobody waits for: now, or when there is room for it. It is lost only with the connection.
    /// - Parameter request: the request that it gives up, if it does.
    func post(_ message: OutgoingMessage, cancels request: JSONRPCRequestID? = nil) {
        self.state.withLock { $0.post(.init(message: message, cancels: request)) }
        self.sendNext()
        self.applyReceiving()
    }

    /// Sends what waited for room: first what nobody waits for, then requests.
    func sendNext() {
        while let (post, drains) = self.state.withLock({ $0.nextPost() }) {
            do throws(MCPError) {
                if let request = post.cancels {
                    try self.transport.cancel(request, post.message)
                } else {
                    try self.transport.send(post.message)
                }
            } catch  where error.code == .busy {
                if !self.state.withLock({ $0.postRefused(post, drains: drains) }) { break }
                continue
            } catch {}
            self.state.withLock { $0.posted() }
        }
        while let (id, message, drains) = self.state.withLock({ $0.nextToSend() }) {
            _ = self.send(id, message, drains)
        }
    }

    /// Listens to the server, or not, as the machine wants it.
    func applyReceiving() {
        while let wanted = self.state.withLock({ $0.receivingToTell() }) {
            self.transport.setReceiving(wanted)
            self.state.withLock { $0.receivingTold() }
        }
    }
}
