import MCPTransport
public import Testing

/// One exit test at a time.
///
/// While an exit test runs, Swift Testing (6.3, Linux) reads what its process reports with a blocking `read` in a task. That takes one thread
/// of the cooperative pool out of use; two exit tests at once take both threads of a machine with two cores, and every other test in the
/// process stands still until one of them ends, while the clock goes on.
public struct ExitTestTurn: TestTrait, TestScoping {
    private static let turns = Turns()

    /// Waits for its turn, then runs the test.
    @concurrent
    public func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        await Self.turns.take()
        defer { Self.turns.pass() }
        try await function()
    }
}

extension Trait where Self == ExitTestTurn {
    /// See ``ExitTestTurn``.
    public static var exitTestTurn: Self { Self() }
}

/// A fair line.
private final class Turns: Sendable {
    private struct State {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Locked(State())

    func take() async {
        await withCheckedContinuation { continuation in
            let isFree = self.state.withLock { state in
                if state.isTaken { state.waiting.append(continuation) }
                defer { state.isTaken = true }
                return !state.isTaken
            }
            if isFree { continuation.resume() }
        }
    }

    func pass() {
        let next: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
            state.isTaken = false
            return nil
        }
        next?.resume()
    }
}
