import Instrumentation
import MCPClient
import MCPHost
import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes
import ServiceContextModule
import TestSupport
import Testing

/// Tools with schemas, typed calls, caches, pages: the same in both eras.
@Suite("Tools, lists, caches", .timeLimit(.minutes(5)))
struct ToolCallTests {
    static let eras: [ProtocolRevision] = [.v2025_11_25, .v2026_07_28]

    private struct Pair: Codable, Sendable, Equatable { var a: Int, b: Int }
    private struct Sum: Codable, Sendable, Equatable { var sum: Int }

    private static func adder(_ revision: ProtocolRevision, answer: @escaping ProtocolServer.Handler) -> ProtocolServer
    {
        let number: JSONValue = ["type": "integer"]
        return ProtocolServer(
            revision,
            [
                "tools/list": { _ in
                    [
                        "tools": [
                            [
                                "name": "add", "title": "Add", "annotations": ["readOnlyHint": true],
                                "icons": [["src": "https://example.com/i.png"]], "_meta": ["com.example/x": 1],
                                "inputSchema": [
                                    "type": "object", "properties": ["a": number, "b": number], "required": ["a", "b"],
                                    "x-unknown": ["kept": true],
                                ],
                                "outputSchema": ["type": "object", "properties": ["sum": number], "required": ["sum"]],
                            ], ["name": "odd", "inputSchema": ["type": "no such type"]],
                            [
                                "name": "draft7",
                                "inputSchema": [
                                    "type": "object", "properties": ["p": ["type": "array", "items": [number]]],
                                ],
                            ],
                        ], "ttlMs": 60000, "cacheScope": "private",
                    ]
                }, "tools/call": answer,
            ]
        )
    }

    private static let sum: ProtocolServer.Handler = { call in
        let sum = (call.arguments["a"]?.int64 ?? 0) + (call.arguments["b"]?.int64 ?? 0)
        let structured: JSONValue = ["sum": .number(JSONNumber(sum))]
        return [
            "content": [["type": "text", "text": .string(structured.description)]], "structuredContent": structured,
        ]
    }

    @Test("TOOL-24 a value in, a value out", arguments: eras)
    func typed(revision: ProtocolRevision) async throws {
        try await withSession(Self.adder(revision, answer: Self.sum)) { session in
            let sum = try await session.callTool("add", arguments: Pair(a: 40, b: 2), returning: Sum.self)
            #expect(sum == Sum(sum: 42))
            let tools = try await session.listTools()
            #expect(tools[0].title == "Add" && tools[0].icons?.first?.src == "https://example.com/i.png")
            #expect(tools[0].meta?.members["com.example/x"] == 1 && tools[0].annotations?.readOnlyHint == true)
            #expect(try tools[0].inputSchema.decode(JSONValue.self)["x-unknown"] == ["kept": true])
        }
        let failing: ProtocolServer.Handler = { _ in
            ["content": [["type": "text", "text": "no luck"]], "isError": true]
        }
        try await withSession(Self.adder(revision, answer: failing)) { session in
            let error = await #expect(throws: MCPError.self) {
                try await session.callTool("add", arguments: Pair(a: 1, b: 1), returning: Sum.self)
            }
            #expect(error?.code == .toolFailed && error?.message == "add failed: no luck")
            // Not typed, the failure is for the model to see (`TOOL-24`).
            let result = try await session.callTool("add", arguments: ["a": 1, "b": 1])
            #expect(result.isError == true)
        }
        let onlyText: ProtocolServer.Handler = { _ in ["content": [["type": "text", "text": #"{"sum":3}"#]]] }
        try await withSession(Self.adder(revision, answer: onlyText)) { session in
            let sum = try await session.callTool("add", arguments: Pair(a: 1, b: 2), returning: Sum.self)
            #expect(sum == Sum(sum: 3))
            let error = await #expect(throws: MCPError.self) {
                try await session.callTool("add", arguments: Pair(a: 1, b: 2), returning: [String].self)
            }
            #expect(error?.code == .badResponse)
        }
    }

    @Test(
        "TOOL-27 SCH-01 SCH-04 SCH-05 arguments are checked before they leave, where the schema can be read",
        arguments: eras
    )
    func arguments(revision: ProtocolRevision) async throws {
        let server = Self.adder(revision, answer: Self.sum)
        try await withSession(server) { session in
            _ = try await session.listTools()
            let error = await #expect(throws: MCPError.self) {
                try await session.callTool("add", arguments: ["a": "x"])
            }
            #expect(error?.code == .invalidArguments)
            #expect(error?.message.contains("/a: expected integer, found string") == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("property \"b\" is missing") == true)
            let old = await #expect(throws: MCPError.self) {
                try await session.callTool("draft7", arguments: ["p": ["x"]])
            }
            #expect(old?.code == .invalidArguments)
            #expect(server.received("tools/call").isEmpty)
            // A schema that makes no sense checks nothing, and says so.
            _ = try await session.callToolRaw("odd", arguments: ["any": "thing"])
            #expect(session.toolSchemaProblems["odd"]?.contains("no such type") == true)
        }
        try await withSession(server) {
            $0.checksToolCalls = false
        } _: { session in
            _ = try await session.listTools()
            _ = try await session.callTool("add", arguments: ["a": "x"])
        }
    }

