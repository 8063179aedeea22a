// Follows what becomes of the servers: who opened and who closed what, and why.
// Expect: demo#1: closed
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
let host = MCPHost(configuration)
async let told: Void = {
    for await entry in host.journal.updates() {
        print(entry)
        // The host's own last word.
        if entry.server == nil, entry.event == "closed" { return }
    }
}()
async let running: Void = host.run()
_ = await host.ready()
_ = try await host.tools()
let report = await host.shutdown()
try await running
await told
print(report)
