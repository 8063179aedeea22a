import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section G: closing, losing, coming back.
@Suite("Faults G: close and restart", .timeLimit(.minutes(5)))
struct RestartFaultTests {
    private static func quick(_ server: ServerDefinition) -> ServerDefinition {
        var server = server
        server.restart.initialDelay = .milliseconds(10)
        return server
    }

    @Test("G1 closed and killed at the same moment, fifty times: closed once")
    func closeAndExit() async throws {
        try await withZoo { zoo in
            for _ in 0..<50 {
                let host = try await zoo.host(zoo.server("one"))
                async let killed = failure { try await text(host, "one", "kill") }
                let report = await host.shutdown()
                _ = await killed
                #expect(report.servers.count == 1)
                #expect(host.journal.entries(for: "one").count { $0.event == "closed" } == 1)
            }
        }
    }

    @Test("G5 closed by a task that is cancelled already: the whole sequence runs")
    func cancelledCloser() async throws {
        try await withZoo { zoo in
            let clock = ManualClock()
            let server = zoo.server("deaf", "--ignore-eof", "--ignore-term")
            let host = try await zoo.host([server], clock: clock)
            let closer = Task {
                await untilCancelled()
                await host.shutdown()
            }
            closer.cancel()
            _ = await closer.value
            // Nobody else asks for it.
            await zoo.wait(for: "eof", of: "deaf")
            await clock.pass(server.stdio.endOfInputGrace)
            await zoo.wait(for: "signal", of: "deaf")
            await clock.pass(server.stdio.terminateGrace)
            await host.wait(for: "closed", of: "deaf")
            let report = await host.shutdown()
            #expect(report.servers.first?.step == .kill)
            #expect(zoo.events("deaf").map(\.event).suffix(2) == ["eof", "signal"])
        }
    }

