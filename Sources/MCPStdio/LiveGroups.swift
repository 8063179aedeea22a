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

    private struct State {
        /// By the number of our child, from the moment of its spawn.
        var processes: [Int32: LaunchedProcess] = [:]
        /// Who registered: a forked child inherits the handler, and its exit is none of the servers' business (T5).
        var owner: Int32 = 0
    }

    private let state = Locked(State())

    /// A child is there, or more is known of it.
    func insert(_ process: LaunchedProcess) {
        let isFirst = self.state.withLock { state in
            // In a forked child the handler is there already; what the parent had is not the child's.
            let isFirst = state.owner == 0
            if state.owner != getpid() { state.processes = [:] }
            state.owner = getpid()
            state.processes[process.child] = process
            return isFirst
        }
        if isFirst { atexit { LiveGroups.shared.endAll() } }
    }

    func remove(_ process: LaunchedProcess) {
        self.state.withLock { _ = $0.processes.removeValue(forKey: process.child) }
    }

    /// SIGTERM to all, half a second, SIGKILL; and past the guards, if there is one that does not do it.
    private func endAll() {
        // In a forked child not even the lock can be trusted: whoever held it is not here to release it (T5).
        guard mcp_is_forked_child() == 0 else { return }
        let processes = self.state.withLock { $0.owner == getpid() ? Array($0.processes.values) : [] }
        guard !processes.isEmpty else { return }
        let text =
            "mcp-host: fault: the program ends with \(processes.count) server(s) not shut down; ending them now\n"
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
        let living = processes.compactMap(\.serverIdentity)
        for process in processes { process.signal(SIGTERM) }
        _ = ProcessIdentity.waitForEnds(living, milliseconds: 500)
        for process in processes { process.signal(SIGKILL) }
        guard !ProcessIdentity.waitForEnds(living, milliseconds: 500).isEmpty else { return }
        for process in processes where process.keeper != nil {
            process.signalBelow(SIGKILL)
            ProcessGroup.signal(process.child, SIGKILL)
        }
    }
}

extension LaunchedProcess {
    /// To all that descends from our child, except daemons that shall stay.
    func signalBelow(_ signal: Int32) {
        guard let root = ProcessIdentity(of: self.child) else { return }
        let query = ProcessSearch.Query(
            mark: self.mark,
            process: self.child,
            includesGroup: false,
            keepsDaemons: self.keepsDaemons,
            roots: [root],
            except: root.pid
        )
        for process in ProcessSearch.find([query])?[0] ?? [] { process.signal(signal) }
    }

    /// To all of it: through its guard, or to its process group. Nobody has reaped our child.
    fileprivate func signal(_ signal: Int32) {
        guard let keeper = self.keeper else { return ProcessGroup.signal(self.pid, signal) }
        var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
        _ = mcp_send(keeper.control, &command, 1)
    }
}
