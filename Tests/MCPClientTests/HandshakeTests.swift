import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient

@Suite("Eras", .timeLimit(.minutes(5)))
struct HandshakeTests {
    /// How the session comes out when `server/discover` is answered like this; `initialize` is always answered well.
    private func outcome(_ discover: @escaping @Sendable (ScriptedTransport, JSONRPCRequestID?) -> Void) async throws
        -> (
            Result<ServerDescription, MCPError>, [String]
        )
    {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" { return discover(transport, id) }
            _ = ScriptedTransport.shakeHands(transport, id, method, isModern: false)
        }
        let result = Locked<Result<ServerDescription, MCPError>?>(nil)
        try await withSession(transport) { session in
            let outcome = await session.ready.wait()
            result.withLock { $0 = outcome }
        }
        return (try #require(result.withLock { $0 }), transport.methods())
    }

    @Test(
        "B12 STDIO-20 whatever is not a modern answer means legacy, and no code is special",
        arguments: [-32601, -32602, -32000, -32603, -32700, 1, -32002]
    )
    func fallback(code: Int) async throws {
        let (result, methods) = try await self.outcome { $0.refuse($1, code: code) }
        #expect(try result.get().revision == .v2025_06_18)
        #expect(methods == ["server/discover", "initialize", "notifications/initialized"])
    }

    @Test("B12 a server that refuses the very request of the probe is an older one", arguments: [true, false])
    func probeFails(wasSent: Bool) async throws {
        let (result, methods) = try await self.outcome { transport, id in
            guard let id else { return }
            transport.fail(id, MCPError(.connectionLost, "405 Method Not Allowed"), wasSent: wasSent)
        }
        #expect(try result.get().revision == .v2025_06_18)
        #expect(methods == ["server/discover", "initialize", "notifications/initialized"])
    }

    @Test(
        "B10 garbled answers to the probe mean legacy",
        arguments: [#"{"odd":true}"#, "[]", "null", "7", #"{"supportedVersions":"2026-07-28","capabilities":{}}"#]
    )
    func garbled(result: String) async throws {
        let (outcome, _) = try await self.outcome { $0.reply($1, result: result) }
        #expect(try outcome.get().revision == .v2025_06_18)
    }

    @Test("STDIO-18 VER-05 a modern server is spoken to in its era; every request carries what 1.2 demands")
    func modern() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if !ScriptedTransport.shakeHands(transport, id, method, isModern: true) {
                transport.reply(id, result: #"{"tools":[]}"#)
            }
        }
        try await withSession(transport) { session in
            _ = try await session.listTools()
            #expect(session.server?.revision == .v2026_07_28)
            await #expect { try await session.ping() } throws: { ($0 as? MCPError)?.code == .notSupported }
        }
        #expect(transport.methods() == ["server/discover", "tools/list"])
        for message in transport.sent {
            let meta = try #require(message["params"]?["_meta"])
            #expect(meta[Meta.Name.protocolVersion] == "2026-07-28")
            #expect(meta[Meta.Name.clientInfo]?["name"] == "swift-mcp-host")
            #expect(meta[Meta.Name.clientCapabilities]?.kind == .object)
        }
        #expect(transport.sent.first?["id"]?.kind == .string, "so that a late answer is never taken for another's")
    }

