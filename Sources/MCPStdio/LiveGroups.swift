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
        /// By the number of the server's process; a descriptor to its guard, or nil.
        var servers: [Int32: Int32?] = [:]
        var isRegistered = false
    }

    private let state = Locked(State())

    func insert(_ process: LaunchedProcess) {
        let isFirst = self.state.withLock { state in
            state.servers[process.pid] = .some(process.keeper?.control)
            defer { state.isRegistered = true }
            return !state.isRegistered
        }
        if isFirst { atexit { LiveGroups.shared.endAll() } }
    }

    func remove(_ process: LaunchedProcess) { self.state.withLock { _ = $0.servers.removeValue(forKey: process.pid) } }

    /// SIGTERM to all, half a second, SIGKILL.
    private func endAll() {
        let servers = self.state.withLock { $0.servers }
        guard !servers.isEmpty else { return }
        let text = "mcp-host: fault: the program ends with \(servers.count) server(s) not shut down; ending them now\n"
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
        let living = servers.keys.compactMap { ProcessIdentity(of: $0) }
        self.signal(servers, SIGTERM)
        _ = ProcessIdentity.waitForEnds(living, milliseconds: 500)
        self.signal(servers, SIGKILL)
        _ = ProcessIdentity.waitForEnds(living, milliseconds: 500)
    }

    private func signal(_ servers: [Int32: Int32?], _ signal: Int32) {
        for (pid, control) in servers {
            if let control {
                var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
                _ = mcp_send(control, &command, 1)
            } else {
                ProcessGroup.signal(pid, signal)
            }
        }
    }
}
