import MCPClient
import MCPJSON
import MCPStdio
import MCPTransport
import MCPTypes

/// One entry of a configuration file: a server.
struct ConfigurationEntry {
    /// What a file says about all entries.
    struct Surroundings {
        /// What servers get instead of this process's environment.
        var own: [String: String]?
        /// Where variables come from.
        var variables: ConfigurationVariables
        /// The folder that relative paths are taken from; nil for the host's own.
        var folder: String?
        /// Another client's form, in which some members have other names.
        var dialect: ConfigurationDialect
        /// Whether something is there, as a file.
        var exists: (String) -> Bool
    }

    /// What to do with it.
    enum Outcome {
        case server(ServerDefinition)
        /// It is switched off, by this member.
        case disabled(String)
    }

    private let name: String
    private let object: JSONObject
    private var surroundings: Surroundings
    /// What a person should know of it, and where.
    private(set) var remarks: [ConfigurationProblem] = []

    init(_ name: String, _ entry: JSONValue, _ surroundings: Surroundings) throws(ConfigurationProblem) {
        if name.isEmpty { throw ConfigurationProblem("a server has an empty name") }
        guard let object = entry.object else {
            // An element of a list without a name is called by its place, and comes without its members.
            throw ConfigurationProblem(
                name.hasSuffix("]")
                    ? "a server in a list is an object with a \"name\"" : "expected an object, found \(entry.kind)"
            )
        }
        (self.name, self.object, self.surroundings) = (name, object, surroundings)
    }

    // MARK: -

    mutating func read() throws(ConfigurationProblem) -> Outcome {
        if try self.flag("disabled") == true { return .disabled("disabled") }
        if try self.flag("enabled") == false { return .disabled("enabled") }
        try self.checkTransport()
        var server = ServerDefinition(name: self.name, transport: .stdio(try self.launch()))
        if try self.flag("restart") == false { server.restart = .never }
        server.policy = try self.policy()
        server.stdio.keepsDaemons = try self.flag("keepsDaemons") ?? false
        server.tools = try self.tools()
        if let era = try self.word("era") { server.client.era = try Self.era(era) }
        try self.readLimits(into: &server.client)
        self.remarkUnknownMembers()
        return .server(server)
    }

    private func member(_ names: String...) -> (name: String, value: JSONValue)? {
        for name in names { if let value = self.object[name], value != .null { return (name, value) } }
        return nil
    }

    private func flag(_ name: String) throws(ConfigurationProblem) -> Bool? {
        guard let (name, value) = self.member(name) else { return nil }
        guard let bool = value.bool else {
            throw ConfigurationProblem("expected true or false, found \(value.kind)", at: name)
        }
        return bool
    }

    private func word(_ name: String) throws(ConfigurationProblem) -> String? {
        guard let (name, value) = self.member(name) else { return nil }
        guard let text = value.string else {
            throw ConfigurationProblem("expected a string, found \(value.kind)", at: name)
        }
        return text
    }

    private static func era(_ word: String) throws(ConfigurationProblem) -> ClientConfiguration.EraPreference {
        if let era = HostConfiguration.era(word) { return era }
        throw ConfigurationProblem(
            #"expected "auto", "legacy" (revisions up to 2025-11-25) or "modern", found "\#(word)""#,
            at: "era"
        )
    }

    // MARK: How it is reached

    private static let localWords = ["stdio", "local"]
    private static let remoteWords = [
        "http", "sse", "ws", "websocket", "remote", "streamable-http", "streamablehttp", "streamable_http",
        "http-stream",
        "http_stream",
    ]

