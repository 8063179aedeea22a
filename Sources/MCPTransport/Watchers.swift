/// Everybody who follows something that changes: each gets the newest value when it is ready for one.
///
/// Belongs into the lock of what changes, so that nobody misses a change between looking and following. Nobody is told under that lock (T6):
/// waking a task takes a lock of the task, and whoever cancels that task holds this one, and comes for ours in `onTermination`.
package struct Watchers<Value: Sendable>: Sendable {
    package typealias Batch = [(value: Value, streams: [AsyncStream<Value>.Continuation])]

    private var next = 0
    private var streams: [Int: AsyncStream<Value>.Continuation] = [:]
    /// What is still to be told, and whom.
    private var pending: Batch = []
    private var isTelling = false

    package init() {}

    /// Whether nobody follows.
    package var isEmpty: Bool { self.streams.isEmpty }

    fileprivate mutating func add(
        _ policy: AsyncStream<Value>.Continuation.BufferingPolicy,
        first: [Value]
    ) -> (stream: AsyncStream<Value>, continuation: AsyncStream<Value>.Continuation, number: Int) {
        let (stream, continuation) = AsyncStream<Value>.makeStream(bufferingPolicy: policy)
        for value in first { continuation.yield(value) }
        self.next += 1
        self.streams[self.next] = continuation
        return (stream, continuation, self.next)
    }

    fileprivate mutating func remove(_ number: Int) { self.streams[number] = nil }

    /// Has all told that follow, by ``Locked/change(_:)``.
    package mutating func tell(_ value: Value) {
        if !self.streams.isEmpty { self.pending.append((value, Array(self.streams.values))) }
    }

    /// Whether there is something to be told, and nobody at it.
    fileprivate mutating func begin() -> Bool {
        guard !self.isTelling, !self.pending.isEmpty else { return false }
        self.isTelling = true
        return true
    }

    /// What is to be told next; nil if that was all.
    fileprivate mutating func batch() -> Batch? {
        guard !self.pending.isEmpty else {
            self.isTelling = false
            return nil
        }
        defer { self.pending = [] }
        return self.pending
    }
}

/// What is followed.
package protocol Followed: Sendable {
    associatedtype News: Sendable
    var watchers: Watchers<News> { get set }
}

extension Locked where Value: Followed {
    /// Begins to follow; the sequence ends with the reading task.
    /// - Parameters:
    ///   - policy: what a slow follower misses.
    ///   - ended: called when nobody reads any more.
    ///   - first: what it gets at once; under the lock.
    package func follow(
        _ policy: AsyncStream<Value.News>.Continuation.BufferingPolicy,
        ended: @escaping @Sendable () -> Void = {},
        first: (Value) -> [Value.News]
    ) -> AsyncStream<Value.News> {
        let (stream, continuation, number) = self.withLock { value in
            let first = first(value)
            return value.watchers.add(policy, first: first)
        }
        continuation.onTermination = { _ in
            self.withLock { $0.watchers.remove(number) }
            ended()
        }
        return stream
    }

    /// Changes what is followed, and tells what there is to tell when the lock is free again: in order, by one thread at a time.
    package func change<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        let (result, isOurs) = self.withLock { value -> (Result<R, E>, Bool) in
            let result: Result<R, E>
            do throws(E) { result = .success(try body(&value)) } catch { result = .failure(error) }
            return (result, value.watchers.begin())
        }
        while isOurs, let batch = self.withLock({ $0.watchers.batch() }) {
            for (value, streams) in batch { for stream in streams { stream.yield(value) } }
        }
        return try result.get()
    }
}
