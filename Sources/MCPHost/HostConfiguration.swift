public import MCPClient
import MCPTransport
public import MCPTypes

/// A host: its servers and what they have in common. What only a program can add is in ``HostRuntime``.
public struct HostConfiguration: Sendable, Hashable {
    /// The servers of the host from the start on; those on demand are opened later.
    public var servers: [ServerDefinition]
    /// What holds for every server that does not say otherwise itself.
    public var defaults = ServerDefaults()
    /// How long calls in flight may go on when the host shuts down, before they end with `hostClosed`. Default 5 s.
    public var drainTimeout: Duration = .seconds(5)
    /// So many subprocesses are started at once; the others wait for their turn, and the time to connect of each counts from its own launch.
    /// A start that takes longer than 5 s keeps nobody waiting any more. At least 1; nil, the default, for twice the cores.
    public var maximumStarts: Int?
    /// Entries that the journal keeps. Default 4096.
    public var journalCapacity = 4096
    /// Whether the start ends what earlier hosts of this user left when they were killed (`Orphans`). Default true.
    public var reapsOrphans = true

    /// A host with these servers.
    public init(servers: [ServerDefinition] = []) { self.servers = servers }
}

extension HostConfiguration: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("servers", \.servers), Setting("defaults", \.defaults), Setting("drainTimeout", \.drainTimeout),
        Setting("maximumStarts", \.maximumStarts),
        Setting("journalCapacity", \.journalCapacity), Setting("reapsOrphans", \.reapsOrphans),
    ]

    /// Reads it; what is missing is the default. For files of the `mcpServers` form see ``init(contentsOf:environment:)``.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults; times in seconds. The servers' environments are written as they are, secrets included.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}

/// What holds for all servers of a host, those that are added later too, unless a server's own ``ServerDefinition/client`` differs from
/// `ClientConfiguration`'s defaults there. nil, everywhere the default, leaves what the server has.
public struct ServerDefaults: Sendable, Hashable {
    /// How servers are spoken to (`ClientConfiguration.era`).
    public var era: ClientConfiguration.EraPreference?
    /// From which level on servers are to log (`ClientConfiguration.logLevel`).
    public var logLevel: LoggingLevel?
    /// How long a server may take to start (`ClientConfiguration.connectTimeout`).
    public var connectTimeout: Duration?
    /// How long a request may go without a sign of life (`ClientConfiguration.idleTimeout`).
    public var idleTimeout: Duration?
    /// How long a request may take at all (`ClientConfiguration.hardTimeout`).
    public var hardTimeout: Duration?

    /// Nothing.
    public init() {}

    /// A definition with these where it has nothing of its own.
    func applied(to definition: ServerDefinition) -> ServerDefinition {
        let standard = ClientConfiguration()
        var definition = definition
        func apply<Value: Equatable>(_ value: Value?, _ member: WritableKeyPath<ClientConfiguration, Value>) {
            guard let value, definition.client[keyPath: member] == standard[keyPath: member] else { return }
            definition.client[keyPath: member] = value
        }
        apply(self.era, \.era)
        if definition.client.logLevel == nil { definition.client.logLevel = self.logLevel }
        apply(self.connectTimeout, \.connectTimeout)
        apply(self.idleTimeout, \.idleTimeout)
        apply(self.hardTimeout, \.hardTimeout)
        return definition
    }
}

extension ServerDefaults: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("era", \.era), Setting("logLevel", \.logLevel), Setting("connectTimeout", \.connectTimeout),
        Setting("idleTimeout", \.idleTimeout), Setting("hardTimeout", \.hardTimeout),
    ]

    /// Reads it; what is missing is not set.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what is set; times in seconds.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}
