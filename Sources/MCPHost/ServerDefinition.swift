public import MCPClient
public import MCPStdio
import MCPTransport

/// One server of a host: its name, how to reach it, and its bounds. Two that are equal say the same, apart from
/// how the letters of their texts are composed (`String`'s equality).
///
/// It is what a file can say. What only a program can add, handlers and transports of its own, is in ``ServerRuntime``.
public struct ServerDefinition: Sendable, Hashable {
    /// Unique within the host; part of the names of its tools.
    public var name: String
    /// How to reach it.
    public var transport: ServerTransport
    /// How the conversation is held: eras, time limits, bounds.
    public var client = ClientConfiguration()
    /// Bounds of its process and of its end, where it is a subprocess.
    public var stdio = StdioTransport.Options()
    /// Which of its tools the host offers, and what it says of them. Default: all, as they are.
    public var tools = ToolSelection()
    /// When it is started, and for how long it is kept. Default: with the host, until the host ends.
    public var policy: ServerPolicy = .eager
    /// When it is started again after it died.
    public var restart = RestartPolicy()
    /// Whether a call whose answer was lost with the connection may be made once more, if the tool calls itself read-only or idempotent.
    /// Otherwise such a call ends with `outcomeUnknown` (F15). Default false.
    public var repeatsIdempotentCalls = false
    /// Whether a server that was found to be a legacy one is spoken to in that way at once when it is launched again, without asking first:
    /// for a week, or until that fails (V18). The verdict is kept in the state directory. Default true.
    public var remembersEra = true

    /// Describes a server.
    /// - Parameters:
    ///   - name: unique within the host.
    ///   - transport: how to reach it.
    public init(name: String, transport: ServerTransport) {
        self.name = name
        self.transport = transport
    }

    /// Describes a server that is a subprocess.
    /// - Parameters:
    ///   - name: unique within the host.
    ///   - command: a path, or a name that is looked up in `PATH`; never a shell's text.
    ///   - arguments: one element each.
    ///   - environment: added to what every server gets (`ServerEnvironment.base(from:adding:)`).
    ///   - workingDirectory: nil for the host's own.
    public init(
        name: String,
        command: String,
        arguments: [String] = [],
        environment: [String: String] = [:],
        workingDirectory: String? = nil
    ) {
        let launch = ServerLaunch(
            command: command,
            arguments: arguments,
            environment: environment,
            workingDirectory: workingDirectory
        )
        self.init(name: name, transport: .stdio(launch))
    }
}

extension ServerDefinition: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("client", \.client), Setting("stdio", \.stdio), Setting("tools", \.tools), Setting("policy", \.policy),
        Setting("restart", \.restart), Setting("repeatsIdempotentCalls", \.repeatsIdempotentCalls),
        Setting("remembersEra", \.remembersEra),
    ]
    private static let name = SettingName("name")
    private static let transport = SettingName("transport")

    /// Reads it; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: SettingName.self)
        self.init(
            name: try container.decode(String.self, forKey: Self.name),
            transport: try container.decode(ServerTransport.self, forKey: Self.transport)
        )
        let others = [Self.name, Self.transport].map(\.stringValue)
        try Settings.read(Self.settings, into: &self, from: decoder, besides: others)
    }

    /// Writes what differs from the defaults; times in seconds. The server's environment is written as it is, secrets included.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: SettingName.self)
        try container.encode(self.name, forKey: Self.name)
        try container.encode(self.transport, forKey: Self.transport)
        let defaults = Self(name: self.name, transport: self.transport)
        try Settings.write(Self.settings, of: self, unlike: defaults, to: encoder)
    }
}
