import MCPJSON
public import MCPTransport
public import MCPTypes

/// One `subscriptions/listen` of the caller's own: what the server has agreed to tell, what it tells, and why it stopped.
///
/// Ends when the server ends it, with the connection, by ``cancel()``, or when nobody holds it any more. It is not opened again by itself: what
/// ``ClientSession/subscribe(to:)`` asks for is.
public final class Subscription: AsyncSequence, Sendable {
    /// What came of it, once it is over.
    public enum End: Sendable {
        /// The server has answered the request: it will tell no more.
        case completed
        /// ``Subscription/cancel()`` was called, or nobody held it any more.
        case cancelled
        /// The server refused to go on, or the connection was lost.
        case failed(MCPError)
    }

    /// What the server has agreed to tell of what was asked for (`SUB-05`).
    public let acknowledged: SubscriptionFilter
    private let listening: AppliedSubscriptions.Listening
    private let keeper: SubscriptionKeeper
    private let stream: AsyncStream<ServerNotification>
    private let lost: Locked<Int>

    init(
        _ acknowledged: SubscriptionFilter,
        _ listening: AppliedSubscriptions.Listening,
        _ keeper: SubscriptionKeeper,
        _ stream: AsyncStream<ServerNotification>,
        _ lost: Locked<Int>
    ) {
        self.acknowledged = acknowledged
        self.listening = listening
        self.keeper = keeper
        self.stream = stream
        self.lost = lost
    }

    deinit { self.cancel() }

    /// How many notifications this reader has lost because it was slow.
    public var dropped: Int { self.lost.withLock { $0 } }

    /// Waits until it is over. Cancelling the calling task ends the waiting only.
    /// - Returns: why; nil if the calling task was cancelled first.
    public func end() async -> End? { await self.listening.ended.waitUnlessCancelled() }

    /// Tells the server that nobody listens any more. From any task, any number of times.
    public func cancel() {
        if self.listening.ended.complete(.cancelled) { self.keeper.stop(self.listening) }
    }

    /// Goes through what the server tells, in order; for one reader. The subscription lives at least as long.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: self, base: self.stream.makeAsyncIterator()) }

    /// Goes through what the server tells.
    public struct Iterator: AsyncIteratorProtocol {
        /// Held, for a subscription that nobody holds is over.
        fileprivate let subscription: Subscription
        fileprivate var base: AsyncStream<ServerNotification>.Iterator

        /// The next notification; nil when it is over.
        public mutating func next() async -> ServerNotification? { await self.next(isolation: nil) }

        /// The same, on the caller's actor.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> ServerNotification? {
            await self.base.next(isolation: actor)
        }
    }
}

extension ClientSession {
    /// Asks to be told when a resource changes; ``ServerEvent/resourceUpdated(uri:)`` tells. Several callers may ask for the same.
    /// Survives a restart of the server, where a host supervises it (`STDIO-17`).
    /// - Throws: `notSupported` if the server does not watch resources, or not this one.
    public func subscribe(to uri: String) async throws(MCPError) {
        guard try await self.waitUntilReady().capabilities.resources?.subscribe == true else {
            throw MCPError(.notSupported, "the server does not offer to watch resources")
        }
        try await self.subscriptions.add(WireString(uri))
    }

    /// One caller no longer wants to be told of a resource.
    public func unsubscribe(from uri: String) { self.subscriptions.remove(WireString(uri)) }

    /// Asks the server to tell of changes, apart from what ``subscribe(to:)`` and ``serverEvents(buffer:)`` ask for.
    /// - Parameters:
    ///   - filter: of what.
    ///   - options: the hard limit is the time that the server has to agree.
    ///   - buffer: so many notifications are kept for a slow reader; then the oldest are lost and counted.
    /// - Returns: when the server has agreed; what to is in ``Subscription/acknowledged``.
    /// - Throws: `notSupported` before revision 2026-07-28, which has ``subscribe(to:)``; what the server refuses it with; `timeout`;
    ///   `busy` where 256 are open; `cancelled`.
    public func listen(
        to filter: SubscriptionFilter,
        options: RequestOptions = RequestOptions(),
        buffer: Int = 1024
    ) async throws(MCPError) -> Subscription {
        try await self.subscriptions.open(filter, options, buffer: buffer)
    }
}
