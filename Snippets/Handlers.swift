// The code of README.md about servers that ask.
import MCPHost

var runtime = HostRuntime()
runtime.handlers.elicitationForm = { form, server in  // the answer is checked before it leaves
    print("\(server.server ?? "a server") asks: \(form.message)")
    return ElicitResult(action: .accept, content: ["name": "Ada"])
}
runtime.handlers.sampling = { request, server in  // ask your model here
    throw ServerRequestHandlers.Rejection("no model in this program")
}

let configuration = try HostConfiguration(contentsOf: ".mcp.json")
try await MCPHost.withHost(configuration, runtime: runtime) { host in print(host.servers.map(\.status)) }
