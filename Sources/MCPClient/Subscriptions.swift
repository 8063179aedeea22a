import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// What of the desired subscriptions has reached the server.
final class AppliedSubscriptions: Sendable {
    /// One `subscriptions/listen`.
    final class Listening: Sendable {
        let id: Int64
        let wanted: DesiredSubscriptions.Wanted
        /// What the server will tell, or why nothing.
        let acknowledged = OneShot<Result<SubscriptionFilter, MCPError>>()
        let isStopped = Locked(false)
        /// The request has not ended.
        let isRequested = Locked(true)
        /// Who alone is told what comes on it; nil for everybody.
        let reader: (@Sendable (ServerNotification) -> Void)?
        /// Why it is over, for that reader.
        let ended = OneShot<Subscription.End>()

        init(
            _ id: Int64,
            _ wanted: DesiredSubscriptions.Wanted,
            _ reader: (@Sendable (ServerNotification) -> Void)? = nil
        ) {
            (self.id, self.wanted, self.reader) = (id, wanted, reader)
        }
    }

    private struct State {
        var applied = -1
        var failures: [WireString: MCPError] = [:]
        var waiters: [(version: Int, done: OneShot<Void>)] = []
        var listening: [Int64: Listening] = [:]
        var isOver = false
        /// How many were lost, one after the other, before the server had agreed.
        var losses = 0
    }

    private let state = Locked(State())

    /// One was lost.
    /// - Parameter hadBegun: the server had agreed to it.
    /// - Returns: how many before it had not come as far.
    func countLoss(hadBegun: Bool) -> Int {
        self.state.withLock { state in
            state.losses = hadBegun ? 0 : state.losses + 1
            return state.losses
        }
    }

    /// Waits until the server knows of a version.
    /// - Returns: why it does not tell of `uri`.
    func waitFor(_ version: Int, _ uri: WireString) async throws(MCPError) -> MCPError? {
        let done = OneShot<Void>()
        let isThere = self.state.withLock { state in
            if state.applied >= version || state.isOver { return true }
            state.waiters.append((version, done))
            return false
        }
        if !isThere, await done.waitUnlessCancelled() == nil {
            throw MCPError(.cancelled, "waiting for the subscription was cancelled")
        }
        return self.state.withLock { $0.failures[uri] }
    }

    func reached(_ version: Int, failures: [WireString: MCPError]) {
        let done = self.state.withLock { state in
            state.applied = version
            state.failures = failures
            let (done, waiting) = (
                state.waiters.filter { $0.version <= version }, state.waiters.filter { $0.version > version }
            )
            state.waiters = waiting
            return done
        }
        for waiter in done { waiter.done.complete(()) }
    }

    func end() {
        let waiters = self.state.withLock { state in
            defer { state.waiters = [] }
            state.isOver = true
            return state.waiters
        }
        for waiter in waiters { waiter.done.complete(()) }
    }

    func opened(_ listening: Listening) { self.state.withLock { $0.listening[listening.id] = listening } }
    func closed(_ listening: Listening) { self.state.withLock { _ = $0.listening.removeValue(forKey: listening.id) } }

    func isListening(_ id: Int64) -> Bool { self.state.withLock { $0.listening[id] != nil } }

    /// The subscription to which a notification says it belongs (`STDIO-08`).
    func listening(for params: RawJSON?) -> Listening? {
        guard let meta = (try? params?.decode(EmptyParams.self))?.meta, let id = meta.subscriptionID else { return nil }
        let number: Int64? =
            switch id {
            case .integer(let number): number
            case .string(let text): Int64(text)
            }
        return self.state.withLock { state in number.flatMap { state.listening[$0] } }
    }
}

