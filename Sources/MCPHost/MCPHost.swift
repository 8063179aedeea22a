public import Logging
import MCPStdio
public import MCPTransport

#if ServiceLifecycle
    public import ServiceLifecycle
#endif

/// Many connections to MCP servers, opened, used and closed from any task, in any order, at any moment.
///
/// ```swift
/// let host = try await MCPHost.start(configuration)   // any task
/// let result = try await host.callTool("git__git_log", arguments: ["repo_path": "."])
/// let report = await host.shutdown()                  // any other task
/// ```
///
/// A connection belongs to the host's root task and never to the task that asked for it, so the end of a caller is not the end of a
/// connection. Dropping the last reference without ``shutdown()`` closes everything too, and logs a fault.
public final class MCPHost: Sendable {
    let root: HostRoot
    private let logger: Logger
    private let shutdownAsked = Locked(false)

    /// A host that is not running yet; for a `ServiceGroup`, or call ``run()``.
    /// - Parameters:
    ///   - configuration: the servers to open, and bounds.
    ///   - runtime: what this program adds to that.
    ///   - logger: told of faults only.
    public init(
        _ configuration: HostConfiguration = HostConfiguration(),
        runtime: HostRuntime = HostRuntime(),
        logger: Logger = Logger(label: "mcp-host")
    ) {
        self.root = HostRoot(configuration, runtime)
        self.logger = logger
        for server in configuration.servers { self.addAtStart(server) }
        if self.root.servers.contains(where: \.isSubprocess), GuardProgram.path == nil,
            Self.firstUnguarded.complete(())
        {
            logger.warning(
                """
                mcp-guard was not found beside this program: servers would survive if the host were killed, until the next host \
                starts. Install it next to the program, or name it in MCP_GUARD.
                """
            )
        }
    }

    /// Said once in the life of the program.
    private static let firstUnguarded = OneShot<Void>()

    private func addAtStart(_ server: ServerDefinition) {
        do throws(MCPError) {
            _ = try self.root.add(server)
        } catch {
            self.logger.error("\(error)")
        }
    }

    deinit {
        guard !self.shutdownAsked.withLock({ $0 }) else { return }
        let names = self.root.servers.map(\.name).joined(separator: ", ")
        if !names.isEmpty {
            self.logger.error("fault: an MCPHost was dropped without shutdown(); closing its servers now: \(names)")
        }
        self.root.beginShutdown(.graceful, cause: "the host was dropped without shutdown()")
    }

    // MARK: Life

    /// Starts a host and waits until each of its servers is ready or has failed, or is dormant.
    ///
    /// A server that fails does not disturb the others: see ``servers``. If the calling task is cancelled meanwhile, the host is
    /// closed again.
    /// - Parameters:
    ///   - configuration: the servers to open, and bounds.
    ///   - runtime: what this program adds to that.
    ///   - logger: told of faults only.
    /// - Throws: `cancelled`; `invalidConfiguration` when two servers have the same name, or one cannot be reached because its transport is to
    ///   be the program's own and there is none.
    public static func start(
        _ configuration: HostConfiguration = HostConfiguration(),
        runtime: HostRuntime = HostRuntime(),
        logger: Logger = Logger(label: "mcp-host")
    ) async throws(MCPError) -> MCPHost {
        try runtime.check(configuration)
        let host = MCPHost(configuration, runtime: runtime, logger: logger)
        host.root.context.journal.note("opened", cause: "start() with \(configuration.servers.count) servers")
        host.root.launch()
        guard await host.ready() else {
            host.beginShutdown(.graceful, cause: "the starting task was cancelled")
            throw MCPError(.cancelled, "starting the host was cancelled; what was open is being closed")
        }
        return host
    }

