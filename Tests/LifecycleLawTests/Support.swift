import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Three servers, as in the report that this project starts from: one of each era, one of both.
func threeServers() throws -> HostManager {
    HostManager(
        configuration: try ScriptedServer.file([
            ("legacy", ["--era", "legacy"]), ("modern", ["--era", "modern"]), ("dual", ["--era", "dual"]),
        ])
    )
}

/// Calls every server of a host once.
func useAll(_ host: MCPHost) async throws {
    for connection in host.servers {
        let result = try await host.callTool(server: connection.name, name: "echo", arguments: ["text": "hello"])
        #expect(result.content.first?.text == "hello")
    }
}

/// Runs `work` in some other place than here, and waits for it.
enum Place: String, CaseIterable, CustomTestStringConvertible {
    case sameTask, childTask, detachedTask, otherActor, lowPriority, cancelledTask

    var testDescription: String { self.rawValue }

    func run<R: Sendable>(_ work: @escaping @Sendable () async throws -> R) async throws -> R {
        switch self {
        case .sameTask: return try await work()
        case .childTask:
            async let result = work()
            return try await result
        case .detachedTask: return try await Task.detached { try await work() }.value
        case .otherActor: return try await Elsewhere().run(work)
        case .lowPriority: return try await Task(priority: .background) { try await work() }.value
        case .cancelledTask:
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await work()
            }
            return try await task.value
        }
    }
}

actor Elsewhere {
    func run<R: Sendable>(_ work: @Sendable () async throws -> R) async throws -> R { try await work() }
}

/// The same host over a subprocess or in memory.
enum Way: String, CaseIterable, CustomTestStringConvertible {
    case stdioLegacy, stdioModern, memoryLegacy, memoryModern

    var testDescription: String { self.rawValue }

    func server(_ name: String) -> ServerSetup {
        switch self {
        case .stdioLegacy: ServerSetup(ScriptedServer.configuration(name, ["--era", "legacy"]))
        case .stdioModern: ServerSetup(ScriptedServer.configuration(name, ["--era", "modern"]))
        case .memoryLegacy: ProtocolServer.echo(name, isModern: false)
        case .memoryModern: ProtocolServer.echo(name, isModern: true)
        }
    }
}
