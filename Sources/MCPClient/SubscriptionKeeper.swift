import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// Subscriptions: brings what callers want to the server, in either era, and keeps it there; and opens those of a caller's own, which are not
/// kept.
final class SubscriptionKeeper: Sendable {
    private let context: SessionContext
    private let channel: RequestChannel
    private let hub: ServerEventHub
    private let background: BackgroundWork
    private let desired: DesiredSubscriptions
    private let applied = AppliedSubscriptions()

    init(
        _ channel: RequestChannel,
        _ background: BackgroundWork,
        _ hub: ServerEventHub,
        _ desired: DesiredSubscriptions
    ) {
        self.context = channel.context
        self.channel = channel
        self.background = background
        self.hub = hub
        self.desired = desired
    }

    /// One caller wants to be told of a resource.
    /// - Throws: why the server does not do that.
    func add(_ uri: WireString) async throws(MCPError) {
        let version = self.desired.add(uri)
        // Whoever stops the server because nobody uses it has not seen this one yet, or is seen below.
        self.channel.noteUse()
        do throws(MCPError) {
            if let failure = try await self.applied.waitFor(version, uri) { throw failure }
            if let error = self.channel.brokenBy { throw error }
        } catch {
            self.desired.remove(uri)
            throw error
        }
    }

    /// One caller no longer wants to be told of a resource.
    func remove(_ uri: WireString) { self.desired.remove(uri) }

