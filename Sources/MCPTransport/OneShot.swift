import Synchronization

/// Something that happens once and may be awaited by anybody, before or after, any number of times.
///
/// Cancelling a waiting task ends its waiting only; what it waits for goes on (law of the house, consequence 2).
package final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
        var patient: [CheckedContinuation<Void, Never>] = []
        /// Cancelled between taking a number and joining the table.
        var cancelled: Set<Int> = []
        var actions: [@Sendable () -> Void] = []
    }

    private let state = Locked(State())
    /// Set under the lock; looked at without it, for that is done for every call.
    private let hasValue = Atomic(false)
    /// `nonisolated(unsafe)`: written once, under the lock, before `hasValue` is set; read only by those who have seen that.
    ///
    /// Whoever has waited reads it here too, and is not given it by the continuation: where the value comes between the look and the
    /// suspension, Swift's run-time goes on without telling the thread sanitizer why that is no race.
    private nonisolated(unsafe) var published: Value?

    package init() {}

    /// Whether the value is there. Quicker than asking for it from another module, which does not know its size.
    package var isComplete: Bool { self.hasValue.load(ordering: .acquiring) }

    /// The value, if it is there.
    package var value: Value? { self.hasValue.load(ordering: .acquiring) ? self.published : nil }

    /// Sets the value and wakes all waiters. Only the first call counts.
    /// - Returns: whether this call was the first.
    @discardableResult
    package func complete(_ value: Value) -> Bool {
        let before: State? = self.state.withLock { state in
            guard !self.isComplete else { return nil }
            self.published = value
            self.hasValue.store(true, ordering: .releasing)
            defer { state = State() }
            return state
        }
        guard let before else { return false }
        for waiter in before.waiters.values { waiter.resume(returning: true) }
        for waiter in before.patient { waiter.resume() }
        for action in before.actions { action() }
        return true
    }

    /// Does something when the value is there: now, or when it is set, in the thread of whoever sets it and after its waiters were woken.
    ///
    /// For what takes no time and would otherwise be a task that waits for the length of a conversation.
    package func whenComplete(_ action: @escaping @Sendable () -> Void) {
        let isComplete = self.state.withLock { state in
            if !self.isComplete { state.actions.append(action) }
            return self.isComplete
        }
        if isComplete { action() }
    }

    /// Waits for the value, whatever happens to the calling task.
    package func wait() async -> Value {
        while true {
            if let value = self.value { return value }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let isComplete = self.state.withLock { state in
                    if !self.isComplete { state.patient.append(continuation) }
                    return self.isComplete
                }
                if isComplete { continuation.resume() }
            }
        }
    }

    /// Waits for the value, or until the calling task is cancelled.
    /// - Returns: nil if the calling task was cancelled first.
    package func waitUnlessCancelled() async -> Value? {
        if let value = self.value { return value }
        let id = self.state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let isComplete = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome: Bool? = self.state.withLock { state in
                    if self.isComplete { return true }
                    if state.cancelled.remove(id) != nil { return false }
                    state.waiters[id] = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            let waiter: CheckedContinuation<Bool, Never>? = self.state.withLock { state in
                if let waiter = state.waiters.removeValue(forKey: id) { return waiter }
                if !self.isComplete { state.cancelled.insert(id) }
                return nil
            }
            waiter?.resume(returning: false)
        }
        return isComplete ? self.value : nil
    }
}

/// Waiting with a limit: when the time is over, the value is `late`, for everybody who waits.
extension OneShot {
    /// Waits for the value, whatever happens to the calling task.
    /// - Parameters:
    ///   - limit: for how long.
    ///   - clock: whose time.
    ///   - accounts: where the timer is entered; nil for nowhere.
    ///   - late: the value when the time is over.
    package func wait(
        atMost limit: Duration,
        by clock: any MonotonicClock,
        _ accounts: ResourceAccounts? = nil,
        late: Value
    ) async -> Value {
        if let value = self.value { return value }
        let timer = self.timer(limit, clock, accounts, late)
        let value = await self.wait()
        timer.cancel()
        accounts?.add(-1, \.timers)
        return value
    }

    /// Waits for the value, or until the calling task is cancelled.
    /// - Returns: nil if the calling task was cancelled first.
    package func waitUnlessCancelled(
        atMost limit: Duration,
        by clock: any MonotonicClock,
        _ accounts: ResourceAccounts? = nil,
        late: Value
    ) async -> Value? {
        if let value = self.value { return value }
        let timer = self.timer(limit, clock, accounts, late)
        let value = await self.waitUnlessCancelled()
        timer.cancel()
        accounts?.add(-1, \.timers)
        return value
    }

    private func timer(
        _ limit: Duration,
        _ clock: any MonotonicClock,
        _ accounts: ResourceAccounts?,
        _ late: Value
    ) -> any DeadlineTimer {
        let timer = clock.makeTimer { self.complete(late) }
        accounts?.add(1, \.timers)
        timer.set(clock.now + limit)
        return timer
    }
}