    /// Gives `body` a running host, and closes it when `body` ends, however it ends; see ``start(_:runtime:logger:)``.
    public static func withHost<R>(
        _ configuration: HostConfiguration = HostConfiguration(),
        runtime: HostRuntime = HostRuntime(),
        logger: Logger = Logger(label: "mcp-host"),
        _ body: (MCPHost) async throws -> R
    ) async throws -> R {
        let host = try await MCPHost.start(configuration, runtime: runtime, logger: logger)
        do {
            let result = try await body(host)
            await host.close(cause: "the scope ended")
            return result
        } catch {
            await host.close(cause: "the scope threw \(error)")
            throw error
        }
    }

    /// Starts a host that was made with `init`, in a task of its own; ``run()`` does the same in the calling task.
    public func launch() { self.root.launch() }

    /// Waits until every server is ready or has failed, or is dormant; ``start(_:runtime:logger:)`` does so by itself.
    /// - Returns: false if the calling task was cancelled first.
    public func ready() async -> Bool {
        for server in self.root.servers {
            if await server.ready.waitUnlessCancelled() == nil { return false }
        }
        return true
    }

    /// Closes everything, and tells what is left: nothing.
    ///
    /// From any task, at any moment, any number of times, also at once; all callers get the same report. New calls are refused, calls
    /// in flight may end within `drainTimeout`, then all servers are closed in parallel. Cancelling the calling task ends its waiting
    /// and not the closing; the report then says that it is not complete.
    @discardableResult
    public func shutdown() async -> TeardownReport {
        self.beginShutdown(.graceful, cause: "shutdown()")
        return await self.root.waitForEndUnlessCancelled() ?? self.root.snapshotReport(isComplete: false)
    }

    /// As ``shutdown()``, without patience: SIGKILL to every server's process group now.
    @discardableResult
    public func shutdownNow() async -> TeardownReport {
        self.beginShutdown(.immediate, cause: "shutdownNow()")
        return await self.root.waitForEndUnlessCancelled() ?? self.root.snapshotReport(isComplete: false)
    }

    /// Waits for the end to the end, also in a cancelled task: for scopes, which must not leave anything behind.
    @discardableResult
    package func close(cause: String) async -> TeardownReport {
        self.beginShutdown(.graceful, cause: cause)
        return await self.root.waitForEnd()
    }

    /// Starts the shutdown and returns at once. Safe in a handler, a log sink, a `deinit`.
    public func beginShutdown(_ mode: TeardownMode = .graceful, cause: String = "beginShutdown()") {
        self.shutdownAsked.withLock { $0 = true }
        self.root.beginShutdown(mode, cause: cause)
    }

    /// Waits until somebody asks for the end, or the calling task is cancelled.
    public func closing() async { await self.root.waitForClosing() }

    // MARK: Servers

    /// All servers in the order in which they were added, failed ones too.
    public var servers: [ManagedServer] { self.root.servers }

    /// The server of that name.
    /// - Throws: `notFound`, with the names that there are.
    public func server(_ name: String) throws(MCPError) -> ManagedServer {
        if let server = self.root.server(name) { return server }
        let known = self.root.servers.map(\.name).joined(separator: ", ")
        throw MCPError(.notFound, "no server \"\(name)\" in this host; there are: \(known.isEmpty ? "none" : known)")
    }

    /// Opens one more server, at any time, and waits until it is ready; one that is started on demand is there at once,
    /// and one that wants somebody to sign in stays: see its status.
    /// - Parameters:
    ///   - definition: the server.
    ///   - runtime: what this program adds to it; nil for what the host's ``HostRuntime/servers`` say.
    /// - Throws: why it cannot be opened; it is removed again then. `cancelled` if the calling task is: the server is closed again.
    @discardableResult
    public func addServer(
        _ definition: ServerDefinition,
        runtime: ServerRuntime? = nil
    ) async throws(MCPError) -> ManagedServer {
        let server = try self.root.add(definition, runtime)
        do throws(MCPError) {
            if definition.policy.startsOnDemand {
                guard let isThere = await server.ready.waitUnlessCancelled() else {
                    throw MCPError(.cancelled, "adding the server was cancelled", server: definition.name)
                }
                try isThere.get()
            } else {
                _ = try await server.session()
            }
        } catch {
            // It is there, and waits for whoever signs in.
            if error.code == .needsAuthorization { return server }
            self.root.remove(
                server,
                cause: error.code == .cancelled ? "the adding task was cancelled" : "it could not be opened"
            )
            if error.code != .cancelled { _ = await server.waitUntilGoneUnlessCancelled() }
            throw error
        }
        return server
    }