    /// Brings the desired subscriptions to the server whenever they change. One for each session, for its whole life.
    func keep() async {
        let (signals, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.desired.attend { signal.yield() }
        guard case .success(let server) = await self.channel.readiness.outcome.wait() else { return self.applied.end() }
        signal.yield()
        self.channel.broken.whenComplete {
            self.applied.end()
            signal.finish()
        }
        if server.revision.isModern {
            await self.keepListening(server, signals, signal)
        } else {
            await self.keepSubscribed(signals)
        }
    }

    // MARK: What the server says

    /// It has agreed to a subscription.
    func acknowledged(_ params: RawJSON?) {
        guard let listening = self.listening(for: params) else { return }
        let read: SubscriptionsAcknowledgedNotificationParams? = self.context.read(
            params,
            of: .subscriptionsAcknowledged
        )
        listening.acknowledged.complete(.success(read?.notifications ?? SubscriptionFilter()))
    }

    /// It ends a subscription (`SUB-06`), if that is what has this number.
    func cancelled(_ id: JSONRPCRequestID) {
        guard self.channel.readiness.isModern, case .integer(let number) = id, self.applied.isListening(number)
        else { return }
        self.channel.answer(id, .failure(MCPError(.connectionLost, "the server ended the subscription")))
    }

    /// The subscription to which a notification says it belongs (`STDIO-08`).
    func listening(for params: RawJSON?) -> AppliedSubscriptions.Listening? { self.applied.listening(for: params) }

    // MARK: Legacy: a request for each resource

    private func keepSubscribed(_ signals: AsyncStream<Void>) async {
        var subscribed: Set<WireString> = []
        for await _ in signals {
            let (version, wanted) = self.desired.snapshot
            var failures: [WireString: MCPError] = [:]
            for uri in wanted.resources.subtracting(subscribed).sorted() {
                do throws(MCPError) {
                    _ = try await self.channel.request(RequestHead(.resourcesSubscribe, about: uri.text)) {
                        $0.member("uri", uri.text)
                    }
                    subscribed.insert(uri)
                } catch {
                    failures[uri] = error
                }
            }
            for uri in subscribed.subtracting(wanted.resources).sorted() {
                _ = try? await self.channel.request(RequestHead(.resourcesUnsubscribe, about: uri.text)) {
                    $0.member("uri", uri.text)
                }
                subscribed.remove(uri)
            }
            self.applied.reached(version, failures: failures)
        }
    }

    // MARK: Modern: one `subscriptions/listen`, opened anew when the desired subscriptions change or it is lost

    private func keepListening(
        _ server: ServerDescription,
        _ signals: AsyncStream<Void>,
        _ signal: AsyncStream<Void>.Continuation
    ) async {
        await withDiscardingTaskGroup { group in
            var current: AppliedSubscriptions.Listening?
            for await _ in signals {
                let (version, wanted) = self.desired.snapshot
                if let current, current.wanted == wanted, !current.isStopped.withLock({ $0 }) { continue }
                let old = current
                current = nil
                var failures: [WireString: MCPError] = [:]
                let filter = Self.filter(wanted, server.capabilities)
                if filter != SubscriptionFilter() {
                    let listening = AppliedSubscriptions.Listening(self.channel.takeID(), wanted)
                    self.applied.opened(listening)
                    group.addTask { await self.listen(listening, filter, signal) }
                    current = listening
                    let outcome = await self.acknowledgement(
                        of: listening,
                        within: self.context.configuration.hardTimeout
                    )
                    failures = Self.missing(wanted, outcome)
                    // Where there is no answer, the one that there is stays.
                    if case .failure(let error) = outcome, error.code == .timeout, let old {
                        self.stop(listening)
                        current = old
                        self.applied.reached(version, failures: failures)
                        continue
                    }
                }
                // The new one is there before the old one goes, so nothing falls between them.
                if let old { self.stop(old) }
                self.applied.reached(version, failures: failures)
            }
        }
    }

    private static func filter(
        _ wanted: DesiredSubscriptions.Wanted,
        _ capabilities: ServerCapabilities
    ) -> SubscriptionFilter {
        var filter = SubscriptionFilter()
        if wanted.lists {
            if capabilities.tools?.listChanged == true { filter.toolsListChanged = true }
            if capabilities.prompts?.listChanged == true { filter.promptsListChanged = true }
            if capabilities.resources?.listChanged == true { filter.resourcesListChanged = true }
        }
        if !wanted.resources.isEmpty { filter.resourceSubscriptions = wanted.resources.sorted().map(\.text) }
        return filter
    }

    /// What was asked for and will not be told (`SUB-05`).
    private static func missing(
        _ wanted: DesiredSubscriptions.Wanted,
        _ acknowledged: Result<SubscriptionFilter, MCPError>
    ) -> [WireString: MCPError] {
        let accepted: Set<WireString>
        let error: MCPError
        switch acknowledged {
        case .success(let filter):
            accepted = Set((filter.resourceSubscriptions ?? []).map { WireString($0) })
            error = MCPError(.notSupported, "the server does not watch this resource")
        case .failure(let failure): (accepted, error) = ([], failure)
        }
        return Dictionary(uniqueKeysWithValues: wanted.resources.subtracting(accepted).map { ($0, error) })
    }

    // MARK: Subscriptions of callers' own

    /// Opens one, and waits until the server has agreed; see ``ClientSession/listen(to:options:buffer:)``.
    func open(
        _ filter: SubscriptionFilter,
        _ options: RequestOptions,
        buffer: Int
    ) async throws(MCPError) -> Subscription {
        let revision = try await self.channel.readiness.negotiated().revision
        guard revision.isModern else {
            throw MCPError(
                .notSupported,
                "revision \(revision.rawValue) has no subscriptions/listen; use subscribe(to:)"
            )
        }
        let reader = Broadcast<ServerNotification>()
        let (stream, lost) = reader.listen(buffer: buffer, isCounted: false)
        let listening = AppliedSubscriptions.Listening(self.channel.takeID(), .init()) { reader.send($0) }
        self.applied.opened(listening)
        self.background.begin {
            let failure = await self.exchange(listening, filter, options)
            listening.acknowledged.complete(.failure(failure ?? MCPError(.badResponse, "ended before it began")))
            listening.ended.complete(failure.map { .failed($0) } ?? .completed)
        } left: {
            self.applied.closed(listening)
            listening.acknowledged.complete(.failure(MCPError(.hostClosed, "the connection is closing")))
            listening.ended.complete(.failed(MCPError(.hostClosed, "the connection is closing")))
            reader.finish()
        }
        let limit = options.hardTimeout ?? self.context.configuration.hardTimeout
        let outcome = await self.acknowledgement(of: listening, within: limit)
        if case .failure = outcome, listening.ended.complete(.cancelled) { self.stop(listening) }
        return Subscription(try outcome.get(), listening, self, stream, lost)
    }

    // MARK: One subscriptions/listen, whoever wants it

    /// Ends one.
    func stop(_ listening: AppliedSubscriptions.Listening) {
        listening.isStopped.withLock { $0 = true }
        self.applied.closed(listening)
        self.channel.cancel(listening.id)
        // Its request had ended before, and the number is nobody's any more; where it ends now, that end forgets it.
        if !listening.isRequested.withLock({ $0 }) { self.channel.forget(listening.id) }
    }

    private func listen(
        _ listening: AppliedSubscriptions.Listening,
        _ filter: SubscriptionFilter,
        _ signal: AsyncStream<Void>.Continuation
    ) async {
        let end =
            await self.exchange(listening, filter, isReserved: true)
            ?? MCPError(.connectionLost, "the server ended the subscription")
        self.applied.closed(listening)
        let hadBegun = !listening.acknowledged.complete(.failure(end))
        let wasStopped = listening.isStopped.withLock { isStopped in
            defer { isStopped = true }
            return isStopped
        }
        if wasStopped || self.channel.broken.value != nil { return }
        // Before the acknowledgment it is a refusal; asking again would get the same answer. Where only this request was lost it may not, for a
        // few times.
        let losses = self.applied.countLoss(hadBegun: hadBegun)
        if !hadBegun, !end.isOfOneRequest || losses > 5 { return }
        if hadBegun {
            // Everything may have changed meanwhile.
            for event in [ServerEvent.toolsChanged, .promptsChanged, .resourcesChanged] { self.hub.tell(event) }
        }
        await self.background.pause(self.context.configuration.listenRetryDelay * (1 << losses))
        signal.yield()
    }

    /// Waits until the server has said what it will tell.
    /// - Returns: that, or what it refuses with; `timeout`; `cancelled` if the calling task is.
    private func acknowledgement(
        of listening: AppliedSubscriptions.Listening,
        within limit: Duration
    ) async -> Result<SubscriptionFilter, MCPError> {
        let late = MCPError(.timeout, "timeout: the server has not agreed to the subscription within \(limit)")
        let outcome = await listening.acknowledged.waitUnlessCancelled(
            atMost: limit,
            by: self.context.clock,
            self.context.accounts,
            late: .failure(late)
        )
        let cancelled = MCPError(.cancelled, "the subscription was cancelled before the server had agreed to it")
        return outcome ?? .failure(cancelled)
    }

    /// Asks to be told, and waits until that is over.
    /// - Returns: why, unless the server has answered.
    private func exchange(
        _ listening: AppliedSubscriptions.Listening,
        _ filter: SubscriptionFilter,
        _ options: RequestOptions = RequestOptions(),
        isReserved: Bool = false
    ) async -> MCPError? {
        var endless = options
        (endless.idleTimeout, endless.hardTimeout) = (.seconds(1 << 31), .seconds(1 << 31))
        defer {
            listening.isRequested.withLock { $0 = false }
            self.channel.forget(listening.id)
        }
        do throws(MCPError) {
            var head = RequestHead(.subscriptionsListen)
            head.isReserved = isReserved
            _ = try await self.channel.exchange(
                head,
                revision: self.channel.readiness.revision,
                options: endless,
                id: listening.id,
                writeParams: { writer in
                    writer.key("notifications")
                    filter.encode(to: &writer, for: .latest)
                }
            )
            return nil
        } catch {
            return error
        }
    }
}
