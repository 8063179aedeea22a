import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

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

/// The way of a request: from its caller to the transport, and back to the caller with one outcome.
extension ClientSession {
    /// Sends a request as soon as the conversation is ready and waits for its outcome.
    ///
    /// Cancelling the calling task ends the waiting at once and tells the server (F8, F9).
    /// - Parameter writeParams: writes the members of `params`; `_meta` is added.
    func request(
        _ head: RequestHead,
        options: RequestOptions = RequestOptions(),
        writeParams: (inout JSONWriter) -> Void = { _ in }
    ) async throws(MCPError) -> RawJSON {
        let revision = try await self.negotiated().revision
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

    /// Sends a request now, ready or not: the handshake's own way.
    func exchange(
        _ head: RequestHead,
        revision: ProtocolRevision?,
        options: RequestOptions = RequestOptions(),
        isProbe: Bool = false,
        id given: Int64? = nil,
        writeParams: (inout JSONWriter) -> Void
    ) async throws(MCPError) -> RawJSON {
        let id = given ?? self.takeID()
        self.accounts.addRequest(1)
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
            "\(method.rawValue) failed: \(error.message) (\(error.code.rawValue))",
            rpcError: error
        )
    }

    private func modernMeta(_ revision: ProtocolRevision?, _ options: RequestOptions) -> ModernMeta {
        var meta = ModernMeta(
            protocolVersion: (revision ?? .latest).rawValue,
            clientInfo: self.encodedInfo,
            clientCapabilities: self.encodedCapabilities,
            logLevel: options.logLevel ?? self.standardLogLevel,
            trace: TraceContext.current
        )
        guard let context = options.context else { return meta }
        meta.others = context.meta
        if let info = context.clientInfo { meta.clientInfo = RawJSON(encoding: info) }
        if let offered = context.offered(self.configuration) {
            var writer = JSONWriter()
            offered.encode(to: &writer, for: revision ?? .latest)
            meta.clientCapabilities = writer.finish()
        }
        return meta
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
            id: SessionStateMachine<Waiter>.wireID(id, isProbe: isProbe),
            method: head.method,
            revision: isInitialize ? nil : revision,
            meta: isInitialize
                ? .none
                : revision?.isModern == true
                    ? .modern(self.modernMeta(revision, options)) : .legacy(options.context?.meta),
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
        let timeouts = SessionStateMachine<Waiter>.Timeouts(
            idle: options.idleTimeout ?? self.configuration.idleTimeout,
            hard: options.hardTimeout ?? self.configuration.hardTimeout,
            spent: options.timeSpent
        )
        let now = self.clock.now
        let (action, alarm) = self.state.withLock {
            machine -> (SessionStateMachine<Waiter>.StartAction, Duration?) in
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

    /// Tells the server not to bother.
    private func tellCancelled(_ request: JSONRPCRequestID, _ reason: String) {
        self.post(MessageWriter.cancelled(request, reason: reason, revision: self.spokenRevision), cancels: request)
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

    /// Sends a message that nobody waits for: now, or when there is room for it. It is lost only with the connection.
    /// - Parameter request: the request that it gives up, if it does.
    func post(_ message: OutgoingMessage, cancels request: JSONRPCRequestID? = nil) {
        self.state.withLock { $0.post(.init(message: message, cancels: request)) }
        self.sendNext()
        self.applyReceiving()
    }

    /// Listens to the server, or not, as the machine wants it. One thread at a time tells the transport, and looks again afterwards;
    /// whoever comes meanwhile leaves it to that one. So the last word is about the newest state.
    func applyReceiving() {
        while true {
            let wanted: Bool? = self.receiving.withLock { receiving in
                let wanted = self.state.withLock { $0.isReceiving }
                guard !receiving.isBeingTold, receiving.told != wanted else { return nil }
                receiving = (wanted, true)
                return wanted
            }
            guard let wanted else { return }
            self.transport.setReceiving(wanted)
            self.receiving.withLock { $0.isBeingTold = false }
        }
    }

    func cancel(_ id: Int64) {
        guard let ending = self.state.withLock({ $0.cancelled(id) }) else { return }
        self.end(ending, MCPError(.cancelled, "the call was cancelled"), reason: "the caller cancelled")
        self.sendNext()
    }

    /// Ends one request without an answer, and tells the server not to bother; never for `initialize` (F8).
    private func end(_ ending: SessionStateMachine<Waiter>.Ending, _ error: MCPError, reason: String) {
        if ending.wasSent, !ending.isSending, !ending.waiter.isInitialize {
            self.tellCancelled(ending.wireID, reason)
        }
        self.resume(ending.waiter, .failure(error))
    }

    func fail(_ error: MCPError) {
        self.finish(self.state.withLock { $0.broke(error) }, error)
    }

    /// Tells everybody that nothing will come any more.
    func finish(_ endings: [SessionStateMachine<Waiter>.Ending], _ error: MCPError) {
        self.failedCount.withLock { $0 += endings.count { !$0.isAnswered && !$0.isReserved } }
        self.broken.complete(error)
        for ending in endings {
            // Its answer had come before, and only the caller's progress handler was in the way.
            if ending.isAnswered, let reply = ending.waiter.reply {
                self.resume(ending.waiter, reply)
                continue
            }
            self.lose(ending, error, wasSent: ending.wasSent)
        }
    }

    /// Ends a request that gets no answer any more.
    /// - Parameter wasSent: whether the server may have begun with it.
    func lose(_ ending: SessionStateMachine<Waiter>.Ending, _ error: MCPError, wasSent: Bool) {
        var error = error
        error.wasSent = wasSent
        if error.code == .connectionLost, ending.waiter.isCall, wasSent {
            error.code = .outcomeUnknown
            error.message += "; the call was on its way and may have been executed (it is not repeated by itself)"
        }
        self.resume(ending.waiter, .failure(error))
    }

    // MARK: Time

    /// One timer for all requests: set to the earliest deadline, and set again when it rings.
    func wake(at deadline: Duration) {
        self.alarm.withLock { alarm in
            if alarm.isOver { return }
            if let current = alarm.deadline, current <= deadline { return }
            if alarm.timer == nil {
                self.accounts.add(1, \.timers)
                alarm.timer = self.clock.makeTimer { [weak self] in self?.expire() }
            }
            alarm.deadline = deadline
            alarm.timer?.set(deadline)
        }
    }

    private func expire() {
        self.alarm.withLock { $0.deadline = nil }
        let now = self.clock.now
        let (endings, next) = self.state.withLock { machine in
            let endings = machine.expire(now: now)
            return (endings, machine.rearm())
        }
        for (ending, error) in endings { self.end(ending, error, reason: "timeout") }
        if let next { self.wake(at: next) }
        self.sendNext()
    }
}
