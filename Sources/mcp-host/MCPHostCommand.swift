import ArgumentParser
import MCPHost
import MCPJSON
import MCPTransport

@main
struct MCPHostCommand: AsyncParsableCommand {
    /// What stands behind `--` is another program's. Words that cannot be understood have a document too, where one is wanted.
    static func main() async {
        System.occupyStandardDescriptors()
        do {
            let verbs = Self.configuration.subcommands.compactMap { $0.configuration.commandName }
            if let verb = GivenProgram.others.first, !verb.hasPrefix("-"), !verbs.contains(verb), verb != "help",
                let meant = Similarity.closest(to: verb, among: verbs)
            {
                throw ValidationError("there is no \"\(VisibleText.line(verb))\"; did you mean \"\(meant)\"?")
            }
            var command = try Self.command(of: GivenProgram.others)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            try Self.checkOutput()
        } catch {
            if !(error is ExitCode), Self.exitCode(for: error) == .success {
                // Help, and the version.
                Terminal.out(Self.fullMessage(for: error))
                do { try Self.checkOutput() } catch { Self.exit(withError: error) }
                Self.exit()
            }
            if !(error is ExitCode), GivenProgram.others.contains("--json") {
                let error = MCPError(.invalidArguments, Self.message(for: error))
                Terminal.out(.object(["error": .object(error.document)]))
            }
            // Something else went wrong as well; what was left behind, or interrupted, counts for more.
            if error as? ExitCode != ExitCodes.leftBehind, error as? ExitCode != ExitCodes.interrupted {
                do { try Self.checkOutput() } catch let lost { Self.exit(withError: lost) }
            }
            Self.exit(withError: error)
        }
    }

    private static func checkOutput() throws {
        guard let reason = Terminal.lostOutput else { return }
        Terminal.error("mcp-host: standard output cannot be written: \(reason)")
        throw ExitCodes.outputLost
    }

    /// Reads the words by what their verb takes. To look at all verbs takes a fifth of the time of a call, so that is for what cannot be
    /// understood otherwise, and for help.
    private static func command(of words: [String]) throws -> any ParsableCommand {
        for verb in Self.configuration.subcommands where verb.configuration.commandName == words.first {
            if let command = try? verb.parse(Array(words.dropFirst())) { return command }
        }
        return try Self.parseAsRoot(words)
    }

    static let configuration = CommandConfiguration(
        commandName: "mcp-host",
        abstract: "Open MCP servers, use them, and close them again with proof.",
        discussion: ExitCodes.help,
        version: "0.1.0",
        subcommands: [
            Servers.self, Tools.self, Resources.self, Prompts.self, Call.self, Read.self, GetPrompt.self, Run.self,
            Why.self, Reap.self, Completions.self, Control.self, DemoServer.self,
        ]
    )
}
