import MCPTransport

/// Servers of callers' own (``ServerPolicy/perCaller(idleStop:maximum:)``).
extension HostRoot {
    /// The server that serves a caller, if there is one.
    func existing(_ server: ManagedServer, for caller: String?) -> ManagedServer? {
        guard let caller, server.definition.policy.maximumCallers != nil else { return server }
        return self.state.withLock { $0.callers.server(of: server, for: caller) }
    }

    /// The server that serves a caller: one of the caller's own, where the policy says so.
    /// - Throws: `busy` if too many callers have one; `hostClosed` if the server has left the host.
    func server(_ server: ManagedServer, for caller: String?) throws(MCPError) -> ManagedServer {
        guard let caller, let maximum = server.definition.policy.maximumCallers else { return server }
        let (own, isNew, evicted) = try self.state.withLock {
            state throws(MCPError) -> (ManagedServer, Bool, ManagedServer?) in
            if let own = state.callers.server(of: server, for: caller) { return (own, false, nil) }
            // A call that draining waits for may still need one.
            guard state.machine.isOpen || state.machine.state == .draining, state.servers[server.name] === server
            else { throw MCPError(.hostClosed, "the server is closing or closed", server: server.name) }
            let evicted = try state.callers.makeRoom(of: server, maximum: maximum)
            let own = ManagedServer(
                server.definition,
                server.runtime,
                endpoint: server.endpoint,
                context: self.context,
                serial: state.nextSerial,
                standingFor: server,
                for: caller,
                number: state.callers.takeNumber(of: server)
            )
            state.nextSerial += 1
            state.callers.insert(own, of: server, for: caller)
            state.enter(own)
            self.listenerCount.add(own.desiredSubscriptions)
            return (own, true, evicted)
        }
        evicted?.close(.graceful, cause: "another caller has its place")
        if isNew {
            self.context.journal.note("added", server: own.label, cause: "for a caller of its own")
            self.arrival.yield(own)
        }
        return own
    }
}
