// Calls a tool by the name that a model would use, with arguments from variables, and prints what it answers.
// Expect: 2 \+ 3 = 5
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
let (a, b) = (2, 3)
try await MCPHost.withHost(configuration) { host in
    // The arguments are checked against the tool's schema before anything is sent.
    let result = try await host.callTool("demo__add", arguments: ["a": a, "b": b])
    print("\(a) + \(b) = \(result.text)")
    do {
        _ = try await host.callTool("demo__add", arguments: ["a": "two"])
    } catch let error as MCPError {
        print("refused: \(error.message)")
    }
}
