public import MCPClient
public import MCPTransport

/// What a program adds to the configuration of a host: what no file can say.
public struct HostRuntime: Sendable {
    /// What is done for servers when they ask, where what is added to a server does not say.
    public var handlers: ServerRequestHandlers
    /// What is added to servers, by their names.
    public var servers: [String: ServerRuntime]
    /// Where entries of the journal are written to as well; nil, the default, for nowhere. The command line writes them.
    public var lifecycleLog: LifecycleLog?
    /// Told of each line that a server writes to its standard error, with the server's name: for a log, or for a screen. Lines over 16 KiB come
    /// in pieces. Called on the thread that serves all servers, which it must not block: nothing is heard from servers, and little is sent to
    /// them, until it returns. One line at a time. Untrusted text. Nil, the default,
    /// for nobody; the last lines are in errors and in the report anyway.
    public var onStandardError: (@Sendable (_ server: String, _ line: String) -> Void)?
    /// Where time comes from.
    public var clock: any MonotonicClock = SystemMonotonicClock()

    /// Adds these.
    /// - Parameters:
    ///   - handlers: what is done for all servers when they ask.
    ///   - servers: what is added to single servers, by their names.
    public init(
        handlers: ServerRequestHandlers = ServerRequestHandlers(),
        servers: [String: ServerRuntime] = [:]
    ) {
        self.handlers = handlers
        self.servers = servers
    }

    /// Whether a host can be made of that.
    /// - Throws: `invalidConfiguration` when two servers have the same name, or one cannot be reached because its transport is to be the
    ///   program's own and there is none.
    func check(_ configuration: HostConfiguration) throws(MCPError) {
        var names: Set<String> = []
        for server in configuration.servers {
            guard names.insert(server.name).inserted else {
                throw MCPError(.invalidConfiguration, "two servers have the name \"\(server.name)\"")
            }
            _ = try self.server(server.name).endpoint(of: server)
        }
    }

    /// What is added to the server of that name.
    func server(_ name: String) -> ServerRuntime { self.servers[name] ?? ServerRuntime() }
}

/// What a program adds to the definition of one server.
public struct ServerRuntime: Sendable {
    /// How to reach it, whatever its definition says: a transport of your own. Nil for what the definition says. Its era is not remembered
    /// (``ServerDefinition/remembersEra``), and ``ServerDefinition/stdio`` is not its.
    public var endpoint: Endpoint?
    /// What is done for it when it asks; what is missing here, the host's ``HostRuntime/handlers`` do.
    public var handlers: ServerRequestHandlers
    /// What it is known to say about itself (`SessionRuntime.knownServer`); believed at its first start only.
    public var knownServer: ServerDescription?

    /// Adds these.
    /// - Parameters:
    ///   - endpoint: how to reach it.
    ///   - handlers: what is done for it when it asks.
    ///   - knownServer: what it is known to say about itself.
    public init(
        endpoint: Endpoint? = nil,
        handlers: ServerRequestHandlers = ServerRequestHandlers(),
        knownServer: ServerDescription? = nil
    ) {
        self.endpoint = endpoint
        self.handlers = handlers
        self.knownServer = knownServer
    }

    /// How a server is reached, all in all.
    /// - Throws: `invalidConfiguration` if nobody says so.
    func endpoint(of definition: ServerDefinition) throws(MCPError) -> Endpoint {
        if let endpoint = self.endpoint { return endpoint }
        if let reason = definition.transport.reason {
            let error = MCPError(.invalidConfiguration, reason)
            return Endpoint("nothing") { _ in UnusableTransport(error) }
        }
        if let launch = definition.transport.launch { return .stdio(launch, options: definition.stdio) }
        throw MCPError(
            .invalidConfiguration,
            "its transport is the program's own, and the program gives none: set the endpoint of its ServerRuntime",
            server: definition.name
        )
    }
}
