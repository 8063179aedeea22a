import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

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
        var isWatched: Bool?
        if let pid = try params.number("pid") {
            guard let pid = Int32(exactly: pid), pid > 0 else {
                throw .invalidParams("pid has to be a process's number")
            }
            isWatched = self.watch(pid)
        }
        return .object([
            "watched": isWatched.map { .bool($0) } ?? .null, "protocol": .number(JSONNumber(Self.version)),
            "name": "mcp-host", "version": "0.1.0",
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
        var file = ConfigurationFile()
        if let path = try params.text("file") { file = try await Self.configuration(at: path) }
        if let value = try params.object("configuration") {
            file.add(try Self.configuration(value, folder: try params.text("directory")), named: "configuration")
        }
        var configuration = file.configuration
        // Whoever waits for the start is told at once that a server does not come up.
        for place in configuration.servers.indices { configuration.servers[place].restart.includesFailedStarts = false }
        let names = configuration.servers.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw MCPError(
                .invalidConfiguration,
                "two servers have the name \"\(twice)\"; a name is one however it is encoded"
            )
        }
        let (lines, id) = (StandardErrorLines(), Locked(""))
        var runtime = HostRuntime(handlers: try self.handlers(for: try params.texts("answers"), of: id))
        runtime.lifecycleLog = LifecycleLog()
        runtime.onStandardError = { server, line in lines.add(line, of: server) }
        let controlled = try self.hosts.add(lines) { MCPHost(configuration, runtime: runtime) }
        id.withLock { $0 = controlled.id }
        let host = controlled.host
        host.launch()
        guard await host.ready() else {
            host.beginShutdown(.graceful, cause: "the request to start it was taken back")
            self.closeLater(controlled)
            throw CancellationError()
        }
        var document = ControlDocument.servers(host)
        document["host"] = .string(controlled.id)
        document["remarks"] = .array(file.remarks.map { .string($0) })
        return .object(document)
    }

    /// Reads a file on a thread of its own: it may be on a file system that does not answer.
    private static func configuration(at path: String) async throws -> ConfigurationFile {
        guard path != "-" else {
            throw MCPError(.invalidConfiguration, "\"-\" is this channel; write the content into \"configuration\"")
        }
        let outcome = OneShot<Result<ConfigurationFile, MCPError>>()
        // With room for whatever a file may nest.
        let failure = SmallThread.start(stackSize: 8 << 20) {
            var info = stat()
            guard stat(path, &info) != 0 || info.st_mode & S_IFMT == S_IFREG else {
                let error = MCPError(
                    .invalidConfiguration,
                    "\(path) is no file; write its content into \"configuration\""
                )
                outcome.complete(.failure(error))
                return
            }
            let result: Result<ConfigurationFile, MCPError>
            do throws(MCPError) { result = .success(try ConfigurationFile(contentsOf: path)) } catch {
                result = .failure(error)
            }
            outcome.complete(result)
        }
        guard failure == 0 else { throw MCPError(.busy, "there is no thread for reading \(path)") }
        guard let result = await outcome.waitUnlessCancelled() else { throw CancellationError() }
        return try result.get()
    }

    private static func configuration(_ value: JSONObject, folder: String?) throws -> ConfigurationFile {
        let text = value["mcpServers"] == nil ? JSONValue.object(["mcpServers": .object(value)]) : .object(value)
        return try ConfigurationFile(parsing: RawJSON(encoding: text).bytes, file: "configuration", folder: folder)
    }

    private func shutDown(_ params: Parameters) async throws -> RawJSON {
        // All who close it get the same report.
        if let report = self.hosts.report(of: try params.text("host")) { return report }
        let controlled = try self.host(params)
        if controlled.isShared {
            throw MCPError(.notSupported, "the host \"\(controlled.id)\" is shared; it ends with its program")
        }
        let isNow = try params.flag("now")
        let commands = await Self.commands(of: controlled.host.servers)
        let report = await isNow ? controlled.host.shutdownNow() : controlled.host.shutdown()
        guard report.isComplete else {
            self.closeLater(controlled)
            throw CancellationError()
        }
        return self.hosts.remove(controlled, report, commands)
    }

    // MARK: Servers

    /// A host whose servers are the client's to add, to end and to restart.
    private func ownHost(_ params: Parameters) throws -> ControlledHost {
        let controlled = try self.host(params)
        if controlled.isShared {
            throw MCPError(.notSupported, "the host \"\(controlled.id)\" is shared, and its servers are everybody's")
        }
        return controlled
    }

    private func addServer(_ params: Parameters) async throws -> RawJSON {
        let controlled = try self.ownHost(params)
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
        let (controlled, name) = (try self.ownHost(params), try params.needed("server"))
        let commands = await Self.commands(of: [try controlled.host.server(name)])
        guard let report = await controlled.host.removeServer(name) else { throw CancellationError() }
        controlled.standardError.forget(name)
        return .object(["server": report.json, "commands": commands])
    }

    private func restartServer(_ params: Parameters) async throws -> RawJSON {
        let server = try await self.ownHost(params).host.restartServer(try params.needed("server"))
        return .object(ControlDocument.server(server))
    }

    private func killServer(_ params: Parameters) async throws -> RawJSON {
        let host = try self.ownHost(params).host
        let server = try host.server(try params.needed("server"))
        guard let generation = server.crash() else {
            throw MCPError(.notFound, "it has no process now (it is \(server.status))", server: server.name)
        }
        // Whoever waits for the next one must not find this one.
        let isKnown = try await Self.wait(for: server, of: host, atMost: .seconds(10)) {
            host.journal.entries(for: server.name).contains {
                $0.generation == generation && ["lost", "ended", "closed", "failed"].contains($0.event)
            }
        }
        if !isKnown {
            throw MCPError(.timeout, "it was killed, and its end has not been seen yet", server: server.name)
        }
        return [:]
    }

    /// Waits until something is so; looks whenever something happens to the host.
    /// - Returns: whether it is; false when the time is over, and when the server or its host is closed for good.
    /// - Throws: where the calling task is cancelled.
    private static func wait(
        for server: ManagedServer,
        of host: MCPHost,
        atMost limit: Duration,
        until condition: @escaping @Sendable () -> Bool
    ) async throws -> Bool {
        if condition() { return true }
        let over = OneShot<Bool>()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await entry in host.journal.updates() {
                    if condition() {
                        _ = over.complete(true)
                        return
                    }
                    if entry.server == nil, entry.event == "closed" {
                        _ = over.complete(false)
                        return
                    }
                }
            }
            group.addTask {
                // Removed, or closed with its host: nothing follows.
                if await server.waitUntilGoneUnlessCancelled() != nil, server.isOver { over.complete(false) }
            }
            _ = await over.waitUnlessCancelled(atMost: limit, by: SystemMonotonicClock(), late: false)
            group.cancelAll()
        }
        try Task.checkCancellation()
        return condition()
    }

    private func waitForServer(_ params: Parameters) async throws -> RawJSON {
        let host = try self.host(params).host
        let (server, wanted) = (try host.server(try params.needed("server")), try params.needed("status"))
        let known = ["dormant", "starting", "ready", "restarting", "closing", "closed", "failed", "needsAuthorization"]
        guard known.contains(wanted) else {
            throw ControlError.invalidParams("status has to be one of \(known.joined(separator: ", "))")
        }
        let limit = try params.seconds("timeout") ?? .seconds(30)
        let isReached = try await Self.wait(for: server, of: host, atMost: limit) {
            server.status.description == wanted
        }
        guard isReached else {
            let why = "it is \(server.status), and not \(wanted) within \(limit.inMilliseconds)"
            throw MCPError(.timeout, why, server: server.name)
        }
        return .object(ControlDocument.server(server))
    }
}

extension RawJSON {
    /// An answer.
    static func object(_ members: JSONObject) -> RawJSON { RawJSON(encoding: members) }
}