    private func checkTransport() throws(ConfigurationProblem) {
        let url = self.member("url", "httpUrl", "serverUrl", "baseUrl")
        let command = self.member("command", "cmd")
        if let url, command != nil {
            throw ConfigurationProblem(
                "has \"\(url.name)\" and \"command\": a server is either remote or a program; take one of them out"
            )
        }
        let unsupported = "remote servers are not supported yet, only programs (\"command\")"
        for name in ["type", "transport", "transportType"] {
            guard let word = try self.word(name) else { continue }
            let plain = word.lowercased()
            if Self.localWords.contains(plain) { continue }
            guard Self.remoteWords.contains(plain) else {
                let hint = Similarity.hint(for: word, among: ["stdio", "http", "sse"])
                throw ConfigurationProblem("\"\(word)\" is no kind of server\(hint)", at: name)
            }
            guard url != nil || command == nil else {
                throw ConfigurationProblem(
                    "\"\(word)\" is a remote server, and there is a \"command\"; write \"stdio\"",
                    at: name
                )
            }
            throw ConfigurationProblem("\(name) \"\(word)\": \(unsupported)")
        }
        if let url { throw ConfigurationProblem("\(url.name): \(unsupported)") }
        guard command != nil else {
            throw ConfigurationProblem(
                "no member \"command\": the program to start, as \"npx\" or \"/usr/bin/python3\""
            )
        }
    }

    private mutating func launch() throws(ConfigurationProblem) -> ServerLaunch {
        let (command, arguments) = try self.commandLine()
        var directory: String?
        if let (name, value) = self.member("cwd") {
            let text = try self.text(value, name)
            if text.isEmpty {
                self.remark(name, "is empty and counts as absent")
            } else {
                directory = self.resolved(text)
            }
        }
        let program = try self.program(command, directory)
        for (index, argument) in arguments.enumerated() where directory == nil {
            self.remarkRelative(argument, "args[\(index)]")
        }
        let (variables, removed) = try self.environment()
        var launch = ServerLaunch(command: program, arguments: arguments, workingDirectory: directory)
        launch.secrets = self.surroundings.variables.secrets.sorted()
        if let own = self.surroundings.own {
            launch.environment = ServerEnvironment.base(from: own, adding: variables)
            for name in removed { launch.environment[name] = nil }
            launch.inheritsEnvironment = false
        } else {
            launch.environment = variables
            launch.withheld = removed
        }
        return launch
    }

    /// The program and its arguments, however they are written.
    private mutating func commandLine() throws(ConfigurationProblem) -> (String, [String]) {
        var words: [String] = []
        guard let (name, value) = self.member("command", "cmd") else { return ("", []) }
        switch value {
        case .array(let elements):
            // OpenCode and others: the whole line as a list.
            guard !elements.isEmpty else { throw ConfigurationProblem("is empty", at: name) }
            for (index, element) in elements.enumerated() { words.append(try self.text(element, "\(name)[\(index)]")) }
        case .object(let nested):
            // Zed's older form.
            guard let path = nested["path"] else { throw ConfigurationProblem("has no \"path\"", at: name) }
            words.append(try self.text(path, "\(name).path"))
            for (index, element) in (nested["args"]?.array ?? []).enumerated() {
                words.append(try self.text(element, "\(name).args[\(index)]"))
            }
        default: words.append(try self.text(value, name))
        }
        if let (name, value) = self.member("args") {
            guard let elements = value.array else {
                let form = value.string.map { "; write [\"\($0)\"]" } ?? ""
                throw ConfigurationProblem("expected an array, found \(value.kind)\(form)", at: name)
            }
            for (index, element) in elements.enumerated() { words.append(try self.text(element, "args[\(index)]")) }
        }
        return (words.removeFirst(), words)
    }

    /// The program as it is to be started. What would only fail, with a message about a file that nobody has meant, is refused (S5, U16).
    private func program(_ command: String, _ directory: String?) throws(ConfigurationProblem) -> String {
        if command.isEmpty { throw ConfigurationProblem("is empty", at: "command") }
        let path = command.contains("/") ? self.resolved(command, from: directory) : command
        if path.contains("/"), self.surroundings.exists(path) { return path }
        if let quote = command.first, quote == "\"" || quote == "'" {
            throw ConfigurationProblem("has quotation marks of its own; write it without them", at: "command")
        }
        let isWindows = command.contains("\\") || command.dropFirst().hasPrefix(":") || command.hasSuffix(".cmd")
        if isWindows || command == "cmd" || command == "cmd.exe" {
            throw ConfigurationProblem(
                "is of a Windows form; write the program itself, as \"npx\", and its words in \"args\"",
                at: "command"
            )
        }
        // As it is written: what a variable holds may be a secret.
        let words = (self.member("command", "cmd")?.value.string ?? command).split(whereSeparator: \.isWhitespace)
        if words.count > 1, command.contains(where: \.isWhitespace) {
            let rest = words.dropFirst().map { "\"\($0)\"" }.joined(separator: ", ")
            throw ConfigurationProblem(
                "is a whole command line, and no shell takes it apart; write \"command\": \"\(words[0])\", \"args\": [\(rest)]",
                at: "command"
            )
        }
        return path
    }

