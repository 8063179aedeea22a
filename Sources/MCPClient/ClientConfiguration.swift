public import JSON
public import MCPTypes

/// How one conversation is held.
public struct ClientConfiguration: Sendable {
    /// Which eras may be spoken.
    public struct EraPreference: Sendable, Hashable {
        private enum Kind: Sendable, Hashable { case automatic, legacy, modern }
        private let kind: Kind
        /// Ask with `server/discover`, fall back to `initialize` (SPEC-NOTES 2.1). The default.
        public static let automatic = Self(kind: .automatic)
        /// `initialize` at once, revisions up to 2025-11-25.
        public static let legacyOnly = Self(kind: .legacy)
        /// `server/discover` only; a server that does not know it is refused.
        public static let modernOnly = Self(kind: .modern)
    }

    /// Who we are, for the server's logs.
    public var clientInfo: Implementation
    /// What we offer to servers.
    public var capabilities: ClientCapabilities
    /// Which eras may be spoken.
    public var era: EraPreference = .automatic
    /// From start to ready, all attempts together (B1, B9). Default 30 s.
    public var connectTimeout: Duration = .seconds(30)
    /// How much of it earlier attempts have taken.
    package var connectTimeSpent: Duration = .zero
    /// How much of it the era probe may take. Default 5 s.
    public var probeTimeout: Duration = .seconds(5)
    /// How long a request may go without a sign of life. Default 60 s.
    public var idleTimeout: Duration = .seconds(60)
    /// How long a request may take in all. Default 600 s.
    public var hardTimeout: Duration = .seconds(600)
    /// Requests on their way to one server at once. Default 64.
    public var maximumInFlight = 64
    /// Requests waiting for their turn; beyond that `busy`. Default 256.
    public var maximumWaiting = 256
    /// Notifications kept for a reader that is slow; the oldest are dropped and counted. Default 1024.
    public var notificationBuffer = 1024
    /// Bounds of walking through a paginated list.
    public var listLimits = ListLimits()

    /// Bounds of walking through a paginated list (J1).
    public struct ListLimits: Sendable, Hashable {
        /// Pages. Default 256.
        public var pages = 256
        /// Items. Default 10 000.
        public var items = 10_000
        /// Time for the whole walk. Default 60 s.
        public var time: Duration = .seconds(60)
        /// The defaults.
        public init() {}
    }

    /// The defaults of ARCHITECTURE section 10.
    public init(
        clientInfo: Implementation = Implementation(name: "swift-mcp-host", version: "0.1.0"),
        capabilities: ClientCapabilities = ClientCapabilities()
    ) {
        self.clientInfo = clientInfo
        self.capabilities = capabilities
    }
}

/// Bounds and wishes of one request; nil means what the connection's configuration says.
public struct RequestOptions: Sendable {
    /// How long it may go without a sign of life; progress counts as one.
    public var idleTimeout: Duration?
    /// How long it may take in all, progress or not.
    public var hardTimeout: Duration?
    /// Told of progress, one report at a time and before the call returns its result; it may block.
    public var onProgress: (@Sendable (ProgressNotificationParams) -> Void)?

    /// The defaults of the connection.
    public init(
        idleTimeout: Duration? = nil,
        hardTimeout: Duration? = nil,
        onProgress: (@Sendable (ProgressNotificationParams) -> Void)? = nil
    ) {
        self.idleTimeout = idleTimeout
        self.hardTimeout = hardTimeout
        self.onProgress = onProgress
    }
}

/// What a server said about itself when the conversation began.
public struct ServerDescription: Sendable {
    /// The revision that is spoken.
    public var revision: ProtocolRevision
    /// Its name and version, if it told.
    public var serverInfo: Implementation?
    /// What it offers.
    public var capabilities: ServerCapabilities
    /// How it wants to be used, for the model. Untrusted text.
    public var instructions: String?
}

/// A notification that the session does not handle itself.
public struct ServerNotification: Sendable {
    /// Its method.
    public var method: String
    /// Its parameters, unread.
    public var params: RawJSON?
}