    @Test("G6 closing from a progress handler does not wait for itself")
    func closesItself() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let error = await failure {
                try await host.callTool(
                    server: "one",
                    name: "flood",
                    arguments: ["n": 10_000_000],
                    options: .init(onProgress: { _ in host.beginShutdown(.immediate, cause: "a handler") })
                )
            }
            #expect(error?.code == .hostClosed)
            expectClean(await host.shutdown(), servers: 1)
        }
    }

    @Test(
        "G8 G9 G17 STDIO-16 killed: the status says so, tools stay known, the next call works, the journal tells the restart"
    )
    func killed() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.quick(zoo.server("one")))
            let name = try #require(try await host.tools().items.first).qualifiedName
            let error = await failure { try await text(host, "one", "kill") }
            #expect(error?.code == .outcomeUnknown && error?.message.contains("SIGKILL") == true)
            let status = try host.server("one").status
            #expect(status == .restarting || zoo.count("start", "one") == 2)
            let result = try await host.callTool(name, arguments: ["text": "x"])
            #expect(result.content.first?.text == "x")
            // What the name means stays known; what the tool takes is asked of each process once (V4).
            #expect(zoo.events("one").count { $0.detail.contains("tools/list") } == 2)
            let events = host.journal.entries(for: "one").map(\.event)
            #expect(events.count { $0 == "ready" } == 2 && events.contains("lost") && events.contains("restarting"))
            #expect(try host.server("one").failure == nil && host.server("one").status == .ready)
            #expect(await host.shutdown().servers.first?.generation == 2)
        }
    }

    @Test("G10 a crash loop: five starts, then failed with the last words; starting it by hand works")
    func crashLoop() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.quick(zoo.server("bad", "--exit", "3", "--era", "legacy")))
            let connection = try host.server("bad")
            _ = await connection.waitUntilGone()
            #expect(connection.status == .failed && connection.failure?.code == .crashLoop)
            let message = try #require(connection.failure).message
            #expect(message.contains("5 starts") && message.contains("exit status 3") && message.contains("third line"))
            #expect(zoo.count("start", "bad") == 5)
            let error = await failure { try await host.restartServer("bad") }
            #expect(error?.message.contains("exit status 3") == true)
            #expect(zoo.count("start", "bad") > 5)
        }
    }

    @Test("G11 the link drops under twenty calls: one restart, and each call ends")
    func dropUnderCalls() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.quick(zoo.server("one")))
            let calls = (0..<20).map { _ in Task { await failure { try await text(host, "one", "hang") } } }
            await zoo.wait(forFrame: "\"hang\"", of: "one", times: 20)
            _ = await failure { try await text(host, "one", "kill") }
            for call in calls { #expect(await call.value?.code == .outcomeUnknown) }
            let lists = (0..<20).map { _ in Task { await failure { try await host.server("one").session() } } }
            for list in lists { #expect(await list.value == nil) }
            #expect(zoo.count("start", "one") == 2)
        }
    }

    @Test(
        "G13 B17 removed at any moment of going down and coming back, forty times: nothing of it stays, nothing comes back"
    )
    func removedWhileComingBack() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            for round in 0..<40 {
                try await host.addServer(Self.quick(zoo.server("one")))
                _ = await failure { try await text(host, "one", "kill") }
                for _ in 0..<(round * 20) { await Task.yield() }
                let report = await host.removeServer("one")
                #expect(report?.processesLeft.isEmpty == true)
            }
            #expect(host.servers.isEmpty)
        }
    }

    @Test("G14 errors of tools are no loss of the connection")
    func toolErrors() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let error1 = await failure { try await text(host, "one", "no-such-tool") }
            #expect(error1?.code == .serverError)
            _ = try await text(host, "one", "echo")
            #expect(zoo.count("start", "one") == 1)
        }
    }

    @Test("G14 V19 whatever a tool says of its failure, the connection stays and the call is made once")
    func toolFailures() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/call": { call in
                    switch call.params["name"] {
                    case "failed": return ["content": [["type": "text", "text": "connection lost"]], "isError": true]
                    case "invalid": throw ProtocolServer.Failure(-32602, "connection closed")
                    case "internal": throw ProtocolServer.Failure(-32603, "server restarting")
                    default: throw ProtocolServer.Failure(-32000, "Connection closed")
                    }
                }
            ]
        )
        let host = try await MCPHost.start(HostSetup(servers: [server.configuration("one")]))
        #expect(try await host.callTool(server: "one", name: "failed").isError == true)
        for name in ["invalid", "internal", "other"] {
            let error = await failure { try await host.callTool(server: "one", name: name) }
            #expect(error?.code == .serverError)
        }
        #expect(server.connections == 1 && server.received("tools/call").count == 4)
        #expect(try host.server("one").status == .ready)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("G16 nobody is pinged, and a server that would not answer is left alone")
    func noPings() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(
                zoo.server("legacy", "--era", "legacy"),
                zoo.server("modern", "--era", "modern")
            )
            for name in ["legacy", "modern"] {
                _ = try await text(host, name, "echo")
                #expect(!zoo.events(name).contains { $0.detail.contains("\"ping\"") })
            }
        }
    }

    @Test("G18 a name that nobody has is an error at once")
    func unknownName() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let error2 = await failure { try await host.callTool(server: "nobody", name: "x") }
            #expect(error2?.code == .notFound)
            let error3 = await failure { try await host.restartServer("nobody") }
            #expect(error3?.code == .notFound)
            #expect(await host.removeServer("nobody") == nil)
        }
    }

    @Test("shutdown while a server waits for its restart does not wait with it")
    func closedWhileWaiting() async throws {
        try await withZoo { zoo in
            var server = zoo.server("bad", "--exit", "1", "--era", "legacy")
            server.restart.initialDelay = .seconds(600)
            server.restart.maximumDelay = .seconds(600)
            let host = try await zoo.host(server)
            let connection = try host.server("bad")
            await host.wait(for: "restarting", of: "bad")
            let error = await failure { try await connection.session() }
            #expect(error?.message.contains("exit status 1") == true, "who asks is told at once")
            expectClean(await host.shutdown(), servers: 1)
        }
    }
}
