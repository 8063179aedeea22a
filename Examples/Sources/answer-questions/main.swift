// Answers what a server asks of the user while it works on a call: by a form, by the model, by roots.
// Expect: Hello, Ann!
import MCPHost

let configuration = try HostConfiguration(contentsOf: CommandLine.arguments.dropFirst().first ?? ".mcp.json")
var runtime = HostRuntime()
runtime.handlers.elicitationForm = { form, asker in
    // The program's own user interface goes here. What it gives is checked against the form before it leaves.
    print("\(asker.server ?? "a server") asks: \(form.message)")
    return .accept(["name": "Ann"])
}
runtime.handlers.sampling = { request, _ in
    // Ask your model here. What has no handler is not offered to servers at all.
    CreateMessageResult(text: "\(request.messages.count) messages seen", model: "none")
}
runtime.handlers.roots = { _ in [Root(uri: "file:///tmp", name: "scratch")] }
try await MCPHost.withHost(configuration, runtime: runtime) { host in
    print(try await host.callTool("demo__greet").text)
}