    @Test(
        "VER-03 -32022 with a list: a modern revision of it is tried once, a legacy one means legacy, nothing in common is told"
    )
    func unsupported() async throws {
        let (legacy, _) = try await self.outcome {
            $0.refuse($1, code: -32022, data: #"{"supported":["2025-11-25"],"requested":"2026-07-28"}"#)
        }
        #expect(try legacy.get().revision == .v2025_06_18)
        let (none, methods) = try await self.outcome {
            $0.refuse($1, code: -32022, data: #"{"supported":["2031-01-01"],"requested":"x"}"#)
        }
        guard case .failure(let error) = none else { return #expect(Bool(false), "accepted") }
        #expect(error.code == .unsupportedRevision && error.message.contains("2031-01-01"))
        #expect(!methods.contains("initialize"))
        let (loop, tries) = try await self.outcome {
            $0.refuse($1, code: -32022, data: #"{"supported":["2026-07-28"],"requested":"2026-07-28"}"#)
        }
        #expect(throws: MCPError.self) { try loop.get() }
        #expect(tries == ["server/discover", "server/discover"])
    }

    @Test("STDIO-19 -32020 and -32021 are modern answers: no initialize")
    func recognised() async throws {
        for code in [-32020, -32021] {
            let (result, methods) = try await self.outcome { $0.refuse($1, code: code) }
            #expect(throws: MCPError.self) { try result.get() }
            #expect(methods == ["server/discover"])
        }
    }

    @Test(
        "B9 B11 LIFE-16 silence means legacy within the probe's time, a late answer changes nothing, and there is one budget"
    )
    func silence() async throws {
        let clock = ManualClock()
        let probe = Locked<JSONRPCRequestID?>(nil)
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" {
                probe.withLock { $0 = id }
            } else if method == "initialize" {
                transport.reply(
                    probe.withLock { $0 },
                    result: #"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#
                )
                _ = ScriptedTransport.shakeHands(transport, id, method, isModern: false)
            }
        }
        try await withSession(transport, clock: clock) { session in
            await transport.wait(forSent: "server/discover")
            clock.advance(by: .seconds(4))
            #expect(session.server == nil)
            clock.advance(by: .seconds(1))
            let server = try await session.waitUntilReady()
            #expect(server.revision == .v2025_06_18)
        }
        let mute = ScriptedTransport { _, _, _, _ in }
        let slow = ManualClock()
        try await withSession(mute, clock: slow) { session in
            await mute.wait(forSent: "server/discover")
            slow.advance(by: .seconds(5))
            await mute.wait(forSent: "initialize")
            slow.advance(by: .seconds(25))
            await #expect { try await session.waitUntilReady() } throws: {
                ($0 as? MCPError)?.message.contains("30.0 seconds") == true
            }
        }
        #expect(
            !mute.sent.contains { $0["method"] == "notifications/cancelled" && $0["params"]?["requestId"] == 2 },
            "never for initialize"
        )
    }

    @Test(
        "B8 B9 where nothing older is allowed, a slow server has all of the time, and the error says what was waited for"
    )
    func slowModern() async throws {
        var configuration = ClientConfiguration()
        configuration.era = .modernOnly
        for isMute in [false, true] {
            let clock = ManualClock()
            let probe = Locked<JSONRPCRequestID?>(nil)
            let transport = ScriptedTransport { _, id, _, _ in probe.withLock { $0 = id } }
            try await withSession(transport, configuration, clock: clock) { session in
                await transport.wait(forSent: "server/discover")
                clock.advance(by: .seconds(29))
                if isMute {
                    clock.advance(by: .seconds(1))
                    let error = await failure { try await session.waitUntilReady() }
                    #expect(error?.code == .timeout && error?.message.contains("server/discover") == true)
                } else {
                    transport.reply(
                        probe.withLock { $0 },
                        result: #"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#
                    )
                    let server = try await session.waitUntilReady()
                    #expect(server.revision == .v2026_07_28)
                }
            }
        }
    }

    @Test(
        "B14 LIFE-12 a bad answer to initialize is refused with its reason",
        arguments: [
            #"{"capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
            #"{"protocolVersion":"1999-01-01","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
            #"{"protocolVersion":"2026-07-28","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
            #"{"protocolVersion":20250618,"capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#,
            #"{"protocolVersion":null,"capabilities":{}}"#, "[]", "{}", "7",
        ]
    )
    func badInitialize(result: String) async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "initialize" {
                transport.reply(id, result: result)
            } else {
                transport.refuse(id, code: -32601)
            }
        }
        let end = try await withSession(transport) { session in
            await #expect(throws: MCPError.self) { try await session.waitUntilReady() }
        }
        #expect([.handshakeFailed, .unsupportedRevision].contains(end.handshakeError?.code))
    }

    @Test(
        "B13 LIFE-01 LIFE-02 LIFE-04 notifications, pings and log lines before the answer to initialize do not disturb"
    )
    func early() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "initialize" {
                transport.deliver(
                    #"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#
                )
                transport.deliver(#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)
                transport.deliver(#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
            }
            _ = ScriptedTransport.shakeHands(transport, id, method, isModern: false)
        }
        try await withSession(transport) { session in
            let server = try await session.waitUntilReady()
            #expect(server.revision == .v2025_06_18)
            var notifications = session.notifications.makeAsyncIterator()
            #expect(await notifications.next()?.method == "notifications/message")
        }
        #expect(transport.sent.contains { $0["id"] == "p" && $0["result"] == [:] })
    }
}
