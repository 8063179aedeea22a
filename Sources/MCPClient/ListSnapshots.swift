import MCPSession
import MCPTransport
public import MCPTypes

/// A list as it is now, and again after each change: one snapshot for a burst of changes (G14, J6).
///
/// The list is read in the task that iterates. It ends, or throws why, with the connection.
public struct ListSnapshots<Item: Sendable>: AsyncSequence, Sendable {
    let session: ClientSession
    let read: @Sendable () async throws(MCPError) -> [Item]
    let isChange: @Sendable (ServerEvent) -> Bool

    /// Begins with the list as it is.
    public func makeAsyncIterator() -> Iterator {
        Iterator(snapshots: self, events: ServerEvents(self.session.hub.events, buffer: 64).makeAsyncIterator())
    }

    /// Waits for changes.
    public struct Iterator: AsyncIteratorProtocol {
        let snapshots: ListSnapshots
        var events: AsyncStream<ServerEvent>.Iterator
        var hasBegun = false

        /// The next snapshot; nil when the connection has ended.
        /// - Parameter actor: where the caller is.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(MCPError) -> [Item]? {
            if self.hasBegun {
                repeat {
                    guard let event = await self.events.next(isolation: actor) else { return nil }
                    if self.snapshots.isChange(event) { break }
                } while true
                // Changes come in bursts. What comes while the list is read makes a snapshot of its own.
                await self.snapshots.session.background.pause(self.snapshots.session.context.configuration.listDebounce)
                self.events = ServerEvents(self.snapshots.session.hub.events, buffer: 64).makeAsyncIterator()
            }
            self.hasBegun = true
            if Task.isCancelled { return nil }
            return try await self.snapshots.read()
        }

        /// The next snapshot; nil when the connection has ended.
        public mutating func next() async throws(MCPError) -> [Item]? { try await self.next(isolation: #isolation) }
    }
}

extension ClientSession {
    /// The tools, now and after each change.
    public var toolSnapshots: ListSnapshots<Tool> {
        ListSnapshots(session: self) { () throws(MCPError) in
            try await self.listTools()
        } isChange: {
            if case .toolsChanged = $0 { true } else { false }
        }
    }

    /// The prompts, now and after each change.
    public var promptSnapshots: ListSnapshots<Prompt> {
        ListSnapshots(session: self) { () throws(MCPError) in
            try await self.listPrompts()
        } isChange: {
            if case .promptsChanged = $0 { true } else { false }
        }
    }

    /// The resources, now and after each change.
    public var resourceSnapshots: ListSnapshots<Resource> {
        ListSnapshots(session: self) { () throws(MCPError) in
            try await self.listResources()
        } isChange: {
            if case .resourcesChanged = $0 { true } else { false }
        }
    }
}
