package import MCPTransport

/// Hands every value to all who listen. Each listener has a buffer of its own; a slow one loses the oldest, counted (D11).
package final class Broadcast<Element: Sendable>: Sendable {
    private struct State {
        var next = 0
        var listeners: [Int: (AsyncStream<Element>.Continuation, Locked<Int>)] = [:]
        /// Those that the server has to know of.
        var counted: Set<Int> = []
        var isFinished = false
    }

    private let state = Locked(State())
    private let onListeners: @Sendable (_ count: Int) -> Void

    /// - Parameter onListeners: told when the number of listeners changes.
    package init(onListeners: @escaping @Sendable (Int) -> Void = { _ in }) { self.onListeners = onListeners }

    /// How many listen now.
    package var count: Int { self.state.withLock { $0.counted.count } }

    package func listen(buffer: Int, isCounted: Bool = true) -> (stream: AsyncStream<Element>, dropped: Locked<Int>) {
        let (stream, continuation) = AsyncStream<Element>.makeStream(bufferingPolicy: .bufferingNewest(max(1, buffer)))
        let dropped = Locked(0)
        let place: Int? = self.state.withLock { state in
            if state.isFinished { return nil }
            state.next += 1
            state.listeners[state.next] = (continuation, dropped)
            if isCounted { state.counted.insert(state.next) }
            return state.next
        }
        guard let place else {
            continuation.finish()
            return (stream, dropped)
        }
        continuation.onTermination = { [weak self] _ in self?.leave(place) }
        if isCounted { self.onListeners(self.count) }
        return (stream, dropped)
    }

    private func leave(_ place: Int) {
        let wasCounted = self.state.withLock { state in
            state.listeners[place] = nil
            return state.counted.remove(place) != nil
        }
        if wasCounted { self.onListeners(self.count) }
    }

    package func send(_ element: Element) {
        for (listener, dropped) in self.state.withLock({ Array($0.listeners.values) }) {
            if case .dropped = listener.yield(element) { dropped.withLock { $0 += 1 } }
        }
    }

    /// Ends all sequences, after what is in their buffers.
    package func finish() {
        let listeners = self.state.withLock { state in
            defer { (state.listeners, state.counted) = ([:], []) }
            state.isFinished = true
            return Array(state.listeners.values)
        }
        for (listener, _) in listeners { listener.finish() }
    }
}