    /// A path, taken from the folder of the file where it is relative.
    private func resolved(_ path: String, from directory: String? = nil) -> String {
        guard !path.hasPrefix("/"), let folder = directory ?? self.surroundings.folder else { return path }
        let rest = path.hasPrefix("./") ? path.dropFirst(2) : path[...]
        return rest.isEmpty || rest == "." ? folder : "\(folder == "/" ? "" : folder)/\(rest)"
    }

    /// A file beside the configuration that the server will look for elsewhere.
    private mutating func remarkRelative(_ argument: String, _ place: String) {
        guard let folder = self.surroundings.folder, !argument.isEmpty, !argument.hasPrefix("-"),
            !argument.hasPrefix("/"),
            !self.surroundings.exists(argument), self.surroundings.exists("\(folder)/\(argument)")
        else { return }
        self.remark(
            place,
            "is a file beside this one, and the server runs where the host does; add \"cwd\": \".\", or write its whole path"
        )
    }

    // MARK: Its environment

    private mutating func environment() throws(ConfigurationProblem) -> (variables: [String: String], removed: [String])
    {
        var (variables, removed): ([String: String], [String]) = ([:], [])
        for name in ["passEnv", "env_vars", "env_keys"] {
            guard let value = self.object[name], value != .null else { continue }
            for element in value.array ?? [] {
                guard let variable = element.string ?? element["name"]?.string else { continue }
                guard let passed = self.surroundings.variables.values[variable] else { continue }
                variables[variable] = passed
                self.surroundings.variables.note(passed, of: variable)
            }
            if value.array == nil {
                throw ConfigurationProblem("expected names, as [\"HTTPS_PROXY\"], found \(value.kind)", at: name)
            }
        }
        let names = self.surroundings.dialect.environmentNames
        for name in names {
            guard let value = self.object[name], value != .null, value.array?.isEmpty != true else { continue }
            guard let members = value.object else {
                let form = value.array?.first?.string.flatMap { text -> String? in
                    guard let equals = text.firstIndex(of: "=") else { return nil }
                    return #"; write {"\#(text[..<equals])": "…"}"#
                }
                throw ConfigurationProblem("expected an object, found \(value.kind)\(form ?? "")", at: name)
            }
            for (key, value) in members {
                if key.isEmpty || key.contains("=") {
                    throw ConfigurationProblem("\"\(key)\" is no name of a variable", at: name)
                }
                if value == .null {
                    removed.append(key)
                } else {
                    variables[key] = try self.text(value, "\(name).\(key)")
                }
            }
        }
        return (variables, removed)
    }

    /// A string, its variables replaced; a number or truth value where people write one.
    private mutating func text(_ value: JSONValue, _ place: String) throws(ConfigurationProblem) -> String {
        switch value {
        case .string(let text):
            if text.utf8.contains(0) {
                throw ConfigurationProblem("a NUL character cannot be passed to a program", at: place)
            }
            if let name = self.surroundings.variables.unexpanded(in: text) {
                self.remark(place, "$\(name) is not replaced here; write ${\(name)}")
            }
            if Self.isPlaceholder(text) {
                self.remark(place, "\"\(text)\" looks as if something were still to be filled in")
            }
            do throws(ConfigurationProblem) { return try self.surroundings.variables.expand(text) } catch {
                throw ConfigurationProblem(error.message, at: place)
            }
        case .number(let number): return number.description
        case .bool(let bool): return bool ? "true" : "false"
        case .null, .array, .object: throw ConfigurationProblem("expected a string, found \(value.kind)", at: place)
        }
    }

