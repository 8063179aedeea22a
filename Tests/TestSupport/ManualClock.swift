import Dispatch
public import MCPTransport
public import Testing

/// A clock whose hands the test turns.
public final class ManualClock: MonotonicClock {
    private struct State: Sendable {
        var now: Duration = .zero
        var slept: Duration = .zero
        var timers: [ManualTimer] = []
    }

    private let state = Watched(State())

    /// A clock at zero.
    public init() {}

    /// What the hands show.
    public var now: Duration { self.state.value.now }

    /// What they would show, had they not stood still in ``sleep(_:)``.
    public var elapsed: Duration {
        let state = self.state.value
        return state.now + state.slept
    }

    /// The machine sleeps for a time: the hands stand still.
    public func sleep(_ time: Duration) { self.state.withLock { $0.slept += time } }

    /// Makes a timer that fires inside ``advance(by:)``.
    public func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer {
        let timer = ManualTimer(fire) { [weak self] in self?.state.withLock { $0.now } }
        self.state.withLock { $0.timers.append(timer) }
        return timer
    }

    /// Turns the hands and fires what is due, on this thread.
    public func advance(by step: Duration) {
        let (now, timers) = self.state.withLock { state in
            state.now += step
            return (state.now, state.timers)
        }
        for timer in timers { timer.fireIfDue(now) }
    }

    /// Waits until timers are set that will be due in exactly `step`, and turns the hands so far.
    public func pass(_ step: Duration, timers: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async {
        await self.wait(forTimers: timers, dueIn: step, sourceLocation: sourceLocation)
        self.advance(by: step)
    }

    /// Waits until timers are set that will be due in exactly `step`.
    public func wait(
        forTimers timers: Int = 1,
        dueIn step: Duration,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        let what = "\(timers) timers that are due in \(step)"
        await self.state.wait(for: what, sourceLocation: sourceLocation) { state in
            state.timers.count { $0.deadlineNow == state.now + step } >= timers
        }
    }
}

private final class ManualTimer: DeadlineTimer {
    private let deadline = Locked<Duration?>(nil)
    private let fire: @Sendable () -> Void
    /// Tells the clock that something has changed.
    private let changed: @Sendable () -> Duration?

    /// - Parameter changed: gives what the hands show; nil where there is no clock any more.
    init(_ fire: @escaping @Sendable () -> Void, changed: @escaping @Sendable () -> Duration?) {
        self.fire = fire
        self.changed = changed
    }

    var deadlineNow: Duration? { self.deadline.withLock { $0 } }

    func set(_ deadline: Duration?) {
        self.deadline.withLock { $0 = deadline }
        guard let now = self.changed(), let deadline, deadline <= now else { return }
        // The hands were turned before it was set: nobody will turn them again for it. As with any clock, it is another thread that calls.
        DispatchQueue.global().async { self.fireIfDue(now) }
    }

    func cancel() { self.set(nil) }

    func fireIfDue(_ now: Duration) {
        let isDue = self.deadline.withLock { deadline in
            guard let due = deadline, due <= now else { return false }
            deadline = nil
            return true
        }
        if isDue { self.fire() }
    }
}
