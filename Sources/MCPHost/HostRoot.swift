import MCPClient
import MCPStdio
import MCPTransport

/// The owner of everything that a host opens. It makes the one task from which all connections are run; this file is the only one
/// with an unstructured task in it.
///
/// The law of the house: callers decide, under a lock, that something is to be opened or closed; only the root enters and leaves it.
final class HostRoot: Sendable {
    private enum Phase { case open, draining, closing, closed }

    private struct State {
        var phase: Phase = .open
        var isRunning = false
        /// By name; removed when it is gone.
        var connections: [String: Connection] = [:]
        /// In the order in which they were added.
        var order: [String] = []
        /// Ends of connections that are gone.
        var ended: [TeardownReport.Server] = []
        var callsInFlight = 0
        var closingSince: Duration?
        var drainTimer: (any DeadlineTimer)?
        /// Added and not yet entered by the root.
        var waiting: [ObjectIdentifier: Connection] = [:]
        /// Of which something may be left, also those that were taken out of the host by name: closing reaches them all (T10).
        var present: [ObjectIdentifier: Connection] = [:]
    }

    /// A host that opens and closes servers for months keeps the newest ends only, and those after which something may be left.
    private static let reportsKept = 1000

    let configuration: HostConfiguration
    let context: HostContext
    let registry = ToolRegistry()
    private let listenerCount: ListenerCount
    private let state = Locked(State())
    private let report = OneShot<TeardownReport>()
    private let closingAsked = OneShot<Void>()
    private let arrivals: AsyncStream<Connection>
    private let arrival: AsyncStream<Connection>.Continuation

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
        let isFirst = self.state.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard isFirst else {
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
                for await connection in self.arrivals {
                    self.state.withLock { _ = $0.waiting.removeValue(forKey: ObjectIdentifier(connection)) }
                    self.context.accounts.add(1, \.tasks)
                    group.addTask(name: "MCP connection \(connection.name)") {
                        await connection.run()
                        self.context.accounts.add(-1, \.tasks)
                        self.left(connection)
                    }
                }
            }
        } onCancel: {
            self.beginShutdown(.graceful, cause: "the task that runs the host was cancelled")
        }
        self.finish()
    }

    private func left(_ connection: Connection) {
        guard let report = connection.gone.value else { return }
        self.listenerCount.remove(connection.desiredSubscriptions)
        let hasSuccessor = self.state.withLock { state in
            state.present[ObjectIdentifier(connection)] = nil
            state.ended.append(report)
            if state.ended.count > Self.reportsKept {
                // What is not proved to be gone is not forgotten for what is, so that "nothing is left" stays true.
                state.ended.remove(at: state.ended.firstIndex(where: \.isProved) ?? 0)
            }
            // A failed one stays visible, with its reason, until it is removed.
            if state.connections[connection.name] === connection, connection.status != .failed {
                state.connections[connection.name] = nil
                state.order.removeAll { $0 == connection.name }
            }
            return state.connections[connection.name].map { $0 !== connection } ?? false
        }
        // What is known by the name now belongs to somebody else (T3).
        if !hasSuccessor { self.registry.forget(connection.name) }
    }

    private func finish() {
        let (forgotten, timer) = self.state.withLock { state in
            defer {
                state.waiting = [:]
                state.drainTimer = nil
            }
            // The cancelled task may be here before whoever cancels it has come to close: from now on nobody is let in who would never be run.
            state.phase = .closing
            return (Array(state.waiting.values), state.drainTimer)
        }
        for connection in forgotten {
            connection.neverRan()
            self.left(connection)
        }
        if let timer {
            timer.cancel()
            self.context.accounts.add(-1, \.timers)
        }
        self.state.withLock { $0.phase = .closed }
        self.context.events.finish()
        let report = self.snapshotReport(isComplete: true)
        self.context.journal.note("closed", cause: report.description)
        self.report.complete(report)
    }

    // MARK: For any task

    /// All connections, in the order in which they were added.
    var connections: [Connection] {
        self.state.withLock { state in state.order.compactMap { state.connections[$0] } }
    }

    func connection(_ name: String) -> Connection? { self.state.withLock { $0.connections[name] } }

    /// Opens a connection; returns at once.
    func add(_ configuration: ServerDefinition) throws(MCPError) -> Connection {
        let connection = Connection(configuration, context: self.context)
        try self.state.withLock { state throws(MCPError) in
            guard state.phase == .open else {
                throw MCPError(.hostClosed, "the host is closing", server: configuration.name)
            }
            if let existing = state.connections[configuration.name], existing.status != .failed {
                throw MCPError(
                    .invalidConfiguration,
                    "a server of this name is there already; remove it first, or choose another name",
                    server: configuration.name
                )
            }
            state.order.removeAll { $0 == configuration.name }
            state.order.append(configuration.name)
            state.connections[configuration.name] = connection
            state.waiting[ObjectIdentifier(connection)] = connection
            state.present[ObjectIdentifier(connection)] = connection
            self.listenerCount.add(connection.desiredSubscriptions)
        }
        self.context.journal.note("added", server: configuration.name, cause: configuration.endpointDescription)
        self.arrival.yield(connection)
        return connection
    }

    /// Takes the connection of that name out of the host and asks for its end.
    func remove(_ name: String, cause: String) -> Connection? {
        let connection = self.state.withLock { state in
            state.order.removeAll { $0 == name }
            return state.connections.removeValue(forKey: name)
        }
        connection?.close(.graceful, cause: cause)
        return connection
    }

    /// Takes this very connection out of the host and asks for its end. Whoever has its name meanwhile stays (T3).
    func remove(_ connection: Connection, cause: String) {
        self.state.withLock { state in
            guard state.connections[connection.name] === connection else { return }
            state.order.removeAll { $0 == connection.name }
            state.connections[connection.name] = nil
        }
        connection.close(.graceful, cause: cause)
    }

    // MARK: Calls, which draining waits for

    func beginCall() throws(MCPError) {
        try self.state.withLock { state throws(MCPError) in
            guard state.phase == .open else { throw MCPError(.hostClosed, "the host is closing: no new calls") }
            state.callsInFlight += 1
        }
    }

    func endCall() {
        let isDrained = self.state.withLock { state in
            state.callsInFlight -= 1
            return state.phase == .draining && state.callsInFlight == 0
        }
        if isDrained { self.closeAll(.graceful, cause: "drained") }
    }

    // MARK: The end

    /// Starts the shutdown, or hurries it; returns at once.
    func beginShutdown(_ mode: TeardownMode, cause: String) {
        enum Next { case nothing, drain, close }
        let now = self.context.clock.now
        let next: Next = self.state.withLock { state in
            switch state.phase {
            case .open:
                state.closingSince = now
                guard mode == .graceful, state.callsInFlight > 0, self.configuration.drainTimeout > .zero else {
                    return .close
                }
                state.phase = .draining
                return .drain
            case .draining: return mode == .immediate ? .close : .nothing
            case .closing: return mode == .immediate ? .close : .nothing
            case .closed: return .nothing
            }
        }
        if next != .nothing { self.context.journal.note("shutdown", cause: cause) }
        self.closingAsked.complete(())
        switch next {
        case .nothing: break
        case .close: self.closeAll(mode, cause: cause)
        case .drain: self.startDrainTimer(now + self.configuration.drainTimeout)
        }
    }

    /// The last call may end, and with it the draining and the host, while the timer is being made: then it is not for anybody, and not
    /// in the books either (T16).
    private func startDrainTimer(_ deadline: Duration) {
        let timer = self.context.clock.makeTimer { [weak self] in
            self?.closeAll(.graceful, cause: "the drain limit has passed")
        }
        let isWanted = self.state.withLock { state in
            guard state.phase == .draining else { return false }
            self.context.accounts.add(1, \.timers)
            state.drainTimer = timer
            return true
        }
        if isWanted { timer.set(deadline) } else { timer.cancel() }
    }

    private func closeAll(_ mode: TeardownMode, cause: String) {
        let connections: [Connection] = self.state.withLock { state in
            guard state.phase != .closed else { return [] }
            state.phase = .closing
            return Array(state.present.values)
        }
        self.arrival.finish()
        for connection in connections { connection.close(mode, cause: cause) }
        // A host that was never run has nobody to wait for.
        let isFirst = self.state.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if isFirst { self.finish() }
    }

    /// What the shutdown has come to so far.
    func snapshotReport(isComplete: Bool) -> TeardownReport {
        let now = self.context.clock.now
        let (ended, since) = self.state.withLock { ($0.ended, $0.closingSince) }
        return TeardownReport(
            servers: ended,
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
