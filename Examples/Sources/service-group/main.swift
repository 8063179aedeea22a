// Runs a host beside the other services of a server program; SIGTERM closes it with them.
// Expect: 4 words|1 server closed
import Logging
import MCPHost
import ServiceLifecycle

/// Something that uses the host, and then has the program end.
struct Worker: Service {
    let host: MCPHost

    func run() async throws {
        let result = try await host.callTool("demo__count", arguments: ["text": "one two three four"])
        print(result.text)
    }
}

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
let host = MCPHost(configuration)
let worker = ServiceGroupConfiguration.ServiceConfiguration(
    service: Worker(host: host),
    successTerminationBehavior: .gracefullyShutdownGroup
)
let services = ServiceGroupConfiguration(
    services: [.init(service: host), worker],
    gracefulShutdownSignals: [.sigterm],
    logger: Logger(label: "example")
)
try await ServiceGroup(configuration: services).run()
print(await host.shutdown())
