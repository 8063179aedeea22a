// One conversation with one server, without a host around it.
// Expect: 5 tools, then closed by endOfInput|tools
import MCPClient
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
guard let launch = configuration.servers.first?.transport.launch else {
    throw MCPError(.invalidConfiguration, "the file has no server that is started here")
}
let session = ClientSession(transport: StdioTransport(launch))
let (count, end) = try await withThrowingTaskGroup(of: ClientSession.End?.self) { group in
    group.addTask { await session.run() }
    let tools = try await session.listTools()
    session.close()
    return (tools.count, try await group.next() ?? nil)
}
print("\(count) tools; \(end.map { "\($0.transport)" } ?? "no end")")
