import MCPClient
import MCPSession
import MCPStdio
import MCPTransport

/// The owner of everything that a host opens. It makes the one task from which all connections are run; this file is the only one
/// with an unstructured task in it.
///
/// The law of the house: callers decide, under a lock, that something is to be opened or closed; only the root enters and leaves it.
final class HostRoot: Sendable {
    struct State {
        var machine = HostStateMachine()
        /// By name; removed when it is gone.
        var servers: [String: ManagedServer] = [:]
        /// Ends of servers that are gone, by their serial numbers.
        var ended: [(serial: Int, report: TeardownReport.Server)] = []
        var nextSerial = 1
        var drainTimer: (any DeadlineTimer)?
        /// Added and not yet entered by the root.
        var waiting: [Int: ManagedServer] = [:]
        /// Of which something may be left, also those that were taken out of the host by name: closing reaches them all (T10).
        var present: [Int: ManagedServer] = [:]
        /// Servers of callers' own.
        var callers = CallerServers()
        /// Asked to be restarted when they had failed, before the root had seen that they are gone.
        var reentering: Set<Int> = []

        /// A server that had failed goes on where it was.
        /// - Returns: whether the root has to be told; not if it has not seen yet that the server is gone.
        mutating func reenter(_ server: ManagedServer) -> Bool {
            if self.present[server.serial] != nil {
                self.reentering.insert(server.serial)
                return false
            }
            // Its report replaces the one that told of its failure.
            self.ended.removeAll { $0.serial == server.serial }
            self.enter(server)
            return true
        }

        /// Takes a server out of the host.
        /// - Returns: it, and those of its callers.
        mutating func remove(_ server: ManagedServer) -> [ManagedServer] {
            if self.servers[server.name] === server { self.servers[server.name] = nil }
            return [server] + self.callers.remove(of: server)
        }

        /// It is for the root to run from now on.
        mutating func enter(_ server: ManagedServer) {
            self.waiting[server.serial] = server
            self.present[server.serial] = server
        }
    }

    /// A host that opens and closes servers for months keeps the newest ends only, and those after which something may be left.
    private static let reportsKept = 1000

    let configuration: HostConfiguration
    private let runtime: HostRuntime
    let context: HostContext
    let listenerCount: ListenerCount
    let state = Locked(State())
    private let report = OneShot<TeardownReport>()
    private let closingAsked = OneShot<Void>()
    private let arrivals: AsyncStream<ManagedServer>
    let arrival: AsyncStream<ManagedServer>.Continuation

    init(_ configuration: HostConfiguration, _ runtime: HostRuntime) {
        self.configuration = configuration
        self.runtime = runtime
        let listenerCount = ListenerCount()
        self.listenerCount = listenerCount
        self.context = HostContext(
            accounts: ResourceAccounts(),
            journal: LifecycleJournal(
                capacity: configuration.journalCapacity,
                clock: runtime.clock,
                log: runtime.lifecycleLog
            ),
            clock: runtime.clock,
            handlers: runtime.handlers,
            onStandardError: runtime.onStandardError,
            starts: StartGate(limit: configuration.maximumStarts ?? StartGate.standardLimit),
            events: Broadcast { [listenerCount] in listenerCount.setCount($0) },
            launch: Self.launchHandler
        )
        (self.arrivals, self.arrival) = AsyncStream.makeStream()
    }

    // MARK: The root task

    /// Makes the root task. Nobody holds or cancels it: it ends when the host does.
    func launch() { Task.detached(name: "MCPHost root") { await self.run() } }

    /// A handler of the user, which nobody can force to end: the host must be able to close without it. Nobody holds it; it is
    /// cancelled with the request that it answers, and counted in the accounts.
    private static func launchHandler(_ work: @escaping @Sendable () async -> Void) {
        Task.detached(name: "MCP handler") { await work() }
    }

