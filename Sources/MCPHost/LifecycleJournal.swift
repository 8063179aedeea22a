import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Every change of state of a host and its connections: when, why, and which task asked for it.
///
/// "Opened by task A, closed by task B" can be read off it, for every connection. It keeps the newest entries, a fixed number.
public final class LifecycleJournal: Sendable {
    /// One change.
    public struct Entry: Sendable, CustomStringConvertible {
        /// Counts from 1 and has no gaps, so that lost entries show.
        public var number: Int
        /// Time since the host was made.
        public var time: Duration
        /// The server concerned, `name/1` and so on for those of callers' own; nil for the host itself.
        public var server: String?
        /// Which connection to that server, counted from 1; 0 before the first.
        public var generation: Int
        /// What happened: `opened`, `ready`, `closing`, ...
        public var event: String
        /// Why.
        public var cause: String
        /// The task that asked, by name if it has one.
        public var task: String

        /// One line.
        public var description: String {
            let seconds = Double(self.time.components.seconds) + Double(self.time.components.attoseconds) / 1e18
            let padded = String(Int(seconds * 1000))
            let place = self.server.map { "\($0)#\(self.generation)" } ?? "host"
            return "\(self.number) +\(padded)ms \(place): \(self.event) (\(self.cause)) by \(self.task)"
        }
    }

    private struct State: Followed {
        var entries: [Entry] = []
        var count = 0
        var watchers = Watchers<Entry>()

        /// Oldest first.
        func ordered(_ capacity: Int) -> [Entry] {
            let first = self.count % max(1, self.entries.count)
            return self.entries.count < capacity
                ? self.entries : Array(self.entries[first...] + self.entries[..<first])
        }
    }

    private let state = Locked(State())
    private let capacity: Int
    private let clock: any MonotonicClock
    private let start: Duration
    private let log: LifecycleLog?

    init(capacity: Int, clock: any MonotonicClock, log: LifecycleLog? = nil) {
        self.log = log
        self.capacity = max(1, capacity)
        self.clock = clock
        self.start = clock.now
    }

    /// The newest entries, oldest first.
    public var entries: [Entry] { self.state.withLock { $0.ordered(self.capacity) } }

    /// The entries that are there, oldest first, and then each as it is made. Ends with the reading task; a slow reader sees by
    /// ``Entry/number`` that it has lost the oldest.
    /// - Parameter buffer: entries that are kept for a slow reader. Default 4096, as many as the journal keeps.
    public func updates(buffer: Int = 4096) -> AsyncStream<Entry> {
        self.state.follow(.bufferingNewest(max(1, buffer))) { $0.ordered(self.capacity) }
    }

    /// Entries about one server.
    public func entries(for server: String) -> [Entry] { self.entries.filter { $0.server == server } }

    func note(
        _ event: String,
        server: String? = nil,
        generation: Int = 0,
        cause: String,
        task: String = TaskIdentity.current
    ) {
        let time = self.clock.now - self.start
        let entry = self.state.change { state in
            state.count += 1
            let entry = Entry(
                number: state.count,
                time: time,
                server: server,
                generation: generation,
                event: event,
                cause: cause,
                task: task
            )
            if state.entries.count < self.capacity {
                state.entries.append(entry)
            } else {
                state.entries[(state.count - 1) % self.capacity] = entry
            }
            state.watchers.tell(entry)
            return entry
        }
        self.log?.append(entry)
    }
}

/// Who is asking.
enum TaskIdentity {
    /// The name of the current task, else a number that is the same for the same task, else the thread.
    static var current: String {
        if #available(macOS 26, *), let name = Task.name { return "task \"\(name)\"" }
        return withUnsafeCurrentTask { task in
            guard let task else { return "no task (thread \(UInt(bitPattern: pthread_self().hashValue) % 100_000))" }
            return "task #\(UInt(bitPattern: task.hashValue) % 1_000_000)"
        }
    }
}
