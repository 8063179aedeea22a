// The first code of README.md: Scripts/check-snippets.py compares them.
import MCPHost

let host = try await MCPHost.start(
    HostConfiguration(servers: [
        ServerDefinition(name: "git", command: "mcp-server-git", arguments: ["-r", "."]),
        ServerDefinition(name: "time", command: "mcp-server-time"),
    ])
)
for tool in try await host.tools().items { print(tool.qualifiedName) }  // git__git_log, time__convert_time, ...
let result = try await host.callTool("time__get_current_time", arguments: ["timezone": "UTC"])
print(result.content.first?.text ?? "")
print(await host.shutdown())  // 2 servers closed, 0 processes left
