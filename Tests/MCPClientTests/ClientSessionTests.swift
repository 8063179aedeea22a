import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient

@Suite("Calls", .timeLimit(.minutes(5)))
struct ClientSessionTests {
    /// A legacy server that does `answer` for whatever comes after the handshake.
    private func server(_ answer: @escaping ScriptedTransport.Answer) -> ScriptedTransport {
        ScriptedTransport { transport, id, method, params in
            if !ScriptedTransport.shakeHands(transport, id, method, isModern: false) {
                answer(transport, id, method, params)
            }
        }
    }

    @Test("F4 a hundred calls answered in reverse each get their own result")
    func reverse() async throws {
        let waiting = Locked<[(JSONRPCRequestID?, String)]>([])
        let transport = self.server { transport, id, _, params in
            let batch = waiting.withLock { waiting -> [(JSONRPCRequestID?, String)] in
                waiting.append((id, params["arguments"]?["n"]?.string ?? ""))
                return waiting.count == 50 ? waiting : []
            }
            for (id, text) in batch.reversed() {
                transport.reply(id, result: #"{"content":[{"type":"text","text":"\#(text)"}]}"#)
            }
        }
        try await withSession(transport) { session in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for i in 0..<50 {
                    group.addTask {
                        let result = try await session.callTool("t", arguments: ["n": .string("\(i)")])
                        #expect(result.content.first?.text == "\(i)")
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("F8 CAN-03 CAN-18 CAN-19 STDIO-09 cancelling and timing out tell the server once, with the id")
    func cancelled() async throws {
        let clock = ManualClock()
        let transport = self.server { _, _, _, _ in }
        try await withSession(transport, clock: clock) { session in
            let call = Task { try await session.callTool("slow") }
            await transport.wait(forSent: "tools/call")
            call.cancel()
            await #expect { try await call.value } throws: { ($0 as? MCPError)?.code == .cancelled }
            let late = Task { try await session.callTool("slow") }
            await transport.wait(forSent: "tools/call", times: 2)
            clock.advance(by: .seconds(60))
            await #expect { try await late.value } throws: { ($0 as? MCPError)?.code == .timeout }
        }
        let calls = transport.sent.filter { $0["method"] == "tools/call" }.map { $0["id"] }
        let told = transport.sent.filter { $0["method"] == "notifications/cancelled" }.map {
            $0["params"]?["requestId"]
        }
        #expect(told == calls && told.count == 2)
    }

    @Test("M3 F8 a close tells the server what it need not go on with, where there is time for that")
    func closed() async throws {
        for mode in [TeardownMode.graceful, .immediate] {
            let transport = self.server { _, _, _, _ in }
            try await withSession(transport) { session in
                async let error = failure { try await session.callTool("slow") }
                await transport.wait(forSent: "tools/call")
                session.close(mode)
                #expect(await error?.code == .hostClosed)
            }
            let calls = transport.sent.filter { $0["method"] == "tools/call" }.compactMap { $0["id"]?.int64 }
            #expect(calls.count == 1 && transport.cancelled == (mode == .graceful ? calls.map { .integer($0) } : []))
        }
    }

    @Test("F16 V19 the limit of a call counts, not the shorter one of its session")
    func ownLimit() async throws {
        let clock = ManualClock()
        let transport = self.server { _, _, _, _ in }
        try await withSession(transport, clock: clock) { session in
            let options = RequestOptions(idleTimeout: .seconds(600), hardTimeout: .seconds(600))
            let call = Task { try await session.callTool("slow", options: options) }
            let other = Task { await failure { try await session.callTool("slow") } }
            await transport.wait(forSent: "tools/call", times: 2)
            clock.advance(by: .seconds(180))
            #expect(await other.value?.code == .timeout)
            let request = try #require(
                transport.sent.first { message in
                    message["method"] == "tools/call"
                        && !transport.sent.contains { $0["params"]?["requestId"] == message["id"] }
                }
            )
            transport.reply(request["id"]?.int64.map { .integer($0) }, result: #"{"content":[]}"#)
            _ = try await call.value
        }
    }

    @Test("F11 F12 CAN-21 CAN-22 V19 progress without a callback keeps a call alive, up to the hard limit (F12)")
    func progress() async throws {
        let clock = ManualClock()
        let transport = self.server { _, _, _, _ in }
        try await withSession(transport, clock: clock) { session in
            let call = Task { try await session.callTool("slow") }
            await transport.wait(forSent: "tools/call")
            let token = try #require(transport.sent.last?["params"]?["_meta"]?["progressToken"]?.int64)
            for i in 1...29 {
                clock.advance(by: .seconds(20))
                transport.deliver(
                    #"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":\#(token),"progress":\#(i)}}"#
                )
            }
            clock.advance(by: .seconds(20))
            await #expect { try await call.value } throws: {
                ($0 as? MCPError)?.message.contains("600.0 seconds") == true
            }
        }
    }

    @Test("C10 C21 F21 bad answers fail their call at once and no other")
    func badAnswers() async throws {
        let transport = self.server { transport, id, _, params in
            switch params["name"]?.string {
            case "cut": transport.deliver(#"{"jsonrpc":"2.0","id":\#(id ?? .integer(0)),"result":"#)
            case "oddContent": transport.reply(id, result: #"{"content":"x"}"#)
            case "oddFailure": transport.reply(id, result: #"{"content":[],"isError":"false"}"#)
            case "oddKind": transport.reply(id, result: #"{"content":[],"resultType":1}"#)
            case "noResult": transport.deliver(#"{"jsonrpc":"2.0","id":\#(id ?? .integer(0))}"#)
            case "oddError": transport.deliver(#"{"jsonrpc":"2.0","id":\#(id ?? .integer(0)),"error":"bang"}"#)
            case "asksBack": transport.reply(id, result: #"{"resultType":"input_required","requestState":"x"}"#)
            default:
                transport.deliver(#"{"jsonrpc":"2.0","id":999,"result":{}}"#)
                transport.reply(id, result: #"{"content":[]}"#)
                transport.reply(id, result: #"{"content":[{"type":"text","text":"again"}]}"#)
            }
        }
        try await withSession(transport) { session in
            for name in ["cut", "oddContent", "oddFailure", "oddKind", "noResult", "oddError"] {
                await #expect { try await session.callTool(name) } throws: { ($0 as? MCPError)?.code == .badResponse }
            }
            // Only a modern server may ask so.
            await #expect { try await session.callTool("asksBack") } throws: {
                ($0 as? MCPError)?.code == .badResponse
            }
            let good = try await session.callTool("good")
            #expect(good.content.isEmpty)
        }
    }

    @Test("F19 a server's requests are answered: ping yes, what is not offered -32601")
    func serverRequests() async throws {
        let transport = self.server { transport, id, _, _ in
            transport.deliver(#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#)
            transport.deliver(#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#)
            transport.reply(id, result: #"{"content":[]}"#)
        }
        try await withSession(transport) { session in _ = try await session.callTool("t") }
        #expect(transport.sent.contains { $0["id"] == "a" && $0["result"] != nil })
        #expect(transport.sent.contains { $0["id"] == 7 && $0["error"]?["code"] == -32601 })
    }

    @Test("F20 RPC-36 STDIO-06 a modern server's request is not answered, and hangs nothing")
    func modernServerRequests() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: true) { return }
            transport.deliver(#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#)
            transport.reply(id, result: #"{"content":[]}"#)
        }
        try await withSession(transport) { session in _ = try await session.callTool("t") }
        #expect(!transport.sent.contains { $0["id"] == "a" })
    }

    @Test("RPC-22 RPC-23 a result without a kind is complete, one of an unknown kind is refused")
    func resultTypes() async throws {
        let transport = self.server { transport, id, _, params in
            let type = params["name"]?.string ?? ""
            transport.reply(
                id,
                result: type == "none" ? #"{"content":[]}"# : #"{"content":[],"resultType":"\#(type)"}"#
            )
        }
        try await withSession(transport) { session in
            _ = try await session.callTool("none")
            _ = try await session.callTool("complete")
            await #expect { try await session.callTool("surprise") } throws: { ($0 as? MCPError)?.code == .badResponse }
        }
    }

    @Test("RPC-04 RPC-06 RPC-07 PROG-01 PROG-02 ids and progress tokens are numbers that never come twice")
    func identifiers() async throws {
        let transport = self.server { transport, id, _, _ in transport.reply(id, result: #"{"content":[]}"#) }
        try await withSession(transport) { session in for _ in 0..<50 { _ = try await session.callTool("t") } }
        let calls = transport.sent.filter { $0["method"] == "tools/call" }
        #expect(Set(calls.compactMap { $0["id"]?.int64 }).count == 50)
        #expect(Set(calls.compactMap { $0["params"]?["_meta"]?["progressToken"]?.int64 }).count == 50)
    }

    @Test("C20 RPC-19 a batch, which 2025-03-26 allows, is taken element by element; an empty one hurts nobody")
    func batch() async throws {
        let transport = self.server { transport, id, _, _ in
            transport.deliver("[]")
            transport.deliver(
                #"[{"jsonrpc":"2.0","method":"notifications/x"},7,{"jsonrpc":"2.0","id":\#(id ?? .integer(0)),"result":{"content":[]}}]"#
            )
        }
        try await withSession(transport) { session in
            let result = try await session.callTool("t")
            #expect(result.content.isEmpty)
        }
    }

    @Test(
        "J1 J2 PAG-01 PAG-03 PAG-04 PAG-05 lists are walked to the end, never in circles, and within bounds; an empty cursor counts"
    )
    func lists() async throws {
        let transport = self.server { transport, id, method, params in
            let cursor = params["cursor"]?.string
            let next: String? =
                switch (method, cursor) {
                case ("tools/list", nil): ""
                case ("tools/list", ""?): "second"
                case ("tools/list", _): nil
                case ("prompts/list", nil): "a"
                case ("prompts/list", "a"?): "b"
                case ("prompts/list", _): "a"
                default: "\(Int(cursor ?? "0").map { $0 + 1 } ?? 0)"
                }
            let end = next.map { #","nextCursor":"\#($0)""# } ?? ""
            switch method {
            case "tools/list":
                transport.reply(id, result: #"{"tools":[{"name":"t\#(cursor ?? "-")","inputSchema":{}}]\#(end)}"#)
            case "prompts/list": transport.reply(id, result: #"{"prompts":[]\#(end)}"#)
            default: transport.reply(id, result: #"{"resources":[]\#(end)}"#)
            }
        }
        try await withSession(transport) { session in
            let tools = try await session.listTools()
            #expect(tools.map(\.name) == ["t-", "t", "tsecond"])
            await #expect { try await session.listPrompts() } throws: { "\($0)".contains("cursor \"a\" came twice") }
            await #expect { try await session.listResources() } throws: { "\($0)".contains("256 pages") }
        }
    }

    @Test("D11 notifications that nobody reads are dropped, oldest first, and counted")
    func notifications() async throws {
        var configuration = ClientConfiguration()
        configuration.notificationBuffer = 10
        let transport = self.server { transport, id, _, _ in
            for i in 0..<100 { transport.deliver(#"{"jsonrpc":"2.0","method":"n\#(i)"}"#) }
            transport.reply(id, result: #"{"content":[]}"#)
        }
        try await withSession(transport, configuration) { session in
            _ = try await session.callTool("t")
            #expect(session.droppedNotifications == 90)
            var iterator = session.notifications.makeAsyncIterator()
            #expect(await iterator.next()?.method == "n90")
        }
    }

    @Test("the other methods: prompts, resources, completion, errors of the server")
    func methods() async throws {
        let transport = self.server { transport, id, method, params in
            switch method {
            case "resources/read" where params["uri"] == "x:1":
                transport.reply(id, result: #"{"contents":[{"uri":"x:1","text":"t"}]}"#)
            case "resources/read": transport.refuse(id, code: -32002, data: #"{"uri":"x:2"}"#)
            case "prompts/get":
                transport.reply(id, result: #"{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]}"#)
            case "completion/complete":
                transport.reply(id, result: #"{"completion":{"values":["a","b"],"hasMore":false}}"#)
            case "resources/templates/list":
                transport.reply(id, result: #"{"resourceTemplates":[{"name":"n","uriTemplate":"x:{a}"}]}"#)
            default: transport.reply(id, result: "{}")
            }
        }
        try await withSession(transport) { session in
            let resource = try await session.readResource("x:1")
            #expect(resource.contents.first?.uri == "x:1")
            await #expect { try await session.readResource("x:2") } throws: { error in
                let error = error as? MCPError
                return error?.code == .serverError && error?.rpcError?.code == .resourceNotFound
                    && error?.rpcError?.uri == "x:2"
            }
            let prompt = try await session.getPrompt("p", arguments: ["a": "1"])
            #expect(prompt.messages.first?.content.text == "hi")
            let reference = CompletionReference.prompt(PromptReference(name: "p"))
            let completion = try await session.complete(
                CompleteRequestParams(ref: reference, argument: CompletionArgument(name: "a", value: "x"))
            )
            #expect(completion.completion.values == ["a", "b"])
            let templates = try await session.listResourceTemplates()
            #expect(templates.count == 1)
            try await session.ping()
        }
    }
}