    /// `<YOUR_KEY>`, `YOUR_API_KEY_HERE`: what a description leaves to its reader.
    private static func isPlaceholder(_ text: String) -> Bool {
        let upper = text.uppercased()
        if text.hasPrefix("<"), text.hasSuffix(">"), text.count > 2 { return !text.contains("/") }
        guard upper.hasPrefix("YOUR") || upper.hasPrefix("REPLACE") || upper.hasPrefix("INSERT") else { return false }
        return ["KEY", "TOKEN", "SECRET", "PASSWORD", "HERE", "ID"].contains { upper.contains($0) }
    }

    // MARK: When it runs, and for how long

    private func policy() throws(ConfigurationProblem) -> ServerPolicy {
        let isOnDemand = try self.flag("onDemand")
        let isPerCaller = try self.flag("perCaller") ?? false
        if isPerCaller, isOnDemand == false {
            throw ConfigurationProblem(
                "a server for each caller is started on demand: leave \"onDemand\" out",
                at: "onDemand"
            )
        }
        guard let (name, value) = self.member("idleStop") else {
            return isPerCaller ? .perCaller() : isOnDemand == true ? .onDemand() : .eager
        }
        guard let seconds = value.double, seconds >= 1, seconds <= 1e9 else {
            throw ConfigurationProblem("expected seconds, at least 1 and at most 1e9, found \(value)", at: name)
        }
        if isPerCaller { return .perCaller(idleStop: .seconds(seconds)) }
        guard isOnDemand == true else {
            throw ConfigurationProblem(
                "only a server that is started when it is needed is stopped when it is idle: add \"onDemand\": true",
                at: name
            )
        }
        return .onDemand(idleStop: .seconds(seconds))
    }

    /// Time limits of this host's form and of other clients', each in its own unit (U11).
    private mutating func readLimits(into client: inout ClientConfiguration) throws(ConfigurationProblem) {
        var (start, call): (Duration?, Duration?)
        for (name, unit, isStart) in [
            ("timeout", nil, false), ("request_timeout_ms", "ms", false), ("requestTimeout", "ms", false),
            ("tool_timeout_sec", "s", false), ("startup_timeout_ms", "ms", true), ("startup_timeout_sec", "s", true),
            ("callTimeout", "s", false), ("startTimeout", "s", true),
        ] as [(String, String?, Bool)] {
            guard let (name, value) = self.member(name) else { continue }
            let limit = try ConfigurationLimit.duration(value, unit: unit, at: name)
            if unit == nil, value.double != nil {
                self.remark(name, "is taken as \(limit); \"callTimeout\" says it with a unit: \"90s\", \"10m\"")
            }
            if isStart { start = limit } else { call = limit }
        }
        if let start { client.connectTimeout = start }
        if let call { (client.idleTimeout, client.hardTimeout) = (call, call) }
    }

    /// Which of its tools are offered. What another client would not offer is not offered here either.
    private mutating func tools() throws(ConfigurationProblem) -> ToolSelection {
        func names(_ member: (name: String, value: JSONValue)?) throws(ConfigurationProblem) -> [String]? {
            guard let (name, value) = member else { return nil }
            guard let list = value.array, list.allSatisfy({ $0.string != nil }) else {
                throw ConfigurationProblem("expected names of tools, as [\"a\", \"b\"], found \(value.kind)", at: name)
            }
            return list.compactMap(\.string)
        }
        let allowed = try names(
            self.member("includeTools", "allowedTools", "allowed_tools", "enabledTools", "enabled_tools")
        )
        var denied: [String] = []
        for name in ["excludeTools", "excludedTools", "disabledTools", "disabled_tools"] {
            denied += try names(self.member(name)) ?? []
        }
        return ToolSelection(allowed: allowed == ["*"] ? nil : allowed, denied: denied)
    }

    // MARK: What a person should know

    private mutating func remark(_ place: String, _ text: String) {
        self.remarks.append(ConfigurationProblem(text, at: place))
    }

    private mutating func remarkUnknownMembers() {
        for name in self.object.keys where !ConfigurationWords.known.contains(name) {
            if self.surroundings.dialect.environmentNames.contains(name) { continue }
            let hint = ConfigurationWords.advice(for: name)
            self.remark(name, "is not used here\(hint)")
        }
    }
}
