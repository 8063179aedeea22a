import MCPTransport
public import MCPTypes

/// How one conversation is held. What a program adds to that is in ``SessionRuntime``.
public struct ClientConfiguration: Sendable, Hashable {
    /// Which eras may be negotiated.
    public struct EraPreference: Sendable, Hashable, Codable {
        private enum Kind: String, Sendable, Hashable, Codable {
            case automatic
            case legacy = "legacyOnly"
            case modern = "modernOnly"
        }
        private let kind: Kind
        /// Ask with `server/discover`, fall back to `initialize` (`STDIO-18`, `STDIO-20`). The default.
        public static let automatic = Self(kind: .automatic)
        /// `initialize` at once, revisions up to 2025-11-25.
        public static let legacyOnly = Self(kind: .legacy)
        /// `server/discover` only. A server that refuses it is refused; one that says nothing has all of
        /// ``ClientConfiguration/connectTimeout``.
        public static let modernOnly = Self(kind: .modern)

        private init(kind: Kind) { self.kind = kind }
        /// Reads one of `automatic`, `legacyOnly`, `modernOnly`.
        public init(from decoder: any Decoder) throws { self.init(kind: try Kind(from: decoder)) }
        /// Writes one of these words.
        public func encode(to encoder: any Encoder) throws { try self.kind.encode(to: encoder) }

        /// Whether a server that does not speak the newest revision may be asked in the older way.
        var mayFallBack: Bool { self == .automatic }
    }

    /// Who we are, for the server's logs.
    public var clientInfo: Implementation
    /// What we offer to servers beside what ``usesTasks`` and ``SessionRuntime/handlers`` say: `experimental`, `extensions`. Sampling,
    /// elicitation and roots are offered exactly where there is a handler.
    public var capabilities: ClientCapabilities
    /// Use the extension for tasks of 2026-07-28: a server may make a task of a call, which is then followed to its end. Default false,
    /// as extensions are (`EXTN-04`). Tasks of 2025-11-25 are used where a tool demands them.
    public var usesTasks = false
    /// From which level on servers are to log; nil leaves it to them, which since 2026-07-28 means not at all.
    public var logLevel: LoggingLevel?
    /// Arguments are checked against the tool's schema before they leave, and structured content when it comes; for tools that have
    /// been listed. Default true.
    public var checksToolCalls = true
    /// An answer that is not just as the protocol has it is refused as a whole: for tools that check servers. By default whatever can be
    /// understood is used, and what cannot is told (``ClientSession/problems``, U3).
    public var readsStrictly = false
    /// Lists and contents are kept for as long as the server allows. Default true.
    public var caches = true
    /// Which eras may be negotiated.
    public var era: EraPreference = .automatic
    /// From start to ready, all attempts together (B1, B9). Default 30 s.
    public var connectTimeout: Duration = .seconds(30)
    /// How much of it the era probe may take, where an older era may be tried after it. Default 5 s.
    public var probeTimeout: Duration = .seconds(5)
    /// How long a request may go without a sign of life. Default 60 s.
    public var idleTimeout: Duration = .seconds(60)
    /// How long a request may take in all. Default 600 s.
    public var hardTimeout: Duration = .seconds(600)
    /// Requests on their way to one server at once. Default 64.
    public var maximumInFlight = 64
    /// Requests of one caller that wait for their turn; beyond that `busy` to that caller. Callers take turns
    /// (``RequestOptions/caller``). Default 1 024.
    public var maximumWaitingPerCaller = 1024
    /// Requests that wait for their turn in all; beyond that `busy`. Default 8 192.
    public var maximumWaiting = 8192
    /// How many times a server may ask for more input before it answers one request. Default 10.
    public var inputRounds = 10
    /// The pause before a request is made again for a server that asks for nothing but patience; grows by itself with each. Default
    /// 250 ms.
    public var roundDelay: Duration = .milliseconds(250)
    /// How long a task may take in all. Default 1 h.
    public var taskTimeout: Duration = .seconds(3600)
    /// How often a task is asked for, within what the server wants. Default 0.5 s to 30 s.
    public var pollInterval: ClosedRange<Duration> = .milliseconds(500) ... .seconds(30)
    /// How long to wait before a subscription that was lost is opened again. Default 1 s.
    public var listenRetryDelay: Duration = .seconds(1)
    /// How long changes of a list are collected before it is read again. Default 100 ms.
    public var listDebounce: Duration = .milliseconds(100)
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

    /// The defaults of docs/architecture.md, section 10.
    public init(
        clientInfo: Implementation = Implementation(name: "swift-mcp-host", version: "0.1.0"),
        capabilities: ClientCapabilities = ClientCapabilities()
    ) {
        self.clientInfo = clientInfo
        self.capabilities = capabilities
    }
}

extension ClientConfiguration: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("clientInfo", \.clientInfo), Setting("capabilities", \.capabilities), Setting("usesTasks", \.usesTasks),
        Setting("logLevel", \.logLevel), Setting("checksToolCalls", \.checksToolCalls),
        Setting("readsStrictly", \.readsStrictly), Setting("caches", \.caches),
        Setting("era", \.era), Setting("connectTimeout", \.connectTimeout), Setting("probeTimeout", \.probeTimeout),
        Setting("idleTimeout", \.idleTimeout), Setting("hardTimeout", \.hardTimeout),
        Setting("maximumInFlight", \.maximumInFlight),
        Setting("maximumWaitingPerCaller", \.maximumWaitingPerCaller), Setting("maximumWaiting", \.maximumWaiting),
        Setting("inputRounds", \.inputRounds), Setting("roundDelay", \.roundDelay),
        Setting("taskTimeout", \.taskTimeout),
        Setting("pollInterval", \.pollInterval), Setting("listenRetryDelay", \.listenRetryDelay),
        Setting("listDebounce", \.listDebounce), Setting("notificationBuffer", \.notificationBuffer),
        Setting("listLimits", \.listLimits),
    ]

    /// Reads it; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults; times in seconds.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}

extension ClientConfiguration.ListLimits: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("pages", \.pages), Setting("items", \.items), Setting("time", \.time),
    ]

    /// Reads them; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults; times in seconds.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}

/// Bounds of one request; nil means what the connection's configuration says.
public struct RequestOptions: Sendable {
    /// How long it may go without a sign of life; progress counts as one.
    public var idleTimeout: Duration?
    /// How long it may take in all, progress or not. In a host, a call that was lost without having been sent has it anew with each server that
    /// comes back, for as long again after the first loss.
    public var hardTimeout: Duration?
    /// When the call began of which this request is a round, by the connection's clock: ``hardTimeout`` is that of all its rounds (V6). nil: now.
    package var startedAt: Duration?
    /// Told of progress, one report at a time and before the call returns its result; it may block.
    public var onProgress: (@Sendable (ProgressNotificationParams) -> Void)?
    /// On whose behalf it is made, where this program serves several: callers wait for a busy server in lines of their own, and take turns; a
    /// host may have a server for each (`ServerPolicy.perCaller`). Any text that tells them apart, by its bytes; nil is the program itself.
    public var caller: String?
    /// Ask the server even if an earlier answer is still good.
    public var ignoresCache = false
    /// From which level on the server is to log what it does for this request, since 2026-07-28; nil means what the configuration says.
    public var logLevel: LoggingLevel?
    /// On whose behalf it is made, where this program passes on what somebody else wants; nil for its own.
    public var context: CallerContext? {
        get { self.boxedContext?.value }
        set { self.boxedContext = newValue.map(BoxedContext.some) }
    }
    private var boxedContext: BoxedContext?

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
