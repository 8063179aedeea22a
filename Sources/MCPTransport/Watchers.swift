/// Everybody who follows something that changes: each gets the newest value when it is ready for one.
///
/// Belongs into the lock of what changes, so that nobody misses a change between looking and following.
package struct Watchers<Value: Sendable>: Sendable {
    private var next = 0
    private var streams: [Int: AsyncStream<Value>.Continuation] = [:]

    package init() {}

    /// Whether nobody follows.
    package var isEmpty: Bool { self.streams.isEmpty }

    /// Begins to follow.
    /// - Parameters:
    ///   - policy: what a slow follower misses.
    ///   - first: what it gets at once.
    /// - Returns: the sequence and its number, for ``remove(_:)``.
    package mutating func add(
        _ policy: AsyncStream<Value>.Continuation.BufferingPolicy,
        first: [Value]
    ) -> (stream: AsyncStream<Value>, continuation: AsyncStream<Value>.Continuation, number: Int) {
        let (stream, continuation) = AsyncStream<Value>.makeStream(bufferingPolicy: policy)
        for value in first { continuation.yield(value) }
        self.next += 1
        self.streams[self.next] = continuation
        return (stream, continuation, self.next)
    }

    /// Somebody no longer follows.
    package mutating func remove(_ number: Int) { self.streams[number] = nil }

    /// Tells all that follow.
    package func tell(_ value: Value) { for stream in self.streams.values { stream.yield(value) } }
}
