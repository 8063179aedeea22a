public import Logging
public import MCPTransport

/// A configuration in, a running host out. All calls from any task.
///
/// ```swift
/// let manager = HostManager(configuration: ".mcp.json")
/// try await manager.initialize()          // a fixture's set-up
/// try await manager.host.tools()          // a test
/// await manager.shutdown()                // a fixture's tear-down, in whichever task that runs
/// ```
public final class HostManager: Sendable {
    private enum Source: Sendable {
        case file(String)
        case value(HostConfiguration)
    }

    private struct State {
        var host: MCPHost?
        /// Tasks that wait in `initialize()`; when the last of them is cancelled, so is the opening.
        var waiting = 0
        var isInitialized = false
        var isShutDown = false
    }

    private let source: Source
    private let logger: Logger
    private let state = Locked(State())

    /// A manager of the servers in a configuration file (the `mcpServers` form). The file is read by ``initialize()``.
    public init(configuration path: String, logger: Logger = Logger(label: "mcp-host")) {
        self.source = .file(path)
        self.logger = logger
    }

    /// A manager of these servers.
    public init(_ configuration: HostConfiguration, logger: Logger = Logger(label: "mcp-host")) {
        self.source = .value(configuration)
        self.logger = logger
    }

    /// Opens all servers and waits until they are ready. Calling it again, also at the same time, joins the first call.
    /// - Throws: if any server fails: an error that names every one that did and why; everything is closed again by then, and
    ///   `initialize()` may be tried again. `cancelled` if the calling task is.
    public func initialize() async throws(MCPError) {
        let host = try self.hostToWaitFor()
        let settled = await host.ready()
        let isLast = self.state.withLock { state in
            state.waiting -= 1
            return state.waiting == 0
        }
        guard settled else {
            if isLast { self.abandon(host, cause: "the initializing task was cancelled") }
            throw MCPError(.cancelled, "initialize() was cancelled")
        }
        let failed = host.connections.filter { $0.failure != nil }
        if failed.isEmpty {
            self.state.withLock { $0.isInitialized = true }
            return
        }
        self.abandon(host, cause: "\(failed.count) servers could not be opened")
        _ = await host.root.waitForEndUnlessCancelled()
        let reasons = failed.map { "\($0.name): \($0.failure?.message ?? "")" }.joined(separator: "\n")
        throw MCPError(
            failed[0].failure?.code ?? .connectionLost,
            "\(failed.count) of \(host.root.configuration.servers.count) servers could not be opened:\n\(reasons)"
        )
    }

    private func hostToWaitFor() throws(MCPError) -> MCPHost {
        let isShutDown = self.state.withLock { state in
            if !state.isShutDown { state.waiting += 1 }
            return state.isShutDown
        }
        if isShutDown { throw MCPError(.hostClosed, "the manager is shut down; make a new one") }
        do throws(MCPError) {
            if let host = self.state.withLock({ $0.host }) { return host }
            let configuration: HostConfiguration
            switch self.source {
            case .value(let value): configuration = value
            case .file(let path): configuration = try HostConfiguration(contentsOf: path)
            }
            let fresh = MCPHost(configuration, logger: self.logger)
            // Another task may have been quicker: its host counts, and ours has not opened anything.
            let chosen = self.state.withLock { state in
                if state.isShutDown { return fresh }
                let host = state.host ?? fresh
                state.host = host
                return host
            }
            if chosen === fresh {
                fresh.journal.note("opened", cause: "initialize() with \(configuration.servers.count) servers")
                fresh.root.launch()
                if self.state.withLock({ $0.host }) !== fresh { fresh.beginShutdown(cause: "shut down meanwhile") }
            } else {
                fresh.beginShutdown(cause: "not needed")
            }
            return chosen
        } catch {
            self.state.withLock { $0.waiting -= 1 }
            throw error
        }
    }

    private func abandon(_ host: MCPHost, cause: String) {
        self.state.withLock { state in
            if state.host === host, !state.isShutDown { state.host = nil }
        }
        host.beginShutdown(cause: cause)
    }

    /// The running host.
    /// - Throws: `notFound` before ``initialize()`` has succeeded, `hostClosed` after ``shutdown()``.
    public var host: MCPHost {
        get throws(MCPError) {
            let (host, isInitialized, isShutDown) = self.state.withLock { ($0.host, $0.isInitialized, $0.isShutDown) }
            if isShutDown { throw MCPError(.hostClosed, "the manager is shut down") }
            guard let host, isInitialized else {
                throw MCPError(.notFound, "no host yet: call initialize() first, and await it")
            }
            return host
        }
    }

    /// Opens one more server and waits until it is ready.
    @discardableResult
    public func register(_ server: ServerConfiguration) async throws(MCPError) -> Connection {
        try await self.host.addServer(server)
    }

    /// Closes one server and waits until nothing is left of it.
    @discardableResult
    public func unregister(_ name: String) async throws(MCPError) -> TeardownReport.Server? {
        try await self.host.removeServer(name)
    }

    /// Closes everything; see ``MCPHost/shutdown()``. Without a host there is nothing to close, and the report says so.
    @discardableResult
    public func shutdown() async -> TeardownReport {
        let host = self.state.withLock { state in
            state.isShutDown = true
            return state.host
        }
        if let host { return await host.shutdown() }
        return TeardownReport(servers: [], open: .init(), duration: .zero, isComplete: true)
    }
}
