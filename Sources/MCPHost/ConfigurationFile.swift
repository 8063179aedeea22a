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

/// A configuration file, read as far as it can be understood.
///
/// The form is that of `mcpServers`: `command`, `args`, `env`, `cwd`, with `${VAR}` and `${VAR:-default}` in each of them, `$${` for a literal
/// `${`, and `~/` for the home directory; comments and trailing commas are read (U15). What other clients write that means the same is
/// understood, and what is not is named (U12, U14). Entries fail one by one: a server whose entry cannot be used has failed, with its reason,
/// and the others are there (U2).
///
/// Of this host's own: `"restart": false` leaves a server closed when it ends, `"keepsDaemons": true` spares daemons that it leaves on
/// purpose (E6). `"onDemand": true` starts it when somebody needs it, and stops it when nobody has for `"idleStop"` seconds;
/// `"perCaller": true` starts one for each caller (``ServerPolicy``). `"startTimeout"` and `"callTimeout"` bound its start and each request
/// (`"90s"`, `"10m"`; a number is seconds). `"era"` is `"auto"`, `"legacy"` or `"modern"`. `"passEnv"` names variables that it gets if they
/// are set.
public struct ConfigurationFile: Sendable {
    /// Largest file that is read: 4 MiB.
    private static let maximumSize = 4 << 20

    /// What it says, without the servers that are switched off.
    public private(set) var configuration = HostConfiguration()
    /// What a person should know of it, a line each: names that are not used, written twice, or still to be filled in. No values of variables
    /// are in them.
    public private(set) var remarks: [String] = []
    /// Servers that are switched off, by their names, with the member that says so.
    public private(set) var disabled: [String: String] = [:]
    /// Where the servers stand, by the bytes of their names.
    private var places: [WireString: Int] = [:]

    /// Says nothing.
    package init() {}

    /// What another file says comes on top: of equal names its server counts, or that it is switched off.
    package mutating func add(_ other: ConfigurationFile, named path: String) {
        self.remarks += other.remarks
        for server in other.configuration.servers {
            if self.places[WireString(server.name)] != nil || self.disabled[server.name] != nil {
                self.remarks.append("\(path): \(server.name) is in an earlier file too; this one counts")
            }
            self.put(server)
        }
        for (name, member) in other.disabled { self.switchOff(name, member) }
    }

    private mutating func put(_ server: ServerDefinition) {
        self.disabled[server.name] = nil
        if let place = self.places[WireString(server.name)] {
            self.configuration.servers[place] = server
        } else {
            self.places[WireString(server.name)] = self.configuration.servers.count
            self.configuration.servers.append(server)
        }
    }

    private mutating func switchOff(_ name: String, _ member: String) {
        self.disabled[name] = member
        guard self.places[WireString(name)] != nil else { return }
        self.configuration.servers.removeAll { $0.name.isSame(as: name) }
        let servers = self.configuration.servers.enumerated()
        self.places = Dictionary(servers.map { (WireString($1.name), $0) }, uniquingKeysWith: { $1 })
    }

    /// Reads a file.
    /// - Parameters:
    ///   - path: the file; `-` is standard input.
    ///   - environment: where variables come from, and what of it passes to servers (`ServerEnvironment`); nil for this process's, which passes as
    ///     it is when a server starts.
    /// - Throws: `invalidConfiguration` that names file, line and what to do, where nothing of it can be used.
    public init(contentsOf path: String, environment: [String: String]? = nil) throws(MCPError) {
        let isStandardInput = path == "-"
        let bytes = try Self.load(path, isStandardInput ? 0 : nil)
        let folder = Self.folder(of: isStandardInput ? "" : path)
        try self.init(
            parsing: bytes,
            file: isStandardInput ? "standard input" : path,
            folder: folder,
            environment: environment
        )
    }

    /// Reads the text of one.
    /// - Parameters:
    ///   - bytes: the text, UTF-8.
    ///   - file: what to call it in errors.
    ///   - folder: where relative paths of programs and working directories are taken from; nil for the host's own working directory.
    ///   - environment: where variables come from, and what of it passes to servers; nil for this process's.
    /// - Throws: `invalidConfiguration` as above.
    public init(
        parsing bytes: [UInt8],
        file: String,
        folder: String? = nil,
        environment: [String: String]? = nil
    ) throws(MCPError) {
        let root: JSONValue
        let twice: [String]
        do throws(ConfigurationText.Problem) { (root, twice) = try ConfigurationText.read(bytes) } catch {
            throw MCPError(.invalidConfiguration, error.description(file, bytes))
        }
        for name in twice { self.remarks.append("\(file): \(name) is written twice; the last one counts") }
        let (dialect, servers) = try Self.naming(file) { () throws(ConfigurationProblem) in
            try ConfigurationDialect.find(in: root)
        }
        let surroundings = ConfigurationEntry.Surroundings(
            own: environment,
            variables: ConfigurationVariables(values: environment ?? ServerEnvironment.current),
            folder: folder,
            dialect: dialect,
            exists: { access($0, F_OK) == 0 }
        )
        let entries = try Self.naming(file) { () throws(ConfigurationProblem) in
            try Self.entries(of: servers, dialect.root)
        }
        for (name, place, entry) in entries { self.add(name, "\(file): \(place)", entry, surroundings) }
    }

