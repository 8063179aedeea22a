import MCPClient
import MCPSession
import MCPTransport
import MCPTypes

/// What the host's root runs.
///
/// What is not inlined here would otherwise be part of the frame of a function that waits for as long as a server lives, one frame for each
/// server.
extension ManagedServer {
    /// Opens, serves, starts again, closes. Entered by the root, once at a time.
    /// - Returns: how it ended, all its connections together.
    func run() async -> TeardownReport.Server {
        var action = self.state.withLock { $0.machine.start() }
        // All attempts together have one budget (B9).
        var start = self.context.clock.now
        let memory = self.runtime.endpoint == nil ? EraMemory(self.definition) : nil
        // Guessed wrong once at most: where a wrong verdict cannot be deleted, it is still wrong.
        var mayGuess = true
        while true {
            switch action {
            case .sleep:
                action = await self.sleep()
                start = self.context.clock.now
            case .connect(let generation, let legacyOnly):
                self.state.withLock { $0.restarts.started(now: self.context.clock.now) }
                let (turn, waited) = await self.takeTurn(generation)
                // The time in the line is nobody's fault.
                start += waited
                let isGuess = mayGuess && !legacyOnly && memory?.isLegacy == true
                let era = Era(legacyOnly: legacyOnly || isGuess, isGuess: isGuess, memory: memory)
                let end = await self.converse(generation, era, since: start, turn)
                turn?.end()
                if end.isWrongGuess { mayGuess = false }
                if end.hasAllItsTime { start = self.context.clock.now }
                switch end.next {
                case .connect(let generation, let legacyOnly):
                    action = .connect(generation: generation, legacyOnly: legacyOnly)
                case .decide:
                    action = await self.comeBack(after: end.cause, generation)
                    start = self.context.clock.now
                case .sleep: action = .sleep
                case .finish: action = .finish
                }
            case .finish:
                if let report = self.finish() { return report }
                // Somebody has asked for a restart in the last moment.
                action = self.state.withLock { $0.machine.next() }
                start = self.context.clock.now
            }
        }
    }

    /// In which era a server is spoken to, and how that is known.
    private struct Era {
        var legacyOnly: Bool
        /// It is what was remembered.
        var isGuess: Bool
        var memory: EraMemory?
    }

    /// What a conversation has come to.
    private struct Outcome {
        var next: ServerStateMachine.EndAction
        /// Why it is over.
        var cause: MCPError
        /// What was remembered of the server's era is wrong.
        var isWrongGuess: Bool
        /// Whoever waits for the server has all of the time left that a start may take.
        var hasAllItsTime = false
    }

    /// Decides what comes after a conversation. On the way out of it, so that no more of its end is kept than that.
    @inline(never)
    private func outcome(_ generation: Int, _ era: Era, _ end: ClientSession.End) -> Outcome {
        // What was remembered is wrong, or the server is broken: asking will tell.
        // Whoever asks for a restart, or for the end, has given it no time to answer.
        let isWrong =
            era.isGuess && end.transport.launchError == nil && end.handshakeError != nil
            && self.state.withLock { $0.machine.state == .starting }
        if isWrong { era.memory?.forget() }
        let (next, isAsked, wasStoppingIdle) = self.state.withLock { state in
            state.connection = nil
            let wasStoppingIdle = state.machine.isStoppingIdle
            let next = state.machine.ended(
                generation,
                // Who wants us to sign in has not said which era it speaks.
                duringProbe: end.endedDuringProbe && end.transport.launchError?.code != .needsAuthorization
                    && state.restarts.mayAskAgain(now: self.context.clock.now),
                wasGuess: isWrong
            )
            return (next, state.machine.isRestarting, wasStoppingIdle)
        }
        var outcome = Outcome(next: next, cause: self.explain(end), isWrongGuess: isWrong)
        guard case .connect(let generation, let legacyOnly) = next else { return outcome }
        if legacyOnly {
            self.note("restarting", generation, "the server ended when asked which revision it speaks")
        } else if isWrong {
            // The guess was ours.
            outcome.hasAllItsTime = true
            self.note("restarting", generation, "it was a legacy server, and does not answer as one any more")
        } else {
            outcome.hasAllItsTime = isAsked || wasStoppingIdle
        }
        return outcome
    }

    /// The server ended by itself: waits for the time of its restart, if there is to be one.
    private func comeBack(after error: MCPError, _ generation: Int) async -> ServerStateMachine.StartAction {
        let now = self.context.clock.now
        let decision: RestartStateMachine.Action = self.state.withLock { state in
            // What was wrong from the start will be wrong again; what has worked before, or was only unlucky, may work again. Nobody signs in
            // by trying again.
            guard state.readySince != nil || error.code == .connectionLost, error.code != .needsAuthorization else {
                return .stayDown
            }
            let readyFor = state.readySince.map { now - $0 }
            return state.restarts.died(now: now, readyFor: readyFor, random: .random(in: 0..<1))
        }
        switch decision {
        case .stayDown: return self.stayDown(error)
        case .giveUp(let starts):
            let period = self.definition.restart.period
            var error = error
            error.code = .crashLoop
            error.message =
                "crash loop: \(starts) starts within \(period), no more will follow; restart it by hand when the cause is mended."
                + " The last end: \(error.message)"
            return self.stayDown(error)
        case .restart(let delay): return await self.wait(delay, after: error, generation)
        }
    }

