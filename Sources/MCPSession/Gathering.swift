package import MCPTransport

/// Counts who is there, so that the end can wait for them.
package final class Gathering: Sendable {
    private struct State {
        var count = 0
        var empty: OneShot<Void>?
    }

    private let state = Locked(State())

    package init() {}

    /// Somebody comes.
    package func begin() { self.state.withLock { $0.count += 1 } }

    /// Somebody goes.
    package func leave() {
        let empty: OneShot<Void>? = self.state.withLock { state in
            state.count -= 1
            return state.count == 0 ? state.empty : nil
        }
        empty?.complete(())
    }

    /// - Returns: completed when nobody is there, now or later.
    package func end() -> OneShot<Void> {
        let empty = OneShot<Void>()
        let isEmpty = self.state.withLock { state in
            state.empty = empty
            return state.count == 0
        }
        if isEmpty { empty.complete(()) }
        return empty
    }
}