    /// Runs all connections until the host has shut down. Entered once; a second caller waits for the end.
    func run() async {
        guard self.state.withLock({ $0.machine.enter() }) else {
            _ = await self.report.wait()
            return
        }
        if self.configuration.reapsOrphans {
            Orphans.reapOnce { [journal = self.context.journal] found in
                for process in found.processes where process.isGone {
                    journal.note(
                        "reaped",
                        cause: "process \(process.processID), left by the killed host \(process.host)"
                    )
                }
                if !found.isComplete { for remark in found.remarks { journal.note("not reaped", cause: remark) } }
            }
        }
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                for await server in self.arrivals {
                    self.state.withLock { _ = $0.waiting.removeValue(forKey: server.serial) }
                    self.context.accounts.add(1, \.tasks)
                    group.addTask(name: "MCP server \(server.name)") {
                        let report = await server.run()
                        self.context.accounts.add(-1, \.tasks)
                        self.left(server, report)
                    }
                }
            }
        } onCancel: {
            self.beginShutdown(.graceful, cause: "the task that runs the host was cancelled")
        }
        self.finish()
    }

    private func left(_ server: ManagedServer, _ report: TeardownReport.Server) {
        let (isRevived, hasLeft) = self.state.withLock { state in
            state.present[server.serial] = nil
            let isRevived = state.reentering.remove(server.serial) != nil
            // A failed one stays, as any other does, so that its caller is told and nobody starts it again and again.
            if !isRevived, !server.status.isDown { state.callers.forget(server) }
            if isRevived {
                state.enter(server)
            } else {
                state.ended.append((server.serial, report))
            }
            if state.ended.count > Self.reportsKept {
                // What is not proved to be gone is not forgotten for what is, so that "nothing is left" stays true.
                state.ended.remove(at: state.ended.firstIndex(where: \.report.isProved) ?? 0)
            }
            // A failed one stays visible, with its reason, until it is removed.
            if state.servers[server.name] === server, !isRevived, !server.status.isDown {
                state.servers[server.name] = nil
            }
            if !isRevived { self.listenerCount.remove(server.desiredSubscriptions) }
            return (isRevived, state.servers[server.name] !== server)
        }
        if isRevived {
            self.arrival.yield(server)
            return
        }
        if hasLeft { self.context.tools.remove(server.serial) }
    }

    private func finish() {
        let (forgotten, timer) = self.state.withLock { state in
            defer {
                state.waiting = [:]
                state.drainTimer = nil
            }
            // The cancelled task may be here before whoever cancels it has come to close.
            return (Array(state.waiting.values), state.machine.leave() ? state.drainTimer : nil)
        }
        for server in forgotten { self.left(server, server.neverRan()) }
        if let timer {
            timer.cancel()
            self.context.accounts.add(-1, \.timers)
        }
        let failed = self.state.withLock { state in
            state.machine.closed()
            return Array(state.servers.values) + state.callers.all
        }
        // Nobody can revive them any more.
        for server in failed { server.close(.graceful, cause: "the host is closed") }
        self.context.events.finish()
        let report = self.snapshotReport(isComplete: true)
        self.context.journal.note("closed", cause: report.description)
        self.report.complete(report)
    }

    // MARK: For any task

    /// All servers, in the order in which they were added.
    var servers: [ManagedServer] {
        self.state.withLock { Array($0.servers.values) }.sorted { $0.serial < $1.serial }
    }

    func server(_ name: String) -> ManagedServer? { self.state.withLock { $0.servers[name] } }

    /// Opens a server; returns at once.
    /// - Parameter runtime: what the program adds to it; nil for what it has said in the host's ``HostRuntime``.
    func add(_ definition: ServerDefinition, _ runtime: ServerRuntime? = nil) throws(MCPError) -> ManagedServer {
        let definition = self.configuration.defaults.applied(to: definition)
        let runtime = runtime ?? self.runtime.server(definition.name)
        let endpoint = try runtime.endpoint(of: definition)
        let (server, replaced) = try self.state.withLock { state throws(MCPError) in
            guard state.machine.isOpen else {
                throw MCPError(.hostClosed, "the host is closing", server: definition.name)
            }
            let existing = state.servers[definition.name]
            if let existing, !existing.status.isDown {
                throw MCPError(
                    .invalidConfiguration,
                    "a server of this name is there already; remove it first, or choose another name",
                    server: definition.name
                )
            }
            let replaced = existing.map { state.remove($0) } ?? []
            let (context, serial) = (self.context, state.nextSerial)
            let server = ManagedServer(definition, runtime, endpoint: endpoint, context: context, serial: serial)
            state.nextSerial += 1
            state.servers[definition.name] = server
            state.enter(server)
            self.context.tools.add(server.serial, name: server.name)
            self.listenerCount.add(server.desiredSubscriptions)
            return (server, replaced)
        }
        self.dismiss(replaced, cause: "another server has its name")
        self.context.journal.note("added", server: definition.name, cause: endpoint.description)
        self.arrival.yield(server)
        return server
    }

    /// Asks for a restart of a server; returns at once with what will come of it.
    /// - Parameters:
    ///   - server: which.
    ///   - caller: whose own one alone, where there is one for each; nil for all of them.
    /// - Throws: `hostClosed` if it is closing or closed, or has left the host.
    func restart(
        _ server: ManagedServer,
        for caller: String?
    ) throws(MCPError) -> OneShot<Result<ServerDescription, MCPError>> {
        let target = try self.server(server, for: caller)
        let (restarts, entered) = self.state.withLock { state -> ([ManagedServer.Restart], [ManagedServer]) in
            guard state.servers[server.name] === server, state.machine.isOpen,
                let restart = target.decideOnRestart(cause: "restartServer()")
            else { return ([], []) }
            var (restarts, entered) = ([restart], [ManagedServer]())
            if restart.hasToBeEntered, state.reenter(target) { entered.append(target) }
            for own in target === server ? state.callers.all(of: server) : [] where !own.isOver {
                guard let restart = own.decideOnRestart(cause: "restartServer()") else { continue }
                restarts.append(restart)
                if restart.hasToBeEntered, state.reenter(own) { entered.append(own) }
            }
            for server in entered { self.listenerCount.add(server.desiredSubscriptions) }
            return (restarts, entered)
        }
        guard let restart = restarts.first else {
            throw MCPError(.hostClosed, "the server is closing or closed, and is not restarted", server: server.name)
        }
        for restart in restarts { restart.perform() }
        for server in entered { self.arrival.yield(server) }
        return restart.outcome
    }

    /// Takes the server of that name out of the host and asks for its end.
    /// - Returns: it, and those of its callers; nothing if there is none.
    func remove(_ name: String, cause: String) -> [ManagedServer] {
        let removed = self.state.withLock { state in state.servers[name].map { state.remove($0) } ?? [] }
        self.dismiss(removed, cause: cause)
        return removed
    }

    /// Takes this very server out of the host and asks for its end. Whoever has its name meanwhile stays (T3).
    func remove(_ server: ManagedServer, cause: String) {
        self.dismiss(self.state.withLock { $0.remove(server) }, cause: cause)
    }

    private func dismiss(_ servers: [ManagedServer], cause: String) {
        for server in servers {
            self.context.tools.remove(server.serial)
            server.close(.graceful, cause: cause)
        }
    }

    // MARK: Calls, which draining waits for

    /// A call begins.
    /// - Parameter serial: the server that it is one to, if that is known.
    /// - Returns: that server; nil if it has left the host, or has failed. The call has begun all the same.
    @discardableResult
    func beginCall(to serial: Int? = nil) throws(MCPError) -> ManagedServer? {
        try self.beginCall { state in serial.flatMap { state.present[$0] } }
    }

    /// A call begins that is one to the server of that name.
    /// - Returns: that server; nil if there is none now. The call has begun all the same.
    func beginCall(toServerNamed name: String) throws(MCPError) -> ManagedServer? {
        try self.beginCall { $0.servers[name] }
    }

    private func beginCall(_ find: (State) -> ManagedServer?) throws(MCPError) -> ManagedServer? {
        let (mayBegin, server) = self.state.withLock { ($0.machine.beginCall(), find($0)) }
        guard mayBegin else { throw MCPError(.hostClosed, "the host is closing: no new calls") }
        return server
    }

    func endCall() {
        if self.state.withLock({ $0.machine.endCall() }) { self.closeAll(.graceful, cause: "drained") }
    }

    // MARK: The end

    /// Starts the shutdown, or hurries it; returns at once.
    func beginShutdown(_ mode: TeardownMode, cause: String) {
        let now = self.context.clock.now
        let mayDrain = self.configuration.drainTimeout > .zero
        let action = self.state.withLock { $0.machine.shutDown(mode, mayDrain: mayDrain, now: now) }
        if action != .nothing { self.context.journal.note("shutdown", cause: cause) }
        self.closingAsked.complete(())
        switch action {
        case .nothing: break
        case .close: self.closeAll(mode, cause: cause)
        case .drain: self.startDrainTimer(now + self.configuration.drainTimeout)
        }
    }

    private func startDrainTimer(_ deadline: Duration) {
        let timer = self.context.clock.makeTimer { [weak self] in
            self?.closeAll(.graceful, cause: "the drain limit has passed")
        }
        let isWanted = self.state.withLock { state in
            guard state.machine.drainTimerMade() else { return false }
            self.context.accounts.add(1, \.timers)
            state.drainTimer = timer
            return true
        }
        if isWanted { timer.set(deadline) } else { timer.cancel() }
    }

    private func closeAll(_ mode: TeardownMode, cause: String) {
        let servers = self.state.withLock { $0.machine.close() ? Array($0.present.values) : [] }
        self.arrival.finish()
        // All are decided on before the first is ended: the turn to start that one gives up must not go to another of them (T23).
        let ends = servers.map { $0.decideOnClose(mode, cause: cause) }
        for end in ends { end() }
        // A host that was never run has nobody to wait for.
        if self.state.withLock({ $0.machine.enter() }) { self.finish() }
    }

    /// What the shutdown has come to so far.
    func snapshotReport(isComplete: Bool) -> TeardownReport {
        let now = self.context.clock.now
        let (ended, since) = self.state.withLock { ($0.ended, $0.machine.closingSince) }
        return TeardownReport(
            servers: ended.map(\.report),
            open: self.context.accounts.snapshot,
            duration: since.map { now - $0 } ?? .zero,
            isComplete: isComplete
        )
    }

    /// Whether the host is closed, and it is proved that nothing of it is left.
    var isGoneWithoutTrace: Bool { self.report.value?.isClean == true }

    /// Waits until somebody asks for the end.
    func waitForClosing() async { _ = await self.closingAsked.waitUnlessCancelled() }

    /// Waits for the end, whatever happens to the calling task.
    func waitForEnd() async -> TeardownReport { await self.report.wait() }

    /// Waits for the end unless the calling task is cancelled.
    func waitForEndUnlessCancelled() async -> TeardownReport? { await self.report.waitUnlessCancelled() }
}
