import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// What servers are asked, and what is told of them meanwhile.
extension ControlConnection {
    // MARK: Lists

    func list(_ method: String, _ params: Parameters) async throws -> RawJSON {
        let (host, only) = (try self.host(params).host, try params.text("server"))
        switch method {
        case "tools/list":
            return try Self.document(of: try await host.tools(of: only), only, "tools") { item in
                ["name": .string(item.qualifiedName), "tool": ControlDocument.value(item.item)]
            }
        case "resources/list":
            return try Self.document(of: try await host.resources(of: only), only, "resources") {
                ["resource": ControlDocument.value($0.item)]
            }
        case "resources/templates/list":
            return try Self.document(of: try await host.resourceTemplates(of: only), only, "resourceTemplates") {
                ["resourceTemplate": ControlDocument.value($0.item)]
            }
        default:
            return try Self.document(of: try await host.prompts(of: only), only, "prompts") {
                ["prompt": ControlDocument.value($0.item)]
            }
        }
    }

    /// - Throws: why the one server that is meant cannot list.
    private static func document<Item>(
        of listing: HostListing<Item>,
        _ only: String?,
        _ name: String,
        _ members: (ServerItem<Item>) -> JSONObject
    ) throws -> RawJSON {
        if only != nil, let failure = listing.failures.first { throw failure.error.naming(failure.server) }
        let items = listing.items.map { item in
            var document = members(item)
            document["server"] = .string(item.server)
            return JSONValue.object(document)
        }
        return .object([
            name: .array(items),
            "failures": .array(listing.failures.map { ControlDocument.failure($0.error.naming($0.server)) }),
            "problems": .array(listing.problems.map(ControlDocument.problem)),
        ])
    }

    // MARK: Requests

    private func options(_ params: Parameters) throws(ControlError) -> RequestOptions {
        var options = RequestOptions()
        if let limit = try params.seconds("timeout") { (options.idleTimeout, options.hardTimeout) = (limit, limit) }
        options.caller = try params.text("caller")
        return options
    }

    func callTool(_ params: Parameters, _ id: JSONRPCRequestID) async throws -> RawJSON {
        let host = try self.host(params).host
        let name = try params.needed("name")
        let arguments = RawJSON(encoding: try params.object("arguments") ?? JSONObject())
        var options = try self.options(params)
        if try params.flag("progress") {
            let request = ControlDocument.value(id)
            options.onProgress = { [writer = self.writer] progress in
                var document: JSONObject = ["id": request, "progress": ControlDocument.value(progress.progress)]
                if let total = progress.total { document["total"] = ControlDocument.value(total) }
                if let message = progress.message { document["message"] = .string(message) }
                writer.offer(ControlMessage.notification("progress", document))
            }
        }
        let result: CallToolResult =
            if let server = try params.text("server") {
                try await host.callTool(server: server, name: name, arguments: arguments, options: options)
            } else {
                try await host.callTool(name, arguments: arguments, options: options)
            }
        return RawJSON(encoding: result)
    }

    func readResource(_ params: Parameters) async throws -> RawJSON {
        let result = try await self.host(params).host.readResource(
            server: try params.needed("server"),
            uri: try params.needed("uri"),
            options: try self.options(params)
        )
        return RawJSON(encoding: result)
    }

    func getPrompt(_ params: Parameters) async throws -> RawJSON {
        var arguments: [String: String] = [:]
        for (name, value) in try params.object("arguments") ?? JSONObject() {
            guard let text = value.string else {
                throw ControlError.invalidParams("arguments.\(name) has to be a text")
            }
            arguments[name] = text
        }
        let result = try await self.host(params).host.getPrompt(
            server: try params.needed("server"),
            name: try params.needed("name"),
            arguments: arguments,
            options: try self.options(params)
        )
        return RawJSON(encoding: result)
    }

    func complete(_ params: Parameters) async throws -> RawJSON {
        let asked: CompleteRequestParams
        do {
            asked = try RawJSON(encoding: try params.object("params") ?? JSONObject()).decode(
                CompleteRequestParams.self
            )
        } catch let error as JSONError {
            throw ControlError.invalidParams("params.params: \(error)")
        }
        let result = try await self.host(params).host.complete(
            server: try params.needed("server"),
            asked,
            options: try self.options(params)
        )
        return RawJSON(encoding: result)
    }

    /// Any request of the protocol, as it is.
    func forward(_ params: Parameters) async throws -> RawJSON {
        let host = try self.host(params).host
        let (server, method) = (try params.needed("server"), try params.needed("method"))
        let object = try params.object("params").map { RawJSON(encoding: $0) }
        let session = try await host.session(of: server, for: try params.text("caller"))
        return try await session.forward(method, params: object, options: try self.options(params))
    }

