import CTestSupport
import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

/// docs/faults.md, section T: who is meant, and what a close does not wait for.
@Suite("Law: identity, and closing that waits for nobody", .timeLimit(.minutes(5)))
struct LawHostTests {
    @Test(
        "T2 initialize() again while a server is being restarted touches nothing; shutdown() reports the host that was open"
    )
    func initializedTwice() async throws {
        let server = ProtocolServer(.v2026_07_28)
        var entry = server.configuration("one")
        entry.restart.initialDelay = .seconds(600)
        entry.restart.maximumDelay = .seconds(600)
        let manager = HostManager(HostSetup(servers: [entry]))
        try await manager.initialize()
        let host = try manager.host
        server.crash()
        await host.wait(for: "restarting", of: "one")
        try await manager.initialize()
        #expect(try manager.host === host)
        #expect(!host.journal.entries.contains { $0.event == "shutdown" })
        let report = await manager.shutdown()
        expectClean(report, servers: 1)
        #expect(await manager.shutdown().servers.count == 1)
    }

    @Test("T2 a manager that is shut down while it gives up an opening waits for that host, and reports it")
    func shutDownWhileAbandoning() async throws {
        let slow = StickyTransport()
        let manager = HostManager(
            HostSetup(servers: [ServerSetup("slow", Endpoint("sticky") { _ in slow })])
        )
        let opening = Task { await failure { try await manager.initialize() } }
        await slow.entered.wait()
        opening.cancel()
        let cancelled = await opening.value
        #expect(cancelled?.code == .cancelled)
        async let report = manager.shutdown()
        slow.release()
        let end = await report
        expectClean(end, servers: 1)
    }

