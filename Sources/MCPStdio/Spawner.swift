import MCPTransport

/// Threads for what blocks while a process is being started: not those of the cooperative pool, which belong to everybody's tasks (L8), and
/// not Dispatch's, which the program around us may have used up.
final class Spawner: Sendable {
    static let shared = Spawner()

    /// Starts that may be under way at once; more wait for their turn.
    private static let limit = 64

    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var threads = 0
    }

    private let state = Locked(State())

    /// Runs `job` on a thread of its own, soon, in the order of the calls.
    /// - Throws: an errno, when not a single thread can be made.
    func run(_ job: @escaping @Sendable () -> Void) throws(SystemFailure) {
        let needsThread = self.state.withLock { state in
            state.waiting.append(job)
            guard state.threads < Self.limit else { return false }
            state.threads += 1
            return true
        }
        guard needsThread else { return }
        let failure = SmallThread.start { [self] in self.work() }
        guard failure != 0 else { return }
        // Others will come to it, if there are any.
        let isHopeless = self.state.withLock { state in
            state.threads -= 1
            guard state.threads == 0, !state.waiting.isEmpty else { return false }
            // Without a thread nobody else waits: whoever came before has failed like this.
            state.waiting.removeLast()
            return true
        }
        if isHopeless { throw SystemFailure(code: failure) }
    }

    /// One thread: as long as there is something to do.
    private func work() {
        while true {
            let job: (@Sendable () -> Void)? = self.state.withLock { state in
                guard !state.waiting.isEmpty else {
                    state.threads -= 1
                    return nil
                }
                return state.waiting.removeFirst()
            }
            guard let job else { return }
            job()
        }
    }
}
