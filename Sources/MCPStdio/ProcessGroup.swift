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
    /// Sends a signal to all members. Only for a group whose leader is not reaped: otherwise its number may belong to somebody else
    /// (E18).
    static func signal(_ group: Int32, _ signal: Int32) { _ = kill(-group, signal) }

    /// Whether a process is on its way out, or gone: its descriptors may be closed already, its exit status has not come here yet.
    static func isEnding(_ pid: Int32) -> Bool {
        var process = mcp_process()
        guard mcp_process_read(pid, &process) == 0 else { return true }
        return process.is_exiting != 0 || process.state == CChar(bitPattern: UInt8(ascii: "Z"))
    }
}