    @Test(
        "SCH-02 V19 a schema that does not say its dialect is one of 2020-12; one that says draft-07 is that",
        arguments: eras
    )
    func dialects(revision: ProtocolRevision) async throws {
        let properties: JSONValue = ["p": ["type": "array", "prefixItems": [["type": "integer"]]]]
        let server = ProtocolServer(
            revision,
            [
                "tools/list": { _ in
                    [
                        "tools": [
                            ["name": "silent", "inputSchema": ["type": "object", "properties": properties]],
                            [
                                "name": "old",
                                "inputSchema": [
                                    "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
                                    "properties": properties,
                                ],
                            ],
                        ], "ttlMs": 60000, "cacheScope": "private",
                    ]
                }, "tools/call": { _ in ["content": []] },
            ]
        )
        try await withSession(server) { session in
            _ = try await session.listTools()
            // `prefixItems` came with 2020-12; to draft-07 it is an unknown word.
            let error = await failure { try await session.callTool("silent", arguments: ["p": ["x"]]) }
            #expect(error?.code == .invalidArguments)
            _ = try await session.callTool("silent", arguments: ["p": [1]])
            _ = try await session.callTool("old", arguments: ["p": ["x"]])
        }
    }

    @Test("TOOL-21 structured content is checked when it comes", arguments: eras)
    func structured(revision: ProtocolRevision) async throws {
        for structured in [["sum": "x"], [:], .null] as [JSONValue] {
            let server = Self.adder(revision) { _ in
                structured == .null ? ["content": []] : ["content": [], "structuredContent": structured]
            }
            try await withSession(server) { session in
                _ = try await session.listTools()
                let error = await #expect(throws: MCPError.self) {
                    try await session.callTool("add", arguments: ["a": 1, "b": 1])
                }
                #expect(error?.code == .badResponse, "\(structured)")
            }
        }
    }

    @Test("TOOL-12 V19 two tools whose names differ in case are two tools, each with its schema", arguments: eras)
    func caseSensitive(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(
            revision,
            [
                "tools/list": { _ in
                    let kinds = [("get", "integer"), ("GET", "string"), ("Get", "boolean")]
                    let tools = kinds.map { name, type -> JSONValue in
                        [
                            "name": .string(name),
                            "inputSchema": ["type": "object", "properties": ["a": ["type": .string(type)]]],
                        ]
                    }
                    return ["tools": .array(tools), "ttlMs": 60000, "cacheScope": "private"]
                },
                "tools/call": { call in ["content": [["type": "text", "text": call.params["name"] ?? ""]]] },
            ]
        )
        try await withSession(server) { session in
            _ = try await session.listTools()
            let right: [(String, RawJSON)] = [("get", ["a": 1]), ("GET", ["a": "x"]), ("Get", ["a": true])]
            for (name, _) in right {
                for (other, arguments) in right {
                    let error = await failure {
                        let result = try await session.callTool(name, arguments: arguments)
                        #expect(result.content.first?.text == name)
                    }
                    #expect(error?.code == (name == other ? nil : .invalidArguments), "\(name) with \(arguments)")
                }
            }
        }
        let host = try await MCPHost.start(HostSetup(servers: [server.configuration("s")]))
        let names = try await host.tools().items.map(\.qualifiedName)
        #expect(Set(names).count == 3)
        for (name, tool) in zip(names, ["get", "GET", "Get"]) {
            #expect(try await host.callTool(name).content.first?.text == tool)
        }
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test(
        "PAG-01 PAG-03 PAG-04 PAG-05 PRM-10 pages of any size, an empty cursor, cursors as they are",
        arguments: ProtocolRevision.all
    )
    func pages(revision: ProtocolRevision) async throws {
        let odd = "c \u{1F4C4}=/?&\"\\"
        let server = ProtocolServer(
            revision,
            capabilities: ["prompts": [:]],
            [
                "prompts/list": { call in
                    switch call.params["cursor"]?.string {
                    case nil: ["prompts": [["name": "a"], ["name": "b"]], "nextCursor": ""]
                    case "": ["prompts": [], "nextCursor": .string(odd)]
                    case odd: ["prompts": [["name": "c"]]]
                    default: throw ProtocolServer.Failure(-32602, "bad cursor")
                    }
                }
            ]
        )
        try await withSession(server) { session in
            let prompts = try await session.listPrompts()
            #expect(prompts.map(\.name) == ["a", "b", "c"])
            #expect(server.received("prompts/list").map { $0["params"]?["cursor"]?.string } == [nil, "", odd])
        }
    }

    @Test("CMP-07 what is known already goes along with a completion", arguments: ProtocolRevision.all)
    func completion(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(
            revision,
            capabilities: ["completions": [:], "prompts": [:]],
            ["completion/complete": { _ in ["completion": ["values": ["x"], "total": 1, "hasMore": false]] }]
        )
        try await withSession(server) { session in
            let result = try await session.complete(
                CompleteRequestParams(
                    ref: .prompt(PromptReference(name: "p")),
                    argument: CompletionArgument(name: "b", value: "x"),
                    context: CompletionContext(arguments: ["a": "known"])
                )
            )
            #expect(result.completion.values == ["x"] && result.completion.hasMore == false)
            let params = server.received("completion/complete").first?["params"]
            #expect(params?["ref"] == ["type": "ref/prompt", "name": "p"])
            // The context exists since 2025-06-18.
            #expect((params?["context"] == ["arguments": ["a": "known"]]) == (revision >= .v2025_06_18))
        }
    }

    // MARK: Caches

    private static func counting(_ revision: ProtocolRevision, ttl: JSONValue?, tells: Bool = true) -> ProtocolServer {
        let count = Locked(0)
        return ProtocolServer(
            revision,
            capabilities: ["tools": ["listChanged": .bool(tells)], "resources": ["subscribe": true]],
            [
                "tools/list": { call in
                    let number = count.withLock { count in
                        count += 1
                        return count
                    }
                    var result: JSONObject = [
                        "tools": [["name": .string("t\(number)"), "inputSchema": ["type": "object"]]]
                    ]
                    result["ttlMs"] = ttl
                    result["cacheScope"] = "private"
                    return .object(result)
                },
                "resources/read": { call in
                    var result: JSONObject = ["contents": [["uri": call.params["uri"] ?? "", "text": "x"]]]
                    result["ttlMs"] = ttl
                    return .object(result)
                },
            ]
        )
    }

    @Test(
        "CACHE-05 CACHE-06 CACHE-07 CACHE-08 CACHE-09 CACHE-10 CACHE-11 a modern list is good for as long as it says, and no longer"
    )
    func timeToLive() async throws {
        for (ttl, isKept) in [(1000, true), (0, false), (-5, false), (nil, false)] as [(JSONValue?, Bool)] {
            let server = Self.counting(.v2026_07_28, ttl: ttl)
            let time = ManualClock()
            try await withSession(server, clock: time) { session in
                _ = try await session.listTools()
                _ = try await session.listTools()
                #expect(server.received("tools/list").count == (isKept ? 1 : 2), "\(ttl ?? .null)")
                time.advance(by: .milliseconds(999))
                _ = try await session.listTools()
                #expect(server.received("tools/list").count == (isKept ? 1 : 3))
                time.advance(by: .milliseconds(1))
                let tools = try await session.listTools()
                // Nothing is read again by itself when its time is over.
                #expect(server.received("tools/list").count == (isKept ? 2 : 4))
                #expect(tools.map(\.name) == [isKept ? "t2" : "t4"])
                _ = try await session.listTools(
                    options: {
                        var o = RequestOptions(); o.ignoresCache = true; return o
                    }()
                )
                #expect(server.received("tools/list").count == (isKept ? 3 : 5))
            }
        }
    }

    @Test("CACHE-05 what is kept goes stale while the machine sleeps")
    func timeToLiveAsleep() async throws {
        let server = Self.counting(.v2026_07_28, ttl: 1000)
        let time = ManualClock()
        try await withSession(server, clock: time) { session in
            _ = try await session.listTools()
            time.sleep(.milliseconds(999))
            _ = try await session.listTools()
            #expect(server.received("tools/list").count == 1)
            time.sleep(.milliseconds(1))
            _ = try await session.listTools()
            #expect(server.received("tools/list").count == 2)
        }
    }

    @Test("CACHE-13 a list is read again after it has changed", arguments: eras)
    func invalidated(revision: ProtocolRevision) async throws {
        let server = Self.counting(revision, ttl: 1_000_000)
        try await withSession(server) { session in
            let events = session.serverEvents()
            _ = try await session.listTools()
            _ = try await session.listTools()
            #expect(server.received("tools/list").count == 1)
            if revision.isModern { await server.wait(for: "a subscription") { !$0.listening.isEmpty } }
            server.tell("notifications/tools/list_changed")
            var iterator = events.makeAsyncIterator()
            _ = await iterator.next()
            let tools = try await session.listTools()
            #expect(tools.map(\.name) == ["t2"])
        }
    }

    @Test("a legacy list whose changes nobody tells is never kept, and none is where caching is off")
    func neverKept() async throws {
        try await withSession(Self.counting(.v2025_11_25, ttl: nil, tells: false)) { session in
            _ = try await session.listTools()
            let second = try await session.listTools()
            #expect(second.map(\.name) == ["t2"])
        }
        try await withSession(Self.counting(.v2026_07_28, ttl: 100_000)) {
            $0.caches = false
        } _: { session in
            _ = try await session.listTools()
            let second = try await session.listTools()
            #expect(second.map(\.name) == ["t2"])
        }
    }

    @Test("CACHE-03 CACHE-12 CACHE-13 contents are kept by address, for one connection, until they change")
    func contents() async throws {
        let server = Self.counting(.v2026_07_28, ttl: 100_000)
        for round in 1...2 {
            try await withSession(server) { session in
                try await session.subscribe(to: "x:1")
                for _ in 0..<3 {
                    _ = try await session.readResource("x:1")
                    _ = try await session.readResource("x:2")
                }
                #expect(server.received("resources/read").count == (round - 1) * 3 + 2)
                let events = session.serverEvents()
                // Whoever listens changes the subscription. What a server tells on one that has just been replaced is for nobody.
                await server.wait(forReceived: "notifications/cancelled", times: round)
                server.tell("notifications/resources/updated", ["uri": "x:1"])
                await wait(for: "the change") {
                    for await _ in events { return () }
                    return nil
                }
                _ = try await session.readResource("x:1")
                _ = try await session.readResource("x:2")
                #expect(server.received("resources/read").count == round * 3)
            }
        }
    }
}

