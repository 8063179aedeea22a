import MCPTransport

/// The one timer of a session: set to the earliest deadline of all, and set again when it rings.
///
/// The machine decides to when. Two threads that were told by it may come here in the other order: then the earlier deadline stays.
final class RequestTimer: Sendable {
    private struct State {
        var timer: (any DeadlineTimer)?
        var deadline: Duration?
        /// The session has ended, and whoever is late wakes nobody.
        var isOver = false
    }

    private let context: SessionContext
    private let state = Locked(State())

    init(_ context: SessionContext) { self.context = context }

    /// It is to ring at `deadline`, or earlier if it is set to that.
    /// - Parameter ring: what is done then; the same every time.
    func set(_ deadline: Duration, _ ring: @escaping @Sendable () -> Void) {
        self.state.withLock { state in
            if state.isOver { return }
            if let current = state.deadline, current <= deadline { return }
            if state.timer == nil {
                self.context.accounts.add(1, \.timers)
                state.timer = self.context.clock.makeTimer(ring)
            }
            state.deadline = deadline
            state.timer?.set(deadline)
        }
    }

    /// It has rung.
    func rang() { self.state.withLock { $0.deadline = nil } }

    /// Nothing has a deadline, and nobody is about to give it one.
    func clear() { self.state.withLock { self.drop(&$0) } }

    /// The session has ended.
    func end() {
        self.state.withLock { state in
            self.drop(&state)
            state.isOver = true
        }
    }

    private func drop(_ state: inout State) {
        if let timer = state.timer {
            timer.cancel()
            self.context.accounts.add(-1, \.timers)
        }
        (state.timer, state.deadline) = (nil, nil)
    }
}
