#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One thread that waits for the earliest of many deadlines.
///
/// A deadline that is put off costs no wake-up, which matters because every request moves one: the thread wakes at the old time, sees that
/// nothing is due, and sleeps on.
///
/// `@unchecked Sendable`: what changes is touched only between lock and unlock of the mutex.
final class TimerThread: @unchecked Sendable {
    /// An alarm of somebody's.
    ///
    /// `@unchecked Sendable`: what changes is touched only under the mutex of its thread.
    final class Alarm: @unchecked Sendable {
        fileprivate var fire: (@Sendable () -> Void)?
        fileprivate var deadline: Duration = .zero
        /// Where it is in the heap; nil while it is not set.
        fileprivate var place: Int?

        init(_ fire: @escaping @Sendable () -> Void) { self.fire = fire }
    }

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let now: @Sendable () -> Duration
    private var heap = AlarmHeap()
    private var isRunning = false
    /// When the thread will look by itself; nil: it will not.
    private var wakesAt: Duration?

    /// - Parameter now: the clock, which must go as fast as the system's.
    init(now: @escaping @Sendable () -> Duration) {
        self.now = now
        self.mutex = .allocate(capacity: 1)
        self.condition = .allocate(capacity: 1)
        var failure = pthread_mutex_init(self.mutex, nil)
        precondition(failure == 0, "pthread_mutex_init failed with \(failure)")
        #if canImport(Darwin)
            failure = pthread_cond_init(self.condition, nil)
        #else
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            failure = pthread_cond_init(self.condition, &attributes)
            pthread_condattr_destroy(&attributes)
        #endif
        precondition(failure == 0, "pthread_cond_init failed with \(failure)")
    }

    /// Sets an alarm, or with nil switches it off.
    func set(_ alarm: Alarm, _ deadline: Duration?) {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        guard let deadline else { return self.heap.remove(alarm) }
        guard alarm.fire != nil else { return }
        self.heap.insert(alarm, deadline)
        if !self.isRunning {
            self.isRunning = SmallThread.start { self.run() } == 0
        } else if self.wakesAt.map({ deadline < $0 }) ?? true {
            pthread_cond_signal(self.condition)
        }
    }

    /// Switches an alarm off for good, and lets go of what it would have done.
    func cancel(_ alarm: Alarm) {
        pthread_mutex_lock(self.mutex)
        self.heap.remove(alarm)
        let fire = alarm.fire
        alarm.fire = nil
        pthread_mutex_unlock(self.mutex)
        // What it holds may end with it, and have timers of its own.
        withExtendedLifetime(fire) {}
    }

    private func run() {
        while true { self.nextDue()?() }
    }

    /// Waits until an alarm is due, or until it is time to look.
    private func nextDue() -> (@Sendable () -> Void)? {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        guard let first = self.heap.first else {
            self.wakesAt = nil
            pthread_cond_wait(self.condition, self.mutex)
            return nil
        }
        let rest = first.deadline - self.now()
        guard rest > .zero else {
            self.heap.remove(first)
            return first.fire
        }
        self.wakesAt = first.deadline
        self.wait(atMost: rest)
        return nil
    }

    private func wait(atMost duration: Duration) {
        // Nobody waits for longer than three years; and no number overflows.
        let (seconds, attoseconds) = min(duration, .seconds(100_000_000)).components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        #if canImport(Darwin)
            pthread_cond_timedwait_relative_np(self.condition, self.mutex, &time)
        #else
            var now = timespec()
            clock_gettime(CLOCK_MONOTONIC, &now)
            time.tv_sec += now.tv_sec
            time.tv_nsec += now.tv_nsec
            if time.tv_nsec >= 1_000_000_000 {
                time.tv_sec += 1
                time.tv_nsec -= 1_000_000_000
            }
            pthread_cond_timedwait(self.condition, self.mutex, &time)
        #endif
    }
}

/// A binary heap whose elements know their places, so that each can be moved and taken out.
struct AlarmHeap {
    private var alarms: [TimerThread.Alarm] = []

    /// The earliest.
    var first: TimerThread.Alarm? { self.alarms.first }

    /// Puts one in, or to another place if it is there already.
    mutating func insert(_ alarm: TimerThread.Alarm, _ deadline: Duration) {
        alarm.deadline = deadline
        if let place = alarm.place { return self.sift(place) }
        alarm.place = self.alarms.count
        self.alarms.append(alarm)
        self.sift(self.alarms.count - 1)
    }

    /// Takes one out, if it is there.
    mutating func remove(_ alarm: TimerThread.Alarm) {
        guard let place = alarm.place else { return }
        alarm.place = nil
        let last = self.alarms.removeLast()
        guard last !== alarm else { return }
        self.put(last, place)
        self.sift(place)
    }

    private mutating func put(_ alarm: TimerThread.Alarm, _ place: Int) {
        self.alarms[place] = alarm
        alarm.place = place
    }

    /// Moves the one at `start` up or down until it is between its parent and its children.
    private mutating func sift(_ start: Int) {
        let alarm = self.alarms[start]
        var place = start
        while place > 0, alarm.deadline < self.alarms[(place - 1) / 2].deadline {
            self.put(self.alarms[(place - 1) / 2], place)
            place = (place - 1) / 2
        }
        while case let left = 2 * place + 1, left < self.alarms.count {
            let right = left + 1
            let child =
                right < self.alarms.count && self.alarms[right].deadline < self.alarms[left].deadline ? right : left
            guard self.alarms[child].deadline < alarm.deadline else { break }
            self.put(self.alarms[child], place)
            place = child
        }
        self.put(alarm, place)
    }
}
