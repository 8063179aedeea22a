import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// What servers ask of the client. The same tests for both eras: a handler cannot tell how it was asked.
@Suite("Servers' requests: sampling, elicitation, roots", .timeLimit(.minutes(5)))
struct ServerRequestTests {
    static let eras: [ProtocolRevision] = [.v2025_11_25, .v2026_07_28]

    private static let question: JSONValue = [
        "messages": [["role": "user", "content": ["type": "text", "text": "capital of France?"]]], "maxTokens": 10,
    ]

    private static func form(_ properties: JSONValue, required: JSONValue = []) -> JSONValue {
        [
            "method": "elicitation/create",
            "params": [
                "message": "Please fill in",
                "requestedSchema": ["type": "object", "properties": properties, "required": required],
            ],
        ]
    }

    /// A server with one tool that asks for `request` and answers with what it got.
    private static func asking(_ revision: ProtocolRevision, _ request: JSONValue) -> ProtocolServer {
        ProtocolServer(
            revision,
            [
                "tools/call": { call in
                    let answers = try await call.input(["the key": request])
                    return ["content": [["type": "text", "text": .string((answers["the key"] ?? .null).description)]]]
                }
            ]
        )
    }

    private static func text(_ session: ClientSession) async throws -> JSONValue {
        try JSONValue(parsing: try await session.callTool("ask").content.first?.text ?? "null")
    }

    /// What a legacy server was refused with, or why a modern call failed.
    private static func refusal(_ session: ClientSession) async -> MCPError? {
        do throws(MCPError) {
            let result = try await session.callTool("ask")
            return MCPError(.badResponse, "no refusal: \(result)")
        } catch { return error }
    }

    private static func declared(_ server: ProtocolServer) -> JSONValue? {
        server.revision.isModern
            ? server.received("tools/call").first?["params"]?["_meta"]?["io.modelcontextprotocol/clientCapabilities"]
            : server.received("initialize").first?["params"]?["capabilities"]
    }

    // MARK: Sampling

    @Test(
        "SAMP-03 SAMP-04 SAMP-14 LIFE-19 sampling is declared, asked for, and answered",
        arguments: ProtocolRevision.all
    )
    func sampling(revision: ProtocolRevision) async throws {
        let server = Self.asking(revision, ["method": "sampling/createMessage", "params": Self.question])
        try await withSession(server) {
            $0.handlers.sampling = { params, context in
                #expect(params.maxTokens == 10 && params.messages.first?.role == .user && context.revision == revision)
                #expect(params.messages.first?.content.blocks.count == 1)
                return CreateMessageResult(
                    role: .assistant,
                    content: .single(.content(.text(TextContent(text: "Paris")))),
                    model: "m"
                )
            }
        } _: { session in
            let answer = try await Self.text(session)
            #expect(answer == ["role": "assistant", "content": ["type": "text", "text": "Paris"], "model": "m"])
            #expect(Self.declared(server)?["sampling"] != nil)
        }
    }

    @Test("SAMP-21 ROOT-05 MRTR-24 what is rejected, or not offered, is refused with its code", arguments: Self.eras)
    func rejected(revision: ProtocolRevision) async throws {
        let server = Self.asking(revision, ["method": "sampling/createMessage", "params": Self.question])
        try await withSession(server) {
            $0.handlers.sampling = { _, _ in throw ServerRequestHandlers.Rejection() }
        } _: { session in
            let error = await Self.refusal(session)
            #expect(error?.message.contains("the user rejected the request") == true)
            // A modern server is not told: it does not wait, and there is no second request.
            if revision.isModern {
                #expect(error?.code == .rejected && server.received("tools/call").count == 1)
            } else {
                #expect(error?.rpcError?.code.rawValue == -1)
            }
        }
        let roots = Self.asking(revision, ["method": "roots/list"])
        try await withSession(roots) { session in
            let error = await Self.refusal(session)
            #expect(revision.isModern ? error?.code == .notSupported : error?.rpcError?.code == .methodNotFound)
            #expect(Self.declared(roots)?["roots"] == nil && Self.declared(roots)?["sampling"] == nil)
        }
    }

