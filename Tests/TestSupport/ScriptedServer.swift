import Foundation
public import MCPHost
public import MCPStdio
import MCPTransport

/// The misbehaving (or polite) server that tests start as a subprocess.
public enum ScriptedServer {
    /// Beside the test bundle, wherever that is built.
    public static let path: String = {
        var directory = Bundle.main.bundleURL
        for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
            directory = bundle.bundleURL.deletingLastPathComponent()
        }
        let beside = directory.appendingPathComponent("mcp-zoo")
        if FileManager.default.isExecutableFile(atPath: beside.path) { return beside.path }
        return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("mcp-zoo").path
    }()

    /// How to launch it.
    public static func launch(_ arguments: [String] = []) -> ServerLaunch {
        ServerLaunch(command: Self.path, arguments: arguments)
    }

    /// A host's entry for it; see ``patient(_:_:)`` for its times.
    public static func configuration(_ name: String, _ arguments: [String] = []) -> ServerDefinition {
        self.patient(ServerDefinition(name: name, transport: .stdio(Self.launch(arguments))), arguments)
    }

    /// With times that no busy machine exceeds, except for what the server ignores: there it does not matter how short they are.
    public static func patient(_ server: ServerDefinition, _ switches: [String]) -> ServerDefinition {
        var server = server
        let long: Duration = .seconds(120)
        server.client.connectTimeout = long
        let ignoresProbe = ["--silent-probe", "--garble-probe", "--late-probe"]
        server.client.probeTimeout = switches.contains(where: ignoresProbe.contains) ? .milliseconds(200) : long
        server.stdio.endOfInputGrace = switches.contains("--ignore-eof") ? .milliseconds(150) : long
        let ignoresTerm = ["--ignore-term", "--double-fork"]
        server.stdio.terminateGrace = switches.contains(where: ignoresTerm.contains) ? .milliseconds(150) : long
        server.stdio.reapGrace = long
        (server.stdio.startGrace, server.stdio.guardGrace) = (long, long)
        // Tests say how often a server is asked.
        server.remembersEra = false
        return server
    }

    /// A `mcpServers` file with these servers, in a folder of its own.
    public static func file(_ servers: [(name: String, arguments: [String])]) throws -> String {
        let entries = servers.map { server in
            let arguments = server.arguments.map { "\"\($0)\"" }.joined(separator: ",")
            return "\"\(server.name)\":{\"command\":\"\(Self.path)\",\"args\":[\(arguments)]}"
        }
        let file = try TemporaryFolders.make().appendingPathComponent("mcp.json")
        try Data("{\"mcpServers\":{\(entries.joined(separator: ","))}}".utf8).write(to: file)
        return file.path
    }
}
