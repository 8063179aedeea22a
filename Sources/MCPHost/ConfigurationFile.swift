import MCPJSON
import MCPStdio
public import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension HostConfiguration {
    /// Largest configuration file that is read: 4 MiB.
    private static let maximumSize = 4 << 20

    /// Reads a file of the `mcpServers` form: `command`, `args`, `env`, `cwd`, with `${VAR}` and `${VAR:-default}` in each of them.
    ///
    /// Members that other clients put there are ignored. `"disabled": true` leaves a server out, `"restart": false` leaves it closed
    /// when it ends, `"keepsDaemons": true` spares daemons that it leaves on purpose (E6). `"onDemand": true` starts it when somebody needs it,
    /// and stops it when nobody has for `"idleStop"` seconds; `"perCaller": true` starts one for each caller (``ServerPolicy``).
    /// - Parameters:
    ///   - path: the file.
    ///   - environment: where variables come from, and what of it passes to servers (`ServerEnvironment`); nil for this process's, which passes as
    ///     it is when a server starts.
    /// - Throws: `invalidConfiguration` that names file, line, server and what to do.
    public init(
        contentsOf path: String,
        environment: [String: String]? = nil
    ) throws(MCPError) {
        try self.init(parsing: try Self.load(path), file: path, environment: environment)
    }

    /// Reads the text of such a file.
    /// - Parameters:
    ///   - bytes: the text, UTF-8.
    ///   - file: what to call it in errors.
    ///   - environment: where variables come from, and what of it passes to servers; nil for this process's.
    public init(
        parsing bytes: [UInt8],
        file: String,
        environment: [String: String]? = nil
    ) throws(MCPError) {
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONValue(parsing: bytes)
        } catch {
            let (line, column) = error.position(in: bytes)
            throw MCPError(.invalidConfiguration, "\(file):\(line):\(column): not valid JSON: \(error.message)")
        }
        let parser = ConfigurationParser(file: file, own: environment, host: environment ?? ServerEnvironment.current)
        self.init(servers: try parser.servers(root))
    }

    private static func load(_ path: String) throws(MCPError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw MCPError(
                .invalidConfiguration,
                "cannot read the configuration \(path): \(String(cString: strerror(errno)))"
            )
        }
        defer { _ = close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else {
                if count == 0 { return bytes }
                throw MCPError(
                    .invalidConfiguration,
                    "cannot read the configuration \(path): \(String(cString: strerror(errno)))"
                )
            }
            bytes += chunk[..<count]
            guard bytes.count <= self.maximumSize else {
                throw MCPError(
                    .invalidConfiguration,
                    "the configuration \(path) is larger than \(self.maximumSize) bytes"
                )
            }
        }
    }
}

/// One file being read.
private struct ConfigurationParser {
    let file: String
    /// What servers get instead of this process's environment.
    let own: [String: String]?
    /// Where variables come from.
    let host: [String: String]

    private func invalid(_ place: String, _ problem: String) -> MCPError {
        MCPError(.invalidConfiguration, "\(self.file): \(place): \(problem)")
    }

    func servers(_ root: JSONValue) throws(MCPError) -> [ServerDefinition] {
        guard let object = root.object else {
            throw self.invalid("top level", "expected an object, found \(root.kind)")
        }
        guard let servers = object["mcpServers"] else {
            let hint = object["servers"] == nil ? "" : "; rename \"servers\" to \"mcpServers\""
            throw self.invalid("top level", "no member \"mcpServers\"\(hint)")
        }
        guard let entries = servers.object else {
            throw self.invalid("mcpServers", "expected an object, found \(servers.kind)")
        }
        var result: [ServerDefinition] = []
        for (name, entry) in entries {
            if entry["disabled"]?.bool == true { continue }
            result.append(try self.server(name, entry))
        }
        return result
    }

