public import MCPClient
public import MCPStdio
public import MCPTransport

/// One server of a host: its name, how to reach it, and its bounds.
public struct ServerDefinition: Sendable {
    /// Unique within the host; part of the names of its tools.
    public var name: String
    /// How to reach it.
    public var endpoint: Endpoint
    /// How the conversation is held: eras, time limits, bounds.
    public var client: ClientConfiguration
    /// Bounds of the subprocess and of its end, where the endpoint is `Endpoint.stdio(_:options:)`; the defaults, and without effect, where it
    /// is another.
    public var stdio: StdioTransport.Options {
        get { self.endpoint.stdio?.options ?? StdioTransport.Options() }
        set { if let stdio = self.endpoint.stdio { self.endpoint = .stdio(stdio.launch, options: newValue) } }
    }
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
    public init(
        name: String,
        endpoint: Endpoint,
        client: ClientConfiguration = ClientConfiguration()
    ) {
        self.name = name
        self.endpoint = endpoint
        self.client = client
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

    var isSubprocess: Bool { self.endpoint.stdio != nil }
}

/// A host: its servers and what they have in common.
public struct HostConfiguration: Sendable {
    /// The servers of the host from the start on; those on demand are opened later.
    public var servers: [ServerDefinition]
    /// What is done for servers when they ask, where a server's own ``ServerDefinition/client`` does not say.
    public var handlers = ServerRequestHandlers()
    /// How long calls in flight may go on when the host shuts down, before they end with `hostClosed`. Default 5 s.
    public var drainTimeout: Duration = .seconds(5)
    /// So many subprocesses are started at once; the others wait for their turn, and the time to connect of each counts from its own launch.
    /// A start that takes longer than 5 s keeps nobody waiting any more. At least 1; default twice the cores.
    public var maximumStarts = StartGate.standardLimit
    /// Entries that the journal keeps. Default 4096.
    public var journalCapacity = 4096
    /// Where entries of the journal are written to as well; nil, the default, for nowhere. The command line writes them.
    public var lifecycleLog: LifecycleLog?
    /// Whether the start ends what earlier hosts of this user left when they were killed (`Orphans`). Default true.
    public var reapsOrphans = true
    /// Told of each line that a server writes to its standard error, with the server's name: for a log, or for a screen. Lines over 16 KiB come
    /// in pieces. Called on the thread that serves all servers, which it must not block, one line at a time. Untrusted text. Nil, the default,
    /// for nobody; the last lines are in errors and in the report anyway.
    public var onStandardError: (@Sendable (_ server: String, _ line: String) -> Void)?
    /// Where time comes from.
    public var clock: any MonotonicClock = SystemMonotonicClock()

    /// A host with these servers.
    public init(servers: [ServerDefinition] = []) { self.servers = servers }
}
