import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("Which tools a host offers", .timeLimit(.minutes(5)))
struct ToolSelectionTests {
    private static func server() -> ProtocolServer {
        let tools: [JSONValue] = ["read", "write", "drop", "cafe\u{301}"].map { name in
            ["name": .string(name), "description": "of the server", "inputSchema": ["type": "object"]]
        }
        return ProtocolServer(
            .v2025_11_25,
            [
                "tools/list": { _ in ["tools": .array(tools)] },
                "tools/call": { call in ["content": [["type": "text", "text": call.params["name"] ?? .null]]] },
            ]
        )
    }

    private static func withHost(
        _ selection: ToolSelection,
        _ body: @escaping @Sendable (MCPHost, ProtocolServer) async throws -> Void
    ) async throws {
        let server = Self.server()
        var definition = server.configuration("a")
        definition.tools = selection
        try await MCPHost.withHost(HostSetup(servers: [definition])) { host in try await body(host, server) }
    }

    @Test("what is denied, or not allowed, is neither listed nor called, by either name; and costs no traffic")
    func denied() async throws {
        for selection in [
            ToolSelection(allowed: ["read", "write", "cafe\u{301}"], denied: ["write"]),
            ToolSelection(denied: ["write", "drop"]),
        ] {
            try await Self.withHost(selection) { host, server in
                let listing = try await host.tools()
                #expect(listing.items.map(\.item.name) == ["read", "cafe\u{301}"])
                for name in ["a__read", "read"] {
                    let text = try await host.callTool(name).content.first?.text
                    #expect(text == "read")
                }
                for name in ["write", "drop"] {
                    let byNames = await failure { try await host.callTool(server: "a", name: name) }
                    let byName = await failure { try await host.callTool("a__\(name)") }
                    let bare = await failure { try await host.callTool(name) }
                    let task = await failure { try await host.startTool(server: "a", name: name) }
                    let typed = await failure {
                        let _: JSONValue = try await host.callTool(server: "a", name: name, arguments: ["x": 1])
                    }
                    for error in [byNames, byName, bare, task, typed] { #expect(error?.code == .notFound, "\(name)") }
                }
                #expect(server.received("tools/call").allSatisfy { $0["params"]?["name"] != "write" })
            }
        }
    }

    @Test("S30 names are compared as bytes") func bytes() async throws {
        try await Self.withHost(ToolSelection(denied: ["caf\u{e9}"])) { host, _ in
            let count = try await host.tools().items.count
            #expect(count == 4)
        }
        try await Self.withHost(ToolSelection(allowed: ["caf\u{e9}"])) { host, _ in
            let items = try await host.tools().items
            #expect(items.isEmpty)
        }
    }

    @Test("a tool under another name, with another description: it is called by that name and no other")
    func overrides() async throws {
        let override = ToolSelection.Override(name: "get", title: "Get", description: "of the host")
        try await Self.withHost(ToolSelection(denied: ["drop"], overrides: ["read": override, "drop": override])) {
            host,
            server in
            let tool = try #require(try await host.tools().items.first?.item)
            #expect(tool.name == "get" && tool.title == "Get" && tool.description == "of the host")
            for name in ["a__get", "get"] {
                let text = try await host.callTool(name).content.first?.text
                #expect(text == "read")
            }
            let text = try await host.callTool(server: "a", name: "get").content.first?.text
            #expect(text == "read")
            for call in ["a__read", "read"] {
                let error = await failure { try await host.callTool(call) }
                #expect(error?.code == .notFound)
            }
            let error = await failure { try await host.callTool(server: "a", name: "read") }
            #expect(error?.code == .notFound)
            #expect(server.received("tools/call").count == 3)
        }
    }

    @Test("it can be written down and read again") func codable() throws {
        let selection = ToolSelection(
            allowed: ["a"],
            denied: ["b"],
            overrides: ["a": .init(name: "c", description: "d")]
        )
        let data = try JSONEncoder().encode(selection)
        #expect(try JSONDecoder().decode(ToolSelection.self, from: data) == selection)
        #expect(selection != ToolSelection())
    }
}
