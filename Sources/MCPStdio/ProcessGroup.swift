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

    /// The living members of a group whose leader was just reaped.
    ///
    /// The system call answers the usual case, nobody, at once; zombies count for it, so a yes is looked at more closely.
    static func members(of group: Int32) -> [Int32] {
        if kill(-group, 0) != 0, errno == ESRCH { return [] }
        #if os(Linux)
            return self.scan { $0.group == group && $0.session == getsid(0) && $0.state != UInt8(ascii: "Z") }
        #else
            var pids = [Int32](repeating: 0, count: 1024)
            let bytes = proc_listpids(UInt32(PROC_PGRP_ONLY), UInt32(group), &pids, Int32(pids.count * 4))
            return pids.prefix(max(0, Int(bytes)) / 4).filter { $0 > 0 }
        #endif
    }

    /// Whether a process is on its way out: its descriptors may be closed already, its exit status is not there yet.
    static func isEnding(_ pid: Int32) -> Bool {
        #if os(Linux)
            guard let entry = self.status(of: pid) else { return false }
            return entry.flags & 0x4 != 0 || entry.state == UInt8(ascii: "Z")  // PF_EXITING
        #else
            return false
        #endif
    }

    #if os(Linux)
        private struct Entry {
            var state: UInt8
            var group: Int32
            var session: Int32
            var flags: UInt32
        }

        private static func scan(_ isWanted: (Entry) -> Bool) -> [Int32] {
            guard let directory = opendir("/proc") else { return [] }
            defer { closedir(directory) }
            var found: [Int32] = []
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                guard let pid = Int32(name), let status = self.status(of: pid), isWanted(status) else { continue }
                found.append(pid)
            }
            return found
        }

        /// `/proc/PID/stat`: the name in brackets may contain anything, so the fields are counted from its last bracket.
        private static func status(of pid: Int32) -> Entry? {
            let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return nil }
            defer { _ = close(descriptor) }
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0, let bracket = buffer[..<count].lastIndex(of: UInt8(ascii: ")")) else { return nil }
            let fields = String(decoding: buffer[(bracket + 1)..<count], as: UTF8.self).split(separator: " ")
            guard fields.count > 6, let state = fields[0].utf8.first, let group = Int32(fields[2]),
                let session = Int32(fields[3]),
                let flags = UInt32(fields[6])
            else { return nil }
            return Entry(state: state, group: group, session: session, flags: flags)
        }
    #endif
}
