import MCPHost
import MCPTransport
import TestSupport
import XCTest

/// The four patterns in XCTest (A2), whose asynchronous set-up, test and tear-down are three different tasks.
final class LifecycleLawXCTests: XCTestCase {
    private var manager: HostManager?

    override func setUp() async throws {
        let manager = try threeServers()
        try await manager.initialize()
        self.manager = manager
    }

    override func tearDown() async throws {
        let report = await self.manager?.shutdown()
        XCTAssertEqual(report?.isClean, true, report?.description ?? "no report")
        XCTAssertEqual(report?.servers.count, 3)
    }

    func testSetUpAndTearDown() async throws { try await self.useAll() }
    func testSetUpAndTearDownAgain() async throws { try await self.useAll() }

    func testShutDownInTheTestAndAgainInTearDown() async throws {
        try await self.useAll()
        let report = await self.manager?.shutdown()
        XCTAssertEqual(report?.isClean, true)
    }

    func testOpenedByOneHelperClosedByAnother() async throws {
        let host = try XCTUnwrap(self.manager?.host)
        try await Task.detached {
            for i in 0..<3 { try await host.addServer(ScriptedServer.configuration("extra\(i)")) }
        }.value
        await Task.detached { for i in 0..<3 { await host.removeServer("extra\(i)") } }.value
        XCTAssertEqual(host.servers.count, 3)
        // The three are in the report as well.
        let report = await host.shutdown()
        XCTAssertEqual(report.servers.count, 6)
        self.manager = try threeServers()
        try await self.manager?.initialize()
    }

    private func useAll() async throws {
        let host = try XCTUnwrap(self.manager?.host)
        for name in ["legacy", "modern", "dual"] {
            let result = try await host.callTool(server: name, name: "echo", arguments: ["text": "hello"])
            XCTAssertEqual(result.content.first?.text, "hello")
        }
    }
}

/// One host for a whole class: opened in no test's task.
final class LifecycleLawClassScopeXCTests: XCTestCase {
    private static let manager = Locked<HostManager?>(nil)

    private func host() async throws -> MCPHost {
        let fresh = try threeServers()
        let manager = Self.manager.withLock { manager in
            let chosen = manager ?? fresh
            manager = chosen
            return chosen
        }
        try await manager.initialize()
        return try manager.host
    }

    func testOne() async throws { _ = try await self.host().callTool(server: "dual", name: "echo") }
    func testTwo() async throws { _ = try await self.host().callTool(server: "legacy", name: "echo") }

    func testZLast() async throws {
        let report = await Self.manager.withLock { $0 }?.shutdown()
        XCTAssertEqual(report?.isClean, true, report?.description ?? "no report")
    }
}
