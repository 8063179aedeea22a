// Lists the resources of all servers, and reads the first of each.
// Expect: demo://about: The demo server
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
try await MCPHost.withHost(configuration) { host in
    var seen: Set<String> = []
    for resource in try await host.resources().items where seen.insert(resource.server).inserted {
        let result = try await host.readResource(server: resource.server, uri: resource.item.uri)
        for contents in result.contents {
            switch contents {
            case .text(let text): print("\(text.uri): \(text.text)")
            case .blob(let blob): print("\(blob.uri): \(blob.blob.count) characters of Base64")
            }
        }
    }
}