    private func stayDown(_ error: MCPError) -> ServerStateMachine.StartAction {
        self.state.withLock { if $0.machine.state != .closing { $0.failure = error } }
        return .finish
    }

    private func wait(
        _ delay: Duration,
        after error: MCPError,
        _ generation: Int
    ) async -> ServerStateMachine.StartAction {
        let alarm = OneShot<Void>()
        let (waits, failed) = self.state.withLock { state in
            let waits = state.machine.wait()
            // Somebody wants it started, or closed: whoever waits, waits for that.
            guard waits else { return (false, nil as Attempt?) }
            state.failure = error
            state.isComingBack = true
            // Who asks after the loss of a session waits for this very restart; who waited for a start is told that it failed.
            let failed = state.readySince == nil ? state.attempt : nil
            if failed != nil { state.attempt = Attempt() }
            state.readySince = nil
            state.alarm = alarm
            return (true, failed)
        }
        failed?.complete(.failure(error))
        self.ready.complete(.failure(error))
        guard waits else { return self.state.withLock { $0.machine.next() } }
        self.note("restarting", generation, "in \(delay.inMilliseconds), because \(error.message)")
        await alarm.wait(atMost: delay, by: self.context.clock, self.context.accounts, late: ())
        return self.state.withLock { state in
            state.alarm = nil
            return state.machine.next()
        }
    }

    /// Waits until this server may be started, or is not to be any more.
    /// - Returns: its turn, and how long it has waited for that. No turn where none is needed, or somebody wants it closed or started anew.
    private func takeTurn(_ generation: Int) async -> (StartTurn?, Duration) {
        guard self.isSubprocess else { return (nil, .zero) }
        let gate = self.context.starts
        let place = gate.join()
        var waited: Duration = .zero
        if place.value == nil {
            let mayWait = self.state.withLock { state in
                guard state.machine.requestedClose == nil else { return false }
                state.leaveLine = { gate.leave(place) }
                return true
            }
            if mayWait {
                let since = self.context.clock.now
                self.note("queued", generation, "\(self.context.starts.limit) other servers are being started")
                _ = await place.wait()
                waited = self.context.clock.now - since
            } else {
                gate.leave(place)
            }
        }
        self.state.withLock { $0.leaveLine = nil }
        return (place.value == true ? StartTurn(gate, self.context) : nil, waited)
    }

    private func converse(
        _ generation: Int,
        _ era: Era,
        since start: Duration,
        _ turn: StartTurn?
    ) async -> Outcome {
        let connection = self.makeConnection(generation, legacyOnly: era.legacyOnly, since: start)
        self.enter(connection)
        let end = await connection.run { await self.follow(connection, era.isGuess ? nil : era.memory, turn) }
        return self.leave(connection, era, end)
    }

    @inline(never)
    private func enter(_ connection: Connection) {
        let mode = self.state.withLock { state in
            state.connection = connection
            return state.machine.requestedClose  // between the machine's yes and now
        }
        if let mode {
            connection.session.close(mode)
        } else {
            self.note("opening", connection.generation, self.endpoint.description)
        }
    }

    @inline(never)
    private func leave(_ connection: Connection, _ era: Era, _ end: ClientSession.End) -> Outcome {
        // Where somebody has broken it and has not come to say so.
        self.lose(connection)
        let generation = connection.generation
        self.state.withLock { $0.enter(end, generation) }
        self.note("ended", generation, self.explain(end).message)
        return self.outcome(generation, era, end)
    }

    var isSubprocess: Bool { self.endpoint.startsProcess }

