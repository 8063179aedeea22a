package import MCPClient
import MCPJSON

/// The words of this host's configuration, and of other clients'.
enum ConfigurationWords {
    /// Members of an entry that are read.
    private static let own: Set<String> = [
        "command", "args", "env", "cwd", "type", "disabled", "enabled", "restart", "keepsDaemons", "onDemand",
        "idleStop",
        "perCaller", "era", "startTimeout", "callTimeout", "passEnv", "name",
    ]
    /// Members of other clients that mean the same here.
    private static let understood: Set<String> = [
        "cmd", "transport", "transportType", "timeout", "request_timeout_ms", "requestTimeout", "tool_timeout_sec",
        "startup_timeout_ms", "startup_timeout_sec", "env_vars", "env_keys", "includeTools", "allowedTools",
        "allowed_tools",
        "enabledTools", "enabled_tools", "excludeTools", "excludedTools", "disabledTools", "disabled_tools",
    ]
    /// Members of other clients that say nothing that would matter here.
    private static let harmless: Set<String> = [
        "alwaysAllow", "alwaysLoad", "autoApprove", "auto_approve", "trust", "description", "title", "icon", "iconUrl",
        "tools",
        "deferTools", "dev", "metadata", "registry", "required", "supports_parallel_tool_calls",
        "default_tools_approval_mode", "source", "remote", "gallery", "version", "$schema", "comment", "_comment", "//",
        "notes", "category", "tags", "x-host", "_meta", "watchPaths", "is_preset", "developer",
    ]

    /// All that need not be told.
    static let known = own.union(understood).union(harmless)

    /// What to write in the place of a member that is not known.
    static func advice(for name: String) -> String {
        switch name {
        case "environment", "envs": return "; did you mean \"env\"?"
        case "workingDirectory", "working_directory", "workdir", "dir": return "; did you mean \"cwd\"?"
        case "arguments", "argv": return "; did you mean \"args\"?"
        case "envFile": return "; its variables are not read: write them into \"env\", or export them before"
        case "headers", "headersHelper", "oauth", "auth", "bearer_token_env_var": return "; it is for remote servers"
        default:
            return Similarity.closest(to: name, among: self.own.sorted()).map { "; did you mean \"\($0)\"?" } ?? ""
        }
    }
}

/// Whose form a file has.
struct ConfigurationDialect {
    /// Where the servers are: `mcpServers`, `mcp.servers`. Empty for the file itself.
    var root: String
    /// Members that hold variables of the environment.
    var environmentNames = ["env"]

    /// Finds the servers of a file.
    /// - Throws: whose form it is, and what to change.
    static func find(in root: JSONValue) throws(ConfigurationProblem) -> (dialect: Self, servers: JSONValue) {
        guard let object = root.object else {
            throw ConfigurationProblem("expected an object, found \(root.kind)", at: "top level")
        }
        // An empty one counts only where there is no other.
        let present = ["mcpServers", "servers", "context_servers", "mcp_servers"].filter { object[$0] != nil }
        let full = present.first { name in
            object[name]?.object?.isEmpty == false || object[name]?.array?.isEmpty == false
        }
        if let name = full ?? present.first, let servers = object[name] { return (Self(root: name), servers) }
        if let mcp = object["mcp"]?.object {
            if let servers = mcp["servers"] {
                return (Self(root: "mcp.servers", environmentNames: ["env", "environment"]), servers)
            }
            return (Self(root: "mcp", environmentNames: ["env", "environment"]), .object(mcp))
        }
        if object["projects"] != nil {
            throw ConfigurationProblem(
                "this is Claude Code's own state; copy the \"mcpServers\" of one of its \"projects\" into a file of its own",
                at: "top level"
            )
        }
        let isMap = !object.isEmpty && object.allSatisfy { $0.value["command"] != nil || $0.value["url"] != nil }
        if isMap { return (Self(root: ""), root) }
        if object["command"] != nil {
            throw ConfigurationProblem(
                #"this is one server; write {"mcpServers": {"name": {…}}} around it"#,
                at: "top level"
            )
        }
        let hint = object.keys.compactMap { Similarity.closest(to: $0, among: ["mcpServers"]) == nil ? nil : $0 }.first
        let advice =
            hint.map { "; rename \"\($0)\" to \"mcpServers\"" }
            ?? #"; write {"mcpServers": {"name": {"command": "…"}}}"#
        throw ConfigurationProblem("no member \"mcpServers\"\(advice)", at: "top level")
    }
}

/// How long something may take, as people write it.
enum ConfigurationLimit {
    /// - Parameters:
    ///   - value: a number in `unit`, or a text with a unit of its own: `90s`, `1.5m`.
    ///   - unit: `ms` or `s`; nil where clients differ: what would be more than a quarter of an hour in seconds is in milliseconds.
    static func duration(_ value: JSONValue, unit: String?, at place: String) throws(ConfigurationProblem) -> Duration {
        if let text = value.string {
            if let duration = HostConfiguration.duration(text) { return duration }
        } else if let number = value.double, number > 0, number <= 1e12 {
            let isMilliseconds = unit.map { $0 == "ms" } ?? (number >= 1000)
            return isMilliseconds ? .milliseconds(number) : .seconds(number)
        }
        throw ConfigurationProblem("expected a time, as \"90s\", \"500ms\" or \"10m\", found \(value)", at: place)
    }
}

/// The words of a configuration file, for a command line that takes the same.
extension HostConfiguration {
    /// `auto`, `legacy`, `modern`; nil for another word.
    package static func era(_ word: String) -> ClientConfiguration.EraPreference? {
        switch word {
        case "auto", "automatic": .automatic
        case "legacy", "legacyOnly": .legacyOnly
        case "modern", "modernOnly": .modernOnly
        default: nil
        }
    }

    /// A time with a unit: `90s`, `500ms`, `10m`, `1.5h`; without one it is seconds. More than nothing, and at most a year.
    package static func duration(_ text: String) -> Duration? {
        for (suffix, seconds) in [("ms", 0.001), ("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("", 1)] {
            guard text.hasSuffix(suffix) else { continue }
            let digits = text.dropLast(suffix.count)
            guard digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }), let number = Double(digits) else {
                continue
            }
            let total = number * seconds
            return total > 0 && total <= 31_557_600 ? .seconds(total) : nil
        }
        return nil
    }
}
