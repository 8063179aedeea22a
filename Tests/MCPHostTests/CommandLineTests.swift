import Foundation
import MCPHost
import TestSupport
import Testing

/// The command line as a user runs it: what it prints, and how it ends.
@Suite("mcp-host", .timeLimit(.minutes(5)))
struct CommandLineTests {
    @Test("tools on a fresh machine: the demo server's tools, and nothing left")
    func tools() async throws {
        let outcome = try await HostProgram.run(["tools"])
        #expect(outcome.status == 0 && outcome.error == "")
        #expect(outcome.out.contains("demo__echo") && outcome.out.hasSuffix("1 server closed, 0 processes left\n"))
    }

    @Test("--json is one document and nothing else")
    func json() async throws {
        for command in [
            ["servers"], ["tools"], ["resources"], ["prompts"], ["call", "demo", "add", "a=1", "b=2"],
            ["read", "demo", "demo://about"], ["prompt", "demo", "summarise", "text=x"],
        ] {
            let outcome = try await HostProgram.run(command + ["--json", "--report"])
            let document = try JSONValue(parsing: outcome.out)
            #expect(outcome.status == 0 && document["teardown"]?["clean"] == true, "\(command): \(outcome.error)")
        }
    }

    @Test("exit codes: 5 the tool failed, 4 a server cannot be reached, 64 usage")
    func exitCodes() async throws {
        #expect(try await HostProgram.run(["call", "demo", "add", "a=1e308", "b=1e308"]).status == 5)
        let unfit = try await HostProgram.run(["call", "demo", "add", "a=x", "b=1"])
        #expect(unfit.status == 64 && unfit.error.contains("/a: expected number, found string"))
        #expect(try await HostProgram.run(["call", "demo", "nothing"]).status == 4)
        #expect(try await HostProgram.run(["read", "demo", "demo://nothing"]).status == 4)
        #expect(try await HostProgram.run(["call", "nobody", "echo"]).status == 64)
        #expect(try await HostProgram.run(["call", "demo", "echo", "novalue"]).status == 64)
        #expect(try await HostProgram.run(["tools", "--config", "/no/such/file"]).status == 64)
        #expect(try await HostProgram.run(["frobnicate"]).status == 64)
        let file = try ScriptedServer.file([("good", []), ("bad", ["--exit", "7"])])
        let outcome = try await HostProgram.run(["tools", "--config", file])
        #expect(outcome.status == 4 && outcome.out.contains("good__echo") && outcome.error.contains("exit status 7"))
    }

    @Test("M1 run: one line when all are ready; SIGINT or SIGTERM closes everything", arguments: [SIGINT, SIGTERM])
    func runUntilSignal(signal: Int32) async throws {
        let file = try ScriptedServer.file([("a", []), ("b", ["--era", "legacy"])])
        let outcome = try await HostProgram.run(["run", "--config", file], signalsWhenReady: [signal])
        #expect(outcome.status == 0)
        #expect(outcome.out == "2 of 2 servers ready\n2 servers closed, 0 processes left\n")
    }

    @Test("S12 what could move the cursor is shown, not sent")
    func visible() async throws {
        let evil = #"\u001b[2J\u001b]0;owned\u0007\u202eabc\u0085"#
        let outcome = try await HostProgram.run(["call", "demo", "echo", "--args", "{\"text\":\"\(evil)\"}"])
        #expect(outcome.out.hasPrefix(#"\u{1B}[2J\u{1B}]0;owned\u{7}\u{202E}abc\u{85}"#))
        #expect(!outcome.out.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{202E}" || $0 == "\u{85}" })
    }
}
