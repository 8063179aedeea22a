import MCPHost
import MCPTransport
import TestSupport
import Testing

/// The four patterns that failed elsewhere (A1, A2), in Swift Testing. XCTest: `FixturePatternXCTests`.
@Suite("LifecycleLaw: fixture patterns", .timeLimit(.minutes(5)))
struct LifecycleLawFixturePatternTests {
    @Test("A1 opened in one task, shut down in the finally of the test")
    func closedInFinally() async throws {
        let manager = try threeServers()
        try await Task(name: "set-up") { try await manager.initialize() }.value
        let outcome: Result<Void, any Error>
        do {
            try await useAll(manager.host)
            outcome = .success(())
        } catch { outcome = .failure(error) }
        let host = try manager.host
        let report = await Task.detached(name: "finally") { await manager.shutdown() }.value
        expectClean(report, servers: 3)
        try outcome.get()
        let opened = try #require(host.journal.entries.first { $0.event == "opened" })
        let closing = try #require(host.journal.entries.first { $0.event == "shutdown" })
        #expect(opened.task != closing.task, "the journal tells who opened and who closed")
        #expect(opened.task.contains("set-up") && closing.task.contains("finally"))
    }

    @Test("A4 opened in a loop by one helper task, closed by another, first in first out", arguments: [2, 5])
    func openedAndClosedByHelpers(count: Int) async throws {
        let host = try await MCPHost.start()
        try await Task(name: "opener") {
            for i in 0..<count { try await host.addServer(ScriptedServer.configuration("s\(i)")) }
        }.value
        try await useAll(host)
        await Task.detached(name: "closer") {
            for i in 0..<count { #expect(await host.removeServer("s\(i)")?.step == .endOfInput) }
        }.value
        expectClean(await host.shutdown(), servers: count)
    }

    @Test("A3 a test that throws while a shared host is open does not hurt the next one")
    func throwingTestDoesNotHurt() async throws {
        struct Failure: Error {}
        let manager = try threeServers()
        try await manager.initialize()
        let failing = Task {
            try await useAll(manager.host)
            throw Failure()
        }
        await #expect(throws: Failure.self) { try await failing.value }
        try await Task.detached { try await useAll(manager.host) }.value
        expectClean(await manager.shutdown(), servers: 3)
    }

    @Test("A2 scoped: withHost closes when its body throws, and when its task is cancelled")
    func scoped() async throws {
        struct Failure: Error {}
        let configuration = HostConfiguration(servers: [ScriptedServer.configuration("one")])
        let escaped = Locked<MCPHost?>(nil)
        await #expect(throws: Failure.self) {
            try await MCPHost.withHost(configuration) { host in
                escaped.withLock { $0 = host }
                try await useAll(host)
                throw Failure()
            }
        }
        let host = try #require(escaped.withLock { $0 })
        expectClean(await host.shutdown(), servers: 1)
    }
}
