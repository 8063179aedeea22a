import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

struct Servers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "servers",
        abstract: "Open the servers, except those on demand, and say what each is."
    )
    @Argument(help: "Only these servers.") var servers: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json) = (self.servers, self.options.json)
        let disabled = Locked<[String: String]>([:])
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            disabled.withLock { $0 = words.isEmpty ? loaded.disabled : [:] }
            return try Target.servers(words, in: loaded)
        } _: { host in
            var rows: [[String]] = []
            var documents: [JSONValue] = []
            for connection in host.servers {
                let server = connection.server
                let info = server?.serverInfo.map { "\($0.name) \($0.version)" } ?? ""
                let note = connection.failure.map(Self.note(of:)) ?? server?.instructions ?? ""
                rows.append(
                    [connection.name, connection.status.description, server?.revision.rawValue ?? "-", info, note].map {
                        VisibleText.firstLine($0)
                    }
                )
                documents.append(Self.document(connection))
            }
            for (name, member) in disabled.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
                rows.append([VisibleText.line(name), "disabled", "-", "", "\"\(member)\" in the configuration"])
                documents.append(["name": .string(name), "status": "disabled"])
            }
            if !json { Terminal.table(["server", "status", "revision", "is", "note"], rows) }
            var verdict = Verdict(["servers": .array(documents)])
            verdict.tell(
                host.servers.compactMap { connection in
                    connection.failure.map { ServerFailure(server: connection.name, error: $0) }
                }
            )
            verdict.tell(host.servers.flatMap(\.problems))
            return verdict
        }
    }

    /// What has happened, and the server's own last words on it.
    private static func note(of failure: MCPError) -> String {
        let first = failure.message.split(separator: "\n").first.map(String.init) ?? ""
        return failure.lastLine.map { "\(first): \($0)" } ?? first
    }

    private static func document(_ connection: ManagedServer) -> JSONValue {
        let server = connection.server
        return [
            "name": .string(connection.name), "status": .string(connection.status.description),
            "revision": server.map { .string($0.revision.rawValue) } ?? .null,
            "serverInfo": server?.serverInfo.map { .document($0) } ?? .null,
            "capabilities": server.map { .document($0.capabilities) } ?? .null,
            "instructions": server?.instructions.map { .string($0) } ?? .null,
            "failure": connection.failure.map { .object($0.document) } ?? .null,
            "problems": .array(connection.problems.map { .object($0.document) }),
        ]
    }
}

struct Tools: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tools",
        abstract: "List the tools of all servers, or of some; or tell all about one tool.",
        usage:
            "mcp-host tools [<options>] [<server> ...] [-- <program> ...]\nmcp-host tools [<options>] <server> <tool>"
    )
    @Argument(help: "Only these servers; or a server and one of its tools.") var words: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json) = (self.words, self.options.json)
        let tool = Locked<String?>(nil)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            if words.count == 2, loaded.names.contains(words[0]), !loaded.names.contains(words[1]) {
                tool.withLock { $0 = words[1] }
                return [words[0]]
            }
            return try Target.servers(words, in: loaded)
        } _: { host in
            var found = try await host.tools()
            found.problems += await Self.schemaProblems(host)
            if let name = tool.withLock({ $0 }) { return try Self.tell(name, found, json) }
            if !json {
                // On a narrow terminal the second name would leave no room for what a tool does.
                let isNarrow = Terminal.width.map { $0 < 120 } ?? false
                let columns = ["server", "tool"] + (isNarrow ? [] : ["name for models"]) + ["description"]
                Terminal.table(
                    columns,
                    found.items.map { item in
                        let description = item.item.description ?? item.item.title ?? ""
                        let names = isNarrow ? [] : [item.qualifiedName]
                        return ([item.server, "\(Signature(item.item))"] + names + [description]).map {
                            VisibleText.firstLine($0)
                        }
                    }
                )
            }
            var verdict = Verdict(["tools": .array(found.items.map(Self.document))])
            verdict.tell(found)
            Self.noteSilence(host)
            return verdict
        }
    }

    /// A server that offers nothing at all has probably forgotten to say what it offers.
    private static func noteSilence(_ host: MCPHost) {
        for server in host.servers {
            guard let offered = server.server?.capabilities, offered.tools == nil else { continue }
            if host.servers.count == 1 || offered.prompts == nil && offered.resources == nil {
                Terminal.note("\(VisibleText.line(server.name)): declares no tools, so it was not asked for any")
            }
        }
    }

    private static func document(_ tool: ServerItem<Tool>) -> JSONValue {
        ["server": .string(tool.server), "name": .string(tool.qualifiedName), "tool": .document(tool.item)]
    }

    /// Schemas that nothing can be checked against.
    private static func schemaProblems(_ host: MCPHost) async -> [ServerProblem] {
        var problems: [ServerProblem] = []
        for server in host.servers where server.failure == nil && server.status != .dormant {
            guard let session = try? await server.session() else { continue }
            for (tool, reason) in session.compileToolSchemas().sorted(by: { $0.key < $1.key }) {
                let problem = JSONProblem(path: "tool \"\(tool)\"", message: reason, remedy: .unchecked)
                problems.append(
                    ServerProblem(server: server.name, method: Method.toolsList.rawValue, problem: problem)
                )
            }
        }
        return problems
    }

    /// All about one.
    private static func tell(_ name: String, _ found: HostListing<Tool>, _ json: Bool) throws(MCPError) -> Verdict {
        if let failure = found.failures.first { throw failure.error }
        guard
            let item = found.items.first(where: { $0.item.name.isSame(as: name) || $0.qualifiedName.isSame(as: name) })
        else {
            let hint = Similarity.hint(for: name, among: found.items.map(\.item.name))
            throw MCPError(.notFound, "no tool \"\(name)\"\(hint)")
        }
        if !json {
            let (tool, signature) = (item.item, Signature(item.item))
            Terminal.out(VisibleText.line("\(signature)"))
            Terminal.out("  name for models: \(VisibleText.line(item.qualifiedName))")
            if let title = tool.title ?? tool.annotations?.title { Terminal.out("  title: \(VisibleText.line(title))") }
            if let description = tool.description { Terminal.out(VisibleText.block(description)) }
            for parameter in signature.parameters {
                let about = parameter.description.map { "  \(VisibleText.line($0))" } ?? ""
                Terminal.out("  \(VisibleText.line(parameter.text))\(about)")
            }
            if let output = tool.outputSchema { Terminal.out("  answers: \(VisibleText.block(output.description))") }
        }
        return Verdict(["tools": .array([Self.document(item)]), "failures": [], "problems": []])
    }
}

