import Synchronization

/// The host's own accounts: what it has opened and not yet closed.
///
/// Counting in the code that opens and closes works in any process, however many others use it; a test that reads `/proc` counts
/// its neighbours as well. Shared by everything that belongs to one host.
public final class ResourceAccounts: Sendable {
    /// What is counted.
    public struct Snapshot: Sendable, Hashable, CustomStringConvertible {
        /// Server processes started and not yet reaped.
        public var processes = 0
        /// File descriptors open on pipes and process handles.
        public var descriptors = 0
        /// Timers that may still fire.
        public var timers = 0
        /// Tasks started by the host and not yet ended.
        public var tasks = 0
        /// Requests without an outcome.
        public var requests = 0

        /// All counts at zero.
        public init() {}

        /// Whether nothing is open.
        public var isEmpty: Bool { self == Self() }

        /// `processes 0, descriptors 0, ...`
        public var description: String {
            "processes \(self.processes), descriptors \(self.descriptors), timers \(self.timers), tasks \(self.tasks), "
                + "requests \(self.requests)"
        }
    }

    private struct State: Followed {
        var counts = Snapshot()
        var watchers = Watchers<Snapshot>()
    }

    private let state = Locked(State())
    /// Requests, which come and go by the hundred thousand: counted without the lock, unless somebody follows.
    private let requests = Atomic(0)
    private let followers = Atomic(0)

    /// Nothing is open.
    public init() {}

    /// What is open now.
    public var snapshot: Snapshot { self.state.withLock { self.complete($0.counts) } }

    private func complete(_ counts: Snapshot) -> Snapshot {
        var counts = counts
        counts.requests += self.requests.load(ordering: .sequentiallyConsistent)
        return counts
    }

    /// Enters so many more, or fewer, requests.
    package func addRequest(_ amount: Int) {
        self.requests.add(amount, ordering: .sequentiallyConsistent)
        // Whoever begins to follow says so first and looks then: one of us sees the other.
        guard self.followers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        self.state.change { $0.watchers.tell(self.complete($0.counts)) }
    }

    /// What is open now, and again whenever that changes: the newest counts, for a reader that is slow. Ends with the reading task.
    public func updates() -> AsyncStream<Snapshot> {
        self.state.follow(.bufferingNewest(1)) {
            self.followers.subtract(1, ordering: .sequentiallyConsistent)
        } first: { state in
            self.followers.add(1, ordering: .sequentiallyConsistent)
            return [self.complete(state.counts)]
        }
    }

    /// Enters so many more, or fewer, of one kind. For whatever opens and closes something on behalf of a host: a transport of your own
    /// enters its descriptors and timers. From any thread.
    /// - Parameters:
    ///   - amount: how many more; negative for what is closed.
    ///   - kind: what.
    public func add(_ amount: Int, _ kind: WritableKeyPath<Snapshot, Int>) {
        self.state.change { state in
            state.counts[keyPath: kind] += amount
            if !state.watchers.isEmpty { state.watchers.tell(self.complete(state.counts)) }
        }
    }
}
