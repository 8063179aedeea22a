import ArgumentParser

@main
struct MCPHostCommand: AsyncParsableCommand {
    /// What stands behind `--` is another program's.
    static func main() async { await self.main(GivenProgram.others) }

    static let configuration = CommandConfiguration(
        commandName: "mcp-host",
        abstract: "Open MCP servers, use them, and close them again with proof.",
        discussion: ExitCodes.help,
        version: "0.1.0",
        subcommands: [
            Servers.self, Tools.self, Resources.self, Prompts.self, Call.self, Read.self, GetPrompt.self, Run.self,
            Why.self, Reap.self, DemoServer.self,
        ]
    )
}
