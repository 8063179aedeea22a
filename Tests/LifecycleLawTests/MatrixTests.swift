import MCPHost
import MCPTransport
import TestSupport
import Testing

@Suite("LifecycleLaw: matrix", .timeLimit(.minutes(5)))
struct LifecycleLawMatrixTests {
    @Test("A1 open here, use there, close elsewhere", arguments: Place.allCases, Way.allCases)
    func matrix(open: Place, way: Way) async throws {
        for use in Place.allCases where use != .cancelledTask {
            for close in Place.allCases {
                let host = try await Self.open(open, way)
                let text = try await use.run {
                    try await host.callTool(server: "one", name: "echo", arguments: ["text": "hi"]).content.first?.text
                }
                #expect(text == "hi")
                _ = try await close.run { await host.shutdown() }
                // A cancelled closer may leave early; the closing goes on, and this task gets the whole report (G5).
                expectClean(await host.shutdown(), servers: 1)
            }
        }
    }

    /// In a cancelled task nothing can be waited for, so the host is made there and waited for here.
    private static func open(_ place: Place, _ way: Way) async throws -> MCPHost {
        guard place == .cancelledTask else {
            return try await place.run { try await MCPHost.start(HostSetup(servers: [way.server("one")])) }
        }
        let host = try await MCPHost.start()
        // It may be ready before the cancellation is seen; then it is there, like any other.
        let wasAdded = try await place.run { (try? await host.addServer(way.server("never"))) != nil }
        try await host.addServer(way.server("one"))
        let gone = await host.removeServer("never")
        #expect((gone != nil) == wasAdded, "a cancelled addServer leaves nothing in the host")
        // Its report would be counted too; this test wants one.
        let fresh = try await MCPHost.start(HostSetup(servers: [way.server("one")]))
        #expect(await host.shutdown().isClean)
        return fresh
    }

    @Test(
        "A4 five servers closed in all 120 orders, the others answer in between",
        arguments: [Way.memoryLegacy, .memoryModern]
    )
    func allOrdersInMemory(way: Way) async throws {
        for order in Self.permutations([0, 1, 2, 3, 4]) { try await Self.closeInOrder(order, way) }
    }

    @Test("A4 five subprocess servers closed in all 120 orders")
    func allOrdersOverStdio() async throws {
        for (i, order) in Self.permutations([0, 1, 2, 3, 4]).enumerated() {
            try await Self.closeInOrder(order, i.isMultiple(of: 2) ? .stdioLegacy : .stdioModern)
        }
    }

    private static func closeInOrder(_ order: [Int], _ way: Way) async throws {
        let host = try await MCPHost.start(HostSetup(servers: (0..<5).map { way.server("s\($0)") }))
        for place in order {
            #expect(await host.removeServer("s\(place)") != nil)
            try await useAll(host)
        }
        expectClean(await host.shutdown(), servers: 5)
    }

    static func permutations(_ items: [Int]) -> [[Int]] {
        guard items.count > 1 else { return [items] }
        return items.flatMap { first in Self.permutations(items.filter { $0 != first }).map { [first] + $0 } }
    }

    @Test("G2 a hundred tasks close at once and get one report", arguments: Way.allCases)
    func concurrentCloses(way: Way) async throws {
        let host = try await MCPHost.start(HostSetup(servers: (0..<3).map { way.server("s\($0)") }))
        let durations = await withTaskGroup(of: Duration.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    let report = await host.shutdown()
                    expectClean(report, servers: 3)
                    return report.duration
                }
            }
            return await group.reduce(into: Set<Duration>()) { $0.insert($1) }
        }
        #expect(durations.count == 1, "all got the same report")
        #expect(host.journal.entries(for: "s0").filter { $0.event == "closed" }.count == 1)
    }

    @Test("A13 two hosts in one process: closing one leaves the other", arguments: Way.allCases)
    func twoHosts(way: Way) async throws {
        let a = try await MCPHost.start(HostSetup(servers: [way.server("same")]))
        let b = try await MCPHost.start(HostSetup(servers: [way.server("same")]))
        expectClean(await a.shutdown(), servers: 1)
        try await useAll(b)
        expectClean(await b.shutdown(), servers: 1)
    }

    @Test("A14 connect, close, connect, a hundred times without a pause", arguments: Way.allCases)
    func reopen(way: Way) async throws {
        let host = try await MCPHost.start()
        for _ in 0..<100 {
            try await host.addServer(way.server("again"))
            #expect(await host.removeServer("again") != nil)
        }
        expectClean(await host.shutdown(), servers: 100)
    }
}
