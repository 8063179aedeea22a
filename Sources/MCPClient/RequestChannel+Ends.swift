import MCPSession
import MCPTransport
import MCPTypes
import Synchronization

/// What becomes of requests, and of the conversation: answers, failures, the opening, time, the break.
extension RequestChannel {
    /// An answer has come.
    /// - Returns: whether somebody waited for it.
    @discardableResult
    func answer(_ id: JSONRPCRequestID, _ reply: Reply) -> Bool {
        let (answer, hasNext) = self.state.withLock { machine in
            let answer = machine.answered(id) { waiter in
                // Progress that came before the answer is told before it.
                guard waiter.progress != nil else { return false }
                waiter.reply = reply
                return true
            }
            // The answer to the question which era it speaks, after that had been given up (B11).
            if case .stray = answer, case .result = reply, Machine.isProbe(id) { machine.hasAnsweredProbeLate = true }
            return (answer, machine.hasNext)
        }
        switch answer {
        case .ends(let ending): self.resume(ending.waiter, reply)
        case .held(let number, let waiter):
            waiter.progress?.whenTold {
                if let ending = self.state.withLock({ $0.delivered(number) }) { self.resume(ending.waiter, reply) }
            }
        case .stray: return false
        }
        if hasNext { self.sendNext() }
        return true
    }

    /// Whether an answer is one to a call that was given up; said once.
    func wasGivenUp(_ id: JSONRPCRequestID) -> Bool {
        guard let number = Machine.number(of: id) else { return false }
        return self.givenUp.withLock { $0.remove(number) != nil }
    }

    /// An answer has come that does not say to what; it is the probe's, if nothing else is out (V15).
    func answerProbe(_ reply: Reply) {
        if let id = self.state.withLock({ $0.onlyProbe }) { self.answer(id, reply) }
    }

    /// The server reports progress.
    /// - Returns: who wants to know, if the request has not ended.
    func progressed(_ token: Int64, _ value: Double) -> ProgressHandler? {
        let now = self.context.clock.now
        return self.state.withLock { $0.progressed(token, value, now: now) }?.progress
    }

    /// The one way to end a request. It is off the books before its caller knows.
    func resume(_ waiter: Waiter, _ reply: Reply) {
        self.context.accounts.addRequest(-1)
        waiter.continuation.resume(returning: reply)
    }

    /// Ends one request without an answer, and tells the server not to bother; never for `initialize` (F8).
    func end(_ ending: Machine.Ending, _ error: MCPError, reason: String) {
        if ending.wantsCancellation {
            self.tellCancelled(ending.wireID, reason)
        }
        // Its answer may be a task that nobody has any more (V8).
        if ending.waiter.isCall { self.givenUp.withLock { if $0.count < 256 { $0.insert(ending.id) } } }
        self.resume(ending.waiter, .failure(error))
    }

    /// Ends a request that gets no answer any more.
    /// - Parameter wasSent: whether the server may have begun with it.
    private func lose(_ ending: Machine.Ending, _ error: MCPError, wasSent: Bool) {
        var error = error
        error.wasSent = wasSent
        if error.code == .connectionLost, ending.waiter.isCall, wasSent {
            error.code = .outcomeUnknown
            // Not behind the last words of the server, as if it had said so.
            let end = error.message.firstIndex(of: "\n") ?? error.message.endIndex
            error.message.insert(
                contentsOf: "; the call was on its way and may have been executed (it is not repeated by itself)",
                at: end
            )
        }
        self.resume(ending.waiter, .failure(error))
    }

    // MARK: What the transport tells

    /// The transport is open; the handshake may begin.
    func opened() {
        let isInTime = self.state.withLock { machine in
            guard machine.opened() else { return false }
            machine.alarm = nil
            return true
        }
        guard isInTime else { return }
        // Nothing else has a deadline before whoever waits for this goes on.
        self.timer.clear()
        self.opening.complete(true)
    }

    /// One request has failed, and nothing else: it ends with that.
    func failed(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
        guard let ending = self.state.withLock({ $0.failed(request) }) else { return }
        var error = error
        error.isOfOneRequest = true
        self.lose(ending, error, wasSent: wasSent)
        self.sendNext()
    }

    /// The transport has room again.
    func drained() {
        self.state.withLock { $0.drained() }
        self.sendNext()
        self.applyReceiving()
    }

    /// Nothing will come any more.
    func fail(_ error: MCPError) {
        self.finish(self.state.withLock { $0.broke(error) }, error)
    }

    /// Nothing is wanted any more. What the server still works on it may leave: the end of its input alone does not say so to all (M3). One for
    /// which there is no room is not told; it is no reason to wait.
    func close(_ mode: TeardownMode, _ error: MCPError) {
        let endings = self.state.withLock { $0.broke(error) }
        if mode == .graceful {
            for ending in endings where ending.wantsCancellation {
                let request = ending.wireID
                let message = MessageWriter.cancelled(request, reason: error.message, revision: self.readiness.revision)
                try? self.transport.cancel(request, message)
            }
        }
        self.finish(endings, error)
    }

