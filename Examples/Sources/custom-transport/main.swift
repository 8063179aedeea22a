// A host that reaches a server over a transport of its own: a Unix socket. The first server of the configuration is put behind one,
// for want of a server that listens by itself.
// Expect: demo__echo
import Foundation
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
guard let first = configuration.servers.first else { throw MCPError(.invalidConfiguration, "the file has no server") }
guard let launch = first.transport.launch else { throw MCPError(.invalidConfiguration, "it starts nothing") }

let folder = FileManager.default.temporaryDirectory.appendingPathComponent("custom-transport-\(UUID().uuidString)")
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
defer { try? FileManager.default.removeItem(at: folder) }
let path = folder.appendingPathComponent("server.sock").path
let listener = try SocketListener(path: path) { connection in
    let process = Process()
    process.executableURL = URL(fileURLWithPath: launch.command)
    process.arguments = launch.arguments
    process.standardInput = connection
    process.standardOutput = connection
    do { try process.run() } catch { print("cannot start \(launch.command): \(error)") }
    process.waitUntilExit()
}
defer { listener.close() }

let endpoint = Endpoint("unix:\(path)") { context in UnixSocketTransport(path: path, context: context) }
let configured = HostConfiguration(servers: [ServerDefinition(name: first.name, transport: .custom)])
let runtime = HostRuntime(servers: [first.name: ServerRuntime(endpoint: endpoint)])
let report = try await MCPHost.withHost(configured, runtime: runtime) { host in
    for tool in try await host.tools().items { print(tool.qualifiedName) }
    return await host.shutdown()
}
print(report)
