import CMCPProcess

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What can be asked of a process group.
enum ProcessGroup {
    /// Sends a signal to all members. Only for a group whose leader is not reaped, or whose members were just seen: otherwise its
    /// number may belong to somebody else (E18).
    static func signal(_ group: Int32, _ signal: Int32) { _ = kill(-group, signal) }

    /// What a server left that nobody guarded: members of its group in this session, and bearers of its mark in whichever.
    ///
    /// Ask while the leader is not reaped, or right after: the system call answers the usual case at once.
    static func remainder(of process: LaunchedProcess, keepsDaemons: Bool) -> [ProcessIdentity] {
        let session = getsid(0)
        var found = Set<ProcessIdentity>()
        if kill(-process.pid, 0) == 0 || errno != ESRCH {
            found.formUnion(
                ProcessIdentity.all { $0.group == process.pid && $0.pid != process.pid && $0.session == session }
            )
        }
        if !keepsDaemons { found.formUnion(LaunchMark.bearers(of: [process.mark])) }
        return found.filter { $0.pid != process.pid }.sorted { $0.pid < $1.pid }
    }

    /// Whether a process is on its way out, or gone: its descriptors may be closed already, its exit status has not come here yet.
    static func isEnding(_ pid: Int32) -> Bool {
        var process = mcp_process()
        guard mcp_process_read(pid, &process) == 0 else { return true }
        return process.is_exiting != 0 || process.state == CChar(bitPattern: UInt8(ascii: "Z"))
    }
}
