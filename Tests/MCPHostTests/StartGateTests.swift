import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPHost

@Suite("So many starts at once", .timeLimit(.minutes(5)))
struct StartGateTests {
    @Test("who waits longest is next; who leaves takes no turn with him")
    func line() {
        let gate = StartGate(limit: 2)
        let places = (0..<6).map { _ in gate.join() }
        func turns() -> [Bool?] { places.map(\.value) }
        #expect(turns() == [true, true, nil, nil, nil, nil])
        gate.leave(places[2])
        gate.next()
        #expect(turns() == [true, true, false, true, nil, nil])
        // It had its turn already: that is still to be ended.
        gate.leave(places[3])
        #expect(turns() == [true, true, false, true, nil, nil])
        for _ in 0..<3 { gate.next() }
        #expect(turns() == [true, true, false, true, true, true])
        gate.next()
        let later = (0..<3).map { _ in gate.join() }
        #expect(later.map(\.value) == [true, true, nil])
    }

    private static func host(_ clock: ManualClock, limit: Int) async throws -> MCPHost {
        var configuration = HostSetup()
        configuration.maximumStarts = limit
        configuration.clock = clock
        return try await MCPHost.start(configuration)
    }

    @Test("B8 one that hangs holds up the others for five seconds; each has its own time from its own launch")
    func turns() async throws {
        try await withZoo { zoo in
            let clock = ManualClock()
            let host = try await Self.host(clock, limit: 1)
            var late = zoo.server("late", "--mute")
            late.client.connectTimeout = .seconds(3)
            late.client.probeTimeout = .seconds(3)
            late.restart = .never
            let first = late
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = await failure { try await host.addServer(zoo.server("hangs", "--mute")) } }
                await host.wait(for: "opening", of: "hangs")
                group.addTask {
                    let error = await failure { try await host.addServer(first) }
                    #expect(error?.code == .timeout && error?.message.contains("3.0 seconds") == true)
                }
                await host.wait(for: "queued", of: "late")
                group.addTask { try await host.addServer(zoo.server("fine")) }
                await host.wait(for: "queued", of: "fine")
                clock.advance(by: .seconds(4))
                #expect(host.journal.entries(for: "late").map(\.event) == ["added", "queued"])
                clock.advance(by: .seconds(1))
                await host.wait(for: "opening", of: "late")
                #expect(!host.journal.entries(for: "fine").contains { $0.event == "opening" })
                // Its own three seconds are not over before they have passed since its launch.
                // The handshake has set its alarm before it asks; until then the hands stand still.
                await zoo.wait(forFrame: "server/discover", of: "late")
                await clock.pass(.seconds(3))
                // A start that has failed leaves its turn to the next; one that is ready too.
                await host.wait(for: "ready", of: "fine")
                try await host.addServer(zoo.server("last"))
                _ = await host.removeServer("hangs")
                try await group.waitForAll()
            }
            expectClean(await host.shutdown(), servers: 4)
        }
    }

    @Test("T23 T4 who waits for a turn is closed at once, and was never started", arguments: [true, false])
    func closedInLine(isRemoved: Bool) async throws {
        try await withZoo { zoo in
            let host = try await Self.host(ManualClock(), limit: 1)
            let names = (0..<20).map { "s\($0)" }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await failure { try await host.addServer(zoo.server("hangs", "--mute")) } }
                await host.wait(for: "opening", of: "hangs")
                for name in names {
                    group.addTask {
                        let error = await failure { try await host.addServer(zoo.server(name)) }
                        #expect(error?.code == .hostClosed)
                    }
                }
                for name in names { await host.wait(for: "queued", of: name) }
                if isRemoved { for name in names { #expect(await host.removeServer(name)?.step == TeardownStep.none) } }
                async let report = host.shutdown()
                expectClean(await report, servers: 21)
                await group.waitForAll()
            }
            for name in names {
                #expect(!host.journal.entries(for: name).contains { $0.event == "opening" })
                #expect(zoo.events(name).isEmpty)
            }
            #expect(host.accounts.snapshot.isEmpty)
        }
    }

    @Test("T11 a restart of one that waits for a turn waits for that turn again")
    func restartedInLine() async throws {
        try await withZoo { zoo in
            let host = try await Self.host(ManualClock(), limit: 1)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await failure { try await host.addServer(zoo.server("hangs", "--mute")) } }
                await host.wait(for: "opening", of: "hangs")
                group.addTask { #expect(await failure { try await host.addServer(zoo.server("a")) } == nil) }
                await host.wait(for: "queued", of: "a")
                group.addTask { #expect(await failure { try await host.restartServer("a") } == nil) }
                await host.wait(for: "queued", of: "a", times: 2)
                _ = await host.removeServer("hangs")
                await group.waitForAll()
            }
            #expect(zoo.count("start", "a") == 1)
            expectClean(await host.shutdown(), servers: 2)
        }
    }

    @Test("B8 one that is believed to be ready keeps nobody waiting")
    func believed() async throws {
        try await withZoo { zoo in
            let host = try await Self.host(ManualClock(), limit: 1)
            var believed = ServerSetup(zoo.server("believed", "--mute"))
            believed.knownServer = ServerDescription(revision: .latest)
            try await host.addServer(believed)
            #expect(try host.server("believed").status == .ready)
            try await host.addServer(zoo.server("other"))
            expectClean(await host.shutdown(), servers: 2)
        }
    }

    @Test("B2 one that was believed to be ready and never said a word is asked properly the next time")
    func neverSpoke() async throws {
        try await withZoo { zoo in
            var wrong = ServerSetup(zoo.server("wrong", "--exit", "7"))
            wrong.knownServer = ServerDescription(revision: .latest)
            wrong.restart.initialDelay = .milliseconds(1)
            let host = try await zoo.host(wrong)
            let entry = await host.wait(for: "closed", of: "wrong")
            #expect(entry?.generation ?? 0 > 1)
            #expect(try host.server("wrong").failure != nil)
            let readied = host.journal.entries(for: "wrong").count { $0.event == "ready" }
            #expect(readied <= 1)
            _ = await host.shutdown()
        }
    }
}
