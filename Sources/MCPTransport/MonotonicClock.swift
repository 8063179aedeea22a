/// Where time comes from. The real one is ``SystemMonotonicClock``; tests bring their own and turn the hands themselves, so that no test
/// sleeps.
public protocol MonotonicClock: Sendable {
    /// Time since some fixed moment; never goes back.
    var now: Duration { get }

    /// The same, but goes on while the machine sleeps: for what goes stale, not for how long somebody waits. By default ``now``.
    var elapsed: Duration { get }

    /// Makes a timer, not yet set.
    /// - Parameter fire: called once for each time that the timer is set and not set again before its deadline. It runs on a thread
    ///   of the clock and must not block.
    func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer
}

extension MonotonicClock {
    /// As ``now``.
    public var elapsed: Duration { self.now }
}

/// One alarm clock; any thread may set it.
public protocol DeadlineTimer: Sendable {
    /// Sets the alarm, replacing an earlier one.
    /// - Parameter deadline: on the scale of ``MonotonicClock/now``; nil switches it off.
    func set(_ deadline: Duration?)

    /// Switches it off for good and lets go of what it holds.
    func cancel()
}

/// The system's monotonic clock. All timers of a process share one thread, which starts with the first that is set, and no descriptor:
/// they fire in a program that has none left too (T14). Where not even a thread can be had, nothing fires until a timer is set when one can.
public struct SystemMonotonicClock: MonotonicClock {
    private static let start = (now: SuspendingClock.now, elapsed: ContinuousClock.now)
    private static let thread = TimerThread { SystemMonotonicClock().now }

    /// The system's clock; costs nothing.
    public init() {}

    /// Time since this process first asked. It stands still while the machine sleeps, as the wait of the timers does.
    public var now: Duration { SuspendingClock.now - Self.start.now }

    /// Time since this process first asked, sleep included.
    public var elapsed: Duration { ContinuousClock.now - Self.start.elapsed }

    /// Makes a timer; the alarms of all of them come one after the other.
    public func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer {
        SystemTimer(thread: Self.thread, fire: fire)
    }
}

/// What its user holds of a timer; without it there is no alarm any more.
private final class SystemTimer: DeadlineTimer {
    private let thread: TimerThread
    private let alarm: TimerThread.Alarm

    init(thread: TimerThread, fire: @escaping @Sendable () -> Void) {
        self.thread = thread
        self.alarm = TimerThread.Alarm(fire)
    }

    deinit { self.thread.cancel(self.alarm) }

    func set(_ deadline: Duration?) { self.thread.set(self.alarm, deadline) }

    func cancel() { self.thread.cancel(self.alarm) }
}

extension Duration {
    /// What was measured, for people: nobody wants to read nanoseconds.
    @inlinable package var inMilliseconds: Duration {
        // Who says "never" with a number of its own gets that.
        guard self < .seconds(1 << 40), self > .seconds(-1 << 40) else { return self }
        return .milliseconds(Int64((self / .milliseconds(1)).rounded()))
    }
}
