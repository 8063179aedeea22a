// Gets a value of its own type from a tool, and gives it one.
// Expect: 2 words on 1 lines
import MCPHost

struct Text: Encodable { var text: String }
struct Count: Decodable { var characters, words, lines: Int }

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
try await MCPHost.withHost(configuration) { host in
    let count: Count = try await host.callTool(server: "demo", name: "count", arguments: Text(text: "hello world"))
    print("\(count.words) words on \(count.lines) lines")
}
