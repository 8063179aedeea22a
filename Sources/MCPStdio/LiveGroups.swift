import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The process groups that are alive now, for the one moment in which nobody is left to close them: the program returns from `main`
/// or calls `exit` without having shut its host down (E14).
final class LiveGroups: Sendable {
    static let shared = LiveGroups()

    private struct State {
        var groups: Set<Int32> = []
        var isRegistered = false
    }

    private let state = Locked(State())

    func insert(_ group: Int32) {
        let isFirst = self.state.withLock { state in
            state.groups.insert(group)
            defer { state.isRegistered = true }
            return !state.isRegistered
        }
        if isFirst { atexit { LiveGroups.shared.endAll() } }
    }

    func remove(_ group: Int32) { self.state.withLock { _ = $0.groups.remove(group) } }

    /// SIGTERM to all, half a second, SIGKILL.
    private func endAll() {
        let groups = self.state.withLock { $0.groups }
        guard !groups.isEmpty else { return }
        let text = "mcp-host: fault: the program ends with \(groups.count) server(s) not shut down; ending them now\n"
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
        let watches = groups.compactMap { group -> pollfd? in
            ProcessGroup.signal(group, SIGTERM)
            let descriptor = mcp_pidfd_open(group)
            return descriptor < 0 ? nil : pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        }
        for var watch in watches { _ = poll(&watch, 1, Int32(500 / watches.count)) }
        for group in groups { ProcessGroup.signal(group, SIGKILL) }
    }
}
