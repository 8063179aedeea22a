public import MCPClient
public import MCPJSON
public import MCPTransport

/// Something that a server told, with the server's name.
public struct HostEvent: Sendable {
    /// The server's name in the host.
    public var server: String
    /// What it told.
    public var event: ServerEvent
}

/// What servers tell by themselves, and calls that go on by themselves. From any task.
extension MCPHost {
    /// What all servers tell, also those that are added or restarted later. Any number of readers may listen; each has a buffer of its
    /// own. The sequence ends with the host.
    /// - Parameter buffer: so many events are kept for a reader that is slow; then the oldest are lost and counted.
    public func serverEvents(buffer: Int = 1024) -> ServerEvents<HostEvent> {
        ServerEvents(self.root.context.events, buffer: buffer)
    }

    /// Asks a server to tell when a resource changes, across its restarts too; `ServerEvent.resourceUpdated(uri:)` tells.
    /// - Throws: `notSupported` if the server does not watch it.
    public func subscribe(server: String, to uri: String) async throws(MCPError) {
        try await self.ask(server) { session throws(MCPError) in try await session.subscribe(to: uri) }
    }

    /// One caller no longer wants to be told of a resource.
    public func unsubscribe(server: String, from uri: String) async throws(MCPError) {
        try await self.ask(server) { session throws(MCPError) in session.unsubscribe(from: uri) }
    }

    /// Calls a server's tool as a task; see `ClientSession.startTool(_:arguments:timeToLive:options:)`.
    public func startTool(
        server: String,
        name: String,
        arguments: RawJSON? = nil,
        timeToLive: Duration? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> StartedCall {
        let original = try self.original(name, of: server)
        return try await self.ask(server) { session throws(MCPError) in
            try await session.startTool(original, arguments: arguments, timeToLive: timeToLive, options: options)
        }
    }

    /// A task of a server by its name, also of one that was started before a restart of the server or of this program.
    public func task(server: String, id: String) async throws(MCPError) -> CallTask {
        try await self.ask(server) { session throws(MCPError) in session.task(id) }
    }

    /// Calls a server's tool with a value of your own, and reads its answer into another; see
    /// `ClientSession.callTool(_:arguments:returning:options:)`.
    public func callTool<Arguments: Encodable & Sendable, Value: Decodable & Sendable>(
        server: String,
        name: String,
        arguments: Arguments,
        returning type: Value.Type = Value.self,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> Value {
        let original = try self.original(name, of: server)
        return try await self.ask(server) { session throws(MCPError) in
            try await session.callTool(original, arguments: arguments, returning: type, options: options)
        }
    }
}

/// How many listen to all servers, and all whose servers have to know it.
final class ListenerCount: Sendable {
    private struct State {
        var count = 0
        var members: [ObjectIdentifier: DesiredSubscriptions] = [:]
    }

    private let state = Locked(State())

    func setCount(_ count: Int) {
        for desiredSubscriptions in self.state.withLock({ state in
            state.count = count
            return Array(state.members.values)
        }) { desiredSubscriptions.setOthers(count) }
    }

    func add(_ desiredSubscriptions: DesiredSubscriptions) {
        let count = self.state.withLock { state in
            state.members[ObjectIdentifier(desiredSubscriptions)] = desiredSubscriptions
            return state.count
        }
        if count > 0 { desiredSubscriptions.setOthers(count) }
    }

    func remove(_ desiredSubscriptions: DesiredSubscriptions) {
        self.state.withLock { _ = $0.members.removeValue(forKey: ObjectIdentifier(desiredSubscriptions)) }
    }
}