    // MARK: What has happened

    /// What the journal has; and what comes into it, until the request is cancelled or the host is closed.
    func events(_ params: Parameters, _ id: JSONRPCRequestID) async throws -> RawJSON {
        let host = try self.host(params).host
        let since = try params.number("since") ?? 0
        guard since >= 0 else { throw ControlError.invalidParams("since has to be 0 or more") }
        guard try params.flag("follow") else {
            let entries = host.journal.entries.filter { $0.number > since }
            return .object(["events": .array(entries.map(ControlDocument.event))])
        }
        let request = ControlDocument.value(id)
        // The journal numbers without gaps, so that what is lost anywhere shows.
        var (told, seen) = (Int(clamping: since), 0)
        for await entry in host.journal.updates() {
            seen = max(seen, entry.number)
            if entry.number > told {
                let dropped = told == 0 ? 0 : entry.number - told - 1
                let document: JSONObject = [
                    "id": request, "event": ControlDocument.event(entry),
                    "dropped": .number(JSONNumber(Int64(dropped))),
                ]
                if self.writer.offer(ControlMessage.notification("event", document)) { told = entry.number }
            }
            if entry.server == nil, entry.event == "closed" { break }
        }
        try Task.checkCancellation()
        return .object(["events": [], "dropped": .number(JSONNumber(Int64(max(0, seen - told))))])
    }

    func why(_ params: Parameters) throws -> RawJSON {
        let controlled = try self.host(params)
        let server = try params.needed("server")
        let entries = controlled.host.journal.entries.filter {
            $0.server == nil || $0.server?.isSame(as: server) == true
        }
        let found = try? controlled.host.server(server)
        guard found != nil || entries.contains(where: { $0.server != nil }) else {
            // It says which there are.
            _ = try controlled.host.server(server)
            return [:]
        }
        return .object([
            "events": .array(entries.map(ControlDocument.event)),
            "server": found.map { .object(ControlDocument.server($0)) } ?? .null,
            "stderr": .array(controlled.standardError.lines(of: server).map { .string($0) }),
        ])
    }

    func standardError(_ params: Parameters) throws -> RawJSON {
        let (controlled, server) = (try self.host(params), try params.needed("server"))
        let lines = controlled.standardError.lines(of: server)
        // One that has been removed may still be asked for; of one that never was it is said which there are.
        if lines.isEmpty { _ = try controlled.host.server(server) }
        return .object(["lines": .array(lines.map { .string($0) })])
    }

    /// What runs of each server now.
    func processes(_ params: Parameters) async throws -> RawJSON {
        let found = await Self.processes(of: try self.host(params).host.servers)
        let documents = found.filter { !$0.processes.isEmpty }
            .map { server, processes -> JSONValue in
                let list = processes.map { process -> JSONValue in
                    ["pid": .number(JSONNumber(Int64(process.pid))), "command": .string(process.command)]
                }
                return ["server": .string(server.name), "processes": .array(list)]
            }
        return .object(["servers": .array(documents)])
    }

    private typealias Processes = [(pid: Int32, command: String)]

    /// Looks at all at once: one look at the system's processes is enough for them.
    private static func processes(of servers: [ManagedServer]) async -> [(server: ManagedServer, processes: Processes)]
    {
        await withTaskGroup(of: (Int, Processes).self) { group in
            for (place, server) in servers.enumerated() { group.addTask { (place, await server.processes()) } }
            let found = await group.reduce(into: [Int: Processes]()) { $0[$1.0] = $1.1 }
            return servers.enumerated().map { ($1, found[$0] ?? []) }
        }
    }

    /// How what runs of servers was started, by the numbers of the processes: when something of it is left, nobody can be asked any more.
    static func commands(of servers: [ManagedServer]) async -> JSONValue {
        var commands = JSONObject()
        for (_, processes) in await self.processes(of: servers) {
            for process in processes { commands["\(process.pid)"] = .string(process.command) }
        }
        return .object(commands)
    }

    func accounts(_ params: Parameters) throws -> RawJSON {
        let open = try self.host(params).host.openResources
        let number = { (count: Int) in JSONValue.number(JSONNumber(Int64(count))) }
        return .object([
            "processes": number(open.processes), "descriptors": number(open.descriptors), "timers": number(open.timers),
            "tasks": number(open.tasks), "requests": number(open.requests),
        ])
    }
}