    @Test("T2 T18 what an opening that failed has left is in its error, and in the manager's report later")
    func failedOpening() async throws {
        try await withZoo { zoo in
            let manager = HostManager(
                HostConfiguration(servers: [
                    zoo.server("haunted", "--helper", "session", "--kill-guard"),
                    ServerDefinition(name: "missing", command: "/nonexistent"),
                ])
            )
            let error = await failure { try await manager.initialize() }
            #expect(
                error?.message.contains("not proved that nothing is left: haunted") == true,
                "\(error?.message ?? "")"
            )
            for _ in 0..<2 {
                let report = await manager.shutdown()
                #expect(!report.isClean && report.servers.contains { $0.doubt != nil }, "\(report)")
            }
        }
    }

    @Test("T18 what may be left of one server is not forgotten for a thousand that were closed after it")
    func notForgotten() async throws {
        try await withZoo(isProved: false) { zoo in
            let host = try await zoo.host(zoo.server("haunted", "--kill-guard"))
            await host.removeServer("haunted")
            for i in 0..<1005 {
                _ = await failure {
                    try await host.addServer(ServerDefinition(name: "missing\(i)", command: "/nonexistent"))
                }
                await host.removeServer("missing\(i)")
            }
            let report = await host.shutdown()
            #expect(report.servers.count == 1000)
            #expect(!report.isClean && report.description.contains("haunted: its mcp-guard was killed"), "\(report)")
        }
    }

    @Test("T4 A5 the task that runs a host is cancelled while servers start: nobody waits for the connect timeout")
    func cancelledWhileStarting() async throws {
        try await withZoo { zoo in
            var servers = (0..<20).map { zoo.server("s\($0)") }
            servers.append(ServerDefinition(name: "missing", command: "/nonexistent"))
            for i in servers.indices { servers[i].client.connectTimeout = .seconds(3600) }
            for _ in 0..<10 {
                let host = MCPHost(HostConfiguration(servers: servers))
                let running = Task { try? await host.run() }
                await host.wait(for: "opening", of: "s0")
                running.cancel()
                let report = await wait(for: "the end of the host") { await host.shutdown() }
                expectClean(try #require(report))
                await running.value
            }
        }
    }

    @Test(
        "T3 an adder that fails, or is cancelled, late takes away its own server and no other of the same name",
        arguments: [false, true]
    )
    func sameName(isCancelled: Bool) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            let slow = StickyTransport()
            let entry = ServerSetup("x", Endpoint("sticky") { _ in slow })
            let first = Task { await failure { try await host.addServer(entry) } }
            await slow.entered.wait()
            let removed = Task { await host.removeServer("x") }
            await host.wait(for: "closing", of: "x")
            try await host.addServer(ProtocolServer.echo("x", isModern: true))
            // The first server's name has passed on; now its adder learns that it has failed.
            if isCancelled { first.cancel() }
            slow.release()
            let adding = await first.value
            #expect(adding != nil)
            _ = await removed.value
            #expect(try host.server("x").status == .ready)
            #expect(try await text(host, "x", "echo", ["text": "here"]) == "here")
        }
    }

    @Test("T10 shutdownNow() hurries a server that is being removed already")
    func hurried() async throws {
        try await withZoo { zoo in
            var server = zoo.server("deaf", "--ignore-eof", "--ignore-term")
            server.stdio.endOfInputGrace = .seconds(3600)
            let host = try await zoo.host(server)
            let removed = Task { await host.removeServer("deaf") }
            await zoo.wait(for: "eof", of: "deaf")
            await wait(for: "shutdownNow()") { await host.shutdownNow() }
            let end = await removed.value
            #expect(end?.step == .kill)
            #expect(zoo.count("signal", "deaf") == 0)
        }
    }

    @Test("T16 the last call ends while the drain timer is being made: the timer is in nobody's books")
    func drainTimer() async throws {
        let clock = StallingTimekeeper()
        var configuration = HostSetup(servers: [ProtocolServer.echo("one", isModern: true)])
        configuration.clock = clock
        let host = try await MCPHost.start(configuration)
        let call = Task { await failure { try await text(host, "one", "hang") } }
        await host.wait(forRequests: 1)
        let stalled = OneShot<Void>()
        let closed = DispatchSemaphore(value: 0)
        let watching = Task {
            await host.waitUntilClosed()
            closed.signal()
        }
        let shutdown = OneShot<Void>()
        // Not on the cooperative pool: this thread is held up in the middle of beginShutdown.
        Thread.detachNewThread {
            clock.stallNextTimer {
                stalled.complete(())
                call.cancel()
                _ = closed.wait(timeout: .now() + 60)
            }
            host.beginShutdown(cause: "the test")
            shutdown.complete(())
        }
        await stalled.wait()
        let report = await host.shutdown()
        expectClean(report, servers: 1)
        await shutdown.wait()
        await watching.value
        #expect(host.openResources.isEmpty, "\(host.openResources)")
        _ = await call.value
    }

    @Test("T4 a FIFO as a command is an error, and holds nobody up")
    func fifo() async throws {
        try await withZoo { zoo in
            let path = zoo.folder + "/fifo"
            mkfifo(path, 0o755)
            let host = try await zoo.host()
            let error = await wait(for: "addServer") {
                await failure { try await host.addServer(ServerDefinition(name: "fifo", command: path)) }
            }
            #expect(error?.code == .launchFailed && error?.message.contains("not a regular file") == true)
        }
    }

    @Test("T4 a guard that says nothing: closing does not wait for it, says so, and the guard is ended")
    func deafGuard() async throws {
        try await withZoo { zoo in
            let program = try HostProgram.start(
                ["run", "--json", "--config", try ScriptedServer.file([("one", [])])],
                environment: ["MCP_GUARD": try zoo.deafGuard()]
            )
            await zoo.wait(for: "start", of: "guard")
            let pid = try #require(zoo.events("guard").first).pid
            let deaf = try #require(ProcessIdentity(of: pid))
            program.signal(SIGINT)
            let outcome = await program.end()
            #expect(outcome.status == 6 && outcome.error.contains("has not come back"), "\(outcome)")
            #expect(try JSONValue(parsing: outcome.out)["teardown"]?["clean"] == false, "\(outcome)")
            // It has been sent SIGKILL, which nobody waits for at the end of a program.
            #expect(ProcessIdentity.waitForEnds([deaf], milliseconds: 10_000).isEmpty, "\(outcome)")
        }
    }

    @Test(
        "T4 the limit for connecting counts from the start, so a start that does not come back is an error by itself",
        .exitTestTurn
    )
    func slowStart() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                setenv("MCP_GUARD", try zoo.deafGuard(), 1)
                var server = ScriptedServer.configuration("one")
                server.client.connectTimeout = .milliseconds(50)
                server.stdio.startGrace = .milliseconds(50)
                server.stdio.guardGrace = .milliseconds(400)
                let host = try await MCPHost.start(HostConfiguration(servers: [server]))
                let error = host.servers.first?.failure
                precondition(error?.message.contains("has not come back") == true, "\(String(describing: error))")
                let report = await host.shutdown()
                precondition(!report.isClean && report.isComplete, "\(report)")
                await host.wait(for: "ended late", of: "one")
                precondition(test_has_zombies() == 0)
            }
        }
    }

    @Test("T14 without a descriptor for the first server: an error that says so, no trap")
    func noDescriptors() async throws {
        // A sanitizer opens files of its own now and then, and Dispatch ends a program that has none left for its timer.
        let isSanitized = ProcessInfo.processInfo.environment["MCP_HOST_SANITIZER"] != nil
        for limit in isSanitized ? [11, 12] : [8, 9, 10, 12] {
            let outcome = try await HostProgram.start(
                ["-c", "ulimit -n \(limit); exec \"$0\" tools", HostProgram.path],
                path: "/bin/sh"
            ).end()
            #expect(outcome.status == 4, "\(limit): \(outcome)")
            #expect(outcome.error.contains("too many open files"), "\(limit): \(outcome)")
        }
    }

    @Test("T20 interrupted while starting or working: 130", arguments: ["run", "tools", "servers"])
    func interrupted(verb: String) async throws {
        try await withZoo { zoo in
            let file = try ScriptedServer.file([("mute", zoo.arguments("mute", ["--mute"]))])
            let program = try HostProgram.start([verb, "--config", file])
            await zoo.wait(for: "start", of: "mute")
            program.signal(SIGINT)
            let outcome = await program.end()
            #expect(outcome.status == 130, "\(outcome)")
        }
    }

    @Test("T20 a signal that is ignored from the start stays ignored: nohup holds")
    func nohup() async throws {
        try await withZoo { zoo in
            let file = try ScriptedServer.file([
                ("deaf", zoo.arguments("deaf", ["--ignore-eof", "--ignore-term"]))
            ])
            let program = try HostProgram.start(
                ["-c", "trap '' HUP; exec \"$0\" run --report --config \"$1\"", HostProgram.path, file],
                path: "/bin/sh"
            )
            await program.ready()
            #if os(Linux)
                let status = try String(contentsOfFile: "/proc/\(program.pid)/status", encoding: .utf8)
                let ignored = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }?.split(separator: "\t")
                    .last
                #expect(ignored.flatMap { UInt64($0, radix: 16) }.map { $0 & 1 } == 1, "\(status)")
            #endif
            program.signal(SIGHUP)
            program.signal(SIGTERM)
            let outcome = await program.end()
            #expect(outcome.error.contains("1 server closed, 0 processes left"))
        }
    }

    @Test("T23 thirty servers queued, spawning and shaking hands: nothing is left, however the host ends")
    func thirty() async throws {
        try await withZoo { zoo in
            let names = (0..<30).map { "s\($0)" }
            for round in 0..<8 {
                let host = MCPHost(HostConfiguration(servers: names.map { zoo.server($0) }))
                host.launch()
                if round > 0 { await host.wait(for: "opening", times: round * 3) }
                if round.isMultiple(of: 2) {
                    expectClean(await host.shutdown(), servers: 30)
                } else {
                    expectClean(await host.shutdownNow(), servers: 30)
                }
                #expect(await zoo.waitUntilExtinct())
            }
        }
    }

    @Test(
        "T23 the same with SIGKILL to the host, and with SIGTERM to its process group",
        arguments: [SIGKILL, SIGTERM],
        ["0.03", "0.06", "0.1", "0.2", "0.5"]
    )
    func thirtyKilled(signal: Int32, seconds: String) async throws {
        try await withZoo { zoo in
            // Every third has no ear for the end of its input.
            let servers = (0..<30).map { number in
                let animals = number.isMultiple(of: 3) ? ["--ignore-eof", "--ignore-term"] : []
                return (name: "s\(number)", arguments: zoo.arguments("s\(number)", animals))
            }
            let file = try ScriptedServer.file(servers)
            // `timeout` sends the signal to its whole process group.
            let program = try HostProgram.start(
                ["-s", "\(signal)", seconds, HostProgram.path, "run", "--config", file],
                environment: ["MCP_HOST_STATE": zoo.folder + "/state"],
                path: "/usr/bin/timeout"
            )
            _ = await program.end()
            #expect(await zoo.waitUntilExtinct())
        }
    }
}

