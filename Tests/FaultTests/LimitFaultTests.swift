import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section L and M: leaks, limits, signals.
@Suite("Faults L, M: limits and signals", .timeLimit(.minutes(5)))
struct LimitFaultTests {
    @Test(
        "L3 L7 N2 two hundred connections, restarts among them: descriptors, threads, children as before",
        .exitTestTurn
    )
    func cycles() async {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                func round() async throws {
                    let host = try await MCPHost.start(
                        HostConfiguration(servers: [zoo.server("a"), zoo.server("b", "--era", "legacy")])
                    )
                    _ = await failure { try await text(host, "a", "kill") }
                    _ = try await text(host, "b", "echo")
                    await host.shutdown()
                }
                for _ in 0..<20 { try await round() }
                let (before, threads) = (ProcessCounts.now(), threadCount())
                for _ in 0..<80 { try await round() }
                // What stays, stays and grows in further rounds; what is only late on a busy machine has gone after some.
                for further in 0...20 {
                    let (after, now) = (ProcessCounts.now(), threadCount())
                    if after.children == 0, after.descriptors <= before.descriptors, now <= threads + 2 { return }
                    precondition(further < 20, "\(before) -> \(after); \(threads) threads -> \(now)")
                    try await round()
                }
            }
        }
    }

    @Test("L8 on a pool of one thread, twelve slow servers are waited for at the same time")
    func narrowPool() async throws {
        try await withZoo { zoo in
            // None of them goes on before all have been started: one after the other would not end.
            let gate = zoo.folder + "/gate"
            mkfifo(gate, 0o600)
            let file = try ScriptedServer.file(
                (0..<12).map { ("s\($0)", zoo.arguments("s\($0)", ["--gate", gate])) }
            )
            let program = try HostProgram.start(
                ["tools", "--report", "--config", file],
                environment: ["LIBDISPATCH_COOPERATIVE_POOL_STRICT": "1"]
            )
            for i in 0..<12 { await zoo.wait(for: "start", of: "s\(i)") }
            let opened = open(gate, O_RDWR | O_CLOEXEC)
            defer { close(opened) }
            #expect(write(opened, "............", 12) == 12)
            let outcome = await program.end()
            #expect(outcome.status == 0 && outcome.error.contains("12 servers closed, 0 processes left"))
        }
    }

    @Test("L9 a handler that blocks holds up neither the other servers nor its own")
    func blockingHandler() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("a"), zoo.server("b"))
            let release = DispatchSemaphore(value: 0)
            async let blocked = host.callTool(
                server: "a",
                name: "progress",
                options: .init(onProgress: { if $0.progress == 1 { release.wait() } })
            )
            for _ in 0..<10 {
                #expect(try await text(host, "b", "echo", ["text": "x"]) == "x")
                #expect(try await text(host, "a", "echo", ["text": "x"]) == "x")
            }
            release.signal()
            #expect(try await blocked.content.first?.text == "done")
        }
    }

    @Test("L11 forty servers with sixty-four descriptors: clear errors, the others live")
    func descriptors() async throws {
        let outcome = try await HostProgram.run(
            ["servers", "--report"],
            servers: (0..<40).map { ("s\($0)", []) },
            under: ["/bin/sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]
        )
        #expect(outcome.status == 4)
        #expect(
            outcome.out.contains("too many open files") || outcome.error.contains("too many open files"),
            "\(outcome)"
        )
        #expect(outcome.out.contains("ready") && outcome.error.hasSuffix("0 processes left\n"))
    }

    @Test(
        "M1 sixty-four servers that ignore everything but SIGKILL: closed at the same time, within the bound of the whole host"
    )
    func fleet() async throws {
        try await withZoo { zoo in
            let servers = (0..<64).map { number in
                var server = zoo.server("deaf-\(number)", "--ignore-eof", "--ignore-term")
                server.stdio = StdioTransport.Options()
                return server
            }
            let clock = ManualClock()
            let host = try await zoo.host(servers, clock: clock)
            async let closing = host.shutdown()
            // End of input 2 s, SIGTERM 2 s, all at once; SIGKILL takes what it takes.
            await clock.pass(.seconds(2), timers: 64)
            await clock.pass(.seconds(2), timers: 64)
            let report = await closing
            #expect(report.duration == .seconds(4))
            #expect(report.isClean && report.servers.count == 64 && report.servers.allSatisfy { $0.step == .kill })
        }
    }

    @Test("M1 six deaf servers and one SIGINT: all ended")
    func deafServers() async throws {
        try await withZoo { zoo in
            let outcome = try await HostProgram.run(
                ["run", "--report"],
                servers: (0..<6).map { ("s\($0)", zoo.arguments("s\($0)", ["--ignore-eof", "--ignore-term"])) },
                signalsWhenReady: [SIGINT]
            )
            #expect(outcome.error.contains("6 servers closed, 0 processes left"))
        }
    }

    @Test("M2 T10 U7 a second signal kills at once; one that comes with the first is the same request")
    func secondSignal() async throws {
        try await withZoo { zoo in
            let name = "deaf to the second signal"
            let file = try ScriptedServer.file([(name, zoo.arguments("deaf", ["--ignore-eof", "--ignore-term"]))])
            let program = try HostProgram.start(
                ["run", "--report", "--config", file],
                signalsWhenReady: [SIGTERM, SIGINT, SIGTERM]
            )
            // Two seconds after the end of its input, which it has ignored: nobody has killed it before.
            await zoo.wait(for: "signal", of: "deaf")
            kill(program.pid, SIGINT)
            let outcome = await program.end()
            #expect(outcome.error.contains("\(name): ended by kill"), "\(outcome)")
            let why = try await HostProgram.run(["why", name])
            #expect(why.out.contains("a second signal"), "\(why)")
            #expect(outcome.error.contains("1 server closed, 0 processes left"))
        }
    }

    @Test("M5 nobody reads the output: no crash, no circle, servers closed")
    func brokenOutput() async throws {
        try await withZoo { zoo in
            let outcome = try await HostProgram.run(
                ["tools"],
                servers: [("one", zoo.arguments("one", []))],
                under: ["/bin/bash", "-c", "\"$0\" \"$@\" | true; exit ${PIPESTATUS[0]}"]
            )
            #expect(outcome.status == 0, "\(outcome)")
        }
    }

    @Test("M6 SIGTERM at any moment of starting twenty servers: nothing is left", arguments: 1...6)
    func signalWhileStarting(round: Int) async throws {
        try await withZoo { zoo in
            let file = try ScriptedServer.file((0..<20).map { ("s\($0)", zoo.arguments("s\($0)", [])) })
            _ = try await HostProgram.run(
                ["-s", "TERM", "0.0\(round * 12)"],
                under: ["/usr/bin/timeout"],
                trailing: ["run", "--config", file]
            )
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test("--report tells each step of closing, as text and as JSON")
    func report() async throws {
        try await withZoo { zoo in
            let servers = [("one", zoo.arguments("one", ["--helper", "session"]))]
            let shown = try await HostProgram.run(["tools", "--report"], servers: servers)
            for part in ["one: ended by endOfInput, exit status 0", "descendants ended: [", "open: processes 0"] {
                #expect(shown.error.contains(part), "\(part) is missing in \(shown.error)")
            }
            let json = try await HostProgram.run(["tools", "--report", "--json"], servers: servers)
            let teardown = try JSONValue(parsing: Array(json.out.utf8))["teardown"]
            #expect(
                teardown?["clean"]?.bool == true
                    && teardown?["servers"]?.array?.first?["descendantsEnded"]?.array?.count == 1
            )
        }
    }

    @Test("why tells the timeline of a server after its host is gone; reap finds nothing after a clean end")
    func afterwards() async throws {
        try await withZoo { zoo in
            let state = ["MCP_HOST_STATE": zoo.folder + "/state"]
            _ = try await HostProgram.run(
                ["tools"],
                servers: [("bad", zoo.arguments("bad", ["--exit", "7"]))],
                environment: state
            )
            let why = try await HostProgram.run(["why", "bad"], environment: state)
            #expect(
                why.status == 0 && why.out.contains("opening") && why.out.contains("exit status 7")
                    && why.out.contains("third line")
            )
            let json = try await HostProgram.run(["why", "bad", "--json"], environment: state)
            let events = try JSONValue(parsing: Array(json.out.utf8))["events"]?.array ?? []
            #expect(events.contains { $0["event"]?.string == "closed" })
            #expect(try await HostProgram.run(["why", "nobody"], environment: state).status == 4)
            #expect(try await HostProgram.run(["reap"], environment: state).out == "0 ended, 0 left\n")
        }
    }
}
