public import MCPClient
public import MCPStdio
public import MCPTransport

/// One server of a host: its name, how to reach it, and its bounds.
public struct ServerDefinition: Sendable {
    /// How to reach a server.
    public struct Endpoint: Sendable {
        enum Kind: Sendable {
            case stdio(ServerLaunch)
            case custom(String, @Sendable () -> any Transport)
        }
        let kind: Kind

        /// A subprocess that speaks over its standard input and output.
        public static func stdio(_ launch: ServerLaunch) -> Self { Self(kind: .stdio(launch)) }

        /// Anything else that can carry messages.
        /// - Parameters:
        ///   - description: what to call it in messages for people.
        ///   - make: makes a fresh transport for each attempt to connect.
        public static func transport(_ description: String, _ make: @escaping @Sendable () -> any Transport) -> Self {
            Self(kind: .custom(description, make))
        }
    }

    /// Unique within the host; part of the names of its tools.
    public var name: String
    /// How to reach it.
    public var endpoint: Endpoint
    /// How the conversation is held: eras, time limits, bounds.
    public var client: ClientConfiguration
    /// Bounds of the subprocess and of its end.
    public var stdio: StdioTransport.Options
    /// When it is started again after it died.
    public var restart = RestartPolicy()
    /// Whether a call whose answer was lost with the connection may be made once more, if the tool calls itself read-only or idempotent.
    /// Otherwise such a call ends with `outcomeUnknown` (F15). Default false.
    public var repeatsIdempotentCalls = false

    /// Describes a server.
    public init(
        name: String,
        endpoint: Endpoint,
        client: ClientConfiguration = ClientConfiguration(),
        stdio: StdioTransport.Options = StdioTransport.Options()
    ) {
        self.name = name
        self.endpoint = endpoint
        self.client = client
        self.stdio = stdio
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
            environment: ServerEnvironment.base(adding: environment),
            workingDirectory: workingDirectory
        )
        self.init(name: name, endpoint: .stdio(launch))
    }

    var isSubprocess: Bool { if case .stdio = self.endpoint.kind { true } else { false } }

    /// What to call the way to it in messages for people. Arguments behind words like `--token` are not shown (S23).
    public var endpointDescription: String {
        switch self.endpoint.kind {
        case .custom(let description, _): description
        case .stdio(let launch): ([launch.command] + Self.masked(launch.arguments)).joined(separator: " ")
        }
    }

    /// How it was started, for errors at the start (B3).
    var surroundings: String? {
        guard case .stdio(let launch) = self.endpoint.kind else { return nil }
        let directory = launch.workingDirectory ?? "the host's directory"
        return
            "started as: \(self.endpointDescription)\nin: \(directory), with PATH=\(launch.environment["PATH"] ?? "")"
    }

    private static func masked(_ arguments: [String]) -> [String] {
        let secretive = ["token", "key", "secret", "password", "auth"]
        func isSecretive(_ word: Substring) -> Bool { secretive.contains { word.lowercased().contains($0) } }
        var result: [String] = []
        var hidesNext = false
        for argument in arguments {
            if hidesNext {
                result.append("***")
                hidesNext = false
                continue
            }
            if argument.hasPrefix("-"), let equals = argument.firstIndex(of: "="), isSecretive(argument[..<equals]) {
                result.append(argument[...equals] + "***")
                continue
            }
            hidesNext = argument.hasPrefix("-") && isSecretive(argument[...])
            result.append(argument)
        }
        return result
    }
}

/// A host: its servers and what they have in common.
public struct HostConfiguration: Sendable {
    /// The servers to open at the start.
    public var servers: [ServerDefinition]
    /// What is done for servers when they ask, where a server's own ``ServerDefinition/client`` does not say.
    public var handlers = ServerRequestHandlers()
    /// How long calls in flight may go on when the host shuts down, before they end with `hostClosed`. Default 5 s.
    public var drainTimeout: Duration = .seconds(5)
    /// Entries that the journal keeps. Default 4096.
    public var journalCapacity = 4096
    /// Where entries of the journal are written to as well; nil, the default, for nowhere. The command line writes them.
    public var lifecycleLog: LifecycleLog?
    /// Whether the start ends what earlier hosts of this user left when they were killed (`Orphans`). Default true.
    public var reapsOrphans = true
    /// Where time comes from.
    public var clock: any MonotonicClock = SystemMonotonicClock()

    /// A host with these servers.
    public init(servers: [ServerDefinition] = []) { self.servers = servers }
}
