// What test fixtures do, and what breaks elsewhere: set-up, test and tear-down are three different tasks.
// Expect: 5 tools
import MCPHost

let manager = HostManager(configuration: CommandLine.arguments.dropFirst().first ?? ".mcp.json")

try await Task(name: "set-up") { try await manager.initialize() }.value
let count = try await Task(name: "test") { try await manager.host.tools().items.count }.value
print("\(count) tools")
let journal = try manager.host.journal
let report = await Task(name: "tear-down") { await manager.shutdown() }.value
print(report)
for entry in journal.entries { print(entry) }