    @Test("SAMP-05 SAMP-07 tools for the model only where that was declared", arguments: Self.eras)
    func samplingTools(revision: ProtocolRevision) async throws {
        var params = Self.question.object ?? [:]
        params["tools"] = [["name": "t", "inputSchema": ["type": "object"]]]
        params["toolChoice"] = ["mode": "auto"]
        for isDeclared in [false, true] {
            let server = Self.asking(revision, ["method": "sampling/createMessage", "params": .object(params)])
            try await withSession(server) {
                $0.handlers.samplingOffersTools = isDeclared
                $0.handlers.sampling = { params, _ in
                    #expect(params.tools?.first?.name == "t" && params.toolChoice?.mode == .auto)
                    let use = ToolUseContent(id: "1", name: "t", input: #"{"a":1}"#)
                    return CreateMessageResult(
                        role: .assistant,
                        content: .list([.toolUse(use)]),
                        model: "m",
                        stopReason: .toolUse
                    )
                }
            } _: { session in
                #expect((Self.declared(server) ?? .null)["sampling"]?["tools"] == nil || isDeclared)
                if isDeclared {
                    let answer = try await Self.text(session)
                    #expect(answer["stopReason"] == "toolUse" && answer["content"]?.array?.first?["input"]?["a"] == 1)
                    #expect(Self.declared(server)?["sampling"]?["tools"] != nil)
                } else {
                    let error = await Self.refusal(session)
                    #expect(revision.isModern ? error?.code == .notSupported : error?.rpcError?.code == .invalidParams)
                }
            }
        }
    }

    @Test(
        "SAMP-10 SAMP-11 SAMP-21 tool results stand alone and answer each use; what does not is refused",
        arguments: Self.eras
    )
    func toolLoop(revision: ProtocolRevision) async throws {
        func use(_ id: String) -> JSONValue { ["type": "tool_use", "id": .string(id), "name": "t", "input": [:]] }
        func result(_ id: String) -> JSONValue { ["type": "tool_result", "toolUseId": .string(id), "content": []] }
        let text: JSONValue = ["type": "text", "text": "x"]
        let cases: [([(String, JSONValue)], Bool)] = [
            ([("user", text), ("assistant", [use("1"), use("2")]), ("user", [result("2"), result("1")])], true),
            ([("user", text), ("assistant", [use("1"), use("2")]), ("user", [result("1")])], false),
            ([("user", text), ("assistant", use("1")), ("user", [result("1"), text])], false),
            ([("user", text), ("assistant", use("1")), ("user", text)], false),
            ([("user", result("1"))], false),
        ]
        for (messages, isRight) in cases {
            let list = messages.map { message -> JSONValue in ["role": .string(message.0), "content": message.1] }
            let server = Self.asking(
                revision,
                ["method": "sampling/createMessage", "params": ["messages": .array(list), "maxTokens": 1]]
            )
            try await withSession(server) {
                $0.handlers.samplingOffersTools = true
                $0.handlers.sampling = { _, _ in
                    CreateMessageResult(
                        role: .assistant,
                        content: .single(.content(.text(TextContent(text: "ok")))),
                        model: "m"
                    )
                }
            } _: { session in
                if isRight {
                    let answer = try await Self.text(session)
                    #expect(answer["model"] == "m")
                } else {
                    let error = await Self.refusal(session)
                    #expect(revision.isModern ? error?.code == .notSupported : error?.rpcError?.code == .invalidParams)
                }
            }
        }
    }

    // MARK: Elicitation

    @Test(
        "ELI-06 ELI-08 ELI-11 ELI-13 ELI-44 ELI-59 a form is filled in, completed by its defaults, and checked",
        arguments: [ProtocolRevision.v2025_06_18, .v2025_11_25, .v2026_07_28]
    )
    func form(revision: ProtocolRevision) async throws {
        let fields: JSONValue = [
            "name": ["type": "string", "minLength": 2], "age": ["type": "integer", "minimum": 0, "default": 30],
            "mail": ["type": "string", "format": "email", "default": "a@example.com"],
            "ok": ["type": "boolean", "default": true],
            "size": ["type": "string", "enum": ["S", "M"], "default": "M"],
        ]
        let server = Self.asking(revision, Self.form(fields, required: ["name"]))
        try await withSession(server) {
            $0.handlers.elicitationForm = { params, _ in
                #expect(params.mode == nil && params.message == "Please fill in")
                #expect(params.requestedSchema.properties.members.map(\.name) == ["name", "age", "mail", "ok", "size"])
                return ElicitResult(action: .accept, content: ["name": "Ada", "age": 36])
            }
        } _: { session in
            let answer = try await Self.text(session)
            #expect(answer["action"] == "accept")
            // Defaults exist since 2025-11-25; earlier forms carry them as extras.
            let content: JSONValue = ["name": "Ada", "age": 36, "mail": "a@example.com", "ok": true, "size": "M"]
            #expect(answer["content"] == content)
            #expect(Self.declared(server)?["elicitation"] != nil)
        }
        let wrong = Self.asking(revision, Self.form(fields, required: ["name"]))
        try await withSession(wrong) {
            $0.handlers.elicitationForm = { _, _ in
                ElicitResult(action: .accept, content: ["name": "A", "mail": "nobody", "x": 1])
            }
        } _: { session in
            let error = await Self.refusal(session)
            #expect(error?.message.contains("/name: 1 characters are fewer than 2") == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("/mail") == true)
        }
    }

    @Test("ELI-07 V19 elicitation is declared on every request, each kind of it only where there is a handler")
    func declaredAlways() async throws {
        let form: @Sendable (ElicitRequestFormParams, ServerRequestHandlers.Context) async throws -> ElicitResult = {
            _,
            _ in ElicitResult(action: .cancel)
        }
        for (hasForm, hasPage) in [(true, false), (false, true), (true, true), (false, false)] {
            let server = ProtocolServer(
                .v2026_07_28,
                ["tools/call": { _ in ["content": []] }, "tools/list": { _ in ["tools": []] }]
            )
            try await withSession(server) {
                if hasForm { $0.handlers.elicitationForm = form }
                if hasPage { $0.handlers.elicitationURL = { _, _ in ElicitResult(action: .cancel) } }
            } _: { session in
                _ = try await session.listTools()
                for _ in 0..<3 { _ = try await session.callTool("t") }
            }
            let requests = server.received.filter { $0["id"] != nil && $0["method"] != nil }
            #expect(requests.count >= 5)
            for request in requests {
                let key = "io.modelcontextprotocol/clientCapabilities"
                let declared = request["params"]?["_meta"]?[key]?["elicitation"]
                #expect((declared != nil) == (hasForm || hasPage), "\(request)")
                #expect((declared?["form"] != nil) == hasForm && (declared?["url"] != nil) == hasPage, "\(request)")
            }
        }
    }

    @Test("ELI-41 declining and cancelling are answers, without content", arguments: Self.eras)
    func declined(revision: ProtocolRevision) async throws {
        for action in [ElicitationAction.decline, .cancel] {
            let server = Self.asking(revision, Self.form(["a": ["type": "string"]], required: ["a"]))
            try await withSession(server) {
                $0.handlers.elicitationForm = { _, _ in
                    if action == .decline { throw ServerRequestHandlers.Rejection() }
                    return ElicitResult(action: action, content: ["a": "secret"])
                }
            } _: { session in
                let answer = try await Self.text(session)
                #expect(answer == ["action": .string(action.rawValue)])
            }
        }
    }

    @Test("every kind of choice that forms have is offered and checked", arguments: Self.eras)
    func choices(revision: ProtocolRevision) async throws {
        let titled: JSONValue = [["const": "r", "title": "Red"], ["const": "g", "title": "Green"]]
        let fields: JSONValue = [
            "one": ["type": "string", "oneOf": titled],
            "old": ["type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]],
            "some": ["type": "array", "items": ["type": "string", "enum": ["x", "y"]], "minItems": 1, "maxItems": 2],
            "named": ["type": "array", "items": ["anyOf": titled], "default": ["g"]],
        ]
        let answers: [(JSONObject, Bool)] = [
            (["one": "r", "old": "b", "some": ["x"]], true), (["one": "blue"], false), (["old": "c"], false),
            (["some": []], false), (["some": ["z"]], false), (["named": ["r", "blue"]], false),
        ]
        for (content, isRight) in answers {
            let server = Self.asking(revision, Self.form(fields))
            try await withSession(server) {
                $0.handlers.elicitationForm = { params, _ in
                    let kinds = params.requestedSchema.properties.members.map { field in
                        switch field.value {
                        case .titledSingleSelect: 1
                        case .legacyTitled: 2
                        case .untitledMultiSelect: 3
                        case .titledMultiSelect: 4
                        default: 0
                        }
                    }
                    #expect(kinds == [1, 2, 3, 4])
                    return ElicitResult(action: .accept, content: content)
                }
            } _: { session in
                if isRight {
                    let answer = try await Self.text(session)
                    #expect(answer["content"]?["named"] == ["g"])
                } else {
                    #expect(await Self.refusal(session)?.message.contains("does not fit the form") == true)
                }
            }
        }
    }

    @Test(
        "V2 forms of any shape reach the handler as they came; what it answers is checked against them",
        arguments: Self.eras
    )
    func forms(revision: ProtocolRevision) async throws {
        // As other SDKs write them: a type that may be null, lists of types, lists of strings, objects within, references, no type at all.
        let properties: JSONValue = [
            "a": ["anyOf": [["type": "string"], ["type": "null"]], "default": nil], "b": ["type": ["integer", "null"]],
            "c": ["type": "array", "items": ["type": "string"]],
            "d": ["type": "object", "properties": ["x": ["type": "number"]]],
            "e": ["$ref": "#/$defs/E"], "f": ["enum": ["x", 1]], "g": ["type": "string", "minLength": "2"],
            "h": ["type": "string"],
        ]
        let params: JSONValue = [
            "message": "Please fill in",
            "requestedSchema": [
                "type": "object", "properties": properties, "required": ["a", "nowhere"],
                "$defs": ["E": ["type": "boolean"]],
            ],
        ]
        for (content, isFine) in [
            (["a": nil, "b": 1, "c": ["x"], "d": ["x": 1], "e": true, "f": 1, "nowhere": 1], true),
            (["a": "x", "nowhere": 1], true),
            (["a": 7, "nowhere": 1], false), (["a": "x", "nowhere": 1, "c": [1]], false),
            (["a": "x", "nowhere": 1, "e": 0], false),
            (["a": "x"], false),
        ] as [(JSONObject, Bool)] {
            let server = Self.asking(revision, ["method": "elicitation/create", "params": params])
            let seen = Locked<ElicitRequestFormParams?>(nil)
            try await withSession(server) {
                $0.handlers.elicitationForm = { form, _ in
                    seen.withLock { $0 = form }
                    return ElicitResult(action: .accept, content: content)
                }
            } _: { session in
                if isFine {
                    let answer = try await Self.text(session)
                    #expect((answer["content"] ?? answer["result"]?["content"]) == .object(content), "\(answer)")
                } else {
                    let refusal = await Self.refusal(session)
                    #expect(
                        refusal?.message.contains("does not fit the form") == true,
                        "\(content): \(String(describing: refusal))"
                    )
                }
            }
            let form = try #require(seen.withLock { $0 })
            let came = try RawJSON(encoding: form.requestedSchema).decode(JSONValue.self)
            #expect(came["properties"] == properties && came["$defs"]?["E"]?["type"] == "boolean")
        }
    }

    @Test(
        "ELI-26 ELI-50 ELI-18 a page is a matter of the user's; where it was not declared it is refused",
        arguments: Self.eras
    )
    func page(revision: ProtocolRevision) async throws {
        var params: JSONObject = ["mode": "url", "message": "Sign in", "url": "https://example.com/sign-in?x=1"]
        if !revision.isModern { params["elicitationId"] = "opaque / id" }
        let request: JSONValue = ["method": "elicitation/create", "params": .object(params)]
        let server = Self.asking(revision, request)
        try await withSession(server) {
            $0.handlers.elicitationURL = { params, _ in
                #expect(params.url == "https://example.com/sign-in?x=1")
                #expect(params.elicitationId == (revision.isModern ? nil : "opaque / id"))
                return ElicitResult(action: .accept)
            }
        } _: { session in
            let answer = try await Self.text(session)
            #expect(answer == ["action": "accept"])
            #expect(
                Self.declared(server)?["elicitation"]?["url"] != nil
                    && Self.declared(server)?["elicitation"]?["form"] == nil
            )
        }
        try await withSession(Self.asking(revision, request)) {
            $0.handlers.elicitationForm = { _, _ in ElicitResult(action: .cancel) }
        } _: { session in
            let error = await Self.refusal(session)
            #expect(revision.isModern ? error?.code == .notSupported : error?.rpcError?.code == .invalidParams)
        }
    }

