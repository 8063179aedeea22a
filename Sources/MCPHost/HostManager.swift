public import Logging
public import MCPTransport

/// A configuration in, a running host out. All calls from any task.
///
/// ```swift
/// let manager = HostManager(configuration: ".mcp.json")
/// try await manager.initialize()          // a fixture's set-up
/// _ = try await manager.host.tools()      // a test
/// await manager.shutdown()                // a fixture's tear-down, in whichever task that runs
/// ```
public final class HostManager: Sendable {
    private enum Source: Sendable {
        case file(String)
        case value(HostConfiguration)
    }

    /// One opening of all servers, which everybody joins who initializes meanwhile, and its one outcome.
    private final class Opening: Sendable {
        let host: MCPHost
        let outcome = OneShot<Result<Void, MCPError>>()
        init(_ host: MCPHost) { self.host = host }
    }

    private struct State {
        /// Under way, or successful; nil before the first and after a failed one.
        var opening: Opening?
        /// Tasks that wait for it in `initialize()`; when the last of them is cancelled, so is the opening.
        var waiting = 0

        /// Takes it out: it has failed, or nobody wants it any more. A later opening is left alone.
        mutating func abandon(_ opening: Opening) -> Bool {
            guard self.opening === opening, !self.isShutDown else { return false }
            self.opening = nil
            self.waiting = 0
            self.abandoned.removeAll { $0.root.isGoneWithoutTrace }
            self.abandoned.append(opening.host)
            return true
        }

        /// Hosts whose opening was given up, until it is proved that nothing of them is left.
        var abandoned: [MCPHost] = []
        var isShutDown = false
    }

    private let source: Source
    private let runtime: HostRuntime
    private let logger: Logger
    private let state = Locked(State())

    /// A manager of the servers in a configuration file (the `mcpServers` form). The file is read by ``initialize()``.
    /// - Parameters:
    ///   - path: the file.
    ///   - runtime: what this program adds to it.
    ///   - logger: told of faults only.
    public init(
        configuration path: String,
        runtime: HostRuntime = HostRuntime(),
        logger: Logger = Logger(label: "mcp-host")
    ) {
        self.source = .file(path)
        self.runtime = runtime
        self.logger = logger
    }

    /// A manager of these servers.
    /// - Parameters:
    ///   - configuration: the servers to open, and bounds.
    ///   - runtime: what this program adds to that.
    ///   - logger: told of faults only.
    public init(
        _ configuration: HostConfiguration,
        runtime: HostRuntime = HostRuntime(),
        logger: Logger = Logger(label: "mcp-host")
    ) {
        self.source = .value(configuration)
        self.runtime = runtime
        self.logger = logger
    }

    /// Opens all servers and waits until they are ready, or dormant. Calling it again joins the first call, at the same time or later: once it has
    /// succeeded, calling it again changes nothing, whatever has become of a server meanwhile.
    ///
    /// A server that wants somebody to sign in has not failed: it says so in ``MCPHost/servers``, and to whoever calls it.
    /// - Throws: `invalidConfiguration` if two servers have one name, or one has no transport; if any server fails: an error that names every
    ///   one that did and why; everything is closed again by then, and `initialize()` may be tried again. `cancelled` if the calling task is.
    public func initialize() async throws(MCPError) {
        let opening = try self.join()
        let hasOutcome = opening.outcome.value != nil ? true : await opening.host.ready()
        // Whoever joins from here on joins a new one.
        let isAbandoned = self.state.withLock { state in
            guard state.opening === opening else { return false }
            state.waiting -= 1
            return !hasOutcome && state.waiting == 0 && opening.outcome.value == nil && state.abandon(opening)
        }
        guard hasOutcome else {
            if isAbandoned { opening.host.beginShutdown(cause: "the initializing task was cancelled") }
            throw MCPError(.cancelled, "initialize() was cancelled")
        }
        if let outcome = opening.outcome.value, case .success = outcome { return }
        // The first attempts decide, and whoever comes first says so for all: a server that has come up and is being restarted has not
        // failed to open (T2).
        let failed = opening.host.servers.compactMap { server -> (String, MCPError)? in
            guard case .failure(let error)? = server.ready.value, error.code != .needsAuthorization else { return nil }
            return (server.name, error)
        }
        let outcome: Result<Void, MCPError> =
            failed.isEmpty ? .success(()) : .failure(Self.error(failed, of: opening.host.servers.count))
        opening.outcome.complete(outcome)
        guard case .failure(let error)? = opening.outcome.value else { return }
        if self.state.withLock({ $0.abandon(opening) }) {
            opening.host.beginShutdown(cause: "\(failed.count) servers could not be opened")
        }
        guard let report = await opening.host.root.waitForEndUnlessCancelled(), !report.isClean else { throw error }
        throw MCPError(error.code, "\(error.message)\nof them something is left: \(report)")
    }