    /// Closes one server, at any time, and waits until nothing is left of it.
    /// - Returns: how it ended; nil if there is no such server, or if the calling task was cancelled while it waited.
    @discardableResult
    public func removeServer(_ name: String) async -> TeardownReport.Server? {
        var report: TeardownReport.Server?
        for server in self.root.remove(name, cause: "removeServer()") {
            guard let end = await server.waitUntilGoneUnlessCancelled() else { return nil }
            if report == nil { report = end } else { report?.add(end) }
        }
        return report
    }

    /// Closes one server's connection and opens it anew, with a clean past: also after a crash loop.
    ///
    /// The restart belongs to the server and not to the caller (T11): it keeps its place, its events and the calls that wait for it; it goes
    /// on when the calling task is cancelled; and whoever asks while one is under way joins it. Calls that were on their way to the old
    /// process end with `outcomeUnknown`; those that were not are made when the new one is ready.
    /// - Parameters:
    ///   - name: the server's name in the host.
    ///   - caller: whose own one alone is restarted, or started, where there is one for each caller; nil for all of them.
    /// - Throws: why it cannot be opened; it keeps being supervised then. `cancelled` if the calling task is. `hostClosed` if it is closing.
    @discardableResult
    public func restartServer(_ name: String, for caller: String? = nil) async throws(MCPError) -> ManagedServer {
        let server = try self.server(name)
        guard let outcome = await (try self.root.restart(server, for: caller)).waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the restart was cancelled; it goes on", server: name)
        }
        _ = try outcome.get()
        return server
    }

    /// Where tasks run that make many calls and do nothing else: on the thread that serves all servers, so that no other one has to be woken
    /// for an answer, and what is sent at the same time leaves together.
    ///
    /// ```swift
    /// let result = try await withTaskExecutorPreference(try host.executor) {
    ///     try await host.callTool("git__git_log", arguments: ["repo_path": "."])
    /// }
    /// ```
    ///
    /// While such a task computes or blocks, no server of this program is heard, and little is sent to any: it is for gateways and load, not
    /// for what you do with answers.
    /// - Throws: `launchFailed` if there is no room for that thread.
    public var executor: any TaskExecutor {
        get throws(MCPError) {
            do throws(SystemFailure) {
                return try IOThread.shared()
            } catch {
                throw MCPError(
                    .launchFailed,
                    "the thread that serves all servers cannot be started: \(error.explanation)"
                )
            }
        }
    }

    /// Every change of state, with its cause and the task that asked.
    public var journal: LifecycleJournal { self.root.context.journal }

    /// The host's books.
    package var accounts: ResourceAccounts { self.root.context.accounts }

    /// What the host has open now.
    public var openResources: ResourceAccounts.Snapshot { self.root.context.accounts.snapshot }
}

extension MCPHost {
    /// Runs the host: until it is shut down, by whomever, or gracefully with the `ServiceGroup` that it is part of.
    public func run() async throws {
        #if ServiceLifecycle
            await withGracefulShutdownHandler {
                await self.root.run()
            } onGracefulShutdown: {
                self.beginShutdown(.graceful, cause: "graceful shutdown of the service group")
            }
        #else
            await self.root.run()
        #endif
    }
}

#if ServiceLifecycle
    extension MCPHost: Service {}
#endif
