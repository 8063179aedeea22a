import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Call a tool.",
        discussion:
            "Arguments are key=value; a value is a string where the tool's schema says so, else JSON if it is JSON."
    )
    @Argument(help: "The server's name in the configuration.") var server: String
    @Argument(help: "The tool's name, as `mcp-host tools` shows it.") var tool: String
    @Argument(help: "Arguments, key=value.") var pairs: [String] = []
    @Option(name: .long, help: "All arguments as one JSON object; key=value go on top.") var args: String?
    @OptionGroup var options: HostOptions

    func run() async throws {
        let base = try self.args.map(Self.object) ?? JSONObject()
        let pairs = try KeyValue.parse(self.pairs)
        let (server, tool, json) = (self.server, self.tool, self.options.json)
        try await HostCommand(options: self.options, only: server).run { host in
            let tools = try await host.server(server).session().listTools()
            guard let found = tools.first(where: { $0.name == tool }) else {
                let names = tools.map(\.name).joined(separator: ", ")
                throw MCPError(.notFound, "no tool \"\(tool)\"; there are: \(names)", server: server)
            }
            var arguments = base
            let schema = try? found.inputSchema.decode(JSONValue.self)
            for (key, text) in pairs { arguments[key] = KeyValue.value(text, schema: schema?["properties"]?[key]) }
            let result = try await host.callTool(server: server, name: tool, arguments: RawJSON(encoding: arguments))
            if !json { for block in result.content { Content.show(block) } }
            let document: JSONObject = ["result": try RawJSON(encoding: result).decode()]
            return (document, result.isError == true ? ExitCodes.toolFailed : nil)
        }
    }

    private static func object(_ text: String) throws -> JSONObject {
        do throws(JSONError) {
            return try RawJSON(copying: text).decode(JSONObject.self)
        } catch {
            throw ValidationError("--args is not a JSON object: \(error)")
        }
    }
}

struct Read: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Read a resource.")
    @Argument(help: "The server's name in the configuration.") var server: String
    @Argument(help: "The resource's URI.") var uri: String
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (server, uri, json) = (self.server, self.uri, self.options.json)
        try await HostCommand(options: self.options, only: server).run { host in
            let result = try await host.readResource(server: server, uri: uri)
            if !json { for contents in result.contents { Content.show(contents) } }
            return (["result": try RawJSON(encoding: result).decode()], nil)
        }
    }
}

struct GetPrompt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "prompt", abstract: "Fill in a prompt.")
    @Argument(help: "The server's name in the configuration.") var server: String
    @Argument(help: "The prompt's name.") var name: String
    @Argument(help: "Arguments, key=value.") var pairs: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let arguments = Dictionary(try KeyValue.parse(self.pairs)) { $1 }
        let (server, name, json) = (self.server, self.name, self.options.json)
        try await HostCommand(options: self.options, only: server).run { host in
            let result = try await host.getPrompt(server: server, name: name, arguments: arguments)
            if !json {
                for message in result.messages {
                    Terminal.out("[\(VisibleText.line(message.role.rawValue))]")
                    Content.show(message.content)
                }
            }
            return (["result": try RawJSON(encoding: result).decode()], nil)
        }
    }
}

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold all servers open until SIGINT or SIGTERM; a second signal kills them at once."
    )
    @OptionGroup var options: HostOptions

    func run() async throws {
        let json = self.options.json
        try await HostCommand(options: self.options, endsBySignal: true).run { host in
            let failed = host.servers.filter { $0.failure != nil }
            for connection in failed {
                Terminal.error("mcp-host: \(VisibleText.block(connection.failure?.description ?? ""))")
            }
            let dormant = host.servers.count { $0.status == .dormant }
            let ready = host.servers.count - failed.count - dormant
            let waiting = dormant == 0 ? "" : ", \(dormant) on demand"
            let line = "\(ready) of \(host.servers.count) servers ready\(waiting)"
            if json { Terminal.error(line) } else { Terminal.out(line) }
            await host.closing()
            return (["ready": .number(JSONNumber(Int64(ready)))], failed.isEmpty ? nil : ExitCodes.serverUnreachable)
        }
    }
}

/// `key=value` from the command line.
enum KeyValue {
    static func parse(_ words: [String]) throws -> [(String, String)] {
        try words.map { word in
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
                throw ValidationError("\"\(word)\" is not key=value")
            }
            return (String(word[..<equals]), String(word[word.index(after: equals)...]))
        }
    }

    static func value(_ text: String, schema: JSONValue?) -> JSONValue {
        if schema?["type"]?.string == "string" { return .string(text) }
        return (try? JSONValue(parsing: text)) ?? .string(text)
    }
}

/// Content from a server, for people.
enum Content {
    static func show(_ block: ContentBlock) {
        switch block {
        case .text(let text): Terminal.out(VisibleText.block(text.text))
        case .image(let image):
            Terminal.out("[image \(VisibleText.line(image.mimeType)), \(image.data.utf8.count * 3 / 4) bytes]")
        case .audio(let audio):
            Terminal.out("[audio \(VisibleText.line(audio.mimeType)), \(audio.data.utf8.count * 3 / 4) bytes]")
        case .resourceLink(let link): Terminal.out("[resource \(VisibleText.line(link.uri))]")
        case .resource(let embedded): self.show(embedded.resource)
        case .unknown(let object): Terminal.out(VisibleText.block(object.description))
        }
    }

    static func show(_ contents: ResourceContents) {
        switch contents {
        case .text(let text): Terminal.out(VisibleText.block(text.text))
        case .blob(let blob):
            let type = VisibleText.line(blob.mimeType ?? "unknown type")
            Terminal.out("[\(VisibleText.line(blob.uri)): \(type), \(blob.blob.utf8.count * 3 / 4) bytes]")
        }
    }
}
