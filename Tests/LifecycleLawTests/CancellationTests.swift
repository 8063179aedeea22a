import MCPHost
import MCPTransport
import TestSupport
import Testing

@Suite("LifecycleLaw: close and cancel at any moment", .timeLimit(.minutes(5)))
struct LifecycleLawCancellationTests {
    /// Lets other tasks run a number of times: a point in the middle of something, without a clock.
    private static func stepAside(_ times: Int) async { for _ in 0..<times { await Task.yield() } }

    @Test("G3 close during connect at 25 points", arguments: Way.allCases)
    func closeDuringConnect(way: Way) async throws {
        for point in 0..<25 {
            let host = MCPHost(HostSetup(servers: [way.server("one"), way.server("two")]))
            host.launch()
            await Self.stepAside(point * point)
            expectClean(await host.shutdown(), servers: 2)
        }
    }

    @Test("B15 the opening task is cancelled at 25 points", arguments: Way.allCases)
    func cancelDuringConnect(way: Way) async throws {
        for point in 0..<25 {
            let host = try await MCPHost.start()
            let opener = Task { try await host.addServer(way.server("one")) }
            await Self.stepAside(point * point)
            opener.cancel()
            _ = try? await opener.value
            expectClean(await host.shutdown())
        }
    }

    @Test("0b initialize() cancelled: nothing is left, and it may be tried again")
    func cancelInitialize() async throws {
        let manager = try threeServers()
        let task = Task { try await manager.initialize() }
        task.cancel()
        await #expect(throws: MCPError.self) { try await task.value }
        try await manager.initialize()
        try await useAll(manager.host)
        expectClean(await manager.shutdown())
    }

    @Test("F9 a cancelled call returns at once, and its server goes on", arguments: Way.allCases)
    func cancelDuringCall(way: Way) async throws {
        let host = try await MCPHost.start(HostSetup(servers: [way.server("one")]))
        for point in 0..<25 {
            let call = Task { try await host.callTool(server: "one", name: "hang") }
            await Self.stepAside(point)
            call.cancel()
            await #expect { try await call.value } throws: { ($0 as? MCPError)?.code == .cancelled }
            try await useAll(host)
        }
        #expect(host.openResources.requests == 0)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("G4 ten calls in flight at shutdown each end with hostClosed", arguments: Way.allCases)
    func closeDuringCalls(way: Way) async throws {
        var configuration = HostSetup(servers: [way.server("one")])
        configuration.drainTimeout = .milliseconds(50)
        let host = try await MCPHost.start(configuration)
        let codes = await withTaskGroup(of: MCPError.Code?.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    do throws(MCPError) {
                        _ = try await host.callTool(server: "one", name: "hang")
                        return nil
                    } catch { return error.code }
                }
            }
            await host.wait(forRequests: 10)
            expectClean(await host.shutdown(), servers: 1)
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes == Array(repeating: .hostClosed, count: 10))
    }

    @Test("M3 drain: a call that ends in time gets its result, new ones are refused")
    func drain() async throws {
        let host = try await MCPHost.start(HostSetup(servers: [Way.memoryModern.server("one")]))
        let call = Task { try await host.callTool(server: "one", name: "hang") }
        await host.wait(forRequests: 1)
        let closing = Task { await host.shutdown() }
        await host.wait(for: "shutdown")
        await #expect { try await host.callTool(server: "one", name: "echo") } throws: {
            ($0 as? MCPError)?.code == .hostClosed
        }
        call.cancel()
        _ = try? await call.value
        expectClean(await closing.value, servers: 1)
    }

    @Test(
        "0b the closer is cancelled while it waits for a stubborn server: the closing goes on, bounded, and is reported"
    )
    func cancelDuringClose() async throws {
        let clock = ManualClock()
        let server = ScriptedServer.configuration("stubborn", ["--ignore-eof", "--ignore-term"])
        var configuration = HostSetup(servers: [server])
        configuration.clock = clock
        let host = try await MCPHost.start(configuration)
        let closer = Task { await host.shutdown() }
        await host.wait(for: "closing", of: "stubborn")
        closer.cancel()
        #expect(await closer.value.isComplete == false)
        async let ending = host.shutdown()
        await clock.pass(server.stdio.endOfInputGrace)
        await clock.pass(server.stdio.terminateGrace)
        let report = await ending
        expectClean(report, servers: 1)
        #expect(report.servers.first?.step == .kill)
    }

    @Test("A8 a host that is dropped without shutdown closes all the same", arguments: Way.allCases)
    func dropped(way: Way) async throws {
        var host: MCPHost? = try await MCPHost.start(HostSetup(servers: [way.server("one")]))
        let journal = try #require(host?.journal)
        let connection = try #require(host?.servers.first)
        host = nil
        let end = await connection.waitUntilGone()
        #expect(end.processesLeft.isEmpty)
        #expect(journal.entries.contains { $0.cause.contains("dropped") })
        if let pid = end.processID { #expect(!ProcessCounts.isAlive(pid, since: end.startedAt)) }
    }
}
