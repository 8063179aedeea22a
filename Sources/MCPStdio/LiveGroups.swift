import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The servers that are alive now, for the one moment in which nobody is left to close them: the program returns from `main`
/// or calls `exit` without having shut its host down (E14).
final class LiveGroups: Sendable {
    static let shared = LiveGroups()

    private struct Entry {
        var process: LaunchedProcess
        /// Its number and our end of the guard's socket may be somebody else's now.
        var isReaped = false
    }

    private struct State {
        /// By their launch tokens, from the moment of the spawn.
        var entries: [String: Entry] = [:]
        /// Who registered: a forked child inherits the handler, and its exit is none of the servers' business (T5).
        var owner: Int32 = 0
        /// Children that are being made this very moment.
        var starting = 0
        /// The program ends: nothing is started any more.
        var isEnding = false

        /// - Returns: whether the handler is to be registered. In a forked child it is there already; what the parent had is not the child's.
        mutating func enter() -> Bool {
            defer { self.owner = getpid() }
            if self.owner != getpid() { (self.entries, self.starting, self.isEnding) = ([:], 0, false) }
            return self.owner == 0
        }
    }

    private let state = Locked(State())

    /// A child is about to be made: a program that ends in this moment waits until it is known here.
    /// - Parameter spawn: makes it; not called if the program is ending.
    func starting(_ spawn: () -> LaunchedProcess?) -> LaunchedProcess? {
        let isEnding = self.enter { state in
            if !state.isEnding { state.starting += 1 }
            return state.isEnding
        }
        if isEnding { return nil }
        let process = spawn()
        self.state.withLock { state in
            if state.starting > 0 { state.starting -= 1 }
            if let process { state.entries[process.launchToken] = Entry(process: process) }
        }
        return process
    }

    /// A child is there.
    func insert(_ process: LaunchedProcess) { self.enter { $0.entries[process.launchToken] = Entry(process: process) } }

    private func enter<R>(_ body: (inout State) -> R) -> R {
        let (isFirst, result) = self.state.withLock { state in (state.enter(), body(&state)) }
        if isFirst { atexit { LiveGroups.shared.endAll() } }
        return result
    }

    /// From now on nothing is sent to the child's number, nor through the socket of its guard: to be called before the one is reaped and the
    /// other closed (E18). What it may have left is known by its launch token alone.
    func willReap(_ process: LaunchedProcess) {
        self.state.withLock { $0.entries[process.launchToken]?.isReaped = true }
    }

    /// Nothing is left of it, or it was given up. Before its child is reaped, if it is not yet.
    func remove(_ process: LaunchedProcess) {
        self.state.withLock { _ = $0.entries.removeValue(forKey: process.launchToken) }
    }

    /// What has become of our child. Needs no descriptor.
    private enum Fate {
        case runs
        case ended(Int32)
        /// We have reaped it or are about to, or somebody else has (T9): its number may be a stranger's.
        case reaped
    }

    private static func fate(of entry: Entry) -> Fate {
        guard !entry.isReaped else { return .reaped }
        var status: Int32 = 0
        return switch mcp_child_look(entry.process.child, &status) {
        case MCP_CHILD_RUNS: .runs
        case MCP_CHILD_ENDED: .ended(status)
        default: .reaped
        }
    }

    /// Does something with each whose child runs; nobody here reaps one until it is done.
    /// - Returns: how many there were.
    @discardableResult
    private func forEachRunning(_ body: (LaunchedProcess) -> Void = { _ in }) -> Int {
        self.state.withLock { state in
            var count = 0
            for entry in state.entries.values {
                guard case .runs = Self.fate(of: entry) else { continue }
                body(entry.process)
                count += 1
            }
            return count
        }
    }

    /// SIGTERM to all, half a second, SIGKILL, half a second; and past the guards, where one does not do it.
    func endAll() {
        // In a forked child not even the lock can be trusted: whoever held it is not here to release it (T5).
        guard mcp_is_forked_child() == 0 else { return }
        self.state.withLock { $0.isEnding = $0.owner == getpid() }
        // Who is just being started is known in a moment, unless a file system does not answer (T4).
        for _ in 0..<100 where self.state.withLock({ $0.isEnding && $0.starting > 0 }) { _ = poll(nil, 0, 5) }
        let count = self.state.withLock { $0.isEnding ? $0.entries.count : 0 }
        guard count > 0 else { return }
        let text = "mcp-host: fault: the program ends with \(count) server(s) not shut down; ending them now\n"
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
        for signal in [SIGTERM, SIGKILL] {
            self.forEachRunning { $0.signal(signal) }
            // A guard ends when nothing of its server is left. To wait for many with descriptors would need some, and there may be none (T14).
            for _ in 0..<100 where self.forEachRunning() > 0 { _ = poll(nil, 0, 5) }
        }
        let (queries, guards) = self.notProved()
        // A guard below which nobody can look is the only one that can still do it: it does so when this program is gone.
        guard !queries.isEmpty, let found = ProcessSearch.find(queries) else { return }
        for process in found.joined() { process.signal(SIGKILL) }
        // Not those that have come meanwhile: they end by themselves.
        self.forEachRunning { if guards.contains($0.launchToken) { $0.killGroup() } }
    }

    /// What to look for of those whose guard has not said by its own end that nothing is left, and the guards that are still there.
    private func notProved() -> ([ProcessSearch.Query], Set<String>) {
        self.state.withLock { state in
            var (queries, guards): ([ProcessSearch.Query], Set<String>) = ([], [])
            for entry in state.entries.values {
                let process = entry.process
                switch Self.fate(of: entry) {
                case .ended(0) where process.guardProcess != nil: break
                case .ended, .reaped: queries.append(process.rest())
                case .runs:
                    guard let child = ProcessIdentity(of: process.child) else { continue }
                    queries.append(process.rest(below: child))
                    if process.guardProcess != nil { guards.insert(process.launchToken) }
                }
            }
            return (queries, guards)
        }
    }
}

extension LaunchedProcess {
    /// Asks for what is left of it, by its launch token and by descent from our child, except daemons that shall stay.
    /// - Parameter root: our child, if it is not reaped.
    func rest(below root: ProcessIdentity? = nil) -> ProcessSearch.Query {
        ProcessSearch.Query(
            launchToken: self.launchToken,
            process: self.child,
            includesGroup: false,
            keepsDaemons: self.keepsDaemons,
            roots: root.map { [$0] } ?? [],
            except: root?.pid ?? 0
        )
    }

    /// SIGKILL to our child and its group, if it is still ours: a number that somebody else has reaped may be a stranger's (T9, E18).
    func killGroup() {
        var status: Int32 = 0
        guard [MCP_CHILD_RUNS, MCP_CHILD_ENDED].contains(mcp_child_look(self.child, &status)) else { return }
        ProcessGroup.signal(self.child, SIGKILL)
    }

    /// To all of it: through its guard, which is woken if it was stopped (T17), or to its process group. Nobody has reaped our child.
    func signal(_ signal: Int32) {
        guard let guardProcess = self.guardProcess else { return ProcessGroup.signal(self.pid, signal) }
        var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
        _ = mcp_send(guardProcess.control, &command, 1)
        _ = kill(guardProcess.pid, SIGCONT)
    }
}
