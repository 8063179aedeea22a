import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Everything that a client writes in a busy conversation, looked at as the server sees it, in every revision.
@Suite("On the wire", .timeLimit(.minutes(5)))
struct WireTests {
    private static let form: JSONValue = [
        "method": "elicitation/create",
        "params": ["message": "?", "requestedSchema": ["type": "object", "properties": ["a": ["type": "string"]]]],
    ]

    /// A conversation with everything in it: lists, calls, questions, refusals, cancellation, a timeout, subscriptions, logs.
    private static func busy(_ revision: ProtocolRevision) async throws -> ProtocolServer {
        let server = ProtocolServer(
            revision,
            capabilities: [
                "tools": ["listChanged": true], "resources": ["subscribe": true], "prompts": [:], "logging": [:],
                "completions": [:],
            ],
            [
                "tools/list": { _ in ["tools": [["name": "ask", "inputSchema": ["type": "object"]]]] },
                "tools/call": { call in
                    switch call.params["name"] {
                    case "hang":
                        await untilCancelled()
                        return [:]
                    case "ask":
                        let answers = try await call.input(["r": ["method": "roots/list"]])
                        return ["content": [["type": "text", "text": .string("\(answers)")]]]
                    case "odd":
                        let answer = await call.ask("no/such", [:])
                        return ["content": [["type": "text", "text": .string("\(answer["error"]?["code"] ?? .null)")]]]
                    default:
                        call.progress(1)
                        call.progress(2, message: "half")
                        return ["content": []]
                    }
                },
                "resources/read": { _ in
                    throw ProtocolServer.Failure(-32002, "no such resource", data: ["uri": "x:none"])
                },
                "prompts/get": { _ in ["messages": []] },
            ]
        )
        try await withSession(server) {
            $0.handlers.roots = { _ in [Root(uri: "file:///r")] }
            $0.logLevel = .info
        } _: { session in
            let events = session.serverEvents()
            _ = try await session.listTools()
            try await session.subscribe(to: "x:1")
            let reports = Locked<[Double]>([])
            await withTaskGroup(of: Void.self) { group in
                for i in 0..<20 {
                    group.addTask {
                        _ = try? await session.callTool(
                            "t",
                            arguments: ["i": .number(JSONNumber(Int64(i)))],
                            options: RequestOptions(onProgress: { report in
                                reports.withLock { $0.append(report.progress) }
                            })
                        )
                    }
                }
            }
            #expect(reports.withLock { $0.count } == 40)
            let answer = try await session.callTool("ask")
            #expect(answer.content.first?.text?.contains("file:///r") == true)
            if !revision.isModern {
                let odd = try await session.callTool("odd")
                #expect(odd.content.first?.text == "-32601")
                try await session.ping()
                let pong = await server.ask("ping", [:])
                #expect(pong["result"] == [:])
            }
            let missing = await #expect(throws: MCPError.self) { try await session.readResource("x:none") }
            #expect(missing?.rpcError?.code == .resourceNotFound)
            _ = try await session.getPrompt("p", arguments: ["line": "one\ntwo"])
            let slow = await #expect(throws: MCPError.self) {
                try await session.callTool("hang", options: RequestOptions(idleTimeout: .milliseconds(20)))
            }
            #expect(slow?.code == .timeout)
            let call = Task { () -> MCPError? in
                do throws(MCPError) {
                    _ = try await session.callTool("hang")
                    return nil
                } catch { return error }
            }
            await server.wait(for: "two calls of hang") {
                $0.received("tools/call").count { $0["params"]?["name"] == "hang" } == 2
            }
            call.cancel()
            let code = await call.value?.code
            #expect(code == .cancelled)
            await server.wait(for: "two cancellations") { Self.cancelled($0).count == 2 }
            _ = events
        }
        return server
    }

    /// Cancelled requests, but for subscriptions that gave way to another.
    private static func cancelled(_ server: ProtocolServer) -> [JSONValue] {
        let listening = Set(server.received("subscriptions/listen").compactMap { $0["id"] })
        return server.received("notifications/cancelled").compactMap { $0["params"]?["requestId"] }
            .filter { !listening.contains($0) }
    }

    /// What the specification puts into `_meta` of a client's messages (`META-02` to `META-09`, `META-19`, `PROG-01`).
    private static let metaKeys: Set<String> = [
        "progressToken", "traceparent", "tracestate", "baggage", "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientInfo", "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/logLevel", "io.modelcontextprotocol/related-task",
    ]

    private static func isMetaKey(_ key: String) -> Bool {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false)
        let pattern = "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$"
        guard parts.count <= 2, let name = parts.last, name.isEmpty || name.range(of: pattern) else { return false }
        guard parts.count == 2 else { return true }
        return parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            label.range(of: "^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$")
        }
    }

    @Test(
        """
        RPC-01 RPC-04 RPC-05 RPC-06 RPC-07 RPC-18 RPC-15 RPC-16 RPC-17 RPC-33 PROG-01 PROG-02 META-02 META-03 META-04 META-05 META-06 \
        every message is one, with ids, tokens and names as they must be
        """,
        arguments: ProtocolRevision.all
    )
    func messages(revision: ProtocolRevision) async throws {
        let server = try await Self.busy(revision)
        let requests = server.received.filter { $0["method"] != nil && $0["id"] != nil }
        #expect(server.received.allSatisfy { $0["jsonrpc"] == "2.0" && $0.object != nil })
        #expect(requests.count > 25)
        let ids = requests.compactMap { $0["id"] }
        #expect(Set(ids).count == ids.count && ids.allSatisfy { $0.string != nil || $0.int64 != nil })
        let tokens = requests.compactMap { $0["params"]?["_meta"]?["progressToken"] }
        #expect(Set(tokens).count == tokens.count && tokens.count >= requests.count - 1)
        #expect(tokens.allSatisfy { $0.string != nil || $0.int64 != nil })
        for message in server.received where message["method"]?.string?.hasPrefix("notifications/") == true {
            #expect(message["id"] == nil)
        }
        for message in server.received {
            for (key, _) in message["params"]?["_meta"]?.object ?? [:] {
                #expect(Self.isMetaKey(key), "\(key)")
                // Nothing of our own, under whatever prefix or none.
                #expect(Self.metaKeys.contains(key), "\(key)")
            }
        }
        // Errors that we send: whole numbers, outside the ranges that are taken, one sentence.
        for error in server.received.compactMap({ $0["error"] }) {
            let code = try #require(error["code"]?.int64)
            #expect([-32700, -32600, -32601, -32602, -32603, -1].contains(code))
            #expect(error["message"]?.string?.contains("\n") == false)
        }
    }

    @Test(
        """
        LIFE-01 LIFE-02 LIFE-04 LIFE-05 LIFE-07 LIFE-08 LIFE-19 RPC-02 RPC-20 RPC-10 RPC-11 RPC-12 RPC-13 RPC-14 RPC-08 RPC-09 \
        PING-01 a legacy conversation begins as it must, and its answers are answers
        """,
        arguments: ProtocolRevision.all.filter { !$0.isModern }
    )
    func legacy(revision: ProtocolRevision) async throws {
        let server = try await Self.busy(revision)
        let methods = server.received.compactMap { $0["method"]?.string }
        #expect(methods.prefix(2) == ["initialize", "notifications/initialized"])
        let params = server.received("initialize").first?["params"]
        #expect(params?["protocolVersion"] == "2025-11-25" && params?["clientInfo"]?["name"] != nil)
        #expect(params?["capabilities"] == ["roots": ["listChanged": true]])
        #expect(!methods.contains("server/discover") && !methods.contains("subscriptions/listen"))
        let answers = server.received.filter { $0["method"] == nil }
        #expect(answers.count == 3)
        for answer in answers {
            #expect((answer["result"] == nil) != (answer["error"] == nil))
            #expect(answer["id"]?.string?.hasPrefix("ask-") == true, "the id as it came, of the same type")
            if let error = answer["error"] { #expect(error["code"]?.int64 != nil && error["message"]?.string != nil) }
        }
    }

    @Test(
        """
        META-07 META-08 META-09 RPC-03 RPC-36 STDIO-06 VER-05 VER-06 VER-10 TGEN-03 PING-01 a modern conversation: everything on every \
        request, and no answers
        """
    )
    func modern() async throws {
        let server = try await Self.busy(.v2026_07_28)
        let methods = server.received.compactMap { $0["method"]?.string }
        #expect(methods.first == "server/discover")
        for gone in ["initialize", "notifications/initialized", "ping", "logging/setLevel", "resources/subscribe"] {
            #expect(!methods.contains(gone))
        }
        #expect(server.received.allSatisfy { $0["result"] == nil && $0["error"] == nil })
        for request in server.received where request["id"] != nil {
            let meta = request["params"]?["_meta"]
            #expect(meta?["io.modelcontextprotocol/protocolVersion"] == "2026-07-28")
            #expect(meta?["io.modelcontextprotocol/clientCapabilities"]?.object != nil)
            #expect(meta?["io.modelcontextprotocol/clientInfo"]?["name"]?.string != nil)
            #expect(meta?["io.modelcontextprotocol/clientInfo"]?["version"]?.string != nil)
        }
    }

    @Test(
        """
        CAN-01 CAN-02 CAN-03 CAN-07 CAN-17 CAN-18 CAN-19 CAN-20 STDIO-09 a request that is given up is cancelled by its id, once
        """,
        arguments: ProtocolRevision.all
    )
    func cancellation(revision: ProtocolRevision) async throws {
        let server = try await Self.busy(revision)
        let hung = server.received("tools/call").filter { $0["params"]?["name"] == "hang" }.compactMap { $0["id"] }
        let cancelled = Self.cancelled(server)
        #expect(cancelled.count == 2 && Set(cancelled) == Set(hung))
        #expect(server.received("notifications/cancelled").allSatisfy { $0["params"]?["reason"]?.string != nil })
    }

    @Test("STDIO-21 VER-10 a client that speaks only the modern revision asks first too, and says why it cannot talk")
    func modernOnly() async throws {
        let server = ProtocolServer(.v2025_11_25)
        try await withSession(server) {
            $0.era = .modernOnly
        } _: { session in
            let error = await #expect(throws: MCPError.self) { try await session.callTool("t") }
            #expect(error?.code == .unsupportedRevision)
            #expect(server.received.compactMap { $0["method"]?.string } == ["server/discover"])
        }
    }

    @Test("RPC-32 RPC-27 an old code for a missing resource is understood, other old codes mean nothing by themselves")
    func oldCodes() async throws {
        for (code, expected) in [(-32002, ErrorCode.resourceNotFound), (-32001, ErrorCode(rawValue: -32001))] {
            let server = ProtocolServer(
                .v2026_07_28,
                capabilities: ["resources": [:]],
                ["resources/read": { _ in throw ProtocolServer.Failure(Int64(code), "no") }]
            )
            try await withSession(server) { session in
                let error = await #expect(throws: MCPError.self) { try await session.readResource("x:y") }
                #expect(error?.code == .serverError && error?.rpcError?.code == expected)
            }
        }
    }

    @Test("RPC-34 a limit of our own is never taken for a word of the server's")
    func localErrors() async throws {
        let server = ProtocolServer(
            .v2025_11_25,
            ["tools/call": { _ in throw ProtocolServer.Failure(-32001, "Request timed out") }]
        )
        try await withSession(server) { session in
            let error = await #expect(throws: MCPError.self) { try await session.callTool("t") }
            #expect(error?.code == .serverError && error?.rpcError != nil)
        }
    }

    @Test(
        "CAN-10 CAN-14 cancellations of nothing, of what is done, and nonsense change nothing",
        arguments: [ProtocolRevision.v2025_11_25, .v2026_07_28]
    )
    func oddCancellations(revision: ProtocolRevision) async throws {
        let server = ProtocolServer(revision, ["tools/call": { _ in ["content": []] }])
        try await withSession(server) { session in
            _ = try await session.callTool("a")
            for params in [["requestId": 9999], ["requestId": 1], ["requestId": "x"], ["requestId": [:]], [:]]
                as [JSONObject]
            {
                server.tell("notifications/cancelled", params)
            }
            _ = try await session.callTool("b")
        }
    }

    @Test("CAN-13 V19 cancellation and answer cross: each side takes what came, once, and the conversation goes on")
    func crossing() async throws {
        let ids = Watched<[JSONRPCRequestID?]>([])
        let transport = ScriptedTransport { transport, id, method, params in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
            switch (method, params["name"]?.string) {
            case ("tools/call", "slow"): ids.withLock { $0.append(id) }
            case ("tools/call", _):
                let name = params["name"]?.string ?? ""
                transport.reply(id, result: #"{"content":[{"type":"text","text":"\#(name)"}]}"#)
            default: break
            }
        }
        try await withSession(transport) { session in
            // The answer comes after the cancellation has left.
            let late = Task { await failure { try await session.callTool("slow") } }
            await ids.wait(for: "the first call") { $0.count == 1 }
            late.cancel()
            #expect(await late.value?.code == .cancelled)
            await transport.wait(forSent: "notifications/cancelled")
            for _ in 0..<2 { transport.reply(ids.value[0], result: #"{"content":[{"type":"text","text":"late"}]}"#) }
            let next = try await session.callTool("a")
            #expect(next.content.first?.text == "a")
            // The answer is here before the cancellation leaves: it is the caller's, and the server is told nothing.
            let early = Task { try await session.callTool("slow") }
            await ids.wait(for: "the second call") { $0.count == 2 }
            transport.reply(ids.value[1], result: #"{"content":[{"type":"text","text":"early"}]}"#)
            let result = try await early.value
            early.cancel()
            #expect(result.content.first?.text == "early")
            _ = try await session.callTool("b")
            #expect(transport.methods().count { $0 == "notifications/cancelled" } == 1)
        }
    }

    @Test(
        "CAN-13 V19 a server that cancels its question in the moment of the answer gets one answer at most, and no error"
    )
    func crossingFromServer() async throws {
        let server = ProtocolServer(.v2025_11_25)
        let isHere = OneShot<Void>()
        try await withSession(server) {
            $0.handlers.roots = { _ in
                isHere.complete(())
                await untilCancelled()
                return []
            }
        } _: { session in
            _ = try await session.waitUntilReady()
            let question = Task { await server.ask("roots/list", [:]) }
            await isHere.wait()
            server.tell("notifications/cancelled", ["requestId": server.lastAsked])
            server.tell("notifications/cancelled", ["requestId": server.lastAsked])
            try await session.ping()
            // It may be asked again under a new id, and nothing of the old one is left.
            #expect(!server.received.contains { $0["method"] == nil && $0["id"] == "ask-1" })
            let answer = await server.ask("ping", [:])
            #expect(answer["result"] == [:])
            session.close()
            _ = await question.value
        }
    }

    @Test("META-01 RPC-24 what is not known in results and `_meta` is kept and changes nothing")
    func unknownMembers() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { _ in
                    [
                        "content": [["type": "new kind", "x": 1], ["type": "text", "text": "known"]], "extra": [1],
                        "_meta": ["io.modelcontextprotocol/future": ["a": 1], "com.example/mine": 2],
                    ]
                }
            ]
        )
        try await withSession(server) { session in
            let result = try await session.callTool("t")
            #expect(result.content.count == 2 && result.content[1].text == "known")
            #expect(result.additional["extra"] == [1])
            #expect(result.meta?.members["io.modelcontextprotocol/future"] == ["a": 1])
        }
    }

    @Test("RPC-19 a batch is taken apart, in the one revision that has them and in any other")
    func batches() async throws {
        let server = ProtocolServer(.v2025_03_26, ["tools/call": { _ in ["content": []] }])
        try await withSession(server) { session in
            _ = try await session.waitUntilReady()
            let events = session.serverEvents()
            server.send([
                ["jsonrpc": "2.0", "method": "notifications/tools/list_changed"],
                ["jsonrpc": "2.0", "id": "p", "method": "ping"],
            ])
            _ = try await session.callTool("t")
            var iterator = events.makeAsyncIterator()
            guard case .toolsChanged? = await iterator.next() else {
                Issue.record("not that event")
                return
            }
            #expect(server.received.contains { $0["id"] == "p" && $0["result"] == [:] })
        }
    }

    @Test(
        "PROG-03 PROG-05 PROG-06 PROG-07 progress that does not grow, is nobody's or comes late is not told",
        arguments: ProtocolRevision.all
    )
    func progress(revision: ProtocolRevision) async throws {
        let reports = Locked<[Double]>([])
        let server = ProtocolServer(
            revision,
            [
                "tools/call": { call in
                    for value in [1, 3, 2, 3, 4.5] { call.progress(value) }
                    call.notify("notifications/progress", ["progressToken": "nobody", "progress": 9])
                    call.notify("notifications/progress", ["progressToken": 4711, "progress": 9])
                    return ["content": []]
                }
            ]
        )
        try await withSession(server) { session in
            _ = try await session.callTool(
                "t",
                options: RequestOptions(onProgress: { report in reports.withLock { $0.append(report.progress) } })
            )
            let token = server.received("tools/call").first?["params"]?["_meta"]?["progressToken"] ?? .null
            server.tell("notifications/progress", ["progressToken": token, "progress": 100])
            _ = try await session.callTool("t")
            #expect(reports.withLock { $0 } == [1, 3, 4.5])
        }
    }

    @Test("LIFE-14 LIFE-15 what was not offered is not used")
    func notOffered() async throws {
        let server = ProtocolServer(.v2025_11_25, capabilities: [:])
        try await withSession(server) { session in
            for refused in [
                await #expect(throws: MCPError.self) { try await session.subscribe(to: "x:1") },
                await #expect(throws: MCPError.self) { try await session.setLogLevel(.info) },
                await #expect(throws: MCPError.self) { try await session.startTool("t") },
            ] { #expect(refused?.code == .notSupported) }
            #expect(server.received.count == 2)
        }
    }
}

extension StringProtocol {
    /// Whether a pattern matches.
    fileprivate func range(of pattern: String) -> Bool {
        guard let pattern = try? Regex(pattern) else { return false }
        return String(self).firstMatch(of: pattern) != nil
    }
}
