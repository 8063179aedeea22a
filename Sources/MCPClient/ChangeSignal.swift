import MCPTransport

/// Rings, for one who waits now or looks next; rings in between count as one.
final class ChangeSignal: Sendable {
    private struct State {
        var hasStep = false
        var waiting: OneShot<Void>?
    }

    private let state = Locked(State())

    func ring() {
        let waiting = self.state.withLock { state in
            defer { state.waiting = nil }
            if state.waiting == nil { state.hasStep = true }
            return state.waiting
        }
        waiting?.complete(())
    }

    /// Completed by the next ring, or at once by one that nobody has heard.
    func next() -> OneShot<Void> {
        let next = OneShot<Void>()
        let hasStep = self.state.withLock { state in
            defer { state.hasStep = false }
            if !state.hasStep { state.waiting = next }
            return state.hasStep
        }
        if hasStep { next.complete(()) }
        return next
    }

    /// Whoever waited for `next` goes away: a ring from now on is for the one that comes after.
    func leave(_ next: OneShot<Void>) {
        self.state.withLock { state in
            if state.waiting === next { state.waiting = nil }
        }
    }
}
