import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient

/// What a transport is told of messages, and what it tells of them.
@Suite("Messages that know what they are", .timeLimit(.minutes(5)))
struct OutgoingMessageTests {
    private static func server(isModern: Bool, tool: String = #"{"name":"t","inputSchema":{"type":"object"}}"#)
        -> ScriptedTransport
    {
        ScriptedTransport { transport, id, method, _ in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: isModern) { return }
            switch method {
            case "tools/list": transport.reply(id, result: #"{"tools":[\#(tool)]}"#)
            case "tools/call": transport.reply(id, result: #"{"content":[]}"#)
            case "resources/read": transport.reply(id, result: #"{"contents":[]}"#)
            case "prompts/get": transport.reply(id, result: #"{"messages":[]}"#)
            default: transport.reply(id, result: "{}")
            }
        }
    }

    @Test("HDR-08 XTASK-25 kind, method, revision, and what it is about", arguments: [true, false])
    func heads(isModern: Bool) async throws {
        let transport = Self.server(isModern: isModern)
        try await withSession(transport) { session in
            _ = try await session.callTool("t")
            _ = try await session.readResource("file:///x")
            _ = try await session.getPrompt("p")
            _ = try? await session.task("job").state()
        }
        let revision: ProtocolRevision = isModern ? .v2026_07_28 : .v2025_06_18
        let about = transport.messages.filter { $0.name != nil }
        #expect(about.map(\.method) == ["tools/call", "resources/read", "prompts/get", "tasks/get"])
        #expect(about.map(\.name) == ["t", "file:///x", "p", "job"])
        #expect(about.allSatisfy { $0.revision == revision && $0.stream == .main })
        for message in transport.messages {
            let value = try message.payload.decode(JSONValue.self)
            #expect(value["method"]?.string == message.method)
            switch message.kind {
            case .request(let id): #expect(value["id"] == (try RawJSON(encoding: id).decode(JSONValue.self)))
            case .notification: #expect(value["id"] == nil && message.method == "notifications/initialized")
            case .response: Issue.record("nobody has asked")
            }
        }
        let first = try #require(transport.messages.first)
        #expect(first.method == "server/discover" && first.revision == .latest && first.name == nil)
        let initialize = transport.messages.first { $0.method == "initialize" }
        #expect((initialize == nil) == isModern && initialize?.revision == nil)
        #expect(transport.messages.first { $0.kind == .notification }?.revision == (isModern ? nil : revision))
    }

    @Test("HDR-14 HDR-15 HDR-16 HDR-17 HDR-19 HDR-20 HDR-22 arguments that the schema wants repeated")
    func mirrored() async throws {
        let tool = #"""
            {"name":"t","inputSchema":{"type":"object","properties":{
              "region":{"type":"string","x-mcp-header":"Region"}, "count":{"type":"integer","x-mcp-header":"Count"},
              "deep":{"type":"object","properties":{"flag":{"type":"boolean","x-mcp-header":"Flag"}}},
              "absent":{"type":"string","x-mcp-header":"Absent"}, "none":{"type":["string","null"]},
              "ratio":{"type":"number","x-mcp-header":"Ratio"}, "empty":{"type":"string","x-mcp-header":""},
              "twice":{"type":"string","x-mcp-header":"rEGION"}, "split":{"type":"string","x-mcp-header":"A B"},
              "list":{"type":"array","items":{"type":"object","properties":{"x":{"type":"string","x-mcp-header":"X"}}}}
            }}}
            """#
        let transport = Self.server(isModern: true, tool: tool.replacing("\n", with: ""))
        try await withSession(transport) { session in
            _ = try await session.listTools()
            _ = try await session.callTool(
                "t",
                arguments: #"""
                    {"region":"東京","count":3,"deep":{"flag":true},"none":null,"ratio":2,"empty":"e","twice":"t","split":"s",
                    "list":[{"x":"y"}]}
                    """#
            )
            _ = try await session.callTool("t", arguments: #"{"count":4}"#)
        }
        let calls = transport.messages.filter { $0.method == "tools/call" }
        #expect(calls.first?.mirrored == [.init("Region", "東京"), .init("Count", 3), .init("Flag", true)])
        #expect(calls.last?.mirrored == [.init("Count", 4)])
    }

    @Test("One request fails, and the others go on; who had begun with it is said")
    func oneFails() async throws {
        let reached = Locked<[String: JSONRPCRequestID]>([:])
        let both = OneShot<Void>()
        let transport = ScriptedTransport { transport, id, method, params in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: true) { return }
            let isComplete = reached.withLock { reached in
                reached[params["name"]?.string ?? method] = id
                return reached.count == 4
            }
            if isComplete { both.complete(()) }
        }
        try await withSession(transport) { session in
            @Sendable func outcome(_ name: String) async -> MCPError? {
                await failure { try await session.callTool(name) }
            }
            async let began = outcome("began")
            async let refused = outcome("refused")
            async let own = outcome("own")
            async let fine = outcome("fine")
            await both.wait()
            let ids = reached.withLock { $0 }
            struct Underlying: Error {}
            let lost = MCPError(.connectionLost, "its stream broke", cause: Underlying())
            transport.fail(try #require(ids["began"]), lost, wasSent: true)
            transport.fail(try #require(ids["refused"]), lost, wasSent: false)
            transport.fail(try #require(ids["own"]), MCPError(.init("tlsFailed"), "no certificate"), wasSent: false)
            // Nobody has these numbers, or has them any more.
            transport.fail(try #require(ids["own"]), lost, wasSent: false)
            transport.fail(.integer(999), lost, wasSent: true)
            transport.fail(.string("x"), lost, wasSent: true)
            let errors = (await began, await refused, await own)
            #expect(errors.0?.code == .outcomeUnknown && errors.0?.wasSent == true && errors.0?.cause is Underlying)
            #expect(errors.1?.code == .connectionLost && errors.1?.wasSent == false)
            #expect(errors.2?.code.description == "tlsFailed" && errors.2?.message == "no certificate")
            transport.reply(ids["fine"], result: #"{"content":[]}"#)
            #expect(await fine == nil)
            #expect(session.broken.value == nil)
        }
    }

    @Test("F8 F9 the transport is told which request is given up, a probe by its own id")
    func cancellation() async throws {
        let clock = ManualClock()
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" { return }
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
        }
        try await withSession(transport, clock: clock) { session in
            await clock.pass(.seconds(5))
            _ = try await session.waitUntilReady()
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await session.callTool("t") }
                await transport.wait(forSent: "tools/call")
                group.cancelAll()
            }
            await transport.wait(forSent: "notifications/cancelled", times: 2)
        }
        let call = try #require(transport.messages.first { $0.method == "tools/call" })
        #expect(
            transport.cancelled.map { OutgoingMessage.Kind.request($0) } == [transport.messages[0].kind, call.kind]
        )
        let notices = transport.messages.filter { $0.method == "notifications/cancelled" }
        let named = try notices.map { try $0.payload.decode(JSONValue.self)["params"]?["requestId"] }
        #expect(named == [.string("probe-1"), 3] && notices.last?.revision == .v2025_06_18)
    }

    @Test("A server is answered on the stream on which it asked")
    func streams() async throws {
        let transport = Self.server(isModern: false)
        try await withSession(transport) { session in
            _ = try await session.waitUntilReady()
            transport.deliver(#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, from: .request(.integer(2)))
            transport.deliver(#"{"jsonrpc":"2.0","id":"a","method":"no/such"}"#)
            transport.deliver(
                #"[{"jsonrpc":"2.0","id":8,"method":"ping"},{"jsonrpc":"2.0","id":9,"method":"roots/list"}]"#,
                from: .request(.integer(3))
            )
        }
        let answers = transport.messages.filter { $0.method == nil }
        #expect(
            answers.map(\.kind) == [
                .response(to: .integer(7)), .response(to: .string("a")), .response(to: .integer(8)),
                .response(to: .integer(9)),
            ]
        )
        #expect(
            answers.map(\.stream) == [
                .request(.integer(2)), .main, .request(.integer(3)), .request(.integer(3)),
            ]
        )
        #expect(answers.allSatisfy { $0.revision == .v2025_06_18 })
    }

    /// Does something while it is being given a message.
    private final class Interrupted: Transport {
        private let base: ScriptedTransport
        private let during = Locked<(@Sendable () -> Void)?>(nil)
        let order = Locked<[String]>([])

        init(_ base: ScriptedTransport) { self.base = base }
        func interrupt(_ during: @escaping @Sendable () -> Void) { self.during.withLock { $0 = during } }
        func run(_ receiver: any TransportReceiver) async -> TransportEnd { await self.base.run(receiver) }
        func send(_ message: OutgoingMessage) throws(MCPError) {
            if message.method == "tools/call" { self.during.withLock { $0 }?() }
            self.order.withLock { $0.append(message.method ?? "") }
            try self.base.send(message)
        }
        func cancel(_ request: JSONRPCRequestID, _ notification: OutgoingMessage) throws(MCPError) {
            self.order.withLock { $0.append("cancel \(request)") }
        }
        func setReceiving(_ enabled: Bool) {}
        func close(_ mode: TeardownMode) { self.base.close(mode) }
    }

    @Test(
        "F8 F9 a request that is cancelled while the transport is being given it is cancelled after that, and not before"
    )
    func cancelledWhileSending() async throws {
        let transport = Interrupted(Self.server(isModern: true))
        let session = ClientSession(transport: transport)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await session.run() }
            _ = try? await session.waitUntilReady()
            transport.interrupt { session.channel.cancel(2) }
            let error = await failure { try await session.callTool("t") }
            #expect(error?.code == .cancelled)
            session.close()
        }
        #expect(transport.order.withLock { $0 } == ["server/discover", "tools/call", "cancel 2"])
    }
}
