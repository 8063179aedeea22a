import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

struct Servers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Open the servers, except those on demand, and say what each is."
    )
    @OptionGroup var options: HostOptions

    func run() async throws {
        let json = self.options.json
        try await HostCommand(options: self.options).run { host in
            var rows: [[String]] = []
            var documents: [JSONValue] = []
            for connection in host.servers {
                let server = connection.server
                let info = server?.serverInfo.map { "\($0.name) \($0.version)" } ?? ""
                let note = connection.failure?.message ?? server?.instructions ?? ""
                let firstLine = String(note.prefix { !$0.isNewline })
                rows.append(
                    [connection.name, connection.status.description, server?.revision.rawValue ?? "-", info, firstLine]
                        .map {
                            VisibleText.line($0)
                        }
                )
                documents.append([
                    "name": .string(connection.name), "status": .string(connection.status.description),
                    "revision": server.map { .string($0.revision.rawValue) } ?? .null,
                    "serverInfo": server?.serverInfo.flatMap { try? RawJSON(encoding: $0).decode() } ?? .null,
                    "failure": connection.failure.map { .string($0.message) } ?? .null,
                ])
            }
            if !json { Terminal.table(["server", "status", "revision", "is", "note"], rows) }
            let failures = host.servers.compactMap { connection in
                connection.failure.map { ServerFailure(server: connection.name, error: $0) }
            }
            return (["servers": .array(documents)], HostCommand.tell(failures).1)
        }
    }
}

struct Tools: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the tools of all servers.")
    @OptionGroup var options: HostOptions

    func run() async throws {
        let json = self.options.json
        try await HostCommand(options: self.options).run { host in
            let found = try await host.tools()
            if !json {
                Terminal.table(
                    ["server", "tool", "name for models", "description"],
                    found.items.map {
                        [$0.server, $0.item.name, $0.qualifiedName, $0.item.description ?? ""].map {
                            VisibleText.line($0)
                        }
                    }
                )
            }
            let (failures, code) = HostCommand.tell(found.failures)
            let tools = found.items.map { tool -> JSONValue in
                ["server": .string(tool.server), "name": .string(tool.qualifiedName), "tool": Self.document(tool.item)]
            }
            return (["tools": .array(tools), "failures": failures], code)
        }
    }

    private static func document(_ value: some ProtocolObject) -> JSONValue {
        (try? RawJSON(encoding: value).decode()) ?? .null
    }
}

struct Resources: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the resources and resource templates of all servers."
    )
    @OptionGroup var options: HostOptions

    func run() async throws {
        let json = self.options.json
        try await HostCommand(options: self.options).run { host in
            let resources = try await host.resources()
            let templates = try await host.resourceTemplates()
            let rows =
                resources.items.map { ($0.server, $0.item.uri, $0.item.name, $0.item.description) }
                + templates.items.map { ($0.server, $0.item.uriTemplate, $0.item.name, $0.item.description) }
            if !json {
                Terminal.table(
                    ["server", "uri", "name", "description"],
                    rows.map { [$0.0, $0.1, $0.2, $0.3 ?? ""].map { VisibleText.line($0) } }
                )
            }
            let (failures, code) = HostCommand.tell(resources.failures)
            let list = rows.map { ["server": .string($0.0), "uri": .string($0.1), "name": .string($0.2)] as JSONValue }
            return (["resources": .array(list), "failures": failures], code)
        }
    }
}

struct Prompts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the prompts of all servers.")
    @OptionGroup var options: HostOptions

    func run() async throws {
        let json = self.options.json
        try await HostCommand(options: self.options).run { host in
            let found = try await host.prompts()
            if !json {
                Terminal.table(
                    ["server", "prompt", "arguments", "description"],
                    found.items.map {
                        let arguments = ($0.item.arguments ?? []).map { $0.required == true ? $0.name : "[\($0.name)]" }
                        return [$0.server, $0.item.name, arguments.joined(separator: " "), $0.item.description ?? ""]
                            .map { VisibleText.line($0) }
                    }
                )
            }
            let (failures, code) = HostCommand.tell(found.failures)
            let list = found.items.map { ["server": .string($0.server), "name": .string($0.item.name)] as JSONValue }
            return (["prompts": .array(list), "failures": failures], code)
        }
    }
}
