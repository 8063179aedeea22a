public import MCPClient
public import MCPJSON
import MCPSession
public import MCPTransport

/// Something that a server told, with the server's name.
public struct HostEvent: Sendable {
    /// The server's name in the host.
    public var server: String
    /// What it told.
    public var event: ServerEvent
    /// The caller whose own server it is, where there is one for each (``ServerPolicy/perCaller(idleStop:maximum:)``).
    public var caller: String?
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
    /// - Parameters:
    ///   - server: the server's name in the host.
    ///   - uri: the resource.
    ///   - caller: on whose behalf, where the server is one for each caller.
    /// - Throws: `notSupported` if the server does not watch it.
    public func subscribe(server: String, to uri: String, caller: String? = nil) async throws(MCPError) {
        try await self.ask(server, for: caller) { session throws(MCPError) in try await session.subscribe(to: uri) }
    }

    /// One caller no longer wants to be told of a resource. It needs no server that runs.
    /// - Throws: `notFound`.
    public func unsubscribe(server: String, from uri: String, caller: String? = nil) async throws(MCPError) {
        let server = self.root.existing(try self.server(server), for: caller)
        server?.desiredSubscriptions.remove(WireString(uri))
    }

    /// Calls a server's tool as a task; see `ClientSession.startTool(_:arguments:timeToLive:options:)`.
    public func startTool(
        server: String,
        name: String,
        arguments: RawJSON? = nil,
        timeToLive: Duration? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> StartedCall {
        try await self.ask(server, for: options.caller, tool: name) { session, tool throws(MCPError) in
            try await session.startTool(tool, arguments: arguments, timeToLive: timeToLive, options: options)
        }
    }

    /// A task of a server by its name, also of one that was started before a restart of the server or of this program.
    /// - Parameters:
    ///   - server: the server's name in the host.
    ///   - id: the task's name.
    ///   - caller: who has started it, where the server is one for each caller.
    public func task(server: String, id: String, caller: String? = nil) async throws(MCPError) -> CallTask {
        try await self.ask(server, for: caller) { session throws(MCPError) in session.task(id) }
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
        try await self.ask(server, for: options.caller, tool: name) { session, tool throws(MCPError) in
            try await session.callTool(tool, arguments: arguments, returning: type, options: options)
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
