import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// The methods of docs/control.md.
extension ControlConnection {
    /// The version of the channel: counts up where a client of an older one would go wrong.
    static let version: Int64 = 1

    /// What comes of a request.
    func answer(_ request: Request) async throws -> RawJSON {
        let params = try Parameters(request.params)
        switch request.method {
        case "hello": return try self.hello(params)
        case "hosts/start": return try await self.startHost(params)
        case "hosts/shutdown": return try await self.shutDown(params)
        case "hosts/list": return .object(["hosts": .array(self.hosts.all.map(ControlDocument.host))])
        case "servers/list": return .object(ControlDocument.servers(try self.host(params).host))
        case "servers/add": return try await self.addServer(params)
        case "servers/remove": return try await self.removeServer(params)
        case "servers/restart": return try await self.restartServer(params)
        case "servers/kill": return try await self.killServer(params)
        case "servers/wait": return try await self.waitForServer(params)
        case "tools/list", "resources/list", "resources/templates/list", "prompts/list":
            return try await self.list(request.method, params)
        case "tools/call": return try await self.callTool(params, request.id)
        case "resources/read": return try await self.readResource(params)
        case "prompts/get": return try await self.getPrompt(params)
        case "forward": return try await self.forward(params)
        case "complete": return try await self.complete(params)
        case "events": return try await self.events(params, request.id)
        case "why": return try self.why(params)
        case "stderr": return try self.standardError(params)
        case "accounts": return try self.accounts(params)
        case "processes": return try await self.processes(params)
        default: throw ControlError.unknown(request.method)
        }
    }

    private func hello(_ params: Parameters) throws(ControlError) -> RawJSON {
        let asked = try params.number("protocol") ?? Self.version
        guard asked == Self.version else {
            throw ControlError(
                MCPError(.notSupported, "protocol \(asked) is not spoken here; this mcp-host speaks \(Self.version)")
            )
        }
        return .object([
            "protocol": .number(JSONNumber(Self.version)), "name": "mcp-host", "version": "0.1.0",
            "revisions": .array(ProtocolRevision.all.map { .string($0.rawValue) }),
            "limits": [
                "messageBytes": .number(JSONNumber(Int64(Self.maximumMessageSize))),
                "requests": .number(JSONNumber(Int64(Self.maximumRequests))),
                "hosts": .number(JSONNumber(Int64(ControlledHosts.maximum))),
            ],
        ])
    }

    func host(_ params: Parameters) throws(ControlError) -> ControlledHost {
        try self.hosts.find(try params.text("host"))
    }

    // MARK: Hosts

    private func startHost(_ params: Parameters) async throws -> RawJSON {
        var configuration = HostConfiguration()
        var remarks: [String] = []
        if let file = try params.text("file") {
            let read = try ConfigurationFile(contentsOf: file)
            (configuration, remarks) = (read.configuration, read.remarks)
        }
        if let value = try params.object("configuration") {
            let read = try Self.configuration(value, folder: try params.text("directory"))
            configuration.servers.removeAll { known in
                read.configuration.servers.contains { $0.name.isSame(as: known.name) }
            }
            configuration.servers += read.configuration.servers
            remarks += read.remarks
        }
        let lines = StandardErrorLines()
        // Whoever waits for the start is told at once that a server does not come up.
        for place in configuration.servers.indices { configuration.servers[place].restart.includesFailedStarts = false }
        let id = Locked("")
        var runtime = HostRuntime(handlers: try self.handlers(for: try params.texts("answers"), of: id))
        runtime.lifecycleLog = LifecycleLog()
        runtime.onStandardError = { server, line in lines.add(line, of: server) }
        let host = MCPHost(configuration, runtime: runtime)
        let controlled = try self.hosts.add(host, lines)
        id.withLock { $0 = controlled.id }
        host.launch()
        guard await host.ready() else {
            host.beginShutdown(.graceful, cause: "the request to start it was cancelled")
            // It stays on the books until it is closed, or the client goes.
            throw MCPError(.cancelled, "starting the host was cancelled; what was open is being closed")
        }
        var document = ControlDocument.servers(host)
        document["host"] = .string(controlled.id)
        document["remarks"] = .array(remarks.map { .string($0) })
        return .object(document)
    }

    private static func configuration(_ value: JSONObject, folder: String?) throws -> ConfigurationFile {
        let text = value["mcpServers"] == nil ? JSONValue.object(["mcpServers": .object(value)]) : .object(value)
        return try ConfigurationFile(parsing: RawJSON(encoding: text).bytes, file: "configuration", folder: folder)
    }

