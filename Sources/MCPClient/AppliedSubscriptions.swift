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

        /// Whether the server has agreed to tell this (V12). Before it has agreed, what it tells is taken for a part of what it will.
        func allows(_ method: String, _ params: RawJSON?) -> Bool {
            guard case .success(let filter) = self.acknowledged.value else { return true }
            switch NotificationMethod(rawValue: method) {
            case .toolsListChanged: return filter.toolsListChanged == true
            case .promptsListChanged: return filter.promptsListChanged == true
            case .resourcesListChanged: return filter.resourcesListChanged == true
            case .resourcesUpdated:
                let update = try? params?.decode(ResourceUpdatedNotificationParams.self)
                guard let uri = update?.uri else { return true }
                // One that watches a folder names what is in it.
                return (filter.resourceSubscriptions ?? []).contains { watched in
                    guard uri.utf8.starts(with: watched.utf8), !watched.isEmpty else { return false }
                    let rest = uri.utf8.dropFirst(watched.utf8.count).first
                    return rest == nil || rest == UInt8(ascii: "/") || watched.utf8.last == UInt8(ascii: "/")
                }
            default: return true
            }
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
            case .string(let text): Int64(text).flatMap { String($0).utf8.elementsEqual(text.utf8) ? $0 : nil }
            }
        return self.state.withLock { state in number.flatMap { state.listening[$0] } }
    }
}
