// Opens the servers of .mcp.json (or of the file given), lists their tools, and closes them again.
// Expect: demo__echo
import MCPHost

let path = CommandLine.arguments.dropFirst().first ?? ".mcp.json"
let configuration = try HostConfiguration(contentsOf: path)
try await MCPHost.withHost(configuration) { host in
    let found = try await host.tools()
    for tool in found.items { print("\(tool.qualifiedName): \(tool.item.description ?? "")") }
    for failure in found.failures { print("cannot ask \(failure.server): \(failure.error.message)") }
}
