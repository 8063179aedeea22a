import Foundation
public import MCPHost
import MCPTransport
public import Testing

/// How long a test waits for something that has to happen. It says nothing about how long it may take: only that it has not come at all.
public let patience: Duration = .seconds(
    ProcessInfo.processInfo.environment["MCP_TEST_PATIENCE"].flatMap { Int($0) } ?? 90
)

/// Waits for something that will be told; if it is not within the limit, the test fails and says what it waited for.
/// - Parameters:
///   - what: the end of "waited for ...".
///   - limit: by default ``patience``.
///   - sourceLocation: where the test says so.
///   - body: returns when it has come; it is cancelled at the limit.
/// - Returns: what `body` returned; nil if it did not in time.
@discardableResult
public func wait<R: Sendable>(
    for what: String,
    atMost limit: Duration = patience,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () async -> R?
) async -> R? {
    let clock = SystemMonotonicClock()
    let over = OneShot<Void>()
    let timer = clock.makeTimer { over.complete(()) }
    timer.set(clock.now + limit)
    defer { timer.cancel() }
    let result = await withTaskGroup(of: R?.self) { group in
        group.addTask { await body() }
        group.addTask {
            _ = await over.waitUnlessCancelled()
            return nil
        }
        let first = await group.next() ?? nil
        group.cancelAll()
        return first
    }
    if result == nil, over.value != nil {
        Issue.record("waited \(limit) for \(what)", sourceLocation: sourceLocation)
    }
    return result
}

/// The first value of a sequence for which something holds.
public func first<Value: Sendable>(_ values: AsyncStream<Value>, where isIt: @Sendable (Value) -> Bool) async -> Value?
{
    for await value in values where isIt(value) { return value }
    return nil
}

/// A value behind a lock whose changes can be waited for.
public final class Watched<Value: Sendable>: Sendable {
    private struct State: Followed {
        var value: Value
        var watchers = Watchers<Void>()
    }

    private let state: Locked<State>

    /// Boxes a value.
    public init(_ value: Value) { self.state = Locked(State(value: value)) }

    /// Runs `body` with the value, alone, and tells those who wait to look again.
    public func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        try self.state.change { state in
            defer { state.watchers.tell(()) }
            return try body(&state.value)
        }
    }

    /// The value now.
    public var value: Value { self.state.withLock { $0.value } }

    /// Waits until something holds of the value; see ``wait(for:atMost:sourceLocation:_:)``.
    public func wait(
        for what: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        until holds: @escaping @Sendable (Value) -> Bool
    ) async {
        await TestSupport.wait(for: what, sourceLocation: sourceLocation) { () -> Void? in
            let changes = self.state.follow(.bufferingNewest(1)) { _ in [()] }
            for await _ in changes where holds(self.value) { return () }
            return nil
        }
    }
}

extension MCPHost {
    /// Waits until so many requests are on their way or waiting.
    public func wait(forRequests count: Int, sourceLocation: SourceLocation = #_sourceLocation) async {
        let updates = self.accounts.updates()
        await TestSupport.wait(for: "\(count) requests under way", sourceLocation: sourceLocation) {
            await first(updates) { $0.requests >= count }
        }
    }

    /// Waits until the journal says that the host itself is closed.
    public func waitUntilClosed(sourceLocation: SourceLocation = #_sourceLocation) async {
        let updates = self.journal.updates()
        await TestSupport.wait(for: "the end of the host in its journal", sourceLocation: sourceLocation) {
            await first(updates) { $0.event == "closed" && $0.server == nil }
        }
    }

    /// Waits for an entry of the journal, from the past or to come.
    @discardableResult
    public func wait(
        for event: String,
        of server: String? = nil,
        times: Int = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async -> LifecycleJournal.Entry? {
        let updates = self.journal.updates()
        let what = "\"\(event)\" of \(server ?? "the host")\(times > 1 ? ", \(times) times" : "") in the journal"
        return await TestSupport.wait(for: what, sourceLocation: sourceLocation) {
            var count = 0
            for await entry in updates where entry.event == event && (server == nil || entry.server == server) {
                count += 1
                if count == times { return entry }
            }
            return nil
        }
    }
}