    /// Tells everybody that nothing will come any more.
    private func finish(_ endings: [Machine.Ending], _ error: MCPError) {
        self.broken.complete(error)
        // Whoever waits for a start need not wait for whatever keeps the transport from ending (T4).
        self.opening.complete(false)
        self.isLegacy.complete(false)
        for ending in endings {
            // Its answer had come before, and only the caller's progress handler was in the way.
            if ending.isAnswered, let reply = ending.waiter.reply {
                self.resume(ending.waiter, reply)
                continue
            }
            self.lose(ending, error, wasSent: ending.wasSent)
        }
    }

    // MARK: Time

    /// Waits until the transport is open.
    /// - Parameter limit: how long; a start that does not come back is an error of its own (T4).
    /// - Returns: false if it will not open; nil if it took too long. Patiently, whatever happens to the calling task: who cancels it closes
    ///   the session, and that ends the waiting.
    func waitForOpening(atMost limit: Duration) async -> Bool? {
        let deadline = self.context.clock.now + limit
        let alarm = self.state.withLock { machine in
            machine.opens(by: deadline)
            return machine.openBy.flatMap { machine.arm($0) }
        }
        if let alarm { self.wake(at: alarm) }
        return await self.opening.wait()
    }

    /// One timer for all requests.
    func wake(at deadline: Duration) { self.timer.set(deadline) { [weak self] in self?.expire() } }

    private func expire() {
        self.timer.rang()
        let now = self.context.clock.now
        let (endings, isLate, next) = self.state.withLock { machine in
            let (endings, isLate) = (machine.expire(now: now), machine.openingIsLate(now: now))
            return (endings, isLate, machine.rearm())
        }
        if isLate { self.opening.complete(nil) }
        for (ending, error) in endings {
            // While the conversation begins, what the server has written is told with that.
            let error = ending.waiter.isInitialize ? error : self.withStrays(error, since: ending.id)
            self.end(ending, error, reason: "timeout")
        }
        if let next { self.wake(at: next) }
        self.sendNext()
    }

    /// Something came that is no message. An answer may be in it.
    func noteStray(_ line: @escaping @Sendable () -> String) {
        let next = self.nextID.load(ordering: .relaxed)
        self.strays.withLock { strays in
            if strays.count == 2 * Self.straysAtEachEnd {
                // Of what came since the same request the first and the last: an answer in many lines begins with what tells most.
                strays.remove(at: strays[0].next == next ? Self.straysAtEachEnd : 0)
            }
            strays.append((line, next))
        }
    }

    private static let straysAtEachEnd = 3

    /// The error of a request with what came after it had been made.
    private func withStrays(_ error: MCPError, since id: Int64) -> MCPError {
        let strays = self.strays.withLock { strays in strays.filter { $0.next > id } }.map { $0.line().prefix(200) }
        guard !strays.isEmpty else { return error }
        var error = error
        error.message +=
            "\nmeanwhile it has written what is no message, and may have an answer in it:\n"
            + strays.joined(separator: "\n")
        return error
    }

    /// The server asks for something: until it has that, its own silence is no idleness.
    func serverAsks() { self.state.withLock { $0.serverAsks() } }

    /// The server has its answer, or will not get one.
    func serverIsAnswered() {
        let now = self.context.clock.now
        let next = self.state.withLock { machine in
            machine.serverIsAnswered(now: now)
            return machine.nextDeadline
        }
        // While it asked, only the hard limits were waited for.
        if let next { self.wake(at: next) }
    }

    // MARK: Whether anybody uses the conversation

    /// The caller has not done with the server, though no request is on its way, until ``release()``.
    func hold() { self.state.withLock { $0.holds += 1 } }

    /// Somebody uses the conversation who has no request on its way.
    func noteUse() { self.state.withLock { $0.uses += 1 } }

    /// The end of ``hold()``.
    func release() { self.state.withLock { $0.holds -= 1 } }

    /// Refuses all requests from now on, if nobody has used the conversation since a mark was taken.
    /// - Returns: nil if somebody has; otherwise what is to be done next, outside of all locks.
    func retire(since mark: Int, because error: MCPError) -> (@Sendable () -> Void)? {
        guard let endings = self.state.withLock({ $0.retire(since: mark, error) }) else { return nil }
        return {
            self.finish(endings, error)
            self.transport.close(.graceful)
        }
    }
}

extension SessionStateMachine.Ending where Waiter == RequestChannel.Waiter {
    /// The server may be working on it, and can be told by now. Nobody takes `initialize` back (F8).
    fileprivate var wantsCancellation: Bool { self.wasSent && !self.isSending && !self.waiter.isInitialize }
}
