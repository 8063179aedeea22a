import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPStdio
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section E: the end of processes, with and without mcp-guard in between.
@Suite("Faults E: the end of processes")
struct ProcessEndFaultTests {
    private static func guarded(_ server: ServerDefinition, _ isGuarded: Bool) -> ServerDefinition {
        var server = server
        server.stdio.isGuarded = isGuarded
        return server
    }

    @Test("mcp-guard is found without any configuration")
    func isFound() { #expect(GuardProgram.path?.hasSuffix("/mcp-guard") == true) }

    @Test("E1 a server that ends on the end of its input gets no signal", .looksAtProcesses, arguments: [true, false])
    func politely(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.guarded(zoo.server("polite"), isGuarded))
            let end = try #require(await host.shutdown().servers.first)
            #expect(end.step == .endOfInput && end.exitStatus == .exited(0))
            #expect(zoo.count("eof", "polite") == 1 && zoo.count("signal", "polite") == 0)
        }
    }

    @Test(
        "E2 deaf to end of input and SIGTERM: each step is taken, in order, in its time",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func deaf(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let clock = ManualClock()
            let server = Self.guarded(zoo.server("deaf", "--ignore-eof", "--ignore-term"), isGuarded)
            let host = try await zoo.host([server], clock: clock)
            async let report = host.shutdown()
            await zoo.wait(for: "eof", of: "deaf")
            await clock.pass(server.stdio.endOfInputGrace)
            await zoo.wait(for: "signal", of: "deaf")
            await clock.pass(server.stdio.terminateGrace)
            let end = try #require(await report.servers.first)
            #expect(end.step == .kill && end.exitStatus == .signalled(SIGKILL))
            #expect(end.stepTimes.map(\.step) == [.endOfInput, .terminate, .kill])
            #expect(zoo.events("deaf").map(\.event).suffix(2) == ["eof", "signal"])
        }
    }

    @Test("E3 a server that has stopped itself is ended all the same", .looksAtProcesses, arguments: [true, false])
    func stopped(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            // Neither SIGTERM nor the end of its input reaches it.
            var server = Self.guarded(zoo.server("stopped", "--ignore-term"), isGuarded)
            server.stdio.endOfInputGrace = .milliseconds(150)
            let host = try await zoo.host(server)
            _ = try await text(host, "stopped", "stop-self")
            let end = try #require(await host.shutdown().servers.first)
            #expect(end.step == .kill)
        }
    }

    @Test(
        "E4 E19 sh, in it sh, in it a server that ignores the end of input; and a tree of five: all gone",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func trees(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let words = zoo.arguments("inner", ["--ignore-eof", "--tree", "5"]).map { "'\($0)'" }.joined(separator: " ")
            var server = ServerDefinition(
                name: "tree",
                command: "/bin/sh",
                arguments: ["-c", "sh -c \"'\(ScriptedServer.path)' \(words); true\"; true"]
            )
            server.stdio.endOfInputGrace = .milliseconds(150)
            server.stdio.terminateGrace = .milliseconds(300)
            let host = try await zoo.host(Self.guarded(server, isGuarded))
            #expect(try await text(host, "tree", "echo", ["text": "x"]) == "x")
            expectClean(await host.shutdown(), servers: 1)
        }
    }

    @Test(
        "E5 E8 the leader exits, its child goes on with the pipes: the end is seen, the child is ended",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func leaderExits(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            var server = Self.guarded(
                zoo.server("gone", "--wrapper-exits", "--ignore-eof", "--era", "legacy"),
                isGuarded
            )
            server.restart = .never
            server.client.era = .legacyOnly
            let host = try await zoo.host(server)
            _ = try await host.server("gone").waitUntilGone()
            let end = try #require(await host.shutdown().servers.first)
            #expect(end.exitStatus == .exited(0) && end.descendantsEnded.count == 1)
        }
    }

    @Test(
        "0b E15 whatever a polite server leaves is ended and named: with its pipes, without, in a session of its own, a daemon",
        .looksAtProcesses,
        arguments: ["inherit", "null", "session", "daemon"],
        [true, false]
    )
    func helpers(kind: String, isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let switches = kind == "daemon" ? ["--double-fork"] : ["--helper", kind]
            let server = ScriptedServer.patient(
                ServerDefinition(
                    name: "haunted",
                    command: ScriptedServer.path,
                    arguments: zoo.arguments("haunted", switches)
                ),
                switches
            )
            let host = try await zoo.host(Self.guarded(server, isGuarded))
            await zoo.wait(for: "child", of: "haunted")
            let report = await host.shutdown()
            let end = try #require(report.servers.first)
            #expect(end.step == .endOfInput && end.descendantsEnded.count == 1, "\(end.descendantsEnded)")
            #expect(zoo.events("haunted").contains { $0.event == "child" && end.descendantsEnded.contains($0.pid) })
        }
    }

    @Test(
        "E6 a daemon that is wanted stays, and what has not left the session goes",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func wantedDaemon(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            var server = Self.guarded(zoo.server("parent", "--helper", "session", "--tree", "1"), isGuarded)
            server.stdio.keepsDaemons = true
            let host = try await zoo.host(server)
            await zoo.wait(for: "child", of: "parent", times: 2)
            let seen = ContinuousClock.now
            expectClean(await host.shutdown(), servers: 1)
            let children = zoo.events("parent").filter { $0.event == "child" }
            let daemon = try #require(children.first(where: { $0.detail == "session" })).pid
            #expect(ProcessCounts.isAlive(daemon, since: seen))
            kill(daemon, SIGKILL)
            #expect(children.filter { $0.detail == "tree" }.allSatisfy { !ProcessCounts.isAlive($0.pid, since: seen) })
        }
    }

    @Test("E7 an exit is seen while a grandchild lives")
    func exitSeen() async throws {
        try await withZoo { zoo in
            let words = zoo.arguments("child", ["--helper", "null", "--exit", "7"]).map { "'\($0)'" }.joined(
                separator: " "
            )
            var server = ServerDefinition(
                name: "brief",
                command: "/bin/sh",
                arguments: ["-c", "'\(ScriptedServer.path)' \(words)"]
            )
            server.restart = .never
            server.stdio.terminateGrace = .milliseconds(200)
            let host = try await zoo.host(server)
            let error = try #require(host.servers.first?.failure)
            #expect(error.message.contains("exit status 7"))
        }
    }

    @Test("E9 E26 what was written just before the exit arrives, a mebibyte of it")
    func lastWords() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            for _ in 0..<20 {
                var server = zoo.server("brief")
                server.restart = .never
                try await host.addServer(server)
                let last = try await text(host, "brief", "say-and-exit", ["n": 1_048_576])
                #expect(last.utf8.count == 1_048_576)
                _ = await host.removeServer("brief")
            }
        }
    }

    @Test("E26 a server that exits while a mebibyte is on its way to it: an error, no trap")
    func exitsWhileWriting() async throws {
        try await withZoo { zoo in
            var server = zoo.server("brief")
            server.restart.initialDelay = .milliseconds(5)
            server.restart.intensity = 1000
            let host = try await zoo.host(server)
            let big: RawJSON = ["text": .string(String(repeating: "x", count: 1 << 20))]
            for _ in 0..<4 {
                async let exits = failure { try await text(host, "brief", "exit", ["n": 0]) }
                async let written = failure { try await host.callTool(server: "brief", name: "echo", arguments: big) }
                let (first, second) = await (exits, written)
                #expect(first?.code == .outcomeUnknown)
                #expect(second == nil || [.outcomeUnknown, .connectionLost].contains(second?.code))
            }
        }
    }

    @Test(
        "E10 E11 E12 E13 D14 sixty servers killed in the same moment, ten times: each status is read, nothing is left",
        .exitTestTurn
    )
    func manyAtOnce() async throws {
        await #expect(processExitsWith: .success) {
            for _ in 0..<10 {
                try await withZoo { zoo in
                    let host = try await zoo.host((0..<60).map { zoo.server("s\($0)") })
                    let ends = await host.shutdownNow().servers
                    precondition(ends.count == 60 && ends.allSatisfy { $0.exitStatus != nil })
                }
                precondition(ProcessCounts.now().children == 0)
            }
        }
    }

    @Test("E14 a program that calls exit with a host open: its servers are gone", .exitTestTurn)
    func exitWithoutClosing() async throws {
        try await withZoo(folder: "/tmp/zoo-exit-\(getpid())") { zoo in
            let result = await #expect(processExitsWith: .exitCode(0), observing: [\.standardErrorContent]) {
                let place = "/tmp/zoo-exit-\(getppid())"
                let host = try await MCPHost.start(
                    HostConfiguration(servers: [
                        ServerDefinition(
                            name: "deaf",
                            command: ScriptedServer.path,
                            arguments: ["--alive", place + "/alive", "--ignore-eof", "--ignore-term", "--double-fork"]
                        )
                    ])
                )
                _ = try await host.tools()
                exit(0)
            }
            let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(said.contains("fault"))
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test(
        "E15 E17 SIGKILL to the host, ready or at any moment before: wrappers, the deaf, daemons, all gone within 3 s",
        arguments: 0..<6
    )
    func hostKilled(round: Int) async throws {
        try await withZoo { zoo in
            let words = zoo.arguments("inner", ["--ignore-eof"]).map { "'\($0)'" }.joined(separator: " ")
            let file = zoo.folder + "/mcp.json"
            func entry(_ name: String, _ switches: [String]) -> JSONValue {
                .object([
                    "command": .string(ScriptedServer.path),
                    "args": .array(zoo.arguments(name, switches).map { .string($0) }),
                ])
            }
            let configuration: JSONObject = [
                "mcpServers": [
                    "plain": entry("plain", []), "deaf": entry("deaf", ["--ignore-eof", "--ignore-term"]),
                    "daemon": entry("daemon", ["--double-fork"]), "session": entry("session", ["--helper", "session"]),
                    "wrapper": [
                        "command": "/bin/sh", "args": ["-c", .string("'\(ScriptedServer.path)' \(words); true")],
                    ],
                ]
            ]
            try "\(RawJSON(encoding: configuration))".write(toFile: file, atomically: true, encoding: .utf8)
            if round == 0 {
                let outcome = try await HostProgram.run(
                    ["run", "--config", file],
                    signalsWhenReady: [SIGKILL],
                    environment: ["MCP_HOST_STATE": zoo.folder + "/state"]
                )
                #expect(outcome.status == SIGKILL)
            } else {
                // At a moment that has nothing to do with what the host is doing.
                _ = try await HostProgram.run(
                    ["-s", "KILL", "0.0\(round * 15)"],
                    environment: ["MCP_HOST_STATE": zoo.folder + "/state"],
                    under: ["/usr/bin/timeout"],
                    trailing: ["run", "--config", file]
                )
            }
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test(
        "E16 V19 servers outlive the threads from which they were started",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func threads(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            for i in 0..<20 {
                // A start has a thread of its own, which ends with it.
                try await host.addServer(Self.guarded(zoo.server("s\(i)"), isGuarded))
            }
            for _ in 0..<3 {
                for i in 0..<20 { #expect(try await text(host, "s\(i)", "echo", ["text": "x"]) == "x") }
            }
            for i in 0..<20 {
                #expect(zoo.count("start", "s\(i)") == 1 && zoo.count("signal", "s\(i)") == 0)
                #expect(host.journal.entries(for: "s\(i)").allSatisfy { $0.event != "lost" })
            }
            #if os(Linux)
                // So that a profile says whose time it was.
                #expect(threadNames().contains("mcp-io"))
            #endif
        }
    }

    @Test(
        "E20 E21 as process 1 of its own namespace the host closes and reaps",
        .enabled(if: canUnshare, "needs the right to make a PID namespace")
    )
    func processOne() async throws {
        let outcome = try await HostProgram.run(
            ["tools", "--report"],
            servers: [("one", ["--double-fork"])],
            under: ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc"]
        )
        #expect(outcome.status == 0 && outcome.error.contains("1 server closed, 0 processes left"), "\(outcome)")
    }

    @Test(
        "E22 E23 M1 SIGHUP, SIGINT and SIGTERM to the host close; the servers see the end of their input first",
        arguments: [SIGHUP, SIGINT, SIGTERM]
    )
    func signalled(signal: Int32) async throws {
        try await withZoo { zoo in
            let outcome = try await HostProgram.run(
                ["run", "--report"],
                servers: [("one", zoo.arguments("one", []))],
                signalsWhenReady: [signal]
            )
            #expect(outcome.error.contains("1 server closed, 0 processes left"))
            #expect(zoo.count("eof", "one") == 1 && zoo.count("signal", "one") == 0)
        }
    }

    @Test("E25 every closing has its reason in the journal")
    func reasons() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("a"), zoo.server("b"))
            await host.removeServer("a")
            await host.shutdown()
            for name in ["a", "b"] {
                let closed = try #require(host.journal.entries(for: name).last)
                #expect(closed.event == "closed" && !closed.cause.isEmpty && !closed.task.isEmpty)
            }
        }
    }

    @Test("a guard that is killed: the call ends, all of its server is ended, the next call goes to a new one")
    func guardKilled() async throws {
        try await withZoo(isProved: false) { zoo in
            var server = zoo.server("one", "--ignore-eof", "--ignore-term", "--helper", "session")
            server.restart.initialDelay = .milliseconds(10)
            let host = try await zoo.host(server)
            let pid = try #require(Int32(try await text(host, "one", "pid")))
            let seen = ContinuousClock.now
            let hanging = Task { await failure { try await text(host, "one", "hang") } }
            await zoo.wait(forFrame: "\"hang\"", of: "one")
            kill(try #require(parent(of: pid)), SIGKILL)
            #expect(await hanging.value?.code == .outcomeUnknown)
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            #expect(!ProcessCounts.isAlive(pid, since: seen))
        }
    }
}
