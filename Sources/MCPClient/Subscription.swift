import MCPJSON
import MCPSession
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
    private let session: ClientSession
    private let stream: AsyncStream<ServerNotification>
    private let lost: Locked<Int>

    fileprivate init(
        _ acknowledged: SubscriptionFilter,
        _ listening: AppliedSubscriptions.Listening,
        _ session: ClientSession,
        _ stream: AsyncStream<ServerNotification>,
        _ lost: Locked<Int>
    ) {
        self.acknowledged = acknowledged
        self.listening = listening
        self.session = session
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
        if self.listening.ended.complete(.cancelled) { self.session.stop(self.listening) }
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
        let revision = try await self.negotiated().revision
        guard revision.isModern else {
            throw MCPError(
                .notSupported,
                "revision \(revision.rawValue) has no subscriptions/listen; use subscribe(to:)"
            )
        }
        let reader = Broadcast<ServerNotification>()
        let (stream, lost) = reader.listen(buffer: buffer, isCounted: false)
        let listening = AppliedSubscriptions.Listening(self.takeID(), .init()) { reader.send($0) }
        self.appliedSubscriptions.opened(listening)
        self.spawn {
            let failure = await self.exchange(listening, filter, options)
            listening.acknowledged.complete(.failure(failure ?? MCPError(.badResponse, "ended before it began")))
            listening.ended.complete(failure.map { .failed($0) } ?? .completed)
        } left: {
            self.appliedSubscriptions.closed(listening)
            listening.acknowledged.complete(.failure(MCPError(.hostClosed, "the connection is closing")))
            listening.ended.complete(.failed(MCPError(.hostClosed, "the connection is closing")))
            reader.finish()
        }
        let limit = options.hardTimeout ?? self.configuration.hardTimeout
        let outcome = await self.acknowledgement(of: listening, within: limit)
        if case .failure = outcome, listening.ended.complete(.cancelled) { self.stop(listening) }
        return Subscription(try outcome.get(), listening, self, stream, lost)
    }
}
