// The code of README.md about servers that ask.
import MCPHost

var configuration = try HostConfiguration(contentsOf: ".mcp.json")
configuration.handlers.elicitationForm = { form, server in  // the answer is checked before it leaves
    print("\(server.server ?? "a server") asks: \(form.message)")
    return ElicitResult(action: .accept, content: ["name": "Ada"])
}
configuration.handlers.sampling = { request, server in  // ask your model here
    throw ServerRequestHandlers.Rejection("no model in this program")
}

try await MCPHost.withHost(configuration) { host in print(host.servers.map(\.status)) }
