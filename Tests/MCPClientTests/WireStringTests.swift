import MCPClient
import MCPJSON
import MCPTypes
import TestSupport
import Testing

/// Two texts that look the same, and are not the same on the wire.
@Suite("Bytes decide", .timeLimit(.minutes(5)))
struct WireStringTests {
    private static let composed = "caf\u{E9}"
    private static let decomposed = "cafe\u{301}"

    private static func serve(_ handlers: [String: ProtocolServer.Handler]) -> ProtocolServer {
        ProtocolServer(.v2026_07_28, capabilities: ["tools": [:], "resources": ["subscribe": true]], handlers)
    }

    private static func tool(_ name: String, _ type: JSONValue) -> JSONValue {
        [
            "name": .string(name),
            "inputSchema": ["type": "object", "properties": ["a": ["type": type]], "required": ["a"]],
        ]
    }

    @Test("V3 CACHE-03 two addresses that look the same have contents of their own")
    func contents() async throws {
        let server = Self.serve([
            "resources/read": { call in
                let uri = call.params["uri"]?.string ?? ""
                return [
                    "contents": [["uri": .string(uri), "text": .string("\(uri.utf8.count)")]], "ttlMs": 100_000,
                    "cacheScope": "private",
                ]
            }
        ])
        try await withSession(server) { session in
            for _ in 0..<2 {
                for uri in [Self.composed, Self.decomposed] {
                    let contents = try await session.readResource(uri).contents
                    guard case .text(let first)? = contents.first else { throw MCPError(.badResponse, "\(contents)") }
                    #expect(first.text == "\(uri.utf8.count)")
                }
            }
            #expect(server.received("resources/read").count == 2)
        }
    }

    @Test("V3 SCH-02 two tools that look the same are checked by schemas of their own")
    func schemas() async throws {
        let server = Self.serve([
            "tools/list": { _ in
                [
                    "tools": [Self.tool(Self.composed, "integer"), Self.tool(Self.decomposed, "string")],
                    "ttlMs": 100_000,
                ]
            },
            "tools/call": { call in ["content": [["type": "text", "text": call.arguments["a"] ?? .null]]] },
        ])
        try await withSession(server) { session in
            _ = try await session.listTools()
            let (number, text): (RawJSON, RawJSON) = (["a": 1], ["a": "x"])
            for (name, right, wrong) in [(Self.composed, number, text), (Self.decomposed, text, number)] {
                _ = try await session.callToolRaw(name, arguments: right)
                let error = await failure { try await session.callToolRaw(name, arguments: wrong) }
                #expect(error?.code == .invalidArguments, "\(name.utf8.count) bytes: \(String(describing: error))")
            }
        }
    }

    @Test("V3 J2 two cursors that look the same are no circle")
    func cursors() async throws {
        let server = Self.serve([
            "tools/list": { call in
                let cursor = call.params["cursor"]?.string
                var page: JSONObject = ["tools": [Self.tool("t\(cursor?.utf8.count ?? 0)", "string")], "ttlMs": 0]
                if cursor == nil { page["nextCursor"] = .string(Self.composed) }
                if cursor?.utf8.count == Self.composed.utf8.count { page["nextCursor"] = .string(Self.decomposed) }
                return .object(page)
            }
        ])
        try await withSession(server) { session in
            let names = try await session.listTools().map(\.name)
            #expect(names == ["t0", "t5", "t6"])
        }
    }

    @Test("V3 two resources that look the same are two subscriptions")
    func subscriptions() async throws {
        let server = Self.serve([:])
        try await withSession(server) { session in
            try await session.subscribe(to: Self.composed)
            try await session.subscribe(to: Self.decomposed)
            let listens = server.received("subscriptions/listen")
            let wanted = listens.last?["params"]?["notifications"]?["resourceSubscriptions"]?.array
            #expect(wanted == [.string(Self.decomposed), .string(Self.composed)])
        }
    }

    @Test("V3 T20 ids are the same only if their bytes are")
    func ids() {
        #expect(JSONRPCRequestID.string(Self.composed) != .string(Self.decomposed))
        #expect(
            Set([JSONRPCRequestID.string(Self.composed), .string(Self.decomposed), .integer(1), .integer(1)]).count == 3
        )
        #expect(JSONRPCRequestID.string("1") != .integer(1))
    }
}