/// The whole process has one instrument, which is set once; who has no context is not affected by it.
@Suite("Trace context", .timeLimit(.minutes(5)))
struct TraceTests {
    private struct W3C: Instrument {
        func inject<Carrier, Inject: Injector>(
            _ context: ServiceContext,
            into carrier: inout Carrier,
            using injector: Inject
        )
        where Inject.Carrier == Carrier {
            guard let id = context[TraceID.self] else { return }
            injector.inject("00-\(id)-b7ad6b7169203331-01", forKey: "traceparent", into: &carrier)
            injector.inject("vendor=1", forKey: "tracestate", into: &carrier)
            injector.inject("user=ada", forKey: "baggage", into: &carrier)
            injector.inject("no", forKey: "x-b3-traceid", into: &carrier)
        }

        func extract<Carrier, Extract: Extractor>(
            _ carrier: Carrier,
            into context: inout ServiceContext,
            using extractor: Extract
        )
        where Extract.Carrier == Carrier {}
    }

    private enum TraceID: ServiceContextKey { typealias Value = String }

    @Test("META-19 the trace of the calling task goes along, in the names and form of W3C")
    func traced() async throws {
        InstrumentationSystem.bootstrap(W3C())
        let server = ProtocolServer(.v2026_07_28, ["tools/call": { _ in ["content": []] }])
        try await withSession(server) { session in
            var context = ServiceContext.topLevel
            context[TraceID.self] = "0af7651916cd43dd8448eb211c80319c"
            _ = try await ServiceContext.withValue(context) { try await session.callTool("a") }
            _ = try await session.callTool("b")
            let metas = server.received("tools/call").map { $0["params"]?["_meta"] }
            #expect(metas[0]?["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            #expect(metas[0]?["tracestate"] == "vendor=1" && metas[0]?["baggage"] == "user=ada")
            #expect(metas[0]?["x-b3-traceid"] == nil && metas[1]?["traceparent"] == nil)
        }
    }
}
