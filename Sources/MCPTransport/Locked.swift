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
/// `@unchecked Sendable`: the value is touched only between lock and unlock, and `withLock` lets nothing but its result out.
package final class Locked<Value>: @unchecked Sendable {
    private var value: Value
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    /// Boxes `value`.
    package init(_ value: consuming sending Value) {
        self.value = value
        self.mutex = .allocate(capacity: 1)
        let result = pthread_mutex_init(self.mutex, nil)
        precondition(result == 0, "pthread_mutex_init failed with \(result)")
    }

    deinit {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deallocate()
    }

    /// Runs `body` with the value, alone. It must be short, and must not call out.
    @inline(__always)
    package func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return try body(&self.value)
    }
}
