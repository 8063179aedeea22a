import ArgumentParser
import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// A small server of our own, so that the host has something to open on a fresh machine. It speaks both eras over stdio.
struct DemoServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-server",
        abstract: "Be a small MCP server over standard input and output: time, text, arithmetic, a question."
    )

    func run() throws {
        var framer = LineFramer(limit: 16 << 20)
        while true {
            // The end of input: the host has closed us.
            guard let chunk = System.read(0), !chunk.isEmpty else { return }
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
        System.write(Array(message.payload.bytes) + [0x0A], to: 1)
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
        case .toolsList: return (ListToolsResult(tools: DemoTool.all.map(\.tool) + [DemoGreeting.tool]), revision)
        case .toolsCall: return (try self.call(object, revision), revision)
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

    private static func call(
        _ params: JSONObject,
        _ revision: ProtocolRevision
    ) throws(JSONRPCErrorObject) -> any ProtocolObject {
        if params["name"]?.string == DemoGreeting.tool.name { return DemoGreeting.result(of: params, revision) }
        guard let tool = DemoTool.all.first(where: { $0.tool.name == params["name"]?.string }) else {
            throw JSONRPCErrorObject(code: .invalidParams, message: "Unknown tool: \(params["name"] ?? .null)")
        }
        do throws(DemoTool.Problem) {
            let (text, structure) = try tool.run(params["arguments"]?.object ?? JSONObject())
            return CallToolResult(
                content: [.text(TextContent(text: text))],
                structuredContent: structure.map { RawJSON(encoding: $0) },
                isError: false
            )
        } catch {
            return CallToolResult(content: [.text(TextContent(text: error.text))], isError: true)
        }
    }
}

/// A tool that asks the user before it answers.
private enum DemoGreeting {
    static let tool = Tool(
        name: "greet",
        description: "Ask for a name, and greet it.",
        inputSchema: #"{"type":"object","properties":{}}"#,
        annotations: ToolAnnotations(readOnlyHint: true)
    )

    private static let question = ElicitRequestFormParams(
        message: "Who is to be greeted?",
        requestedSchema: ElicitationSchema(
            properties: ElicitationFields([.init("name", .string(StringSchema(title: "Name", minLength: 1)))]),
            required: ["name"]
        )
    )

    /// What is needed first is a result like any other; the call is made again with the answer, so nothing has to be remembered.
    static func result(of params: JSONObject, _ revision: ProtocolRevision) -> any ProtocolObject {
        func text(_ text: String, isError: Bool = false) -> CallToolResult {
            CallToolResult(content: [.text(TextContent(text: text))], isError: isError)
        }
        guard revision.isModern, params["_meta"]?[Meta.Name.clientCapabilities]?["elicitation"]?.object != nil else {
            return text(
                "this needs a client of revision 2026-07-28 that asks its user: mcp-host at a terminal, or --answer name=…",
                isError: true
            )
        }
        guard let answer = params["inputResponses"]?["name"] else {
            let request = InputRequest(.elicit(.form(self.question)))
            return InputRequiredResult(
                inputRequests: InputRequests([.init("name", request)]),
                resultType: .inputRequired
            )
        }
        guard answer["action"] == "accept", let name = answer["content"]?["name"]?.string else {
            return text("nobody is greeted")
        }
        return text("Hello, \(name)!")
    }
}

/// One tool: how it is listed, and what it does.
private struct DemoTool: Sendable {
    struct Problem: Error { var text: String }

    var tool: Tool
    /// What it says, and the same as an object where it has a schema for that.
    var run: @Sendable (JSONObject) throws(Problem) -> (String, JSONObject?)

    static let all: [DemoTool] = [
        DemoTool(
            tool: Tool(
                name: "echo",
                description: "Give the text back.",
                inputSchema: #"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { (arguments) throws(Problem) in (try Self.string("text", arguments), nil) }
        ),
        DemoTool(
            tool: Tool(
                name: "now",
                description: "The current time in UTC, ISO 8601.",
                inputSchema: #"{"type":"object","properties":{}}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { _ in (System.time(), nil) }
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
                return (sum.description, nil)
            }
        ),
        DemoTool(
            tool: Tool(
                name: "count",
                description: "Count the characters, words and lines of a text.",
                inputSchema: #"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#,
                outputSchema:
                    #"{"type":"object","properties":{"characters":{"type":"integer"},"words":{"type":"integer"},"lines":{"type":"integer"}}}"#,
                annotations: ToolAnnotations(readOnlyHint: true)
            ),
            run: { (arguments) throws(Problem) in
                let text = try Self.string("text", arguments)
                let words = text.split(whereSeparator: \.isWhitespace).count
                let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count
                func number(_ count: Int) -> JSONValue { .number(JSONNumber(Int64(count))) }
                return (
                    "\(text.count) characters, \(words) words, \(lines) lines",
                    ["characters": number(text.count), "words": number(words), "lines": number(lines)]
                )
            }
        ),
    ]

    private static func string(_ name: String, _ arguments: JSONObject) throws(Problem) -> String {
        guard let text = arguments[name]?.string else { throw Problem(text: "\"\(name)\" must be a string") }
        return text
    }
}
