import MCPHost
import TestSupport
import Testing

/// Servers that are not ours, as users have them.
@Suite(
    "Real servers from PyPI",
    .serialized,
    .enabled(if: PythonServers.areInstalled, "\(PythonServers.absence)"),
    .timeLimit(.minutes(2))
)
struct InteropTests {
    @Test("mcp-server-time, mcp-server-git and a FastMCP 4 server: tools, calls, resources, prompts")
    func threeServers() async throws {
        let repository = try PythonServers.repository()
        let host = try await MCPHost.start(
            HostConfiguration(servers: [
                PythonServers.server("time", (PythonServers.program("mcp-server-time"), [])),
                PythonServers.server("git", (PythonServers.program("mcp-server-git"), ["-r", repository])),
                PythonServers.server("fast", try PythonServers.script(PythonServers.fastMCP)),
            ])
        )
        #expect(host.servers.allSatisfy { $0.failure == nil }, "\(host.servers.compactMap(\.failure))")
        let tools = try await host.tools().items.map(\.qualifiedName)
        #expect(
            tools.contains("time__get_current_time") && tools.contains("git__git_log") && tools.contains("fast__add")
        )
        let log = try await host.callTool("git__git_log", arguments: ["repo_path": .string(repository)])
        #expect(log.content.first?.text?.contains("the first commit") == true)
        let time = try await host.callTool("time__get_current_time", arguments: ["timezone": "UTC"])
        #expect(time.content.first?.text?.contains("UTC") == true && time.isError != true)
        let sum = try await host.callTool("fast__add", arguments: ["a": 40, "b": 2])
        #expect(sum.content.first?.text == "42")
        #expect(try await host.resources().items.map(\.item.uri) == ["data://greeting"])
        let contents = try await host.readResource(server: "fast", uri: "data://greeting").contents
        guard case .text(let greeting)? = contents.first else { return #expect(Bool(false), "no text: \(contents)") }
        #expect(greeting.text == "hello")
        #expect(try await host.prompts().items.map(\.item.name) == ["ask"])
        let prompt = try await host.getPrompt(server: "fast", name: "ask", arguments: ["topic": "Swift"])
        #expect(prompt.messages.first?.content.text == "Tell me about Swift")
        expectClean(await host.shutdown(), servers: 3)
    }

    @Test("a server on mcp 2.3.0, once in each era")
    func bothEras() async throws {
        let script = try PythonServers.script(PythonServers.everything)
        var legacy = PythonServers.server("legacy", script)
        legacy.client.era = .legacyOnly
        let modern = PythonServers.server("modern", script)
        let host = try await MCPHost.start(HostConfiguration(servers: [legacy, modern]))
        #expect(
            try host.server("legacy").server?.revision == .v2025_11_25,
            "\(host.servers.compactMap(\.failure))"
        )
        #expect(try host.server("modern").server?.revision == .v2026_07_28)
        for server in ["legacy", "modern"] {
            let result = try await host.callTool(server: server, name: "shout", arguments: ["text": "hello"])
            #expect(result.content.first?.text == "HELLO")
            let failed = try await host.callTool(server: server, name: "fail")
            #expect(failed.isError == true)
        }
        expectClean(await host.shutdown(), servers: 2)
    }

    @Test("E24 fifty calls in parallel, half of them cancelled: the server goes on")
    func cancelledCalls() async throws {
        let script = try PythonServers.script(PythonServers.everything)
        let host = try await MCPHost.start(
            HostConfiguration(servers: [PythonServers.server("s", script)])
        )
        await withTaskGroup(of: Void.self) { group in
            for i in 0..<50 {
                let call = Task { try await host.callTool(server: "s", name: "shout", arguments: ["text": "x"]) }
                if i.isMultiple(of: 2) { call.cancel() }
                group.addTask { _ = try? await call.value }
            }
        }
        let result = try await host.callTool(server: "s", name: "shout", arguments: ["text": "still here"])
        #expect(result.content.first?.text == "STILL HERE")
        expectClean(await host.shutdown(), servers: 1)
    }
}
