import MCPClient
import MCPSession
import MCPTransport

/// What all connections of a host share.
struct HostContext: Sendable {
    var accounts: ResourceAccounts
    var journal: LifecycleJournal
    var clock: any MonotonicClock
    var handlers: ServerRequestHandlers
    /// Told of what servers write for people.
    var onStandardError: (@Sendable (_ server: String, _ line: String) -> Void)?
    /// How many servers are started at once.
    var starts: StartGate
    /// What the names of tools mean.
    let tools = ToolIndex()
    /// What all servers tell.
    var events: Broadcast<HostEvent>
    /// Runs a handler that belongs to nobody.
    var launch: @Sendable (@escaping @Sendable () async -> Void) -> Void
}
