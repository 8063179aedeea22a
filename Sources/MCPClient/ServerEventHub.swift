import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// What the server tells by itself, for everybody who listens. What is known of it and has changed is forgotten first.
final class ServerEventHub: Sendable {
    let events: Broadcast<ServerEvent>
    /// What the session does not handle itself, in order, for one reader.
    let notifications: AsyncStream<ServerNotification>
    private let sink: AsyncStream<ServerNotification>.Continuation
    private let dropped = Locked(0)
    private let context: SessionContext
    private let cache: ResultCache
    private let catalog: ToolCatalog

    /// - Parameters:
    ///   - desired: told of how many listen, where the events end with the session.
    ///   - cache: what changes make stale,
    ///   - catalog: and the tools.
    init(_ context: SessionContext, _ desired: DesiredSubscriptions, _ cache: ResultCache, _ catalog: ToolCatalog) {
        self.context = context
        self.cache = cache
        self.catalog = catalog
        self.events = context.runtime.events ?? Broadcast { desired.setListeners($0) }
        (self.notifications, self.sink) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(context.configuration.notificationBuffer)
        )
    }

    /// How many notifications were dropped: because nobody read them, or by ``drop()``.
    var droppedNotifications: Int { self.dropped.withLock { $0 } }

    /// Something has come that nobody has asked for.
    func drop() { self.dropped.withLock { $0 += 1 } }

    /// A notification that is not about a request.
    /// - Parameter reader: who alone is told of it: it came on a subscription of a caller's own.
    func notified(
        _ method: String,
        _ params: RawJSON?,
        reader: (@Sendable (ServerNotification) -> Void)? = nil
    ) {
        let event = ServerEvent(method, params, self.context)
        let notification = ServerNotification(method: method, params: params)
        if let reader {
            if let event { self.forget(event) }
            return reader(notification)
        }
        if let event { self.tell(event) }
        if case .dropped = self.sink.yield(notification) { self.dropped.withLock { $0 += 1 } }
    }

    /// Tells everybody who listens, after what is known has been forgotten.
    func tell(_ event: ServerEvent) {
        self.forget(event)
        self.events.send(event)
        self.context.runtime.onEvent?(event)
    }

    private func forget(_ event: ServerEvent) {
        self.cache.invalidate(event)
        if case .toolsChanged = event { self.catalog.noteChange() }
        self.context.runtime.onChange?(event)
    }

    /// The session has ended.
    func finish() {
        self.sink.finish()
        if self.context.runtime.events == nil { self.events.finish() }
    }
}
