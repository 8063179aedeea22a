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
        /// By the marks of their launches, from the moment of the spawn.
        var entries: [String: Entry] = [:]
        /// Who registered: a forked child inherits the handler, and its exit is none of the servers' business (T5).
        var owner: Int32 = 0
    }

    private let state = Locked(State())

    /// A child is there, or more is known of it.
    func insert(_ process: LaunchedProcess) {
        let isFirst = self.state.withLock { state in
            // In a forked child the handler is there already; what the parent had is not the child's.
            let isFirst = state.owner == 0
            if state.owner != getpid() { state.entries = [:] }
            state.owner = getpid()
            state.entries[process.mark] = Entry(process: process)
            return isFirst
        }
        if isFirst { atexit { LiveGroups.shared.endAll() } }
    }

    /// From now on nothing is sent to the child's number, nor through the socket of its guard: to be called before the one is reaped and the
    /// other closed (E18). What it may have left is known by its mark alone.
    func willReap(_ process: LaunchedProcess) { self.state.withLock { $0.entries[process.mark]?.isReaped = true } }

    /// Nothing is left of it, or it was given up. Before its child is reaped, if it is not yet.
    func remove(_ process: LaunchedProcess) {
        self.state.withLock { _ = $0.entries.removeValue(forKey: process.mark) }
    }

    /// Does something with each that nobody has reaped, nor will until it is done.
    private func forEachUnreaped<R>(_ body: (LaunchedProcess) -> R) -> [R] {
        self.state.withLock { $0.entries.values.filter { !$0.isReaped }.map { body($0.process) } }
    }

    /// SIGTERM to all, half a second, SIGKILL; and past the guards, if there is one that does not do it.
    func endAll() {
        // In a forked child not even the lock can be trusted: whoever held it is not here to release it (T5).
        guard mcp_is_forked_child() == 0 else { return }
        let entries = self.state.withLock { $0.owner == getpid() ? Array($0.entries.values) : [] }
        guard !entries.isEmpty else { return }
        let text = "mcp-host: fault: the program ends with \(entries.count) server(s) not shut down; ending them now\n"
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
        var living = self.forEachUnreaped(\.serverIdentity).compactMap(\.self)
        for signal in [SIGTERM, SIGKILL] {
            _ = self.forEachUnreaped { $0.signal(signal) }
            living = ProcessIdentity.waitForEnds(living, milliseconds: 500)
        }
        let (queries, guards) = self.notProved()
        guard !queries.isEmpty else { return }
        for process in (ProcessSearch.find(queries) ?? []).joined() { process.signal(SIGKILL) }
        // Not those that have come meanwhile: they end by themselves.
        _ = self.forEachUnreaped { if guards.contains($0.mark) { ProcessGroup.signal($0.child, SIGKILL) } }
    }

    /// What to look for of those whose guard has not said by its own end that nothing is left, and the guards that are still there.
    private func notProved() -> ([ProcessSearch.Query], Set<String>) {
        self.state.withLock { state in
            var (queries, guards): ([ProcessSearch.Query], Set<String>) = ([], [])
            for entry in state.entries.values where entry.isReaped || entry.process.keeper != nil {
                var status: Int32 = 0
                if entry.isReaped {
                    queries.append(entry.process.rest())
                } else if mcp_child_look(entry.process.child, &status) != MCP_CHILD_ENDED || status != 0 {
                    queries.append(entry.process.rest(below: ProcessIdentity(of: entry.process.child)))
                    guards.insert(entry.process.mark)
                }
            }
            return (queries, guards)
        }
    }
}

extension LaunchedProcess {
    /// Asks for what is left of it, by its mark and by descent from our child, except daemons that shall stay.
    /// - Parameter root: our child, if it is not reaped.
    func rest(below root: ProcessIdentity? = nil) -> ProcessSearch.Query {
        ProcessSearch.Query(
            mark: self.mark,
            process: self.child,
            includesGroup: false,
            keepsDaemons: self.keepsDaemons,
            roots: root.map { [$0] } ?? [],
            except: root?.pid ?? 0
        )
    }

    /// To all of it: through its guard, which is woken if it was stopped (T17), or to its process group. Nobody has reaped our child.
    func signal(_ signal: Int32) {
        guard let keeper = self.keeper else { return ProcessGroup.signal(self.pid, signal) }
        var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
        _ = mcp_send(keeper.control, &command, 1)
        _ = kill(keeper.pid, SIGCONT)
    }
}