    @Test("ELI-21 a call that needs a page first is made again when the server says that the user is done there")
    func pageFirst() async throws {
        let isDone = Locked(false)
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "tools/call": { call in
                    if isDone.withLock({ $0 }) { return ["content": [["type": "text", "text": "welcome"]]] }
                    let page: JSONValue = [
                        "mode": "url", "message": "Sign in", "url": "https://example.com", "elicitationId": "7",
                    ]
                    throw ProtocolServer.Failure(-32042, "sign in first", data: ["elicitations": [page]])
                }
            ]
        )
        for isWilling in [false, true] {
            try await withSession(server) {
                $0.handlers.elicitationURL = { params, _ in
                    guard isWilling else { throw ServerRequestHandlers.Rejection() }
                    isDone.withLock { $0 = true }
                    for id in ["someone else's", "7", "7"] {
                        server.tell("notifications/elicitation/complete", ["elicitationId": .string(id)])
                    }
                    return ElicitResult(action: .accept)
                }
            } _: { session in
                if isWilling {
                    let result = try await session.callTool("t")
                    #expect(result.content.first?.text == "welcome")
                } else {
                    let error = await #expect(throws: MCPError.self) { try await session.callTool("t") }
                    #expect(error?.rpcError?.code == .urlElicitationRequired)
                }
            }
        }
        #expect(server.received("tools/call").count == 3)
    }

    @Test("ELI-22 V19 a server that never tells that the user is done: the caller may give up, and try again by hand")
    func pageWithoutEnd() async throws {
        let isDone = Locked(false)
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "tools/call": { _ in
                    if isDone.withLock({ $0 }) { return ["content": [["type": "text", "text": "welcome"]]] }
                    let page: JSONValue = [
                        "mode": "url", "message": "Sign in", "url": "https://example.com", "elicitationId": "7",
                    ]
                    throw ProtocolServer.Failure(-32042, "sign in first", data: ["elicitations": [page]])
                }
            ]
        )
        let clock = ManualClock()
        try await withSession(server, clock: clock) {
            $0.handlers.elicitationURL = { _, _ in ElicitResult(action: .accept) }
        } _: { session in
            let options = RequestOptions(hardTimeout: .seconds(77))
            let call = Task { await failure { try await session.callTool("t", options: options) } }
            // The user has been shown the page, and now it is waited for the server to say that it is done.
            await clock.wait(dueIn: .seconds(77))
            call.cancel()
            let error = await wait(for: "the cancelled call") { await call.value }
            #expect(error?.code == .cancelled)
            isDone.withLock { $0 = true }
            let result = try await session.callTool("t")
            #expect(result.content.first?.text == "welcome")
            #expect(server.received("tools/call").count == 2)
        }
    }

    @Test("ELI-21 the end of a page is told once it is there, whatever id it has")
    func pageDone() async throws {
        let server = ProtocolServer(.v2025_11_25)
        try await withSession(server) { session in
            _ = try await session.waitUntilReady()
            let events = session.serverEvents()
            server.tell("notifications/elicitation/complete", ["elicitationId": "7"])
            var iterator = events.makeAsyncIterator()
            guard case .elicitationCompleted("7")? = await iterator.next() else {
                Issue.record("another event")
                return
            }
        }
    }

    // MARK: Roots

    @Test("ROOT-01 ROOT-02 ROOT-04 roots are declared, listed, and file: URLs only", arguments: ProtocolRevision.all)
    func roots(revision: ProtocolRevision) async throws {
        for (uri, isRight) in [("file:///srv", true), ("https://example.com", false)] {
            let server = Self.asking(revision, ["method": "roots/list"])
            try await withSession(server) {
                $0.handlers.roots = { _ in [Root(uri: uri, name: "here")] }
            } _: { session in
                if isRight {
                    let answer = try await Self.text(session)
                    #expect(answer["roots"] == [["uri": "file:///srv", "name": "here"]])
                } else {
                    let error = await Self.refusal(session)
                    #expect(revision.isModern ? error?.code == .rejected : error?.rpcError?.code == .internalError)
                }
                #expect(Self.declared(server)?["roots"] == (revision.isModern ? [:] : ["listChanged": true]))
            }
        }
    }

    @Test("ROOT-03 a legacy server is told when the roots change, a modern one is not", arguments: Self.eras)
    func rootsChanged(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(revision, ["tools/call": { _ in ["content": []] }])
        try await withSession(server) {
            $0.handlers.roots = { _ in [] }
        } _: { session in
            try await session.rootsChanged()
            _ = try await session.callTool("after")
            #expect(server.received("notifications/roots/list_changed").count == (revision.isModern ? 0 : 1))
        }
    }

    // MARK: How handlers run

    @Test("a handler may take its time and call the same server", arguments: Self.eras)
    func reentrant(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(
            revision,
            [
                "tools/call": { call in
                    if call.params["name"] == "inner" { return ["content": [["type": "text", "text": "from inside"]]] }
                    let answer = try await call.input(["q": Self.form(["a": ["type": "string"]])])
                    return ["content": [["type": "text", "text": answer["q"]?["content"]?["a"] ?? ""]]]
                }
            ]
        )
        let box = Locked<ClientSession?>(nil)
        try await withSession(server) {
            $0.handlers.elicitationForm = { _, _ in
                let inner = try await box.withLock { $0 }?.callTool("inner")
                return ElicitResult(action: .accept, content: ["a": .string(inner?.content.first?.text ?? "nobody")])
            }
        } _: { session in
            box.withLock { $0 = session }
            let result = try await session.callTool("outer")
            #expect(result.content.first?.text == "from inside")
            box.withLock { $0 = nil }
        }
    }

    @Test("CAN-08 a handler is cancelled with the request that it answers", arguments: Self.eras)
    func cancelledHandler(revision: ProtocolRevision) async throws {
        let server = Self.asking(revision, Self.form(["a": ["type": "string"]]))
        let (began, ended) = (OneShot<Void>(), OneShot<Void>())
        try await withSession(server) {
            $0.handlers.elicitationForm = { _, _ in
                began.complete(())
                await withTaskCancellationHandler {
                    await ended.wait()
                } onCancel: {
                    ended.complete(())
                }
                return ElicitResult(action: .cancel)
            }
        } _: { session in
            let call = Task { try await session.callTool("ask") }
            await began.wait()
            if revision.isModern {
                call.cancel()
            } else {
                server.send([
                    "jsonrpc": "2.0", "method": "notifications/cancelled", "params": ["requestId": server.lastAsked],
                ])
            }
            await ended.wait()
            call.cancel()
            let error = await #expect(throws: MCPError.self) { try await call.value }
            #expect(error?.code == .cancelled)
            #expect(server.received.allSatisfy { $0["result"] == nil })
        }
    }

    @Test(
        "a handler is cancelled when the connection ends, and one that will not end is not waited for",
        arguments: Self.eras
    )
    func endedHandler(revision: ProtocolRevision) async throws {
        let server = Self.asking(revision, Self.form(["a": ["type": "string"]]))
        let (began, cancelled) = (OneShot<Void>(), OneShot<Void>())
        try await withSession(server) {
            $0.handlers.elicitationForm = { _, _ in
                began.complete(())
                await withTaskCancellationHandler {
                    await cancelled.wait()
                } onCancel: {
                    cancelled.complete(())
                }
                return ElicitResult(action: .accept, content: ["a": "late"])
            }
        } _: { session in
            let call = Task { try await session.callTool("ask") }
            await began.wait()
            session.close()
            await cancelled.wait()
            let error = await #expect(throws: MCPError.self) { try await call.value }
            #expect(error?.code == .hostClosed)
        }
    }

    @Test("while a server waits for the user, its own silence does not time out")
    func noIdleTime() async throws {
        let server = Self.asking(.v2025_11_25, Self.form(["a": ["type": "string"]]))
        let time = ManualClock()
        let (began, go) = (OneShot<Void>(), OneShot<Void>())
        try await withSession(server, clock: time) {
            $0.handlers.elicitationForm = { _, _ in
                began.complete(())
                await go.wait()
                return ElicitResult(action: .cancel)
            }
        } _: { session in
            let call = Task { try await session.callTool("ask", options: RequestOptions(idleTimeout: .seconds(60))) }
            await began.wait()
            time.advance(by: .seconds(300))
            go.complete(())
            let result = try await call.value
            #expect(result.content.first?.text == #"{"action":"cancel"}"#)
        }
    }

    @Test("once it has the answer, its silence does time out, after the idle limit and not after the hard one")
    func idleTimeAfterwards() async throws {
        let question: JSONValue = Self.form(["a": ["type": "string"]])
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "tools/call": { call in
                    _ = try await call.input(["the key": question])
                    await untilCancelled()
                    return [:]
                }
            ]
        )
        let time = ManualClock()
        let (began, go) = (OneShot<Void>(), OneShot<Void>())
        try await withSession(server, clock: time) {
            $0.handlers.elicitationForm = { _, _ in
                began.complete(())
                await go.wait()
                return ElicitResult(action: .cancel)
            }
        } _: { session in
            let options = RequestOptions(idleTimeout: .seconds(60), hardTimeout: .seconds(3600))
            let call = Task { try await session.callTool("ask", options: options) }
            await began.wait()
            time.advance(by: .seconds(300))
            go.complete(())
            await time.pass(.seconds(60))
            let error = await #expect(throws: MCPError.self) { try await call.value }
            #expect(error?.code == .timeout && error?.message.contains("idle limit") == true)
        }
    }
}
