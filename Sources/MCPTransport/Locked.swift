#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A value behind a lock: the box in which every state machine of this package lives.
///
/// A POSIX mutex and not `Synchronization.Mutex`, because the thread sanitizer sees the first and reports races inside the second
/// (Swift 6.3, Linux), and these tests run under the thread sanitizer.
///
/// Inlinable, so that other modules of the package specialize it: called generically it costs several times as much as the lock.
///
/// `@unchecked Sendable`: the value is touched only between lock and unlock, and `withLock` lets nothing but its result out.
@usableFromInline
package final class Locked<Value>: @unchecked Sendable {
    /// Unchecked: whoever has the lock is alone, which is more than the check of the run-time would find.
    @exclusivity(unchecked)
    @usableFromInline package var value: Value
    @usableFromInline package let mutex = POSIXMutex()

    /// Boxes `value`.
    package init(_ value: consuming sending Value) { self.value = value }

    deinit { self.mutex.destroy() }

    /// Runs `body` with the value, alone. It must be short, and must not call out.
    @inlinable
    @inline(__always)
    package func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        self.mutex.lock()
        defer { self.mutex.unlock() }
        return try body(&self.value)
    }
}

/// A mutex of the system, which stays where it is.
@usableFromInline
package struct POSIXMutex {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        self.mutex = .allocate(capacity: 1)
        let result = pthread_mutex_init(self.mutex, nil)
        precondition(result == 0, "pthread_mutex_init failed with \(result)")
    }

    func destroy() {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deallocate()
    }

    @usableFromInline package func lock() { pthread_mutex_lock(self.mutex) }
    @usableFromInline package func unlock() { pthread_mutex_unlock(self.mutex) }
}
