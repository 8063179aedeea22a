import MCPTransport
public import Testing

/// A test waits for its turn: alone, or beside others that do not mind each other.
public struct TestTurn: TestTrait, TestScoping {
    fileprivate let turns: Turns
    fileprivate let isShared: Bool

    /// Waits for its turn, then runs the test.
    @concurrent
    public func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        await self.turns.take(isShared: self.isShared)
        defer { self.turns.pass() }
        try await function()
    }
}

extension Trait where Self == TestTurn {
    /// One exit test at a time.
    ///
    /// While an exit test runs, Swift Testing (6.3, Linux) reads what its process reports with a blocking `read` in a task. That takes one thread
    /// of the cooperative pool out of use; two exit tests at once take both threads of a machine with two cores, and every other test in the
    /// process stands still until one of them ends, while the clock goes on.
    public static var exitTestTurn: Self { Self(turns: .exitTests, isShared: false) }

    /// Expects a proof from a look at all processes; not for exit tests, beside which no chain runs.
    ///
    /// A chain of processes that fork and exit, whoever's it is, makes it impossible to tell what else runs: without a guard, that nothing is left
    /// cannot be proved meanwhile (T19). So no test starts one while another expects that proof.
    public static var looksAtProcesses: Self { Self(turns: .processTable, isShared: true) }

    /// Starts what nobody can look past. Stands behind ``exitTestTurn``: whoever waits for that turn must not hold this one.
    public static var forksChains: Self { Self(turns: .processTable, isShared: false) }
}

/// A fair line, in which neighbors may go together.
private final class Turns: Sendable {
    static let exitTests = Turns()
    static let processTable = Turns()

    private struct State {
        /// How many have their turn; -1 for one who wants to be alone.
        var inside = 0
        var waiting: [(isShared: Bool, continuation: CheckedContinuation<Void, Never>)] = []

        mutating func enter(isShared: Bool) -> Bool {
            guard isShared ? self.inside >= 0 : self.inside == 0 else { return false }
            self.inside += isShared ? 1 : -1
            return true
        }
    }

    private let state = Locked(State())

    func take(isShared: Bool) async {
        await withCheckedContinuation { continuation in
            let isIn = self.state.withLock { state in
                if state.waiting.isEmpty, state.enter(isShared: isShared) { return true }
                state.waiting.append((isShared, continuation))
                return false
            }
            if isIn { continuation.resume() }
        }
    }

    func pass() {
        let next = self.state.withLock { state in
            state.inside -= state.inside.signum()
            var next: [CheckedContinuation<Void, Never>] = []
            while let first = state.waiting.first, state.enter(isShared: first.isShared) {
                next.append(state.waiting.removeFirst().continuation)
            }
            return next
        }
        for continuation in next { continuation.resume() }
    }
}
