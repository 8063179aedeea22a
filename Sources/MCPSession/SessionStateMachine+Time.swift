public import MCPTransport

/// Time: what a request may take, and when to look again.
extension SessionStateMachine {
    /// The server reported progress: its idle time starts again, the hard limit does not (F11, F12). A token of nobody and a value
    /// that does not grow change nothing (F14).
    @inlinable package mutating func progressed(_ token: Int64, _ value: Double, now: Duration) -> Waiter? {
        guard let entry = self.pending[token], entry.message == nil, !entry.isAnswered,
            value > entry.progress ?? -.infinity
        else { return nil }
        self.pending[token]?.progress = value
        self.pending[token]?.lastSign = now
        return entry.waiter
    }

    /// The server asks for something: until it has that, its own silence is no idleness.
    @inlinable package mutating func serverAsks() { self.questions += 1 }

    /// The server has its answer, and idle time begins anew.
    @inlinable package mutating func serverIsAnswered(now: Duration) {
        self.questions -= 1
        guard self.questions == 0 else { return }
        for id in self.pending.keys { self.pending[id]?.lastSign = now }
    }

    /// Requests whose time is over, each with the limit that it exceeded.
    @inlinable package mutating func expire(now: Duration) -> [(ending: Ending, error: MCPError)] {
        let due = self.pending.filter { $0.value.deadline(self.questions == 0) <= now }.keys.sorted()
        return due.compactMap { id in
            guard let entry = self.pending[id], let ending = self.take(id) else { return nil }
            self.note(ending, "timeout")
            let hard = entry.started + entry.timeouts.hard <= now
            let message =
                entry.isAnswered
                ? "timeout: the answer came, but the progress handler did not return within \(entry.timeouts.hard.inMilliseconds), the limit for one request"
                : hard
                    ? "timeout: no result within \(entry.timeouts.hard.inMilliseconds), the limit for one request"
                    : "timeout: no answer and no progress for \(entry.timeouts.idle), the idle limit of a request"
            return (ending, MCPError(.timeout, message))
        }
    }

    /// A deadline has come into being.
    /// - Returns: it, if the timer has to be set to it: none that is earlier is set.
    @inlinable package mutating func arm(_ deadline: Duration) -> Duration? {
        if let alarm = self.alarm, alarm <= deadline { return nil }
        self.alarm = deadline
        return deadline
    }

    /// The timer has fired.
    /// - Returns: to when it has to be set next.
    @inlinable package mutating func rearm() -> Duration? {
        self.alarm = self.nextDeadline
        return self.alarm
    }

    /// When to call ``expire(now:)`` and ``openingIsLate(now:)`` next.
    @inlinable package var nextDeadline: Duration? {
        let next = self.pending.values.lazy.map { $0.deadline(self.questions == 0) }.min()
        return next.map { min($0, self.openBy ?? $0) } ?? self.openBy
    }
}