    private func server(_ name: String, _ entry: JSONValue) throws(MCPError) -> ServerDefinition {
        let place = "mcpServers.\(name)"
        if name.isEmpty { throw self.invalid("mcpServers", "a server has an empty name") }
        guard let object = entry.object else { throw self.invalid(place, "expected an object, found \(entry.kind)") }
        let type = object["type"]?.string ?? (object["url"] == nil ? "stdio" : "http")
        guard type == "stdio" else {
            throw self.invalid(
                place,
                "servers of type \"\(type)\" are not supported yet; only \"stdio\" (\"command\") is"
            )
        }
        guard let command = object["command"] else { throw self.invalid(place, "no member \"command\"") }
        var variables: [String: String] = [:]
        if let env = object["env"], env != .null {
            guard let members = env.object else {
                throw self.invalid("\(place).env", "expected an object, found \(env.kind)")
            }
            for (key, value) in members { variables[key] = try self.text(value, "\(place).env.\(key)") }
        }
        var arguments: [String] = []
        if let args = object["args"], args != .null {
            guard let elements = args.array else {
                throw self.invalid("\(place).args", "expected an array, found \(args.kind)")
            }
            for (i, element) in elements.enumerated() {
                arguments.append(try self.text(element, "\(place).args[\(i)]"))
            }
        }
        var directory: String?
        if let cwd = object["cwd"], cwd != .null { directory = try self.text(cwd, "\(place).cwd") }
        var configuration = ServerDefinition(
            name: name,
            command: try self.text(command, "\(place).command"),
            arguments: arguments,
            environment: self.own.map { ServerEnvironment.base(from: $0, adding: variables) } ?? variables,
            workingDirectory: directory
        )
        if self.own != nil, var launch = configuration.transport.launch {
            launch.inheritsEnvironment = false
            configuration.transport = .stdio(launch)
        }
        if try self.flag(object, "restart", place) == false { configuration.restart = .never }
        configuration.policy = try self.policy(object, place)
        configuration.stdio.keepsDaemons = try self.flag(object, "keepsDaemons", place) ?? false
        return configuration
    }

    private func policy(_ object: JSONObject, _ place: String) throws(MCPError) -> ServerPolicy {
        let isOnDemand = try self.flag(object, "onDemand", place)
        let isPerCaller = try self.flag(object, "perCaller", place) ?? false
        if isPerCaller, isOnDemand == false {
            throw self.invalid(
                "\(place).onDemand",
                "a server for each caller is started on demand: leave \"onDemand\" out"
            )
        }
        guard let value = object["idleStop"], value != .null else {
            return isPerCaller ? .perCaller() : isOnDemand == true ? .onDemand() : .eager
        }
        guard let seconds = value.double, seconds >= 1, seconds <= 1e9 else {
            throw self.invalid("\(place).idleStop", "expected seconds, at least 1 and at most 1e9, found \(value)")
        }
        if isPerCaller { return .perCaller(idleStop: .seconds(seconds)) }
        guard isOnDemand == true else {
            throw self.invalid(
                "\(place).idleStop",
                "only a server that is started when it is needed is stopped when it is idle: add \"onDemand\": true"
            )
        }
        return .onDemand(idleStop: .seconds(seconds))
    }

    private func flag(_ object: JSONObject, _ name: String, _ place: String) throws(MCPError) -> Bool? {
        guard let value = object[name], value != .null else { return nil }
        guard let bool = value.bool else {
            throw self.invalid("\(place).\(name)", "expected true or false, found \(value.kind)")
        }
        return bool
    }

    /// A string, its variables replaced; a number or truth value where people write one.
    private func text(_ value: JSONValue, _ place: String) throws(MCPError) -> String {
        switch value {
        case .string(let text):
            if text.utf8.contains(0) { throw self.invalid(place, "a NUL character cannot be passed to a program") }
            return try self.expand(text, place)
        case .number(let number): return number.description
        case .bool(let bool): return bool ? "true" : "false"
        case .null, .array, .object: throw self.invalid(place, "expected a string, found \(value.kind)")
        }
    }

    /// `${VAR}` and `${VAR:-default}`; everything else stays as it is (K7). Values are never part of an error.
    private func expand(_ text: String, _ place: String) throws(MCPError) -> String {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "${") {
            result += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
                result += rest[start.lowerBound...]
                return result
            }
            let inner = rest[start.upperBound..<end]
            let name: Substring
            let fallback: Substring?
            if let dash = inner.firstRange(of: ":-") {
                (name, fallback) = (inner[..<dash.lowerBound], inner[dash.upperBound...])
            } else {
                (name, fallback) = (inner, nil)
            }
            if let value = self.host[String(name)] {
                result += value
            } else if let fallback {
                result += fallback
            } else {
                throw self.invalid(place, "variable \(name) is not set; set it, or write ${\(name):-default}")
            }
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}
