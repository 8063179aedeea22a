import CMCPProcess
import MCPTransport

/// Threads for what blocks while a process is being started: not those of the cooperative pool, which belong to everybody's tasks (L8), and
/// not Dispatch's, which the program around us may have used up.
final class Spawner: Sendable {
    static let shared = Spawner()

    /// Starts that may be under way at once; more wait for their turn.
    private static let limit = 64

    private struct Job: Sendable {
        var run: @Sendable () -> Void
        var failed: @Sendable (SystemFailure) -> Void
    }

    private struct State {
        var waiting: [Job] = []
        var threads = 0
    }

    private let state = Locked(State())

    /// Runs `job` on a thread of its own, soon, in the order of the calls.
    /// - Parameter failed: called instead, from here or from another call of this, when not a single thread can be made.
    func run(_ job: @escaping @Sendable () -> Void, failed: @escaping @Sendable (SystemFailure) -> Void) {
        let needsThread = self.state.withLock { state in
            state.waiting.append(Job(run: job, failed: failed))
            guard state.threads < Self.limit else { return false }
            state.threads += 1
            return true
        }
        guard needsThread else { return }
        let failure = SmallThread.start { [self] in self.work() }
        guard failure != 0 else { return }
        let hopeless: [Job] = self.state.withLock { state in
            state.threads -= 1
            // Other threads will come to it, if there are any, or if somebody is making one this very moment.
            guard state.threads == 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for job in hopeless { job.failed(SystemFailure(code: failure)) }
    }

    /// One thread: as long as there is something to do.
    private func work() {
        mcp_name_thread("mcp-spawner")
        while true {
            let job: Job? = self.state.withLock { state in
                guard !state.waiting.isEmpty else {
                    state.threads -= 1
                    return nil
                }
                return state.waiting.removeFirst()
            }
            guard let job else { return }
            job.run()
        }
    }
}
