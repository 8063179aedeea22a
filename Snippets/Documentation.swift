// The code in comments and DocC pages.
import MCPHost

func useHost(_ configuration: HostConfiguration) async throws {
    let host = try await MCPHost.start(configuration)  // any task
    let result = try await host.callTool("git__git_log", arguments: ["repo_path": "."])
    let report = await host.shutdown()  // any other task
    assert(report.isClean)
    print(result.content.count)
}

func useManager() async throws {
    let manager = HostManager(configuration: ".mcp.json")
    try await manager.initialize()  // a fixture's set-up
    _ = try await manager.host.tools()  // a test
    await manager.shutdown()  // a fixture's tear-down, in whichever task that runs
}

try await useManager()

func manyCalls(_ host: MCPHost) async throws -> CallToolResult {
    let result = try await withTaskExecutorPreference(try host.executor) {
        try await host.callTool("git__git_log", arguments: ["repo_path": "."])
    }
    return result
}
