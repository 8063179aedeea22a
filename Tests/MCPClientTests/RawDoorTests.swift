import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// What somebody needs who passes on what others want: requests as they are, on somebody's behalf, round by round, page by page.
@Suite("The raw door", .timeLimit(.minutes(5)))
struct RawDoorTests {
    static let eras: [ProtocolRevision] = [.v2025_11_25, .v2026_07_28]

    @Test("as it is given, and as it comes: no rounds, no checks, no decoding", arguments: eras)
    func forwarded(revision: ProtocolRevision) async throws {
        let odd =
            #"{"content":[],"resultType":"input_required","inputRequests":{},"big":12345678901234567890.50,"x":1}"#
        let server = ProtocolServer(
            revision,
            [
                "tools/list": { _ in ["tools": [["name": "t", "inputSchema": ["type": "object", "required": ["a"]]]]] },
                "tools/call": { _ in try RawJSON(copying: odd).decode(JSONValue.self) },
                "acme/own": { call in ["got": call.params["list"] ?? .null] },
                "acme/no": { _ in throw ProtocolServer.Failure(-32050, "own refusal", data: ["why": "because"]) },
            ]
        )
        try await withSession(server) { session in
            _ = try await session.listTools()
            let result = try await session.forward("tools/call", params: #"{"name":"t", "arguments" : {"b" : 1.50}}"#)
            #expect(result.description.contains("12345678901234567890.50"))
            let own = try await session.forward("acme/own", params: #"{"list":[1,2],"_meta":{"com.example/x":1}}"#)
            let list = try own.decode(JSONValue.self)["got"]
            #expect(list == [1, 2])
            let error = await failure { try await session.forward("acme/no") }
            let refusal = try #require(error?.rpcError)
            #expect(refusal.code.rawValue == -32050 && refusal.message == "own refusal")
            #expect(refusal.data?.description.contains("because") == true)
        }
        let sent = server.received("acme/own").first?["params"]?["_meta"]
        #expect(sent?["com.example/x"] == 1 && sent?["progressToken"] != nil)
        let call = server.received("tools/call").first?["params"]
        let number = call?["arguments"]?["b"]?.description
        #expect(number == "1.50" && server.received("tools/call").count == 1)
    }

    @Test("what is not its own to send is refused, and so is what is no object")
    func refused() async throws {
        let server = ProtocolServer(.v2026_07_28)
        try await withSession(server) { session in
            let bad: [(String, RawJSON?, MCPError.Code)] = [
                ("initialize", nil, .notSupported), ("subscriptions/listen", "{}", .notSupported),
                ("acme/x", "[1]", .invalidArguments), ("acme/x", "7", .invalidArguments),
                ("acme/x", #"{"a":1} {}"#, .invalidArguments), ("acme/x", #"{"a":1,"a":2}"#, .invalidArguments),
                ("acme/x", #"{"_meta":{},"_meta":{}}"#, .invalidArguments), ("acme/x", #"{"a":"#, .invalidArguments),
                ("acme/x", #"{"_meta":7}"#, .invalidArguments), ("acme/x", #"{"a":[1,,2]}"#, .invalidArguments),
                ("acme/x", #"{"a":[1}}"#, .invalidArguments), ("acme/x", #"{"a":trash}"#, .invalidArguments),
                ("acme/x", #"{"a":"\q"}"#, .invalidArguments), ("acme/x", #"{"a":01}"#, .invalidArguments),
                ("acme/x", #"{"a":"\ud800"}"#, .invalidArguments), ("acme/x", "{\"a\":\"b\nc\"}", .invalidArguments),
                ("acme/x", RawJSON(copying: "{\"a\":" + String(repeating: "[", count: 100_000)), .invalidArguments),
                ("acme/x", #"{"a":1abc}"#, .invalidArguments), ("acme/x", #"{"a":truefalse}"#, .invalidArguments),
                ("acme/x", #"{"a":1"}"#, .invalidArguments), ("acme/x", #"{"a":{"\q":1}}"#, .invalidArguments),
                ("acme/x", #"{"a":{"\ud800":1}}"#, .invalidArguments), ("acme/x", #"{"\q":1}"#, .invalidArguments),
                ("acme/x", "{\"a\":{\"b\nc\":1}}", .invalidArguments),
                ("acme/x", #"{"a":[{"b":1,"b":2}]}"#, .invalidArguments),
                ("notifications/cancelled", #"{"requestId":1}"#, .notSupported),
                ("notifications/own", "{}", .notSupported),
            ]
            for (method, params, code) in bad {
                let error = await failure { try await session.forward(method, params: params) }
                let start = params?.description.prefix(40) ?? ""
                #expect(error?.code == code && error?.message.contains(method) == true, "\(method) \(start)")
            }
            for method in [
                "notifications/initialized", "notifications/cancelled", "notifications/progress", "tools/call",
            ] {
                let error = await failure { try await session.notify(method) }
                #expect(error?.code == .notSupported)
            }
            let error = await failure { try await session.notify("acme/told", params: "[]") }
            #expect(error?.code == .invalidArguments)
        }
        #expect(server.received("acme/x").isEmpty)
    }

    @Test("META-07 META-08 META-09 on somebody's behalf: who, with what, and what else is said", arguments: eras)
    func context(revision: ProtocolRevision) async throws {
        let reports = Locked<[String]>([])
        let server = ProtocolServer(
            revision,
            [
                "tools/call": { call in
                    call.progress(1, message: "half")
                    return ["content": []]
                }
            ]
        )
        try await withSession(server) { session in
            var context = CallerContext()
            context.meta = [
                "com.example/trace": "abc", "progressToken": "theirs",
                "io.modelcontextprotocol/protocolVersion": "1999-01-01",
                "io.modelcontextprotocol/clientCapabilities": ["forged": [:]],
            ]
            context.clientInfo = Implementation(name: "theirs", version: "7")
            context.capabilities = ClientCapabilities(roots: RootsCapability())
            context.onProgress = { params in reports.withLock { $0.append(params.description) } }
            var options = RequestOptions()
            options.context = context
            _ = try await session.callTool("t", options: options)
            _ = try await session.callTool("t")
        }
        let calls = server.received("tools/call").map { $0["params"]?["_meta"] }
        #expect(calls[0]?["com.example/trace"] == "abc" && calls[1]?["com.example/trace"] == nil)
        #expect(calls[0]?["progressToken"]?.int64 != nil)
        let names = calls[0]?.object?.keys.sorted() ?? []
        if revision.isModern {
            #expect(calls[0]?["io.modelcontextprotocol/protocolVersion"] == "2026-07-28")
            #expect(calls[0]?["io.modelcontextprotocol/clientInfo"]?["name"] == "theirs")
            #expect(calls[0]?["io.modelcontextprotocol/clientCapabilities"] == ["roots": [:]])
            #expect(calls[1]?["io.modelcontextprotocol/clientInfo"]?["name"] == "swift-mcp-host")
        } else {
            #expect(names == ["com.example/trace", "progressToken"])
        }
        let report = try #require(reports.withLock { $0 }.first)
        #expect(reports.withLock { $0.count } == 1 && report.contains(#""message":"half""#))
    }

    @Test("MRTR-13 V17 who answers for one request is asked for that one, and what he offers is said")
    func handlersOfOneRequest() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { call in
                    let roots: JSONValue = ["method": "roots/list"]
                    let answers = try await call.input(["r": roots])
                    return [
                        "content": [["type": "text", "text": answers["r"]?["roots"]?.array?.first?["uri"] ?? "none"]]
                    ]
                }
            ]
        )
        try await withSession(server) { configuration in
            configuration.handlers.roots = { _ in [Root(uri: "file:///connection")] }
        } _: { session in
            var context = CallerContext()
            var handlers = ServerRequestHandlers()
            handlers.roots = { _ in [Root(uri: "file:///caller")] }
            context.handlers = handlers
            var options = RequestOptions()
            options.context = context
            let caller = try await session.callTool("t", options: options).content.first?.text
            let connection = try await session.callTool("t").content.first?.text
            #expect(caller == "file:///caller" && connection == "file:///connection")
            options.context?.handlers = ServerRequestHandlers()
            let error = await failure { try await session.callTool("t", options: options) }
            #expect(error?.code == MCPError.Code.notSupported)
        }
        let last = server.received("tools/call").last?["params"]?["_meta"]
        #expect(last?["io.modelcontextprotocol/clientCapabilities"] == [:])
    }

    @Test("methods and notifications of one's own, in both directions")
    func own() async throws {
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "tools/call": { call in
                    let answer = await call.ask("acme/ask", ["n": 7])
                    let refusal = await call.ask("acme/refuse", [:])
                    let nonsense = await call.ask("acme/nonsense", [:])
                    call.notify("acme/news", ["x": 1])
                    return [
                        "content": [],
                        "structuredContent": [
                            "answer": answer["result"] ?? .null, "code": refusal["error"]?["code"] ?? .null,
                            "data": refusal["error"]?["data"] ?? .null,
                            "nonsense": nonsense["error"]?["code"] ?? .null,
                        ],
                    ]
                }
            ]
        )
        let result = try await withSession(server) { configuration in
            configuration.handlers.other = { method, params, context in
                #expect(context.revision == .v2025_11_25)
                if method == "acme/nonsense" { return "7" }
                guard method == "acme/ask" else {
                    let refusal = JSONRPCErrorObject(code: .init(rawValue: -32077), message: "theirs", data: ["why": 1])
                    throw MCPError(.serverError, "no", rpcError: refusal)
                }
                return RawJSON(encoding: ["twice": (try params?.decode(JSONValue.self)["n"]?.int64 ?? 0) * 2])
            }
        } _: { session in
            try await session.notify("acme/told", params: #"{"a":[1, 2],"_meta":{"b":2}}"#)
            let result = try await session.callTool("t")
            for await notification in session.notifications {
                #expect(notification.method == "acme/news" && notification.params?.description == #"{"x":1}"#)
                break
            }
            return try #require(result.structuredContent).decode(JSONValue.self)
        }
        #expect(result == ["answer": ["twice": 14], "code": -32077, "data": ["why": 1], "nonsense": -32603])
        #expect(server.received("acme/told").first?["params"] == ["a": [1, 2], "_meta": ["b": 2]])
    }

    @Test("PAG-01 one page at a time", arguments: eras) func pages(revision: ProtocolRevision) async throws {
        let list: @Sendable (String, JSONValue) -> ProtocolServer.Handler = { member, item in
            { call in
                let cursor = call.params["cursor"]?.string
                return [member: [item], "nextCursor": cursor == nil ? "second" : .null]
            }
        }
        let server = ProtocolServer(
            revision,
            capabilities: ["tools": [:], "prompts": [:], "resources": [:]],
            [
                "tools/list": list("tools", ["name": "t", "inputSchema": ["type": "object"]]),
                "prompts/list": list("prompts", ["name": "p"]),
                "resources/list": list("resources", ["uri": "file:///r", "name": "r"]),
                "resources/templates/list": list("resourceTemplates", ["uriTemplate": "x://{a}", "name": "x"]),
            ]
        )
        try await withSession(server) { session in
            for cursor in [nil, "second"] {
                let next = cursor == nil ? "second" : nil
                let tools = try await session.toolsPage(after: cursor)
                let prompts = try await session.promptsPage(after: cursor)
                let resources = try await session.resourcesPage(after: cursor)
                let templates = try await session.resourceTemplatesPage(after: cursor)
                #expect(tools.nextCursor == next && tools.tools.map(\.name) == ["t"])
                #expect(prompts.nextCursor == next && prompts.prompts.map(\.name) == ["p"])
                #expect(resources.nextCursor == next && resources.resources.map(\.uri) == ["file:///r"])
                #expect(templates.nextCursor == next && templates.resourceTemplates.map(\.name) == ["x"])
            }
        }
        #expect(server.received("tools/list").map { $0["params"]?["cursor"] } == [nil, "second"])
    }

    @Test("MRTR-13 MRTR-15 rounds by hand: the caller is given the questions, and no handler is asked")
    func rounds() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { call in
                    guard let answer = call.params["inputResponses"]?["name"]?["content"]?["name"]?.string else {
                        let schema: JSONValue = ["type": "object", "properties": ["name": ["type": "string"]]]
                        let question: JSONValue = [
                            "method": "elicitation/create",
                            "params": ["mode": "form", "message": "who?", "requestedSchema": schema],
                        ]
                        try call.again(state: "s-1", requests: ["name": question])
                    }
                    return ["content": [["type": "text", "text": .string(answer)]]]
                },
                "resources/read": { _ in ["contents": []] }, "prompts/get": { _ in ["messages": []] },
            ]
        )
        try await withSession(server) { session in
            guard case .inputRequired(let required) = try await session.callToolRound("t") else {
                Issue.record("nothing was asked")
                return
            }
            #expect(required.requestState == "s-1" && required.inputRequests?.members.map(\.name) == ["name"])
            let answer = InputResponse(ElicitResult(action: .accept, content: ["name": "Ada"]))
            let input = RoundInput(to: required, InputResponses([.init("name", answer)]))
            guard case .complete(let result) = try await session.callToolRound("t", input: input) else {
                Issue.record("asked again")
                return
            }
            #expect(result.content.first?.text == "Ada")
            guard case .complete = try await session.readResourceRound("file:///x"),
                case .complete = try await session.getPromptRound("p", arguments: ["a": "b"])
            else {
                Issue.record("asked, where nothing is to be asked")
                return
            }
        }
        let second = server.received("tools/call").last?["params"]
        #expect(second?["requestState"] == "s-1" && server.received("tools/call").count == 2)
        #expect(server.received("prompts/get").first?["params"]?["arguments"] == ["a": "b"])
    }

    @Test("what is known of a server is not asked again; what the era excludes is not believed")
    func known() async throws {
        let modern = ProtocolServer(.v2026_07_28, ["tools/list": { _ in ["tools": []] }])
        let description = try await withSession(modern) { try await $0.waitUntilReady() }
        let again = ProtocolServer(.v2026_07_28, ["tools/list": { _ in ["tools": []] }])
        try await withSession(again) {
            $0.knownServer = description
        } _: { session in
            _ = try await session.listTools()
            #expect(session.server?.capabilities.tools != nil)
        }
        #expect(again.received.map { $0["method"]?.string } == ["tools/list"])

        let legacy = ProtocolServer(.v2025_11_25)
        let old = try await withSession(legacy) { try await $0.waitUntilReady() }
        for (known, era) in [(old, ClientConfiguration.EraPreference.automatic), (description, .legacyOnly)] {
            let server = ProtocolServer(.v2025_11_25)
            try await withSession(server) { configuration in
                configuration.knownServer = known
                configuration.era = era
            } _: { session in
                let spoken = try await session.waitUntilReady().revision
                #expect(spoken == .v2025_11_25)
            }
            #expect(server.received.first?["method"] == "initialize")
        }
        let strict = ProtocolServer(.v2026_07_28)
        try await withSession(strict) { configuration in
            configuration.knownServer = old
            configuration.era = .modernOnly
        } _: { session in
            let spoken = try await session.waitUntilReady().revision
            #expect(spoken == .v2026_07_28)
        }
    }

    @Test("CACHE-12 what one caller was given is not given to another, and is not for the host")
    func notShared() async throws {
        let read = Locked(0)
        let server = ProtocolServer(
            .v2026_07_28,
            capabilities: ["tools": ["listChanged": true], "resources": [:]],
            [
                "resources/read": { _ in
                    let place = read.withLock { count in
                        count += 1
                        return count
                    }
                    let text: JSONValue = .string("\(place)")
                    return ["contents": [["uri": "file:///x", "text": text]], "ttlMs": 60000, "cacheScope": "private"]
                },
                "tools/list": { call in
                    let who = call.params["_meta"]?["com.example/who"]?.string ?? "nobody"
                    let tool: JSONValue = ["name": .string(who), "inputSchema": ["type": "object", "required": ["a"]]]
                    return ["tools": [tool], "ttlMs": 60000, "cacheScope": "private"]
                },
                "tools/call": { _ in ["content": []] },
            ]
        )
        try await withSession(server) { session in
            func read(_ who: String?) async throws -> String? {
                var options = RequestOptions()
                if let who {
                    options.context = CallerContext()
                    options.context?.meta = ["com.example/who": .string(who)]
                }
                let result = try await session.readResource("file:///x", options: options)
                guard case .text(let text)? = result.contents.first else { return nil }
                return text.text
            }
            let texts = [
                try await read("a"), try await read("b"), try await read(nil), try await read(nil), try await read("a"),
            ]
            #expect(texts == ["1", "2", "3", "3", "4"])
            var options = RequestOptions()
            options.context = CallerContext()
            options.context?.meta = ["com.example/who": "a"]
            #expect(try await session.listTools(options: options).map(\.name) == ["a"])
            // Its schema would refuse this, if the list had been taken for everybody's.
            _ = try await session.callTool("a", arguments: [:])
            #expect(try await session.listTools().map(\.name) == ["nobody"])
        }
    }

    @Test("MRTR-24 what a request does not offer is not given, whoever could")
    func notOffered() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { call in
                    ["content": [], "x": (try await call.input(["r": ["method": "roots/list"]]))["r"] ?? .null]
                }
            ]
        )
        try await withSession(server) { configuration in
            configuration.handlers.roots = { _ in [Root(uri: "file:///connection")] }
        } _: { session in
            var options = RequestOptions()
            options.context = CallerContext()
            options.context?.capabilities = ClientCapabilities()
            let error = await failure { try await session.callTool("t", options: options) }
            #expect(error?.code == MCPError.Code.notSupported)
            options.context?.capabilities = ClientCapabilities(roots: RootsCapability())
            _ = try await session.callTool("t", options: options)
        }
        #expect(server.received("tools/call").count == 3)
    }

    @Test("XTASK-22 one round of a call offers no task, and gives up the one that it gets")
    func noTask() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { _ in ["resultType": "task", "taskId": "job", "status": "working"] },
                "tasks/cancel": { _ in [:] },
            ]
        )
        try await withSession(server) {
            $0.usesTasks = true
        } _: { session in
            let error = await failure { _ = try await session.callToolRound("t") }
            #expect(error?.code == .badResponse && error?.message.contains("job") == true)
            await server.wait(forReceived: "tasks/cancel")
        }
        for call in server.received("tools/call") {
            #expect(call["params"]?["_meta"]?["io.modelcontextprotocol/clientCapabilities"] == [:])
        }
        #expect(server.received("tasks/cancel").first?["params"]?["taskId"] == "job")
    }