struct Resources: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resources",
        abstract: "List the resources and resource templates of all servers, or of some."
    )
    @Argument(help: "Only these servers.") var servers: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json) = (self.servers, self.options.json)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            try Target.servers(words, in: loaded)
        } _: { host in
            let resources = try await host.resources()
            let templates = try await host.resourceTemplates()
            if !json {
                Terminal.table(
                    ["server", "uri", "name", "type", "description"],
                    (resources.items.map {
                        [$0.server, $0.item.uri, $0.item.name, $0.item.mimeType ?? "", $0.item.description ?? ""]
                    }
                        + templates.items.map {
                            [
                                $0.server, $0.item.uriTemplate, $0.item.name, $0.item.mimeType ?? "",
                                $0.item.description ?? "",
                            ]
                        }).map { $0.map { VisibleText.firstLine($0) } }
                )
            }
            var verdict = Verdict([
                "resources": .array(
                    resources.items.map {
                        [
                            "server": .string($0.server), "uri": .string($0.item.uri), "name": .string($0.item.name),
                            "resource": .document($0.item),
                        ]
                    }
                ),
                "resourceTemplates": .array(
                    templates.items.map {
                        [
                            "server": .string($0.server), "uriTemplate": .string($0.item.uriTemplate),
                            "name": .string($0.item.name), "resourceTemplate": .document($0.item),
                        ]
                    }
                ),
            ])
            verdict.tell(resources)
            // Many servers with resources have no templates, and say so by an error (U18). A server that does not answer at all has been told.
            let told = Set(resources.failures.map(\.server))
            verdict.tell(templates.failures.filter { !$0.isOfMissingMethod && !told.contains($0.server) })
            verdict.tell(templates.problems)
            return verdict
        }
    }
}

extension ServerFailure {
    /// The server does not know the request.
    var isOfMissingMethod: Bool { self.error.rpcError?.code == .methodNotFound }
}

struct Prompts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prompts",
        abstract: "List the prompts of all servers, or of some."
    )
    @Argument(help: "Only these servers.") var servers: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json) = (self.servers, self.options.json)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            try Target.servers(words, in: loaded)
        } _: { host in
            let found = try await host.prompts()
            if !json {
                Terminal.table(
                    ["server", "prompt", "arguments", "description"],
                    found.items.map {
                        let arguments = ($0.item.arguments ?? []).map { $0.required == true ? $0.name : "[\($0.name)]" }
                        return [$0.server, $0.item.name, arguments.joined(separator: " "), $0.item.description ?? ""]
                            .map { VisibleText.firstLine($0) }
                    }
                )
            }
            var verdict = Verdict([
                "prompts": .array(
                    found.items.map {
                        ["server": .string($0.server), "name": .string($0.item.name), "prompt": .document($0.item)]
                    }
                )
            ])
            verdict.tell(found)
            return verdict
        }
    }
}
