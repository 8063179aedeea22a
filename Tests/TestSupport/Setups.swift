public import MCPClient
public import MCPHost
public import MCPTransport

/// Something that a test's host serves: a definition alone, or with what the test adds to it.
public protocol HostedServer: Sendable {
    /// What a file could say of it.
    var definition: ServerDefinition { get }
    /// What the test adds; nil for nothing.
    var runtime: ServerRuntime? { get }
}

extension ServerDefinition: HostedServer {
    /// It itself.
    public var definition: ServerDefinition { self }
    /// Nothing.
    public var runtime: ServerRuntime? { nil }
}

/// A server that a test adds something to; what can be set of its definition can be set of it.
@dynamicMemberLookup
public struct ServerSetup: HostedServer {
    /// What a file could say of it.
    public var definition: ServerDefinition
    /// What the test adds.
    public var added: ServerRuntime
    /// The same.
    public var runtime: ServerRuntime? { self.added }

    /// A server with a transport of the test's own, with times that no busy machine exceeds.
    public init(_ name: String, _ endpoint: Endpoint) {
        self.init(ScriptedServer.patient(ServerDefinition(name: name, transport: .custom), []))
        self.added.endpoint = endpoint
    }

    /// A server that something is to be added to.
    public init(_ definition: ServerDefinition) {
        self.definition = definition
        self.added = ServerRuntime()
    }

    /// Of its ``ServerDefinition``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<ServerDefinition, Value>) -> Value {
        get { self.definition[keyPath: path] }
        set { self.definition[keyPath: path] = newValue }
    }

    /// Of its ``ServerRuntime``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<ServerRuntime, Value>) -> Value {
        get { self.added[keyPath: path] }
        set { self.added[keyPath: path] = newValue }
    }
}

/// A host's configuration, and what the test adds to it; what can be set of either can be set of it.
@dynamicMemberLookup
public struct HostSetup: Sendable {
    /// What a file could say.
    public var configuration: HostConfiguration
    /// What the test adds.
    public var runtime = HostRuntime()

    /// A host with these servers.
    public init(servers: [any HostedServer] = []) {
        self.configuration = HostConfiguration(servers: servers.map(\.definition))
        for server in servers { self.runtime.servers[server.definition.name] = server.runtime }
    }

    /// A host that something is to be added to.
    public init(_ configuration: HostConfiguration) { self.configuration = configuration }

    /// Of its ``HostConfiguration``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<HostConfiguration, Value>) -> Value {
        get { self.configuration[keyPath: path] }
        set { self.configuration[keyPath: path] = newValue }
    }

    /// Of its ``HostRuntime``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<HostRuntime, Value>) -> Value {
        get { self.runtime[keyPath: path] }
        set { self.runtime[keyPath: path] = newValue }
    }
}

extension MCPHost {
    /// A host that is not running yet.
    public convenience init(_ setup: HostSetup) { self.init(setup.configuration, runtime: setup.runtime) }

    /// Starts a host.
    public static func start(_ setup: HostSetup) async throws(MCPError) -> MCPHost {
        try await self.start(setup.configuration, runtime: setup.runtime)
    }

    /// Gives `body` a running host, and closes it when `body` ends.
    public static func withHost<R>(_ setup: HostSetup, _ body: (MCPHost) async throws -> R) async throws -> R {
        try await self.withHost(setup.configuration, runtime: setup.runtime, body)
    }

    /// Opens one more server.
    @discardableResult
    public func addServer(_ server: ServerSetup) async throws(MCPError) -> ManagedServer {
        try await self.addServer(server.definition, runtime: server.added)
    }
}

extension HostManager {
    /// A manager of these servers.
    public convenience init(_ setup: HostSetup) { self.init(setup.configuration, runtime: setup.runtime) }
}

/// How a test's session is held, and what the test adds to that; what can be set of either can be set of it.
@dynamicMemberLookup
public struct SessionSetup: Sendable {
    /// What a file could say.
    public var configuration = ClientConfiguration()
    /// What the test adds.
    public var runtime = SessionRuntime()

    /// The defaults.
    public init() {}

    /// Of its ``ClientConfiguration``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<ClientConfiguration, Value>) -> Value {
        get { self.configuration[keyPath: path] }
        set { self.configuration[keyPath: path] = newValue }
    }

    /// Of its ``SessionRuntime``.
    public subscript<Value>(dynamicMember path: WritableKeyPath<SessionRuntime, Value>) -> Value {
        get { self.runtime[keyPath: path] }
        set { self.runtime[keyPath: path] = newValue }
    }
}
