// Starts servers when somebody needs them, and one for each caller.
// Expect: 3 servers closed, 0 processes left
import MCPHost

var configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
for place in configuration.servers.indices {
    configuration.servers[place].policy = .perCaller(idleStop: .seconds(60))
}
configuration.defaults.hardTimeout = .seconds(30)
try await MCPHost.withHost(configuration) { host in
    print("before: \(host.servers.map(\.status))")
    for caller in ["alice", "bob"] {
        var options = RequestOptions()
        options.caller = caller
        let result = try await host.callTool("demo__echo", arguments: ["text": caller], options: options)
        print("\(caller): \(result.text)")
    }
    // One for each of them, and one that was asked which tools there are.
    print(await host.shutdown())
}
