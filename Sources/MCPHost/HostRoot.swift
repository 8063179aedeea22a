import MCPClient
import MCPStdio
import MCPTransport

/// The owner of everything that a host opens. It makes the one task from which all connections are run; this file is the only one
/// with an unstructured task in it.
///
/// The law of the house: callers decide, under a lock, that something is to be opened or closed; only the root enters and leaves it.
final class HostRoot: Sendable {
    private struct State {
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
        /// Asked to be restarted when they had failed, before the root had seen that they are gone.
        var reentering: Set<Int> = []

        /// It is for the root to run from now on.
        mutating func enter(_ server: ManagedServer) {
            self.waiting[server.serial] = server
            self.present[server.serial] = server
        }
    }

    /// A host that opens and closes servers for months keeps the newest ends only, and those after which something may be left.
    private static let reportsKept = 1000

    let configuration: HostConfiguration
    let context: HostContext
    private let listenerCount: ListenerCount
    private let state = Locked(State())
    private let report = OneShot<TeardownReport>()
    private let closingAsked = OneShot<Void>()
    private let arrivals: AsyncStream<ManagedServer>
    private let arrival: AsyncStream<ManagedServer>.Continuation

    init(_ configuration: HostConfiguration) {
        self.configuration = configuration
        let listenerCount = ListenerCount()
        self.listenerCount = listenerCount
        self.context = HostContext(
            accounts: ResourceAccounts(),
            journal: LifecycleJournal(
                capacity: configuration.journalCapacity,
                clock: configuration.clock,
                log: configuration.lifecycleLog
            ),
            clock: configuration.clock,
            handlers: configuration.handlers,
            onStandardError: configuration.onStandardError,
            starts: StartGate(limit: configuration.maximumStarts),
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
            if state.servers[server.name] === server, !isRevived, server.status != .failed {
                state.servers[server.name] = nil
            }
            return (isRevived, state.servers[server.name] !== server)
        }
        if isRevived {
            self.arrival.yield(server)
            return
        }
        self.listenerCount.remove(server.desiredSubscriptions)
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
            return Array(state.servers.values)
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
    func add(_ definition: ServerDefinition) throws(MCPError) -> ManagedServer {
        let (server, replaced) = try self.state.withLock { state throws(MCPError) in
            guard state.machine.isOpen else {
                throw MCPError(.hostClosed, "the host is closing", server: definition.name)
            }
            let existing = state.servers[definition.name]
            if let existing, existing.status != .failed {
                throw MCPError(
                    .invalidConfiguration,
                    "a server of this name is there already; remove it first, or choose another name",
                    server: definition.name
                )
            }
            let server = ManagedServer(definition, context: self.context, serial: state.nextSerial)
            state.nextSerial += 1
            state.servers[definition.name] = server
            state.enter(server)
            self.context.tools.add(server.serial, name: server.name)
            self.listenerCount.add(server.desiredSubscriptions)
            return (server, existing)
        }
        if let replaced {
            self.context.tools.remove(replaced.serial)
            replaced.close(.graceful, cause: "another server has its name")
        }
        self.context.journal.note("added", server: definition.name, cause: definition.endpoint.description)
        self.arrival.yield(server)
        return server
    }

    /// Asks for a restart of a server; returns at once with what will come of it.
    /// - Throws: `hostClosed` if it is closing or closed, or has left the host.
    func restart(_ server: ManagedServer) throws(MCPError) -> OneShot<Result<ServerDescription, MCPError>> {
        let (restart, isEntered) = self.state.withLock { state -> (ManagedServer.Restart?, Bool) in
            guard state.servers[server.name] === server, state.machine.isOpen,
                let restart = server.decideOnRestart(cause: "restartServer()")
            else { return (nil, false) }
            guard restart.hasToBeEntered else { return (restart, false) }
            // It has failed, and goes on where it was. The root may not have seen yet that it is gone.
            if state.present[server.serial] != nil {
                state.reentering.insert(server.serial)
                return (restart, false)
            }
            // Its report replaces the one that told of its failure.
            state.ended.removeAll { $0.serial == server.serial }
            state.enter(server)
            self.listenerCount.add(server.desiredSubscriptions)
            return (restart, true)
        }
        guard let restart else {
            throw MCPError(.hostClosed, "the server is closing or closed, and is not restarted", server: server.name)
        }
        restart.perform()
        if isEntered { self.arrival.yield(server) }
        return restart.outcome
    }

    /// Takes the server of that name out of the host and asks for its end.
    func remove(_ name: String, cause: String) -> ManagedServer? {
        let server = self.state.withLock { $0.servers.removeValue(forKey: name) }
        guard let server else { return nil }
        self.context.tools.remove(server.serial)
        server.close(.graceful, cause: cause)
        return server
    }

    /// Takes this very server out of the host and asks for its end. Whoever has its name meanwhile stays (T3).
    func remove(_ server: ManagedServer, cause: String) {
        self.state.withLock { state in
            guard state.servers[server.name] === server else { return }
            state.servers[server.name] = nil
        }
        self.context.tools.remove(server.serial)
        server.close(.graceful, cause: cause)
    }

    // MARK: Calls, which draining waits for

    func beginCall() throws(MCPError) {
        guard self.state.withLock({ $0.machine.beginCall() }) else {
            throw MCPError(.hostClosed, "the host is closing: no new calls")
        }
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
