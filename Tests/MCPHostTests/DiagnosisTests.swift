import Foundation
import MCPJSON
import TestSupport
import Testing

/// What the command line says of servers and hosts that have come to a bad end.
@Suite("mcp-host: what has happened", .timeLimit(.minutes(5)))
struct DiagnosisTests {
    private static func why(_ state: String, _ server: String) async throws -> (text: String, document: JSONValue) {
        let text = try await HostProgram.run(["why", server], environment: ["MCP_HOST_STATE": state])
        let json = try await HostProgram.run(["why", server, "--json"], environment: ["MCP_HOST_STATE": state])
        return (text.out, try JSONValue(parsing: json.out))
    }

    @Test("who waits for one answer does not wait for a server that never was ready to die five times")
    func startsOnce() async throws {
        let state = try TemporaryFolders.make().path
        // Asked in one way only: one that ends when it is asked in the newer is started for the older.
        let outcome = try await HostProgram.run(
            ["tools", "--era", "legacy"],
            servers: [("dead", ["--exit", "7"])],
            environment: ["MCP_HOST_STATE": state]
        )
        #expect(outcome.status == 4 && outcome.error.contains("exit status 7"))
        #expect(!outcome.error.contains("crash loop") && !outcome.error.contains("restart"))
        let events = try await Self.why(state, "dead").document["events"]?.array ?? []
        #expect(events.count { $0["event"] == "opening" } == 1 && !events.contains { $0["event"] == "restarting" })
    }

    @Test("what a server has said last is in its row of the table")
    func lastLine() async throws {
        let outcome = try await HostProgram.run(
            [
                "servers", "--era", "legacy", "--", "sh", "-c",
                "echo first >&2; echo no such file: x >&2; echo >&2; exit 3",
            ]
        )
        #expect(
            outcome.out.contains("the server's process ended with exit status 3: no such file: x\n"),
            "\(outcome)"
        )
        #expect(outcome.status == 4 && outcome.error.contains("first\n  no such file: x\n"))
    }

    @Test("why says that a host was killed, and not of one that runs or has closed")
    func killed() async throws {
        let state = try TemporaryFolders.make().path
        let file = try ScriptedServer.file([("s", [])])
        let running = try HostProgram.start(["run", "--config", file], environment: ["MCP_HOST_STATE": state])
        await running.ready()
        let before = try await Self.why(state, "s")
        #expect(before.document["hostState"] == "running" && !before.text.contains("is gone"))
        running.signal(SIGKILL)
        _ = await running.end()
        let after = try await Self.why(state, "s")
        #expect(after.document["hostState"] == "gone")
        #expect(
            after.text.hasSuffix(
                "host \(running.pid) is gone and has not closed: it was killed, or has crashed; mcp-host reap looks for what it left\n"
            )
        )
        _ = try await HostProgram.run(["tools", "--config", file], environment: ["MCP_HOST_STATE": state])
        let closed = try await Self.why(state, "s")
        #expect(closed.document["hostState"] == "closed" && !closed.text.contains("is gone"))
        let nobody = try await HostProgram.run(["why", "x", "--json"], environment: ["MCP_HOST_STATE": state])
        let document = try JSONValue(parsing: nobody.out)
        #expect(document["hostState"] == .null && document["error"]?["kind"] == "notFound" && nobody.status == 4)
    }
}
