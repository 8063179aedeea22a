import ArgumentParser
import Foundation
import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// A small server of our own, so that the host has something to open on a fresh machine. It speaks both eras over stdio.
struct DemoServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-server",
        abstract: "Be a small MCP server over standard input and output: time, text, files' checksums, arithmetic."
    )

    func run() throws {
        var framer = LineFramer(limit: 16 << 20)
        while true {
            let chunk = FileHandle.standardInput.availableData
            if chunk.isEmpty { return }  // end of input: the host has closed us
            chunk.withUnsafeBytes { bytes in
                framer.append(bytes) { frame in
                    if case .message(let message) = frame { Self.handle(message) }
                }
            }
        }
    }

    private static func handle(_ message: RawJSON) {
        guard let envelope = try? Envelope(scanning: message) else {
            return Self.send(MessageWriter.error(nil, .invalidRequest, "Not a message"))
        }
        guard case .request(let id, let method) = envelope.kind else { return }
        do throws(JSONRPCErrorObject) {
            Self.send(try DemoMethods.answer(Method(rawValue: method), envelope.payload ?? [:], id: id))
        } catch {
            Self.send(MessageWriter.error(id, error.code, error.message, data: error.data))
        }
    }

    private static func send(_ message: OutgoingMessage) {
        FileHandle.standardOutput.write(Data(message.payload.bytes + [0x0A]))
    }
}

private enum DemoMethods {
    static let info = Implementation(name: "mcp-host demo server", version: "0.1.0")
    static let capabilities = ServerCapabilities(
        prompts: PromptsCapability(),
        resources: ResourcesCapability(),
        tools: ToolsCapability()
    )

    static func answer(
        _ method: Method,
        _ params: RawJSON,
        id: JSONRPCRequestID
    ) throws(JSONRPCErrorObject) -> OutgoingMessage {
        let (result, revision) = try self.result(method, params)
        return MessageWriter.result(id) { result.encode(to: &$0, for: revision) }
    }

    /// - Returns: what came of it, and the revision in which that is written.
    private static func result(
        _ method: Method,
        _ params: RawJSON
    ) throws(JSONRPCErrorObject) -> (any ProtocolObject, ProtocolRevision) {
        let object = (try? params.decode(JSONObject.self)) ?? JSONObject()
        let revision: ProtocolRevision =
            object["_meta"]?[Meta.Name.protocolVersion]?.string.flatMap(ProtocolRevision.init) ?? .latestLegacy
        switch method {
        case .initialize:
            let asked = object["protocolVersion"]?.string.flatMap(ProtocolRevision.init) ?? .latestLegacy
            let result = InitializeResult(
                protocolVersion: min(asked, .latestLegacy).rawValue,
                capabilities: self.capabilities,
                serverInfo: self.info
            )
            return (result, .latestLegacy)
        case .serverDiscover:
            let result = DiscoverResult(
                supportedVersions: ProtocolRevision.all.map(\.rawValue),
                capabilities: self.capabilities,
                meta: [
                    "io.modelcontextprotocol/serverInfo": [
                        "name": .string(self.info.name), "version": .string(self.info.version),
                    ]
                ]
            )
            return (result, .latest)
        case .ping: return (EmptyResult(), revision)
        case .toolsList: return (ListToolsResult(tools: DemoTool.all.map(\.tool)), revision)
        case .toolsCall: return (try self.call(object), revision)
        case .resourcesList:
            let resource = Resource(
                uri: "demo://about",
                name: "about",
                description: "What this server is.",
                mimeType: "text/plain"
            )
            return (ListResourcesResult(resources: [resource]), revision)
        case .resourcesTemplatesList: return (ListResourceTemplatesResult(resourceTemplates: []), revision)
        case .resourcesRead:
            guard object["uri"]?.string == "demo://about" else {
                throw JSONRPCErrorObject(
                    code: revision.isModern ? .invalidParams : .resourceNotFound,
                    message: "Resource not found",
                    data: ["uri": object["uri"] ?? .null]
                )
            }
            let text = "The demo server of mcp-host. It shows that the host works, and what a server looks like."
            return (
                ReadResourceResult(contents: [.text(TextResourceContents(uri: "demo://about", text: text))]),
                revision
            )
        case .promptsList:
            let argument = PromptArgument(name: "text", description: "What to summarise.", required: true)
            let prompt = Prompt(name: "summarise", description: "Ask for a summary.", arguments: [argument])
            return (ListPromptsResult(prompts: [prompt]), revision)
        case .promptsGet:
            guard object["name"]?.string == "summarise", let text = object["arguments"]?["text"]?.string else {
                throw JSONRPCErrorObject(
                    code: .invalidParams,
                    message: "prompt \"summarise\" with argument \"text\" is what there is"
                )
            }
            let message = PromptMessage(
                role: .user,
                content: .text(TextContent(text: "Summarise in one sentence:\n\(text)"))
            )
            return (GetPromptResult(messages: [message]), revision)
        default: throw JSONRPCErrorObject(code: .methodNotFound, message: "Method not found: \(method.rawValue)")
        }
    }

    private static func call(_ params: JSONObject) throws(JSONRPCErrorObject) -> CallToolResult {
        guard let tool = DemoTool.all.first(where: { $0.tool.name == params["name"]?.string }) else {
            throw JSONRPCErrorObject(code: .invalidParams, message: "Unknown tool: \(params["name"] ?? .null)")
        }
        do throws(DemoTool.Problem) {
            let text = try tool.run(params["arguments"]?.object ?? JSONObject())
            return CallToolResult(content: [.text(TextContent(text: text))], isError: false)
        } catch {
            return CallToolResult(content: [.text(TextContent(text: error.text))], isError: true)
        }
    }
}

/// One tool: how it is listed, and what it does.
private struct DemoTool: Sendable {
    struct Problem: Error { var text: String }

    var tool: Tool
    var run: @Sendable (JSONObject) throws(Problem) -> String

    static let all: [DemoTool] = [
        DemoTool(
            tool: Tool(
                name: "echo",
                description: "Give the text back.",
                inputSchema: #"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { (arguments) throws(Problem) in try Self.string("text", arguments) }
        ),
        DemoTool(
            tool: Tool(
                name: "now",
                description: "The current time in UTC, ISO 8601.",
                inputSchema: #"{"type":"object","properties":{}}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { _ in Date().formatted(.iso8601) }
        ),
        DemoTool(
            tool: Tool(
                name: "add",
                description: "Add two numbers.",
                inputSchema:
                    #"{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { (arguments) throws(Problem) in
                guard let a = arguments["a"]?.double, let b = arguments["b"]?.double else {
                    throw Problem(text: "\"a\" and \"b\" must be numbers")
                }
                guard let sum = JSONNumber(a + b) else { throw Problem(text: "the sum is too large") }
                return sum.description
            }
        ),
        DemoTool(
            tool: Tool(
                name: "count",
                description: "Count the characters, words and lines of a text.",
                inputSchema: #"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { (arguments) throws(Problem) in
                let text = try Self.string("text", arguments)
                let words = text.split(whereSeparator: \.isWhitespace).count
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
                return "\(text.count) characters, \(words) words, \(lines) lines"
            }
        ),
    ]

    private static func string(_ name: String, _ arguments: JSONObject) throws(Problem) -> String {
        guard let text = arguments[name]?.string else { throw Problem(text: "\"\(name)\" must be a string") }
        return text
    }
}
