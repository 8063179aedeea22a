// Gives a model the tools of all servers, and makes the call that it wants.
// Expect: functionResponse|tool_result
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
try await MCPHost.withHost(configuration) { host in
    let tools = try await host.tools().definitions(for: .anthropic)
    for change in tools.changes { print("changed for this interface: \(change)") }
    print("\(tools.json.count) tools go into the request")
    // What a model has returned, and what goes back to it: an error too, so that it can try again.
    for call: JSONValue in [
        ["type": "tool_use", "id": "1", "name": "demo__add", "input": ["a": 2, "b": 3]],
        ["type": "tool_use", "id": "2", "name": "demo__add", "input": ["a": "two"]],
    ] {
        print(try await host.call(modelToolCall: call))
    }
}
