import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Multi round-trip requests of the modern era.
@Suite("Multi round-trip requests", .timeLimit(.minutes(5)))
struct RoundTripTests {
    private static let elicit: JSONValue = [
        "method": "elicitation/create",
        "params": ["message": "?", "requestedSchema": ["type": "object", "properties": ["a": ["type": "string"]]]],
    ]
    private static let roots: JSONValue = ["method": "roots/list"]

    private static func offer(_ configuration: inout SessionSetup) {
        configuration.handlers.elicitationForm = { _, _ in ElicitResult(action: .accept, content: ["a": "x"]) }
        configuration.handlers.roots = { _ in [Root(uri: "file:///r")] }
        configuration.roundDelay = .milliseconds(1)
    }

    @Test(
        "MRTR-13 MRTR-15 MRTR-17 MRTR-18 MRTR-19 RPC-07 all answers at once, state byte for byte, a new id, nothing left over"
    )
    func rounds() async throws {
        let state: JSONValue = "v1.\u{1F512} \"\\\u{7F}/e\u{301} \u{0} {\"a\":1}"
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { call in
                    switch call.params["inputResponses"]?.object?.count {
                    case nil: try call.again(state: state, requests: ["form": Self.elicit, "the roots": Self.roots])
                    case 2: try call.again(state: nil, requests: ["more": Self.elicit])
                    default: return ["content": [["type": "text", "text": "done"]]]
                    }
                }
            ]
        )
        try await withSession(server, Self.offer) { session in
            let result = try await session.callTool("t", arguments: ["n": 1])
            #expect(result.content.first?.text == "done")
            _ = try await session.callTool("t", arguments: ["n": 2])
            let calls = server.received("tools/call")
            #expect(calls.count == 6 && Set(calls.compactMap { $0["id"] }).count == 6)
            #expect(calls[0]["params"]?["requestState"] == nil && calls[0]["params"]?["inputResponses"] == nil)
            let answers = calls[1]["params"]?["inputResponses"]
            #expect(answers?["form"] == ["action": "accept", "content": ["a": "x"]])
            #expect(answers?["the roots"] == ["roots": [["uri": "file:///r"]]])
            #expect(calls[1]["params"]?["requestState"] == state)
            // Answers are per round, and a state that was not given is not sent.
            #expect(calls[2]["params"]?["inputResponses"]?.object?.count == 1)
            #expect(calls[2]["params"]?["requestState"] == nil)
            #expect(
                calls.prefix(3).allSatisfy { $0["params"]?["arguments"] == ["n": 1] && $0["params"]?["name"] == "t" }
            )
            #expect(calls[3]["params"]?["requestState"] == nil && calls[3]["params"]?["inputResponses"] == nil)
        }
    }

    @Test("MRTR-16 a state is sent back as it was written, escapes and all")
    func stateUntouched() async throws {
        let transport = ScriptedTransport { transport, id, method, params in
            switch method {
            case "server/discover":
                transport.reply(
                    id,
                    result:
                        #"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#
                )
            case "tools/call" where params["requestState"] == nil:
                transport.reply(id, result: #"{"resultType":"input_required","requestState":"\u0041\/\ud83d\ude00"}"#)
            default: transport.reply(id, result: #"{"resultType":"complete","content":[]}"#)
            }
        }
        try await withSession(transport) { session in _ = try await session.callTool("t") }
        #expect(transport.texts.contains { $0.contains(#""requestState":"\u0041\/\ud83d\ude00""#) })
    }

    @Test("V10 a state that is null is none, and so are requests that are")
    func nullState() async throws {
        let transport = ScriptedTransport { transport, id, method, params in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: true) { return }
            if params["inputResponses"] != nil { return transport.reply(id, result: #"{"content":[]}"#) }
            transport.reply(
                id,
                result:
                    #"{"resultType":"input_required","requestState":null,"inputRequests":{"r":{"method":"roots/list"}}}"#
            )
        }
        var runtime = SessionRuntime()
        runtime.handlers.roots = { _ in [] }
        let session = ClientSession(transport: transport, runtime: runtime)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = await session.run() }
            _ = try await session.callTool("t")
            session.close()
            try await group.waitForAll()
        }
        let last = try #require(transport.sent.last { $0["method"] == "tools/call" })
        #expect(last["params"]?["inputResponses"] != nil && last["params"]?["requestState"] == nil)
    }

    @Test("V6 the hard limit is that of all rounds together, in both eras")
    func hardLimit() async throws {
        let clock = ManualClock()
        let server = ProtocolServer(
            .v2026_07_28,
            ["tools/call": { call in try call.again(state: nil, requests: ["form": Self.elicit]) }]
        )
        try await withSession(server, clock: clock) { configuration in
            Self.offer(&configuration)
            // Whoever asks takes the user's time.
            configuration.handlers.elicitationForm = { _, _ in
                clock.advance(by: .seconds(30))
                return ElicitResult(action: .accept, content: ["a": "x"])
            }
        } _: { session in
            let error = await failure {
                try await session.callTool("t", options: RequestOptions(hardTimeout: .seconds(100)))
            }
            #expect(
                error?.code == .timeout && error?.message.contains("in all its rounds") == true,
                "\(String(describing: error))"
            )
            #expect(server.received("tools/call").count == 4)
        }
    }

    @Test("V6 V4 the time in which the tools are listed is part of the call's")
    func hardLimitOfListing() async throws {
        let clock = ManualClock()
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "tools/list": { _ in
                    clock.advance(by: .seconds(90))
                    return ["tools": []]
                },
                "tools/call": { _ in
                    await untilCancelled()
                    return [:]
                },
            ]
        )
        try await withSession(server, clock: clock) { configuration in
            configuration.listsTools = true
            configuration.idleTimeout = .seconds(1000)
        } _: { session in
            let options = RequestOptions(hardTimeout: .seconds(100))
            let call = Task { await failure { try await session.callTool("t", options: options) } }
            await server.wait(forReceived: "tools/call")
            await clock.pass(.seconds(10))
            #expect(await call.value?.code == .timeout)
        }
    }

    @Test("V6 the time until the conversation is ready is nobody's")
    func hardLimitBeforeReadiness() async throws {
        let (clock, isReady) = (ManualClock(), OneShot<Void>())
        let server = ProtocolServer(
            .v2025_11_25,
            [
                "initialize": { _ in
                    await isReady.wait()
                    return [
                        "protocolVersion": "2025-11-25", "capabilities": [:],
                        "serverInfo": ["name": "s", "version": "1"],
                    ]
                },
                "tools/call": { _ in ["content": []] }, "prompts/get": { _ in ["messages": []] },
                "resources/read": { _ in ["contents": []] },
            ]
        )
        try await withSession(server, clock: clock) { configuration in
            configuration.era = .legacyOnly
            (configuration.connectTimeout, configuration.idleTimeout) = (.seconds(1000), .seconds(1000))
        } _: { session in
            let options = RequestOptions(hardTimeout: .seconds(100))
            let calls = [
                Task { await failure { try await session.callTool("t", options: options) } },
                Task { await failure { try await session.callToolRound("t", options: options) } },
                Task { await failure { try await session.readResource("a:b", options: options) } },
                Task { await failure { try await session.getPrompt("p", options: options) } },
            ]
            await server.wait(forReceived: "initialize")
            clock.advance(by: .seconds(200))
            isReady.complete(())
            for call in calls { #expect(await call.value == nil) }
        }
    }

    /// What a task of a caller has about it.
    private enum Ambient { @TaskLocal static var value = "nobody's" }

    @Test(
        "V17 a handler finds the same task locals in both eras: those of nobody's call",
        arguments: [ProtocolRevision.v2025_11_25, .v2026_07_28]
    )
    func taskLocals(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(
            revision,
            [
                "tools/call": { call in
                    _ = try await call.input(["form": Self.elicit])
                    return ["content": []]
                }
            ]
        )
        let seen = Locked<[String]>([])
        try await withSession(server) { configuration in
            Self.offer(&configuration)
            configuration.handlers.elicitationForm = { _, _ in
                seen.withLock { $0.append(Ambient.value) }
                return ElicitResult(action: .accept, content: ["a": "x"])
            }
        } _: { session in
            try await Ambient.$value.withValue("the caller's") { _ = try await session.callTool("t") }
        }
        #expect(seen.withLock { $0 } == ["nobody's"])
    }

    @Test("V17 a handler that does not end keeps no caller that goes", arguments: [ProtocolRevision.v2026_07_28])
    func deafHandler(revision: ProtocolRevision) async throws {
        let (asked, go) = (OneShot<Void>(), OneShot<Void>())
        let server = ProtocolServer(
            revision,
            ["tools/call": { call in try call.again(state: nil, requests: ["form": Self.elicit]) }]
        )
        try await withSession(server) { configuration in
            Self.offer(&configuration)
            configuration.handlers.elicitationForm = { _, _ in
                asked.complete(())
                await go.wait()
                return ElicitResult(action: .decline)
            }
        } _: { session in
            let call = Task { await failure { try await session.callTool("t") } }
            await wait(for: "the question") { await asked.waitUnlessCancelled() }
            call.cancel()
            #expect(await call.value?.code == .cancelled)
            go.complete(())
        }
    }

    @Test("MRTR-14 V19 only a state means: try again; at once, then slower and slower, and bounded")
    func stateOnly() async throws {
        let clock = ManualClock()
        let server = ProtocolServer(.v2026_07_28, ["tools/call": { call in try call.again(state: "wait") }])
        try await withSession(server, clock: clock) { configuration in
            Self.offer(&configuration)
            configuration.roundDelay = .seconds(1)
        } _: { session in
            let call = Task { await failure { try await session.callTool("t") } }
            for round in 1...9 {
                // The call, a retry at once, and one more after each pause.
                await server.wait(forReceived: "tools/call", times: round + 1)
                #expect(server.received("tools/call").count == round + 1)
                await clock.pass(.seconds(round))
            }
            let error = await call.value
            #expect(error?.message.contains("in 11 rounds, which is the limit") == true, "\(error?.message ?? "")")
            #expect(server.received("tools/call").count == 11)
        }
    }

    @Test("CACHE-04 prompts and resources may ask too; other methods may not")
    func methods() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            capabilities: ["prompts": [:], "resources": [:], "tools": [:]],
            [
                "prompts/get": { call in
                    let answer = try await call.input(["q": Self.elicit])
                    let text = answer["q"]?["content"]?["a"] ?? ""
                    return ["messages": [["role": "user", "content": ["type": "text", "text": text]]]]
                },
                "resources/read": { call in
                    let answer = try await call.input(["q": Self.roots])
                    return [
                        "contents": [["uri": "x:y", "text": .string("\(answer)")]], "ttlMs": 100_000,
                        "cacheScope": "public",
                    ]
                },
                "tools/list": { call in try call.again(state: "s", requests: ["q": Self.roots]) },
            ]
        )
        try await withSession(server, Self.offer) { session in
            let prompt = try await session.getPrompt("p")
            #expect(prompt.messages.first?.content.text == "x")
            for _ in 0..<2 {
                let contents = try await session.readResource("x:y").contents
                guard case .text(let text)? = contents.first else { return }
                #expect(text.text.contains("file:///r"))
            }
            // What took input is nobody else's answer.
            #expect(server.received("resources/read").count == 4)
            let error = await #expect(throws: MCPError.self) { try await session.listTools() }
            #expect(error?.code == .badResponse)
        }
    }

    @Test("what the server asks for must make sense")
    func nonsense() async throws {
        let results: [JSONValue] = [
            ["resultType": "input_required"], ["resultType": "input_required", "inputRequests": [:]],
            ["resultType": "input_required", "inputRequests": ["a": ["method": "tools/call", "params": [:]]]],
            ["resultType": "input_required", "inputRequests": ["a": ["method": "elicitation/create"]]],
            ["resultType": "input_required", "inputRequests": 7],
            ["resultType": "input_required", "inputRequests": ["a": 7]],
            ["resultType": "new kind", "content": []],
        ]
        for result in results {
            let server = ProtocolServer(.v2026_07_28, ["tools/call": { _ in result }])
            try await withSession(server, Self.offer) { session in
                let error = await #expect(throws: MCPError.self) { try await session.callTool("t") }
                #expect(
                    error?.code == .badResponse || error?.code == .notSupported,
                    "\(result): \(error?.message ?? "")"
                )
                #expect(server.received("tools/call").count == 1)
            }
        }
    }

    @Test("RPC-22 RPC-23 RPC-24 no kind of result means complete; one that is not known, or not declared, is none")
    func resultTypes() async throws {
        for (type, isRight) in [(nil, true), ("complete", true), ("task", false), ("other", false)] as [(String?, Bool)]
        {
            let server = ProtocolServer(
                .v2026_07_28,
                ["tools/call": { _ in ["content": [], "resultType": type.map(JSONValue.string) ?? .null] }]
            )
            try await withSession(server) { session in
                do throws(MCPError) {
                    _ = try await session.callTool("t")
                    #expect(isRight)
                } catch {
                    #expect(!isRight && error.code == .badResponse)
                }
            }
        }
    }
}
