// Fills in a prompt, as a user would choose it from a menu.
// Expect: user: .*Summarise
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
try await MCPHost.withHost(configuration) { host in
    for prompt in try await host.prompts().items {
        print("\(prompt.server) offers \(prompt.item.name): \(prompt.item.description ?? "")")
    }
    let filled = try await host.getPrompt(server: "demo", name: "summarise", arguments: ["text": "Once upon a time."])
    for message in filled.messages { print("\(message.role.rawValue): \(message.content)") }
}
