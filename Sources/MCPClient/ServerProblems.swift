public import MCPJSON
import MCPTransport
import MCPTypes

/// Something in what a server has said that is not as the protocol has it, and what was made of it.
public struct ServerProblem: Sendable, Hashable, CustomStringConvertible {
    /// The server's name in the host; nil outside of one.
    public var server: String?
    /// What it was said in: the method of the request that it answers, or of the notification.
    public var method: String
    /// What is wrong, and where.
    public var problem: JSONProblem

    /// Makes one.
    public init(server: String? = nil, method: String, problem: JSONProblem) {
        (self.server, self.method, self.problem) = (server, method, problem)
    }

    /// `method: path: message (remedy)`.
    public var description: String { "\(self.method): \(self.problem)" }
}

/// What was not as it has to be in what one server has said: the latest, each once.
package final class ServerProblems: Sendable {
    private struct State {
        /// Each with the reading in which it was seen last.
        var problems: [(problem: ServerProblem, reading: Int)] = []
        var reading = 0
        /// Those that were told, by their hashes: a server may have much to say.
        var told: Set<Int> = []
    }

    /// So many are kept for each method, of so many methods. A server must not fill our books.
    private static let limit = 100
    private static let methodsLimit = 16

    private let server: String?
    private let tell: (@Sendable (ServerProblem) -> Void)?
    private let state = Locked(State())

    /// - Parameter tell: told of each one once.
    package init(server: String?, tell: (@Sendable (ServerProblem) -> Void)? = nil) {
        (self.server, self.tell) = (server, tell)
    }

    /// All of them, in the order in which they came.
    package var all: [ServerProblem] { self.state.withLock { $0.problems.map(\.problem) } }

    /// Those of certain answers.
    package func of(_ methods: [Method]) -> [ServerProblem] {
        self.all.filter { problem in methods.contains { $0.rawValue == problem.method } }
    }

    /// Something is asked anew.
    /// - Returns: for ``forget(_:before:)``.
    func beginReading() -> Int {
        self.state.withLock { state in
            state.reading += 1
            return state.reading
        }
    }

    /// It has been read anew: what only earlier answers had does not count any more. Until then it does, for whoever has just read that.
    func forget(_ method: Method, before reading: Int) {
        self.state.withLock { state in
            state.problems.removeAll { $0.problem.method == method.rawValue && $0.reading < reading }
        }
    }

    /// The server is another process now.
    package func forgetAll() { self.state.withLock { $0 = State() } }

    func note(_ method: String, _ problems: [JSONProblem]) {
        guard !problems.isEmpty else { return }
        let new = self.state.withLock { state in
            var new: [ServerProblem] = []
            for problem in problems {
                let problem = ServerProblem(server: self.server, method: method, problem: problem)
                if let known = state.problems.firstIndex(where: { $0.problem == problem }) {
                    state.problems[known].reading = state.reading
                    continue
                }
                if state.problems.count(where: { $0.problem.method == method }) >= Self.limit,
                    let oldest = state.problems.firstIndex(where: { $0.problem.method == method })
                {
                    state.problems.remove(at: oldest)
                }
                if state.problems.count >= Self.limit * Self.methodsLimit { state.problems.removeFirst() }
                state.problems.append((problem, state.reading))
                if state.told.count < 10 * Self.limit, state.told.insert(problem.hashValue).inserted {
                    new.append(problem)
                }
            }
            return new
        }
        if let tell = self.tell { for problem in new { tell(problem) } }
    }
}
