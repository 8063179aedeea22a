import MCPTransport

/// A host: its servers and what they have in common. What only a program can add is in ``HostRuntime``.
public struct HostConfiguration: Sendable, Hashable {
    /// The servers of the host from the start on; those on demand are opened later.
    public var servers: [ServerDefinition]
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
        Setting("servers", \.servers), Setting("drainTimeout", \.drainTimeout),
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
