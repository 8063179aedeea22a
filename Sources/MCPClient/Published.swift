import Synchronization

/// A value that is set once and then read for every message, without a lock.
final class Published<Value: Sendable>: Sendable {
    private let isSet = Atomic(false)
    /// `nonisolated(unsafe)`: written once, before `isSet` is; read only by those who have seen that.
    private nonisolated(unsafe) var stored: Value?

    /// The value, once it is there.
    var value: Value? { self.isSet.load(ordering: .acquiring) ? self.stored : nil }

    /// Sets it; to be called once.
    func set(_ value: Value) {
        precondition(!self.isSet.load(ordering: .relaxed), "set twice")
        self.stored = value
        self.isSet.store(true, ordering: .releasing)
    }
}
