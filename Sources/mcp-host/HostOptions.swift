import ArgumentParser
import MCPClient
import MCPControl
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// What all commands that open servers have in common.
struct HostOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Configuration in the mcpServers form; several are taken together, - is standard input.",
            discussion: "Default: .mcp.json here; without one, a built-in demo server."
        )
    )
    var config: [String] = []

    @Option(name: .long, help: "Which revisions to speak with all servers: auto, legacy (up to 2025-11-25) or modern.")
    var era: String?

    @Option(name: .long, help: "How long one request may take: 90s, 500ms, 10m.")
    var timeout: String?

    @Option(name: .long, help: "How long a server may take to start.")
    var startTimeout: String?

    @Option(
        name: .long,
        help: "Tell on standard error what servers log, from this level on: debug, info, warning, error."
    )
    var logLevel: String?

    @Option(
        name: .long,
        parsing: .unconditionalSingleValue,
        help: "Answer a field of a form that a server shows, as key=value; several times. \"decline\" refuses all."
    )
    var answer: [String] = []

    @Option(
        name: .long,
        help:
            "A socket: `run` lets other mcp-hosts use its servers there, and other verbs use those instead of their own."
    )
    var socket: String?

    @Flag(name: .long, help: "Print one JSON document on standard output, and nothing else there.")
    var json = false

    @Flag(name: .long, help: "Tell on standard error how each server ended.")
    var report = false

    /// What is to be opened.
    struct Loaded {
        var configuration: HostConfiguration
        /// Switched off, with the member that says so.
        var disabled: [String: String] = [:]
        /// What a person should know of it.
        var remarks: [String] = []
        /// How servers are reached that another host holds.
        var endpoints: [String: Endpoint] = [:]

        var names: [String] { self.configuration.servers.map(\.name) }
    }

    /// Reads what counts. Whatever a person should know of it is told on standard error.
    /// - Parameter usesSocket: the servers are those that another host holds, where its socket is named.
    func load(usesSocket: Bool = true) throws(MCPError) -> Loaded {
        var loaded: Loaded
        if usesSocket, let socket = self.socket { loaded = try self.borrow(socket) } else { loaded = try self.read() }
        Terminal.hide(in: loaded.configuration)
        for remark in loaded.remarks { Terminal.note(Terminal.line(remark, limit: 2000)) }
        do throws(MCPError) { try self.applyLimits(to: &loaded.configuration) } catch {
            throw MCPError(.invalidArguments, error.message)
        }
        return loaded
    }

    /// The servers of another host.
    private func borrow(_ socket: String) throws(MCPError) -> Loaded {
        if GivenProgram.words != nil || !self.config.isEmpty {
            throw MCPError(.invalidArguments, "--socket names whose servers are used; leave --config and -- out")
        }
        var loaded = Loaded(configuration: HostConfiguration())
        for (name, endpoint) in try ControlTransport.servers(at: socket) {
            var server = ServerDefinition(name: name, transport: .unusable("it is held by the host at \(socket)"))
            server.remembersEra = false
            loaded.configuration.servers.append(server)
            loaded.endpoints[name] = endpoint
        }
        return loaded
    }

    private func read() throws(MCPError) -> Loaded {
        if let program = GivenProgram.words, let command = program.first {
            if !self.config.isEmpty {
                throw MCPError(
                    .invalidArguments,
                    "a program behind -- is used instead of a configuration; leave --config out"
                )
            }
            let file = command.split(separator: "/").last.map(String.init) ?? command
            let server = ServerDefinition(name: file, command: command, arguments: Array(program.dropFirst()))
            return Loaded(configuration: HostConfiguration(servers: [server]))
        }
        if !self.config.isEmpty { return try self.merge(self.config) }
        if System.kind(of: ".mcp.json") != nil { return try self.merge([".mcp.json"]) }
        self.remarkDemo()
        return Loaded(configuration: HostConfiguration(servers: [Self.demo]))
    }

    private func merge(_ paths: [String]) throws(MCPError) -> Loaded {
        var merged = ConfigurationFile()
        for path in paths {
            if path.hasPrefix("{") {
                throw MCPError(
                    .invalidConfiguration,
                    "--config takes a file and not its text; write the text into one, or pipe it in: --config -"
                )
            }
            merged.add(try ConfigurationFile(contentsOf: path), named: path)
        }
        var loaded = Loaded(configuration: merged.configuration, disabled: merged.disabled, remarks: merged.remarks)
        if loaded.configuration.servers.isEmpty {
            let off = loaded.disabled.isEmpty ? "" : "; \(loaded.disabled.count) switched off"
            loaded.remarks.append("\(paths.joined(separator: ", ")): 0 servers\(off)")
        }
        return loaded
    }

    static let levels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]

    private func applyLimits(to configuration: inout HostConfiguration) throws(MCPError) {
        func duration(_ text: String?, _ name: String) throws(MCPError) -> Duration? {
            guard let text else { return nil }
            if let duration = HostConfiguration.duration(text) { return duration }
            throw MCPError(.invalidArguments, "\(name) takes a time, as 90s, 500ms or 10m, and not \"\(text)\"")
        }
        let (call, start) = (
            try duration(self.timeout, "--timeout"), try duration(self.startTimeout, "--start-timeout")
        )
        let era = try self.era.map { text throws(MCPError) in
            if let era = HostConfiguration.era(text) { return era }
            throw MCPError(.invalidArguments, "--era is auto, legacy or modern, and not \"\(text)\"")
        }
        let level = try self.logLevel.map { text throws(MCPError) in
            if Self.levels.contains(text) { return LoggingLevel(rawValue: text) }
            throw MCPError(.invalidArguments, "--log-level is one of \(Self.levels.joined(separator: ", "))")
        }
        for place in configuration.servers.indices {
            if let level { configuration.servers[place].client.logLevel = level }
            if let call {
                configuration.servers[place].client.idleTimeout = call
                configuration.servers[place].client.hardTimeout = call
            }
            if let start { configuration.servers[place].client.connectTimeout = start }
            if let era { configuration.servers[place].client.era = era }
        }
    }

    // MARK: The demo

    /// Whoever has a configuration of another client here may believe that it is used (U13).
    private func remarkDemo() {
        let others = [
            "mcp.json", ".vscode/mcp.json", ".cursor/mcp.json", ".roo/mcp.json", ".gemini/settings.json",
            "opencode.json",
        ]
        .filter { System.kind(of: $0) != nil }
        let hint =
            others.isEmpty ? "" : "; there is \(others.joined(separator: " and ")): --config \(others[0]) uses it"
        Terminal.note("no .mcp.json here, so this is the built-in demo server\(hint)")
    }

    /// This very program as a server.
    private static var demo: ServerDefinition {
        ServerDefinition(name: "demo", command: System.program, arguments: ["demo-server"])
    }
}

