// Every call waits in a continuation, and a checked one costs each of them an allocation and a tenth of the throughput.
//
// The machine gives a waiter away with the one ending of its request, or with the refusal to begin it (a million random steps say so in
// `InterleavingTests`), and `ClientSession.resume(_:_:)` is the only place that resumes one. So release builds do not check again. Debug builds
// do: there the tests see a waiter that is resumed twice or never, and the thread sanitizer, to which the unchecked one looks like a race, has
// nothing to say.
extension ClientSession {
    #if DEBUG
        typealias RequestContinuation = CheckedContinuation<Reply, Never>

        static func withRequestContinuation(_ body: (RequestContinuation) -> Void) async -> Reply {
            await withCheckedContinuation(body)
        }
    #else
        typealias RequestContinuation = UnsafeContinuation<Reply, Never>

        @inline(__always)
        static func withRequestContinuation(_ body: (RequestContinuation) -> Void) async -> Reply {
            await withUnsafeContinuation(body)
        }
    #endif
}
