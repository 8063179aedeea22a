import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Tools as models are told of them, and calls as they come back.
@Suite("Models", .timeLimit(.minutes(5)))
struct ModelTests {
    private static func listing(_ tools: [(String, JSONValue)], description: String? = "d") -> HostListing<Tool> {
        HostListing(
            items: tools.map { name, schema in
                ServerItem(
                    server: "s",
                    item: Tool(name: name, description: description, inputSchema: RawJSON(encoding: schema))
                )
            }
        )
    }

    private static func parameters(_ schema: JSONValue, _ interface: ModelInterface) throws -> (JSONValue, [String]) {
        let definitions = Self.listing([("t", schema)]).definitions(for: interface)
        let definition = try #require(definitions.definitions.first)
        let json = definition.json
        return (
            json["input_schema"] ?? json["function"]?["parameters"] ?? json["parameters"] ?? .null, definition.changes
        )
    }

    @Test("each interface's form; names and descriptions within its bounds, and what was changed is told")
    func forms() throws {
        let schema: JSONValue = ["type": "object", "properties": ["a": ["type": "string"]], "required": ["a"]]
        let long = String(repeating: "é", count: 2000)
        let listing = Self.listing([("t", schema), ("calendar.read", schema), ("t", schema)], description: long)
        for interface in [ModelInterface.anthropic, .openAI, .gemini] {
            let all = listing.definitions(for: interface)
            #expect(all.definitions.map(\.tool) == ["t", "calendar.read"] && all.json.count == 2)
            for definition in all.definitions {
                let function = definition.json["function"] ?? definition.json
                #expect(
                    function["name"]?.string == definition.name
                        && definition.name.wholeMatch(of: /[a-zA-Z0-9_-]{1,64}/) != nil
                )
                #expect((function["description"]?.string?.count ?? 0) == (interface == .openAI ? 1024 : 2000))
            }
            #expect(all.changes.contains { $0.contains("its server calls it \"calendar.read\"") })
        }
        #expect(listing.definitions(for: .anthropic).json[0]["input_schema"] == schema)
        #expect(listing.definitions(for: .openAI).json[0]["type"] == "function")
        #expect(listing.definitions(for: .openAI).json[0]["function"]?["parameters"] == schema)
        #expect(listing.definitions(for: .gemini).json[0]["parameters"] == schema)
    }

    @Test(
        "schemas that no interface takes at the top: no object, alternatives, nothing said",
        arguments: [ModelInterface.anthropic, .openAI]
    )
    func tops(interface: ModelInterface) throws {
        for schema in [true, [:], ["$schema": "x"], ["type": "string"]] as [JSONValue] {
            let (parameters, changes) = try Self.parameters(schema, interface)
            #expect(
                parameters["type"] == "object" && parameters["properties"] == [:] && changes.count == 1,
                "\(schema): \(changes)"
            )
        }
        let alternatives: JSONValue = [
            "type": "object", "properties": ["x": ["type": "string"]], "required": ["x"],
            "anyOf": [["properties": ["a": ["type": "integer"]], "required": ["a", "c"]], ["$ref": "#/$defs/B"]],
            "not": ["required": ["z"]],
            "$defs": ["B": ["properties": ["b": ["type": "boolean"]], "required": ["c"]]],
        ]
        let (parameters, changes) = try Self.parameters(alternatives, interface)
        #expect(parameters["anyOf"] == nil && parameters["not"] == nil && changes.count == 3)
        #expect(
            parameters["properties"] == ["x": ["type": "string"], "a": ["type": "integer"], "b": ["type": "boolean"]]
        )
        #expect(parameters["required"] == ["x", "c"])
    }

    @Test("Gemini's subset: references, lists of types, null, values that are no strings, what it does not know")
    func gemini() throws {
        let schema: JSONValue = [
            "type": "object", "$schema": "x", "additionalProperties": false, "required": ["a", "nowhere"],
            "$defs": [
                "D": ["type": "string", "description": "a date"],
                "L": ["type": "array", "items": ["$ref": "#/$defs/L"]],
            ],
            "properties": [
                "a": ["$ref": "#/$defs/D"], "b": ["type": ["string", "null"]],
                "c": ["anyOf": [["type": "integer"], ["type": "null"]], "default": nil],
                "d": ["enum": [1, 2]], "e": ["const": "x"], "f": ["oneOf": [["type": "string"], ["type": "number"]]],
                "g": ["type": "array"],
                "h": ["allOf": [["type": "string"], ["minLength": 1]]], "i": ["type": ["string", "integer"]],
                "j": ["$ref": "#/$defs/L"],
                "k": true, "l": ["$ref": "#/nowhere"],
            ],
        ]
        let (parameters, changes) = try Self.parameters(schema, .gemini)
        let p = parameters["properties"]
        #expect(
            parameters["required"] == ["a"] && parameters["additionalProperties"] == nil && parameters["$defs"] == nil
        )
        #expect(p?["a"] == ["type": "string", "description": "a date"])
        #expect(p?["b"] == ["type": "string", "nullable": true] && p?["c"] == ["nullable": true, "type": "integer"])
        #expect(p?["d"] == [:] && p?["e"] == ["enum": ["x"], "type": "string"])
        #expect(
            p?["f"] == ["anyOf": [["type": "string"], ["type": "number"]]]
                && p?["g"] == ["type": "array", "items": ["type": "string"]]
        )
        #expect(p?["h"] == ["type": "string", "minLength": 1])
        #expect(p?["i"] == ["anyOf": [["type": "string"], ["type": "integer"]]] && p?["k"] == ["type": "string"])
        #expect(p?["j"]?["type"] == "array" && !RawJSON(encoding: parameters).description.contains("$ref"))
        #expect(changes.count >= 5 && changes.contains("\"additionalProperties\" was left out"))
        // One without members has no parameters at all.
        #expect(Self.listing([("t", ["type": "object"])]).definitions(for: .gemini).json[0]["parameters"] == nil)
    }

    /// A server with a few tools.
    @Test(
        "a schema of a few lines that means a tree without an end has bounds",
        arguments: [ModelInterface.gemini, .openAI]
    )
    func bounded(interface: ModelInterface) throws {
        let branches = (0..<20).map { ("b\($0)", ["$ref": "#"] as JSONValue) }
        let schema: JSONValue = ["type": "object", "properties": .object(JSONObject(branches))]
        let (parameters, changes) = try Self.parameters(schema, interface)
        #expect("\(parameters)".utf8.count < 200_000 && (interface == .openAI || !changes.isEmpty))
    }

    private static func withHost(_ body: @escaping @Sendable (MCPHost) async throws -> Void) async throws {
        let file = try AnsweringServer.file([
            "s": [
                "tools/list":
                    #"{"tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},{"name":"fails","inputSchema":{}},{"name":"structured","inputSchema":{}},{"name":"refuses","inputSchema":{}},{"name":"breaks","inputSchema":{},"outputSchema":{"type":"object","required":["x"]}}]}"#,
                "tools/call echo": "LINE",
                "tools/call fails":
                    #"{"content":[{"type":"text","text":"no"},{"type":"image","data":"AA==","mimeType":"image/png"}],"isError":true}"#,
                "tools/call structured": #"{"content":[],"structuredContent":{"a":1}}"#,
                "tools/call breaks": #"{"content":[{"type":"text","text":"done"}],"structuredContent":{}}"#,
                "tools/call refuses": #"!{"code":-32000,"message":"not today"}"#,
            ]
        ])
        try await MCPHost.withHost(try HostConfiguration(contentsOf: file)) { try await body($0) }
    }

    @Test("what a model returns is called, and what it wants back is given, in each form; errors too")
    func calls() async throws {
        try await Self.withHost { host in
            _ = try await host.tools()
            let anthropic = try await host.call(
                modelToolCall: ["type": "tool_use", "id": "toolu_1", "name": "s__echo", "input": ["n": 7]]
            )
            #expect(
                anthropic["type"] == "tool_result" && anthropic["tool_use_id"] == "toolu_1"
                    && anthropic["is_error"] == nil
            )
            #expect(anthropic["content"]?.array?.first?["text"]?.string?.contains(#""arguments":{"n":7}"#) == true)
            let chat = try await host.call(
                modelToolCall: [
                    "id": "call_1", "type": "function", "function": ["name": "s__echo", "arguments": "{\"n\": 8}"],
                ]
            )
            #expect(
                chat["role"] == "tool" && chat["tool_call_id"] == "call_1"
                    && chat["content"]?.string?.contains("\"n\":8") == true
            )
            let responses = try await host.call(
                modelToolCall: ["type": "function_call", "call_id": "c", "name": "s__structured", "arguments": ""]
            )
            #expect(responses == ["type": "function_call_output", "call_id": "c", "output": "{\"a\":1}"])
            let gemini = try await host.call(modelToolCall: [
                "functionCall": ["name": "s__structured", "args": [:], "id": "x"]
            ])
            #expect(
                gemini == ["functionResponse": ["name": "s__structured", "response": ["output": ["a": 1]], "id": "x"]]
            )
            let failed = try await host.call(modelToolCall: [
                "type": "tool_use", "id": "1", "name": "s__fails", "input": [:],
            ])
            #expect(failed["is_error"] == true && failed["content"]?.array?.first?["text"] == "no\n[image image/png]")
            for (name, arguments, text) in [
                ("s__echo", "{\"n\":\"x\"}", "expected integer"), ("s__echo", "{", "the arguments are no JSON"),
                ("nowhere", "{}", "no server offers"), ("s__refuses", "{}", "not today"),
            ] {
                let answer = try await host.call(
                    modelToolCall: [
                        "id": "1", "type": "function",
                        "function": ["name": .string(name), "arguments": .string(arguments)],
                    ]
                )
                #expect(answer["content"]?.string?.contains(text) == true, "\(answer)")
                let wanted = try await host.call(modelToolCall: [
                    "functionCall": ["name": .string(name), "args": ["n": "x"]]
                ])
                #expect(wanted["functionResponse"]?["response"]?["error"] != nil)
            }
            // It was called, and that is what came of it.
            let broken = try await host.call(modelToolCall: [
                "type": "tool_use", "id": "1", "name": "s__breaks", "input": [:],
            ])
            #expect(broken["content"]?.array?.first?["text"] == "done")
            for odd in [[:], ["type": "text"], ["type": "tool_use", "id": "1"], ["function": ["name": "x"]], 7, nil]
                as [JSONValue]
            {
                let error = await #expect(throws: MCPError.self) { try await host.call(modelToolCall: odd) }
                #expect(error?.code == .invalidArguments)
            }
        }
    }

    private struct Arguments: Encodable, Sendable { var n: Int }

    @Test(
        "arguments as programs have them, by server and tool and by the qualified name alike; answers as they are wanted"
    )
    func swift() async throws {
        try await Self.withHost { host in
            let (number, name) = (5, "s__echo")
            let object: JSONObject = ["n": 5]
            let results = [
                try await host.callTool(name, arguments: ["n": number]),
                try await host.callTool(name, arguments: ["n": 5]),
                try await host.callTool(name, arguments: object),
                try await host.callTool(name, arguments: Arguments(n: 5)),
                try await host.callTool(name, arguments: ["n": number, "more": ["a", "b"], "zone": name]),
                try await host.callTool(name, arguments: ["n": 5, "deep": ["a": 1, "b": ["c": "x"]]] as RawJSON),
                try await host.callTool(server: "s", name: "echo", arguments: ["n": number, "zone": name]),
                try await host.callTool(server: "s", name: "echo", arguments: object),
                try await host.callTool(server: "s", name: "echo", arguments: Arguments(n: 5)),
                try await host.callTool(
                    server: "s",
                    name: "echo",
                    arguments: [String: Int](uniqueKeysWithValues: [("n", 5)])
                ),
                try await host.server("s").session().callTool("echo", arguments: ["n": number, "x": true]),
            ]
            for result in results {
                let sent = try JSONValue(parsing: result.text)["params"]?["arguments"]
                #expect(sent?["n"] == 5, "\(result)")
            }
            let structured = try await host.callTool("s__structured")
            #expect(
                structured.structuredContent?["a"] == 1 && structured.structuredContent?["b"] == nil
                    && structured.text == ""
            )
            let written = try JSONValue(encodable: structured)
            #expect(written["structuredContent"]?["a"] == 1)
            let error = await #expect(throws: MCPError.self) { try await host.callTool("s__echo", arguments: [1, 2]) }
            #expect(error?.code == .invalidArguments && error?.message.contains("are no object") == true)
        }
    }

    @Test("what a session can, the host can too; short forms of answers")
    func host() async throws {
        #expect(ElicitResult.accept(["name": "Ann"]) == ElicitResult(action: .accept, content: ["name": "Ann"]))
        #expect(ElicitResult.decline.action == .decline && ElicitResult.cancel.action == .cancel)
        let message = CreateMessageResult(text: "hi", model: "m")
        #expect(message.role == .assistant && message.stopReason == .endTurn && message.model == "m")
        try await Self.withHost { host in
            await #expect { try await host.ping(server: "s") } throws: {
                ($0 as? MCPError)?.rpcError?.code == .methodNotFound
            }
            await #expect(throws: MCPError.self) { try await host.setLogLevel(.debug, server: "s") }
            await #expect(throws: MCPError.self) {
                try await host.complete(
                    server: "s",
                    CompleteRequestParams(
                        ref: .prompt(PromptReference(name: "p")),
                        argument: CompletionArgument(name: "a", value: "")
                    )
                )
            }
            try await host.rootsChanged()
        }
    }
}
