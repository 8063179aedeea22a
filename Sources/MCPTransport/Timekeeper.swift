import Dispatch

/// Where time comes from. The real one is ``SystemTimekeeper``; tests bring their own and turn the hands themselves, so that no test
/// sleeps.
public protocol Timekeeper: Sendable {
    /// Time since some fixed moment; never goes back.
    var now: Duration { get }

    /// Makes a timer, not yet set.
    /// - Parameter fire: called once for each time that the timer is set and not set again before its deadline. It runs on a thread
    ///   of the timekeeper and must not block.
    func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer
}

/// One alarm clock; any thread may set it.
public protocol DeadlineTimer: Sendable {
    /// Sets the alarm, replacing an earlier one.
    /// - Parameter deadline: on the scale of ``Timekeeper/now``; nil switches it off.
    func set(_ deadline: Duration?)

    /// Switches it off for good and lets go of what it holds.
    func cancel()
}

/// The system's monotonic clock, with timers of Dispatch: a timer costs no task and no thread while it waits.
public struct SystemTimekeeper: Timekeeper {
    private static let start = ContinuousClock.now
    private static let queue = DispatchQueue(label: "mcp.timers")

    /// Dispatch opens its descriptors with its first timer, on a thread of its own, and traps where there are none left: it is to have them
    /// before the pipes of a server that is being started take the last ones (T14).
    private static let firstTimer: Void = {
        let fired = DispatchSemaphore(value: 0)
        let source = DispatchSource.makeTimerSource(queue: Self.queue)
        source.setEventHandler { fired.signal() }
        source.schedule(deadline: .now() + .microseconds(100))
        source.activate()
        _ = fired.wait(timeout: .now() + .seconds(1))
        source.cancel()
    }()

    /// The system's clock. The first one of a process waits for its first timer, a fraction of a millisecond.
    public init() { _ = Self.firstTimer }

    /// Time since this process first asked.
    public var now: Duration { ContinuousClock.now - Self.start }

    /// Makes a timer whose alarm runs on a serial queue of its own.
    public func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer {
        SystemTimer(queue: Self.queue, timekeeper: self, fire: fire)
    }
}

/// `@unchecked Sendable`: a dispatch source may be scheduled and cancelled from any thread, its type just does not say so.
private final class SystemTimer: DeadlineTimer, @unchecked Sendable {
    private let source: any DispatchSourceTimer
    private let timekeeper: SystemTimekeeper

    init(queue: DispatchQueue, timekeeper: SystemTimekeeper, fire: @escaping @Sendable () -> Void) {
        self.source = DispatchSource.makeTimerSource(queue: queue)
        self.timekeeper = timekeeper
        self.source.setEventHandler(handler: fire)
        self.source.schedule(deadline: .distantFuture)
        self.source.activate()
    }

    deinit { self.source.cancel() }

    func set(_ deadline: Duration?) {
        guard let deadline else { return self.source.schedule(deadline: .distantFuture) }
        let (seconds, attoseconds) = max(deadline - self.timekeeper.now, .zero).components
        let nanoseconds = Int(min(seconds, 1_000_000_000)) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        self.source.schedule(deadline: .now() + .nanoseconds(nanoseconds), leeway: .milliseconds(1))
    }

    func cancel() { self.source.cancel() }
}
