import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes
import Synchronization

// MARK: What the transport tells

extension ClientSession {
    /// The transport is open; the handshake may begin.
    func transportDidOpen() { self.opened.complete(true) }

    /// A message arrived: an answer goes to the task that waits for it, unread.
    func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
        if message.withUnsafeBytes({ $0.first == UInt8(ascii: "[") }) { return self.receiveBatch(message, stream) }
        do throws(Envelope.Malformed) {
            let envelope = try Envelope(scanning: message)
            if !self.heard.load(ordering: .relaxed) { self.heard.store(true, ordering: .relaxed) }
            switch envelope.kind {
            case .result(let id): self.answer(id, .result(envelope.payload))
            case .error(let id?): self.answer(id, .error(envelope.payload))
            case .error(nil): break  // about a message that the server could not read: it belongs to nobody
            case .request(let id, let method): self.reply(to: id, method, envelope.payload, on: stream)
            case .notification(let method): self.notified(method, envelope.payload)
            }
        } catch {
            guard error.isAnswer, let id = error.id else { return }
            self.answer(id, .failure(MCPError(.badResponse, "the server's answer is malformed: \(error.reason)")))
        }
    }

    /// A batch, which one old revision allows (C20): each element counts.
    private func receiveBatch(_ batch: RawJSON, _ stream: MessageStream) {
        guard let messages = try? batch.decode([RawJSON].self) else { return }
        for message in messages where message.withUnsafeBytes({ $0.first == UInt8(ascii: "{") }) {
            self.transportDidReceive(message, from: stream)
        }
    }

    private func answer(_ id: JSONRPCRequestID, _ reply: Reply) {
        let (answer, hasNext) = self.state.withLock { machine in
            let answer = machine.answered(id) { waiter in
                // Progress that came before the answer is told before it.
                guard waiter.progress != nil else { return false }
                waiter.reply = reply
                return true
            }
            return (answer, machine.hasNext)
        }
        switch answer {
        case .ends(let ending): self.resume(ending.waiter, reply)
        case .held(let number, let waiter):
            waiter.progress?.whenTold {
                if let ending = self.state.withLock({ $0.delivered(number) }) { self.resume(ending.waiter, reply) }
            }
        case .stray:
            // The answer to the question which era it speaks, after that had been given up (B11).
            if case .result = reply, SessionStateMachine<Waiter>.isProbe(id) {
                self.hasLateAnswer.withLock { $0 = true }
            }
            return
        }
        if hasNext { self.sendNext() }
    }

    /// The one way to end a request. It is off the books before its caller knows.
    func resume(_ waiter: Waiter, _ reply: Reply) {
        self.accounts.addRequest(-1)
        waiter.continuation.resume(returning: reply)
    }

    private func notified(_ method: String, _ params: RawJSON?) {
        switch NotificationMethod(rawValue: method) {
        case .progress:
            if let params { self.progressed(params) }
            return
        case .cancelled:
            if let id = try? params?.decode(CancelledNotificationParams.self).requestId { self.cancelledByServer(id) }
            return
        case .subscriptionsAcknowledged:
            guard let listening = self.appliedSubscriptions.listening(for: params) else { return }
            let filter = try? params?.decode(SubscriptionsAcknowledgedNotificationParams.self).notifications
            listening.acknowledged.complete(.success(filter ?? SubscriptionFilter()))
            return
        case .toolsListChanged, .promptsListChanged, .resourcesListChanged, .resourcesUpdated, .tasks:
            guard self.isModern else { break }
            // Of a subscription that has been closed, or that never was.
            guard let listening = self.appliedSubscriptions.listening(for: params) else { return }
            if let reader = listening.reader {
                if let event = ServerEvent(method, params) { self.forget(event) }
                return reader(ServerNotification(method: method, params: params))
            }
        default: break
        }
        if let event = ServerEvent(method, params) { self.tell(event) }
        if case .dropped = self.notificationSink.yield(ServerNotification(method: method, params: params)) {
            self.dropped.withLock { $0 += 1 }
        }
    }

    /// Tells everybody who listens, after what is known has been forgotten.
    func tell(_ event: ServerEvent) {
        self.forget(event)
        self.events.send(event)
        self.runtime.onEvent?(event)
    }

    /// What is known and has changed is known no more.
    private func forget(_ event: ServerEvent) {
        self.cache.invalidate(event)
        if case .toolsChanged = event { self.catalog.noteChange() }
        self.runtime.onChange?(event)
    }

    private func progressed(_ params: RawJSON) {
        guard let progress = try? params.decode(ProgressNotificationParams.self),
            case .integer(let token) = progress.progressToken
        else { return }
        let now = self.clock.now
        let waiter = self.state.withLock { $0.progressed(token, progress.progress, now: now) }
        let handler = waiter?.progress ?? self.taskProgress.withLock { $0[token] }
        handler?.tell(progress, params)
    }

    /// A legacy server wants no answer any more, or a modern one ends a subscription (`CAN-08`, `SUB-06`).
    private func cancelledByServer(_ id: JSONRPCRequestID) {
        self.inboundRequests.cancel(id)
        guard self.isModern, case .integer(let number) = id,
            self.appliedSubscriptions.isListening(number)
        else { return }
        self.answer(id, .failure(MCPError(.connectionLost, "the server ended the subscription")))
    }

    /// One request has failed, and nothing else: it ends with that.
    func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
        guard let ending = self.state.withLock({ $0.failed(request) }) else { return }
        var error = error
        error.isOfOneRequest = true
        self.lose(ending, error, wasSent: wasSent)
        self.sendNext()
    }

    /// A message was too large: the request that it answers fails, the others go on (C6); a request is refused.
    func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {
        if start.withUnsafeBytes({ $0.first == UInt8(ascii: "[") }) {
            for element in (try? start.decode([RawJSON].self)) ?? [] {
                self.transportDidDropOversized(start: element, size: size, limit: limit, from: stream)
            }
            return
        }
        let problem = "has \(size) bytes, more than the limit of \(limit)"
        if let id = Envelope.id(inStart: start) {
            return self.answer(id, .failure(MCPError(.messageTooLarge, "the answer \(problem)")))
        }
        if let envelope = try? Envelope(scanning: start), case .request(let id, _) = envelope.kind, !self.isModern {
            self.answer(MessageWriter.error(id, .invalidRequest, "the request \(problem)"), on: stream)
        }
    }

    /// The transport has room again.
    func transportDidDrain() {
        self.state.withLock { $0.drained() }
        self.sendNext()
        self.applyReceiving()
    }

    /// Nothing will come any more.
    func transportDidBreak(_ error: MCPError) {
        self.fail(error)
        self.opened.complete(false)
    }
}
