import MCPTransport

/// Rings, for one who waits now or looks next; rings in between count as one.
final class Bell: Sendable {
    private struct State {
        var hasRung = false
        var waiting: OneShot<Void>?
    }

    private let state = Locked(State())

    func ring() {
        let waiting = self.state.withLock { state in
            defer { state.waiting = nil }
            if state.waiting == nil { state.hasRung = true }
            return state.waiting
        }
        waiting?.complete(())
    }

    /// Completed by the next ring, or at once by one that nobody has heard.
    func next() -> OneShot<Void> {
        let next = OneShot<Void>()
        let hasRung = self.state.withLock { state in
            defer { state.hasRung = false }
            if !state.hasRung { state.waiting = next }
            return state.hasRung
        }
        if hasRung { next.complete(()) }
        return next
    }
}