    /// Has no room for some messages.
    private final class Full: Transport {
        private let base: any Transport
        private let method: String
        init(_ base: any Transport, _ method: String) { (self.base, self.method) = (base, method) }
        func run(_ receiver: any TransportReceiver) async -> TransportEnd { await self.base.run(receiver) }
        func send(_ message: OutgoingMessage) throws(MCPError) {
            if message.method == self.method { throw MCPError(.busy, "full") }
            try self.base.send(message)
        }
        func setReceiving(_ enabled: Bool) { self.base.setReceiving(enabled) }
        func close(_ mode: TeardownMode) { self.base.close(mode) }
    }

    @Test("T13 a notification for which there is no room is refused, and not kept")
    func full() async throws {
        let server = ProtocolServer(.v2025_11_25)
        var configuration = ClientConfiguration()
        configuration.era = .legacyOnly
        let session = ClientSession(transport: Full(server.transport(), "acme/x"), configuration: configuration)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await session.run() }
            for _ in 0..<1000 {
                let error = await failure { try await session.notify("acme/x") }
                #expect(error?.code == .busy)
            }
            // Nothing of that is in the way of others.
            #expect(await failure { try await session.ping() } == nil)
            session.close()
        }
        #expect(server.received("acme/x").isEmpty)
    }
}
