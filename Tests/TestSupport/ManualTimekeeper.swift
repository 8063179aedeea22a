public import MCPTransport

/// A clock whose hands the test turns.
public final class ManualTimekeeper: Timekeeper {
    private struct State {
        var now: Duration = .zero
        var timers: [ManualTimer] = []
    }

    private let state = Locked(State())

    /// A clock at zero.
    public init() {}

    /// What the hands show.
    public var now: Duration { self.state.withLock { $0.now } }

    /// Makes a timer that fires inside ``advance(by:)``.
    public func makeTimer(_ fire: @escaping @Sendable () -> Void) -> any DeadlineTimer {
        let timer = ManualTimer(fire)
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
}

private final class ManualTimer: DeadlineTimer {
    private let deadline = Locked<Duration?>(nil)
    private let fire: @Sendable () -> Void

    init(_ fire: @escaping @Sendable () -> Void) { self.fire = fire }

    func set(_ deadline: Duration?) { self.deadline.withLock { $0 = deadline } }
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