    private static func error(_ failed: [(name: String, error: MCPError)], of count: Int) -> MCPError {
        let reasons = failed.map { "\($0.name): \($0.error.message)" }.joined(separator: "\n")
        return MCPError(
            failed[0].error.code,
            "\(failed.count) of \(count) servers could not be opened:\n\(reasons)"
        )
    }

    /// The opening that is there, or a new one.
    private func join() throws(MCPError) -> Opening {
        let (isShutDown, opening) = self.state.withLock { state in
            if !state.isShutDown, state.opening != nil { state.waiting += 1 }
            return (state.isShutDown, state.opening)
        }
        if isShutDown { throw MCPError(.hostClosed, "the manager is shut down; make a new one") }
        if let opening { return opening }
        let configuration: HostConfiguration
        switch self.source {
        case .value(let value): configuration = value
        case .file(let path): configuration = try HostConfiguration(contentsOf: path)
        }
        try self.runtime.check(configuration)
        let fresh = Opening(MCPHost(configuration, runtime: self.runtime, logger: self.logger))
        // Another task may have been quicker: its host counts, and ours has not opened anything.
        let chosen = self.state.withLock { state in
            if state.isShutDown { return fresh }
            let opening = state.opening ?? fresh
            state.opening = opening
            state.waiting += 1
            return opening
        }
        guard chosen === fresh else {
            fresh.host.beginShutdown(cause: "not needed")
            return chosen
        }
        fresh.host.journal.note("opened", cause: "initialize() with \(configuration.servers.count) servers")
        fresh.host.root.launch()
        if self.state.withLock({ $0.opening }) !== fresh { fresh.host.beginShutdown(cause: "shut down meanwhile") }
        return fresh
    }

    /// The running host.
    /// - Throws: `notFound` before ``initialize()`` has succeeded, `hostClosed` after ``shutdown()``.
    public var host: MCPHost {
        get throws(MCPError) {
            let (opening, isShutDown) = self.state.withLock { ($0.opening, $0.isShutDown) }
            if isShutDown { throw MCPError(.hostClosed, "the manager is shut down") }
            guard let opening, case .success? = opening.outcome.value else {
                throw MCPError(.notFound, "no host yet: call initialize() first, and await it")
            }
            return opening.host
        }
    }

    /// Opens one more server and waits until it is ready; see ``MCPHost/addServer(_:runtime:)``.
    @discardableResult
    public func register(
        _ server: ServerDefinition,
        runtime: ServerRuntime? = nil
    ) async throws(MCPError) -> ManagedServer {
        try await self.host.addServer(server, runtime: runtime)
    }

    /// Closes one server and waits until nothing is left of it.
    @discardableResult
    public func unregister(_ name: String) async throws(MCPError) -> TeardownReport.Server? {
        try await self.host.removeServer(name)
    }

    /// Closes everything; see ``MCPHost/shutdown()``. Without a host there is nothing to close, and the report says so. A host whose
    /// opening was given up is waited for and reported too, unless it is closed and proved to have left nothing.
    @discardableResult
    public func shutdown() async -> TeardownReport {
        let (opening, abandoned) = self.state.withLock { state in
            state.isShutDown = true
            return (state.opening, state.abandoned.filter { !$0.root.isGoneWithoutTrace })
        }
        var report = TeardownReport(servers: [], open: .init(), duration: .zero, isComplete: true)
        if let opening { report = await opening.host.shutdown() }
        for host in abandoned { report.add(await host.shutdown()) }
        return report
    }
}