    private func shutDown(_ params: Parameters) async throws -> RawJSON {
        // All who close it get the same report.
        if let id = try params.text("host"), let report = self.hosts.report(of: id) { return RawJSON(encoding: report) }
        let controlled = try self.host(params)
        if controlled.isShared {
            throw ControlError(
                MCPError(.notSupported, "the host \"\(controlled.id)\" is shared; it ends with its program")
            )
        }
        let isNow = try params.flag("now")
        let report = await isNow ? controlled.host.shutdownNow() : controlled.host.shutdown()
        if report.isComplete { self.hosts.remove(controlled, report) }
        return RawJSON(encoding: report)
    }

    // MARK: Servers

    private func addServer(_ params: Parameters) async throws -> RawJSON {
        let controlled = try self.host(params)
        let name = try params.needed("server")
        guard let definition = try params.object("definition") else {
            throw ControlError.invalidParams("definition is missing: an object with command, args, env ...")
        }
        let read = try Self.configuration(
            ["mcpServers": .object(JSONObject([(name, .object(definition))]))],
            folder: try params.text("directory")
        )
        guard var server = read.configuration.servers.first else {
            throw MCPError(.invalidConfiguration, "the server \"\(name)\" is disabled in its definition")
        }
        if let reason = server.transport.reason {
            let isRemote = ["url", "httpUrl", "serverUrl"].contains { definition[$0] != nil }
            throw MCPError(isRemote ? .notSupported : .invalidConfiguration, reason, server: name)
        }
        server.restart.includesFailedStarts = false
        let answers = try params.texts("answers")
        let runtime =
            answers.isEmpty ? nil : ServerRuntime(handlers: try self.handlers(for: answers, of: Locked(controlled.id)))
        let added = try await controlled.host.addServer(server, runtime: runtime)
        return .object(ControlDocument.server(added))
    }

    private func removeServer(_ params: Parameters) async throws -> RawJSON {
        let (controlled, name) = (try self.host(params), try params.needed("server"))
        _ = try controlled.host.server(name)
        guard let report = await controlled.host.removeServer(name) else {
            throw MCPError(.cancelled, "the server is being closed, and nobody waits for it", server: name)
        }
        return .object(["server": report.json])
    }

    private func restartServer(_ params: Parameters) async throws -> RawJSON {
        let server = try await self.host(params).host.restartServer(try params.needed("server"))
        return .object(ControlDocument.server(server))
    }

    private func killServer(_ params: Parameters) async throws -> RawJSON {
        let host = try self.host(params).host
        let server = try host.server(try params.needed("server"))
        guard let process = server.processID, server.crash() else {
            throw MCPError(.notFound, "it has no process now (it is \(server.status))", server: server.name)
        }
        // Whoever waits for the next one must not find this one.
        guard
            await Self.wait(
                for: host,
                atMost: .seconds(10),
                until: { server.processID != process || server.status != .ready }
            )
        else { throw MCPError(.timeout, "it was killed, and its end has not been seen yet", server: server.name) }
        return [:]
    }

    /// Waits until something is so; looks whenever something happens to the host.
    /// - Returns: whether it is.
    private static func wait(
        for host: MCPHost,
        atMost limit: Duration,
        until condition: @escaping @Sendable () -> Bool
    ) async -> Bool {
        let reached = OneShot<Bool>()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in host.journal.updates() where condition() {
                    reached.complete(true)
                    return
                }
            }
            _ = await reached.waitUnlessCancelled(atMost: limit, by: SystemMonotonicClock(), late: false)
            group.cancelAll()
        }
        return reached.value == true
    }

    private func waitForServer(_ params: Parameters) async throws -> RawJSON {
        let host = try self.host(params).host
        let (server, wanted) = (try host.server(try params.needed("server")), try params.needed("status"))
        let known = ["dormant", "starting", "ready", "restarting", "closing", "closed", "failed", "needsAuthorization"]
        guard known.contains(wanted) else {
            throw ControlError.invalidParams("status has to be one of \(known.joined(separator: ", "))")
        }
        let limit = try params.seconds("timeout") ?? .seconds(30)
        guard await Self.wait(for: host, atMost: limit, until: { server.status.description == wanted }) else {
            let isCancelled = Task.isCancelled
            throw MCPError(
                isCancelled ? .cancelled : .timeout,
                isCancelled
                    ? "the waiting was cancelled"
                    : "it is \(server.status), and not \(wanted) within \(limit.inMilliseconds)",
                server: server.name
            )
        }
        return .object(ControlDocument.server(server))
    }
}

extension RawJSON {
    /// An answer.
    static func object(_ members: JSONObject) -> RawJSON { RawJSON(encoding: members) }
}
