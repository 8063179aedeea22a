import MCPHost
import TestSupport
import Testing

/// Per-test set-up and tear-down, per-suite and process-wide shared hosts (A2), by traits.
struct HostTrait: TestTrait, SuiteTrait, TestScoping {
    @TaskLocal static var current: HostManager?
    let isShared: Bool
    var isRecursive: Bool { !self.isShared }

    @concurrent func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let manager = try threeServers()
        try await Task.detached { try await manager.initialize() }.value
        do {
            try await Self.$current.withValue(manager) { try await function() }
        } catch {
            expectClean(await Task.detached { await manager.shutdown() }.value, servers: 3)
            throw error
        }
        expectClean(await Task.detached { await manager.shutdown() }.value, servers: 3)
    }
}

@Suite("LifecycleLaw: a host per test", HostTrait(isShared: false), .timeLimit(.minutes(5)))
struct LifecycleLawPerTestTests {
    @Test("A2 per-test set-up and tear-down", arguments: 0..<3)
    func use(_ round: Int) async throws { try await useAll(#require(HostTrait.current).host) }
}

@Suite("LifecycleLaw: a host per suite", HostTrait(isShared: true), .timeLimit(.minutes(5)))
struct LifecycleLawPerSuiteTests {
    @Test("A2 per-suite shared host", arguments: 0..<3)
    func use(_ round: Int) async throws { try await useAll(#require(HostTrait.current).host) }
}

/// Opened by whichever test comes first, used by all, closed by the last one.
@Suite("LifecycleLaw: a host per process", .serialized, .timeLimit(.minutes(5)))
struct LifecycleLawPerProcessTests {
    static let shared: HostManager? = try? threeServers()

    @Test("A2 process-wide shared host", arguments: 0..<3)
    func use(_ round: Int) async throws {
        let manager = try #require(Self.shared)
        try await manager.initialize()
        try await useAll(manager.host)
    }

    @Test("A2 process-wide shared host, closed at last") func close() async throws {
        expectClean(await (try #require(Self.shared)).shutdown(), servers: 3)
    }
}