extension ClientSession {
    /// Asks to be told when a resource changes; ``ServerEvent/resourceUpdated(uri:)`` tells. Several callers may ask for the same.
    /// Survives a restart of the server, where a host supervises it (`STDIO-17`).
    /// - Throws: `notSupported` if the server does not watch resources, or not this one.
    public func subscribe(to uri: String) async throws(MCPError) {
        let server = try await self.waitUntilReady()
        guard server.capabilities.resources?.subscribe == true else {
            throw MCPError(.notSupported, "the server does not offer to watch resources")
        }
        let uri = WireString(uri)
        let version = self.desiredSubscriptions.add(uri)
        // Whoever stops the server because nobody uses it has not seen this one yet, or is seen below.
        self.state.withLock { $0.uses += 1 }
        do throws(MCPError) {
            if let failure = try await self.appliedSubscriptions.waitFor(version, uri) { throw failure }
            if let error = self.state.withLock({ $0.brokenBy }) { throw error }
        } catch {
            _ = self.desiredSubscriptions.remove(uri)
            throw error
        }
    }

    /// One caller no longer wants to be told of a resource.
    public func unsubscribe(from uri: String) { _ = self.desiredSubscriptions.remove(WireString(uri)) }

    /// Brings the desired subscriptions to the server whenever they change. One for each session, for its whole life.
    func keepSubscriptions() async {
        let (signals, signal) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.desiredSubscriptions.attend { signal.yield() }
        guard case .success(let server) = await self.ready.wait() else { return self.appliedSubscriptions.end() }
        if let level = self.configuration.logLevel, !server.revision.isModern, server.capabilities.logging != nil {
            try? await self.setLogLevel(level)
        }
        signal.yield()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                _ = await self.broken.wait()
                self.appliedSubscriptions.end()
                signal.finish()
            }
            if server.revision.isModern {
                await self.keepListening(server, signals, signal)
            } else {
                await self.keepSubscribed(signals)
            }
        }
    }

    private func keepSubscribed(_ signals: AsyncStream<Void>) async {
        var subscribed: Set<WireString> = []
        for await _ in signals {
            let (version, wanted) = self.desiredSubscriptions.snapshot
            var failures: [WireString: MCPError] = [:]
            for uri in wanted.resources.subtracting(subscribed).sorted() {
                do throws(MCPError) {
                    _ = try await self.request(RequestHead(.resourcesSubscribe, about: uri.text)) {
                        $0.member("uri", uri.text)
                    }
                    subscribed.insert(uri)
                } catch {
                    failures[uri] = error
                }
            }
            for uri in subscribed.subtracting(wanted.resources).sorted() {
                _ = try? await self.request(RequestHead(.resourcesUnsubscribe, about: uri.text)) {
                    $0.member("uri", uri.text)
                }
                subscribed.remove(uri)
            }
            self.appliedSubscriptions.reached(version, failures: failures)
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
                let (version, wanted) = self.desiredSubscriptions.snapshot
                if let current, current.wanted == wanted, !current.isStopped.withLock({ $0 }) { continue }
                let old = current
                current = nil
                var failures: [WireString: MCPError] = [:]
                let filter = Self.filter(wanted, server.capabilities)
                if filter != SubscriptionFilter() {
                    let listening = AppliedSubscriptions.Listening(self.takeID(), wanted)
                    self.appliedSubscriptions.opened(listening)
                    group.addTask { await self.listen(listening, filter, signal) }
                    current = listening
                    let outcome = await self.acknowledgement(of: listening, within: self.configuration.hardTimeout)
                    failures = Self.missing(wanted, outcome)
                    // Where there is no answer, the one that there is stays.
                    if case .failure(let error) = outcome, error.code == .timeout, let old {
                        self.stop(listening)
                        current = old
                        self.appliedSubscriptions.reached(version, failures: failures)
                        continue
                    }
                }
                // The new one is there before the old one goes, so nothing falls between them.
                if let old { self.stop(old) }
                self.appliedSubscriptions.reached(version, failures: failures)
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

    func stop(_ listening: AppliedSubscriptions.Listening) {
        listening.isStopped.withLock { $0 = true }
        self.appliedSubscriptions.closed(listening)
        self.cancel(listening.id)
        // Its request had ended before, and the number is nobody's any more; where it ends now, that end forgets it.
        if !listening.isRequested.withLock({ $0 }) { self.state.withLock { $0.forget(listening.id) } }
    }

    private func listen(
        _ listening: AppliedSubscriptions.Listening,
        _ filter: SubscriptionFilter,
        _ signal: AsyncStream<Void>.Continuation
    ) async {
        let end =
            await self.exchange(listening, filter, isReserved: true)
            ?? MCPError(.connectionLost, "the server ended the subscription")
        self.appliedSubscriptions.closed(listening)
        let hadBegun = !listening.acknowledged.complete(.failure(end))
        let wasStopped = listening.isStopped.withLock { isStopped in
            defer { isStopped = true }
            return isStopped
        }
        if wasStopped || self.broken.value != nil { return }
        // Before the acknowledgment it is a refusal; asking again would get the same answer. Where only this request was lost it may not, for a
        // few times.
        let losses = self.appliedSubscriptions.countLoss(hadBegun: hadBegun)
        if !hadBegun, !end.isOfOneRequest || losses > 5 { return }
        if hadBegun {
            // Everything may have changed meanwhile.
            for event in [ServerEvent.toolsChanged, .promptsChanged, .resourcesChanged] { self.tell(event) }
        }
        await self.pause(self.configuration.listenRetryDelay * (1 << losses))
        signal.yield()
    }

    /// Waits until the server has said what it will tell.
    /// - Returns: that, or what it refuses with; `timeout`; `cancelled` if the calling task is.
    func acknowledgement(
        of listening: AppliedSubscriptions.Listening,
        within limit: Duration
    ) async -> Result<SubscriptionFilter, MCPError> {
        let late = MCPError(.timeout, "timeout: the server has not agreed to the subscription within \(limit)")
        let outcome = await listening.acknowledged.waitUnlessCancelled(
            atMost: limit,
            by: self.clock,
            self.accounts,
            late: .failure(late)
        )
        let cancelled = MCPError(.cancelled, "the subscription was cancelled before the server had agreed to it")
        return outcome ?? .failure(cancelled)
    }

    /// Asks to be told, and waits until that is over.
    /// - Returns: why, unless the server has answered.
    func exchange(
        _ listening: AppliedSubscriptions.Listening,
        _ filter: SubscriptionFilter,
        _ options: RequestOptions = RequestOptions(),
        isReserved: Bool = false
    ) async -> MCPError? {
        var endless = options
        (endless.idleTimeout, endless.hardTimeout) = (.seconds(1 << 31), .seconds(1 << 31))
        defer {
            listening.isRequested.withLock { $0 = false }
            self.state.withLock { $0.forget(listening.id) }
        }
        do throws(MCPError) {
            var head = RequestHead(.subscriptionsListen)
            head.isReserved = isReserved
            _ = try await self.exchange(
                head,
                revision: self.server?.revision,
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

    /// Waits for an event, or until a time or the connection is over.
    /// - Returns: whether the event came.
    func wait(
        _ limit: Duration,
        for events: ServerEvents<ServerEvent>,
        until isIt: @escaping @Sendable (ServerEvent) -> Bool
    ) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await event in events where isIt(event) { return true }
                return false
            }
            group.addTask {
                await self.pause(limit)
                return false
            }
            let came = await group.next() ?? false
            group.cancelAll()
            return came
        }
    }

    /// Waits, or until something else happens, or the connection ends.
    func pause(_ delay: Duration, or event: OneShot<Void>? = nil) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await OneShot<Void>().waitUnlessCancelled(atMost: delay, by: self.clock, late: ()) }
            group.addTask { _ = await self.broken.waitUnlessCancelled() }
            if let event { group.addTask { _ = await event.waitUnlessCancelled() } }
            _ = await group.next()
            group.cancelAll()
        }
    }
}

extension JSONWriter {
    mutating func member(_ name: StaticString, _ value: String) {
        self.key(name)
        self.write(value)
    }
}
