import Synchronization

/// Something that happens once and may be awaited by anybody, before or after, any number of times.
///
/// Cancelling a waiting task ends its waiting only; what it waits for goes on (law of the house, consequence 2).
package final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Value?, Never>] = [:]
        var patient: [CheckedContinuation<Value, Never>] = []
        /// Cancelled between taking a number and joining the table.
        var cancelled: Set<Int> = []
    }

    private let state = Locked(State())
    private let hasValue = Atomic(false)
    /// The value once more, for whoever only looks: that is done for every call, and takes no lock.
    ///
    /// `nonisolated(unsafe)`: written once, under the lock, before `hasValue` is set; read only by those who have seen that.
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
            guard state.value == nil else { return nil }
            defer {
                state = State()
                state.value = value
                self.published = value
                self.hasValue.store(true, ordering: .releasing)
            }
            return state
        }
        guard let before else { return false }
        for waiter in before.waiters.values { waiter.resume(returning: value) }
        for waiter in before.patient { waiter.resume(returning: value) }
        return true
    }

    /// Waits for the value, whatever happens to the calling task.
    package func wait() async -> Value {
        await withCheckedContinuation { (continuation: CheckedContinuation<Value, Never>) in
            let ready: Value? = self.state.withLock { state in
                if let value = state.value { return value }
                state.patient.append(continuation)
                return nil
            }
            if let ready { continuation.resume(returning: ready) }
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
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now: Value?? = self.state.withLock { state in
                    if let value = state.value { return .some(value) }
                    if state.cancelled.remove(id) != nil { return .some(nil) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            let waiter: CheckedContinuation<Value?, Never>? = self.state.withLock { state in
                if let waiter = state.waiters.removeValue(forKey: id) { return waiter }
                if state.value == nil { state.cancelled.insert(id) }
                return nil
            }
            waiter?.resume(returning: nil)
        }
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