    /// Names and places of all entries; of equal names the last counts.
    private static func entries(
        of servers: JSONValue,
        _ root: String
    ) throws(ConfigurationProblem) -> [(name: String, place: String, entry: JSONValue)] {
        switch servers {
        case .object(let members):
            let prefix = root.isEmpty ? "" : root + "."
            return members.map { ($0.key, prefix + $0.key, $0.value) }
        case .array(let elements):
            var entries: [(name: String, place: String, entry: JSONValue)] = []
            for (index, element) in elements.enumerated() {
                // One without a name has its place for one, and fails by itself (U2).
                let name = element["name"]?.string
                entries.append((name ?? "\(root)[\(index)]", "\(root)[\(index)]", name == nil ? .null : element))
            }
            return entries
        case .null: return []
        default: throw ConfigurationProblem("expected an object, found \(servers.kind)", at: root)
        }
    }

    private mutating func add(
        _ name: String,
        _ place: String,
        _ value: JSONValue,
        _ surroundings: ConfigurationEntry.Surroundings
    ) {
        var server: ServerDefinition
        do throws(ConfigurationProblem) {
            var entry = try ConfigurationEntry(name, value, surroundings)
            let outcome: ConfigurationEntry.Outcome
            do throws(ConfigurationProblem) { outcome = try entry.read() } catch {
                self.remarks += entry.remarks.map { $0.description(below: place) }
                throw error
            }
            self.remarks += entry.remarks.map { $0.description(below: place) }
            switch outcome {
            case .server(let definition): server = definition
            case .disabled(let member):
                self.switchOff(name, member)
                return
            }
        } catch {
            server = ServerDefinition(name: name, transport: .unusable(error.description(below: place)))
        }
        if self.places[WireString(name)] != nil || self.disabled[name] != nil {
            self.remarks.append("\(place) has the name of another one; the last one counts")
        }
        self.put(server)
    }

    private static func naming<R>(
        _ file: String,
        _ body: () throws(ConfigurationProblem) -> R
    ) throws(MCPError) -> R {
        do throws(ConfigurationProblem) { return try body() } catch {
            throw MCPError(.invalidConfiguration, "\(file): \(error.place): \(error.message)")
        }
    }

    // MARK: The file

    /// The folder in which a file is, from the root on.
    private static func folder(of path: String) -> String? {
        let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
        let folder = path.dropLast(name.count)
        guard let resolved = realpath(folder.isEmpty ? "." : String(folder), nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func load(_ path: String, _ opened: Int32?) throws(MCPError) -> [UInt8] {
        func failure() -> MCPError {
            let reason = String(cString: strerror(errno))
            let hint = path.hasPrefix("~") ? " (a shell replaces ~ only where it is not in quotation marks)" : ""
            return MCPError(.invalidConfiguration, "cannot read the configuration \(path): \(reason)\(hint)")
        }
        let descriptor = opened ?? open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { if opened == nil { _ = close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else {
                if count == 0 { return bytes }
                throw failure()
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

extension HostConfiguration {
    /// Reads a file; see ``ConfigurationFile``, which also tells what a person should know of it.
    /// - Parameters:
    ///   - path: the file.
    ///   - environment: where variables come from, and what of it passes to servers (`ServerEnvironment`); nil for this process's, which passes as
    ///     it is when a server starts.
    /// - Throws: `invalidConfiguration` that names file, line and what to do, where nothing of it can be used.
    public init(contentsOf path: String, environment: [String: String]? = nil) throws(MCPError) {
        self = try ConfigurationFile(contentsOf: path, environment: environment).configuration
    }

    /// Reads the text of such a file.
    /// - Parameters:
    ///   - bytes: the text, UTF-8.
    ///   - file: what to call it in errors.
    ///   - environment: where variables come from, and what of it passes to servers; nil for this process's.
    /// - Throws: `invalidConfiguration` as above.
    public init(parsing bytes: [UInt8], file: String, environment: [String: String]? = nil) throws(MCPError) {
        self = try ConfigurationFile(parsing: bytes, file: file, environment: environment).configuration
    }
}

extension ConfigurationProblem {
    /// With its whole place.
    fileprivate func description(below entry: String) -> String {
        "\(entry)\(self.place.isEmpty ? "" : "." + self.place): \(self.message)"
    }
}
