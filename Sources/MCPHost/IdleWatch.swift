import MCPClient
import MCPTransport

/// Sees that nobody needs a server any more. Made when a connection is ready, and ended with it.
///
/// Looks once in each time that a server may be idle, and costs the calls nothing: what was not used between two looks was idle for so long.
final class IdleWatch: Sendable {
    private struct State {
        var timer: (any DeadlineTimer)?
        /// What was seen at the last look; nil: it was in use.
        var mark: Int?
    }

    private let server: ManagedServer
    private let connection: Connection
    private let limit: Duration
    private let state: Locked<State>

    init(_ server: ManagedServer, _ connection: Connection, limit: Duration) {
        (self.server, self.connection, self.limit) = (server, connection, limit)
        self.state = Locked(State(mark: Self.mark(server, connection)))
        let timer = server.context.clock.makeTimer { [weak self] in self?.look() }
        server.context.accounts.add(1, \.timers)
        self.state.withLock { $0.timer = timer }
        timer.set(server.context.clock.now + limit)
    }

    private func look() {
        if let mark = self.state.withLock({ $0.mark }), self.server.stopIdle(self.connection, since: mark, limit) {
            return
        }
        let mark = Self.mark(self.server, self.connection)
        self.state.withLock { state in
            state.mark = mark
            state.timer?.set(self.server.context.clock.now + self.limit)
        }
    }

    /// Whoever wants to be told of a resource uses the server too.
    private static func mark(_ server: ManagedServer, _ connection: Connection) -> Int? {
        server.desiredSubscriptions.hasResources ? nil : connection.session.idleMark
    }

    /// The connection is over.
    func end() {
        let timer = self.state.withLock { state in
            defer { state.timer = nil }
            return state.timer
        }
        guard let timer else { return }
        timer.cancel()
        self.server.context.accounts.add(-1, \.timers)
    }
}

extension ManagedServer {
    /// Ends a connection that nobody has used since a mark was taken; the server is started again for the next who needs it.
    /// - Returns: whether it is being ended.
    func stopIdle(_ connection: Connection, since mark: Int, _ limit: Duration) -> Bool {
        var error = MCPError(.connectionLost, "the server is being stopped: nobody has used it for \(limit)")
        error.isOfIdleStop = true
        let finish = self.state.withLock { [error] state -> (@Sendable () -> Void)? in
            // Whoever wants to be told of a resource relies on it.
            guard state.connection === connection, state.machine.state == .ready,
                !self.desiredSubscriptions.hasResources,
                let finish = connection.session.retire(since: mark, because: error)
            else { return nil }
            _ = state.machine.stopIdle(connection.generation)
            state.attempt = Attempt()
            // It has ended well: the next start is like the first.
            (state.wasReady, state.isComingBack, state.readySince) = (false, false, nil)
            state.restarts = RestartStateMachine(self.definition.restart)
            return finish
        }
        guard let finish else { return false }
        // Before anybody else can note what follows from it.
        self.note("stopping", connection.generation, "nobody has used it for \(limit)")
        finish()
        return true
    }

    /// Waits until somebody needs the server, or its end. A caller's own leaves: the caller may never come back.
    func sleep() async -> ServerStateMachine.StartAction {
        let alarm = OneShot<Void>()
        let (generation, isOver) = self.state.withLock { state -> (Int?, Bool) in
            // Somebody was quicker.
            guard state.machine.state == .dormant else { return (nil, state.machine.state == .closing) }
            if self.principal != nil, state.machine.generation > 0 {
                _ = state.machine.close(.graceful)
                (state.closeCause, state.closeTask) = ("its caller has not used it for a while", "the host")
                return (nil, true)
            }
            state.alarm = alarm
            return (state.machine.generation, false)
        }
        if let generation { self.note("dormant", generation, "started when somebody needs it") }
        if !isOver { self.ready.complete(.success(())) }
        if generation != nil { await alarm.wait() }
        return self.state.withLock { state in
            state.alarm = nil
            return state.machine.start()
        }
    }

    /// Being dormant, until somebody needs the server.
    struct Sleep {
        /// Nil where the root has not come to wait yet, and will not.
        var alarm: OneShot<Void>?
        var generation: Int

        init(_ alarm: OneShot<Void>?, _ generation: Int) { (self.alarm, self.generation) = (alarm, generation) }
    }

    /// Somebody needs the server, which was dormant until now.
    func wake(_ sleep: Sleep) {
        self.note("needed", sleep.generation, "somebody asks for it")
        sleep.alarm?.complete(())
    }
}