/// A transport that stays in `run` until the test lets it go, whatever is asked of it.
private final class StickyTransport: Transport {
    let entered = OneShot<Void>()
    private let released = OneShot<Void>()

    func release() { self.released.complete(()) }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        self.entered.complete(())
        await self.released.wait()
        receiver.transportDidBreak(MCPError(.connectionLost, "let go"))
        return TransportEnd()
    }

    func send(_ message: OutgoingMessage) throws(MCPError) {}
    func setReceiving(_ enabled: Bool) {}
    func close(_ mode: TeardownMode) {}
}

/// The system's clock, which can be held up at the one place where a timer is made.
private final class StallingTimekeeper: MonotonicClock {
    private let system = SystemMonotonicClock()
    private let stall = Locked<(thread: UInt, body: @Sendable () -> Void)?>(nil)

    var now: Duration { self.system.now }

    /// Runs `body` before the next timer that the calling thread makes.
    func stallNextTimer(_ body: @escaping @Sendable () -> Void) {
        let thread = UInt(bitPattern: pthread_self().hashValue)
        self.stall.withLock { $0 = (thread, body) }
    }

    func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer {
        let thread = UInt(bitPattern: pthread_self().hashValue)
        let body = self.stall.withLock { stall -> (@Sendable () -> Void)? in
            guard let waiting = stall, waiting.thread == thread else { return nil }
            stall = nil
            return waiting.body
        }
        body?()
        return self.system.makeTimer(fire)
    }
}