/// A server on the command line, behind `--`: `mcp-host tools -- python server.py`.
///
/// It is taken off before the rest is parsed: a verb that takes any number of words could not have it as one of its arguments.
enum GivenProgram {
    /// The program and its arguments; nil where there is none, or what stands behind `--` are words of the verb that begin with a dash.
    static let words: [String]? = Self.split.program
    /// What is left for the verb.
    static let others: [String] = Self.split.others

    /// Options that all verbs have may stand before the verb, too.
    private static func verbFirst(_ words: [String]) -> [String] {
        var place = 0
        while place < words.count, words[place].hasPrefix("--") {
            let name = words[place].prefix { $0 != "=" }
            if ["--json", "--report"].contains(words[place]) || Self.valued.contains(name) && name != words[place] {
                place += 1
            } else if Self.valued.contains(name) {
                place += 2
            } else {
                break
            }
        }
        guard place > 0, place < words.count else { return words }
        return [words[place]] + words[..<place] + words[(place + 1)...]
    }

    private static let valued: Set<Substring> = [
        "--config", "--era", "--timeout", "--start-timeout", "--log-level", "--answer",
    ]

    private static let split: (others: [String], program: [String]?) = {
        let all = Self.verbFirst(Array(CommandLine.arguments.dropFirst()))
        guard let dashes = all.firstIndex(of: "--"), dashes + 1 < all.count, !all[dashes + 1].hasPrefix("-"),
            !all[dashes + 1].contains("=")
        else {
            return (all, nil)
        }
        return (Array(all[..<dashes]), Array(all[(dashes + 1)...]))
    }()
}
