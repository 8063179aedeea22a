import Synchronization

// Every call waits in a continuation, and a checked one costs each of them an allocation and a tenth of the throughput.
//
// The machine gives a waiter away with the one ending of its request, or with the refusal to begin it (a million random steps say so in
// `InterleavingTests`), and `RequestChannel.resume(_:_:)` is the only place that resumes one. So release builds do not check again; debug builds
// do, so that the tests see a waiter that is resumed twice or never.
//
// Where the answer comes between the sending and the suspension, Swift's run-time goes on without telling the thread sanitizer that what the
// answer's thread has written was written before. In debug builds `handover` tells it.
extension RequestChannel {
    #if DEBUG
        struct RequestContinuation: Sendable {
            private static let handover = Atomic(0)
            private let checked: CheckedContinuation<Reply, Never>

            func resume(returning reply: Reply) {
                Self.handover.add(1, ordering: .releasing)
                self.checked.resume(returning: reply)
            }

            static func wait(_ body: (Self) -> Void) async -> Reply {
                let reply = await withCheckedContinuation { body(Self(checked: $0)) }
                _ = Self.handover.load(ordering: .acquiring)
                return reply
            }
        }

        static func withRequestContinuation(_ body: (RequestContinuation) -> Void) async -> Reply {
            await RequestContinuation.wait(body)
        }
    #else
        typealias RequestContinuation = UnsafeContinuation<Reply, Never>

        @inline(__always)
        static func withRequestContinuation(_ body: (RequestContinuation) -> Void) async -> Reply {
            await withUnsafeContinuation(body)
        }
    #endif
}