    @inline(never)
    private func makeConnection(_ generation: Int, legacyOnly: Bool, since start: Duration) -> Connection {
        var client = self.definition.client
        if legacyOnly { client.era = .legacyOnly }
        var runtime = SessionRuntime(handlers: self.runtime.handlers.filled(from: self.context.handlers))
        // Later it may have been replaced, or may have been wrong.
        if generation == 1 { runtime.knownServer = self.runtime.knownServer }
        runtime.serverName = self.name
        runtime.launch = self.context.launch
        runtime.desiredSubscriptions = self.desiredSubscriptions
        runtime.events = self.events
        runtime.problems = self.problemBook
        // It may be another program by now.
        self.problemBook.forgetAll()
        let (name, serial, tools) = (self.name, self.serial, self.context.tools)
        let owner = self.principal ?? self
        runtime.caller = self.caller
        runtime.onChange = { [lists = owner.lists, serial = owner.serial, isOther = self.principal != nil] event in
            if case .toolsChanged = event { tools.noteChange(serial) }
            lists.forget(after: event, of: isOther)
        }
        let number = self.lists.begin()
        runtime.onEvent = { [events = self.context.events, caller = self.caller] event in
            events.send(HostEvent(server: name, event: event, caller: caller))
        }
        tools.noteConnection(serial, generation)
        runtime.listsTools = true
        let remembered = self.definition.policy.idleStop == nil ? nil : self.lists
        runtime.onTools = {
            [journal = self.context.journal, selection = self.definition.tools] list, changes, isCurrent in
            if isCurrent { remembered?.keep(tools: list, of: number, toolChanges: changes) }
            let names = tools.learn(
                serial,
                generation,
                tools: list,
                selection: selection,
                changes: changes,
                isCurrent: isCurrent
            )
            for taken in names {
                journal.note("name taken", server: name, cause: "\(taken) means another server's tool already")
            }
        }
        runtime.connectTimeSpent = self.context.clock.now - start
        return Connection(self, client, runtime, generation: generation) {
            // Not the server: held weakly it would be slower to hold for every call, and held at all it would be kept by whoever keeps the
            // transport's context, which may be its own endpoint.
            [state = self.state, label = self.label, journal = self.context.journal] what, isClear in
            if isClear { state.withLock { $0.clear(generation) } }
            journal.note("ended late", server: label, cause: what)
        }
    }

    /// Follows a session through its handshake.
    /// - Parameters:
    ///   - memory: where it is noted that the server has turned out to be a legacy one.
    ///   - turn: over when it is ready.
    private func follow(_ connection: Connection, _ memory: EraMemory?, _ turn: StartTurn?) async {
        let session = connection.session
        let outcome = await session.ready.wait()
        turn?.end()
        guard case .success(let description) = outcome else { return }
        // One that was only slow to come up answers the question in the end.
        if !description.revision.isModern, !session.hasAnsweredProbeLate { memory?.remember() }
        let now = self.context.clock.now
        let attempt = self.state.withLock { state -> Attempt? in
            guard state.machine.becameReady(connection.generation) else { return nil }
            (state.wasReady, state.isComingBack) = (true, false)
            state.readySince = now
            state.failure = nil
            return state.attempt
        }
        guard let attempt else { return }
        self.note("ready", connection.generation, "revision \(description.revision.rawValue)")
        // Before anybody can use it.
        let watch = self.definition.policy.idleStop.map { IdleWatch(self, connection, limit: $0) }
        self.state.withLock { $0.watch = watch }
        attempt.complete(.success(description))
        self.ready.complete(.success(()))
        session.broken.whenComplete { self.lose(connection) }
    }

    /// The session of a connection that was ready is lost, or is over. The second time there is nothing left to do.
    private func lose(_ connection: Connection) {
        let now = self.context.clock.now
        let watch = self.state.withLock { state -> IdleWatch? in
            guard state.machine.generation == connection.generation else { return nil }
            // One that was only believed to be there, and has gone in the time that a start may take without a word, has not worked before.
            let isDud =
                connection.isBelieved && !connection.session.hasHeard
                && state.readySince.map { now - $0 < self.definition.client.connectTimeout } == true
            if isDud { (state.wasReady, state.readySince) = (false, nil) }
            defer { state.watch = nil }
            return state.watch
        }
        watch?.end()
        self.lose(connection.session)
    }

    /// The root left before it came to run this server.
    func neverRan() -> TeardownReport.Server {
        self.close(.graceful, cause: "the host is closed")
        self.state.withLock { if $0.machine.state == .closing { _ = $0.machine.start() } }
        return self.finish() ?? self.state.withLock { $0.report }
    }

    /// - Returns: nil if it is to be started once more, because somebody has asked for that in the last moment.
    @inline(never)
    private func finish() -> TeardownReport.Server? {
        let isClosed = MCPError(.hostClosed, "the connection was closed", server: self.name)
        let before = self.state.withLock { state -> State? in
            guard state.machine.state == .closed || state.machine.giveUp() else { return nil }
            state.report.finish(state.remains)
            state.report.failure = state.failure?.message
            // All that is completed below is taken here: from now on somebody may revive a failed server. Whoever comes before that sees
            // where it stands, and does not wait.
            defer { state.attempt = Attempt() }
            return state
        }
        guard let before else { return nil }
        let (report, last) = (before.report, before.failure ?? isClosed)
        self.ready.complete(.failure(last))
        before.attempt.complete(.failure(last))
        if before.closeCause.isEmpty {
            self.note("closed", report.generation, report.failure ?? "ended by itself")
        } else {
            self.note("closed", report.generation, before.closeCause, task: before.closeTask)
        }
        if before.machine.state == .closed { self.events.finish() }
        before.gone.complete(report)
        return report
    }
}
