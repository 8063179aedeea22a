import CMCPProcess

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One process for as long as the machine runs: its number and when it started. The number alone may be somebody else's tomorrow (E18).
struct ProcessIdentity: Sendable, Hashable {
    var pid: Int32
    /// In the system's own unit; see `mcp_process`.
    var start: UInt64

    /// Who has that number now; nil if nobody.
    init?(of pid: Int32) {
        var process = mcp_process()
        guard mcp_process_read(pid, &process) == 0 else { return nil }
        self.init(pid: pid, start: process.start)
    }

    init(pid: Int32, start: UInt64) {
        self.pid = pid
        self.start = start
    }

    /// Whether it lives; a zombie does not.
    var isAlive: Bool {
        var process = mcp_process()
        return mcp_process_read(self.pid, &process) == 0 && process.start == self.start && process.state != Self.zombie
    }

    /// Sends a signal to it and to nobody else.
    func signal(_ signal: Int32) {
        var process = mcp_process()
        process.pid = self.pid
        process.start = self.start
        _ = mcp_process_signal(&process, signal)
    }

    /// Its living descendants now.
    var descendants: [ProcessIdentity] {
        var list: UnsafeMutablePointer<mcp_process>?
        let count = mcp_process_descendants(self.pid, &list)
        defer { free(list) }
        return UnsafeBufferPointer(start: list, count: max(0, count)).map {
            ProcessIdentity(pid: $0.pid, start: $0.start)
        }
    }

    /// All living processes for which a condition holds.
    static func all(where isWanted: (mcp_process) -> Bool) -> [ProcessIdentity] {
        var list: UnsafeMutablePointer<mcp_process>?
        let count = mcp_process_list(&list)
        defer { free(list) }
        return UnsafeBufferPointer(start: list, count: max(0, count))
            .filter { $0.state != Self.zombie && isWanted($0) }
            .map { ProcessIdentity(pid: $0.pid, start: $0.start) }
    }

    private static let zombie = CChar(bitPattern: UInt8(ascii: "Z"))

    /// Waits for the ends of processes, blocking: not for the cooperative pool.
    /// - Returns: those that are still there after `milliseconds`.
    static func waitForEnds(_ processes: [ProcessIdentity], milliseconds: Int) -> [ProcessIdentity] {
        var clock = timespec()
        func now() -> Int {
            clock_gettime(CLOCK_MONOTONIC, &clock)
            return clock.tv_sec * 1000 + clock.tv_nsec / 1_000_000
        }
        let deadline = now() + milliseconds
        for process in processes {
            let descriptor = mcp_pidfd_open(process.pid)
            guard descriptor >= 0 else { continue }
            defer { _ = close(descriptor) }
            guard process.isAlive else { continue }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, Int32(max(0, deadline - now())))
        }
        return processes.filter(\.isAlive)
    }
}

/// The mark that every server finds in its environment and hands down to what it starts: a random name of its launch. Whoever has it
/// was started by that launch, whatever became of parents, groups and sessions.
enum LaunchMark {
    static let variable = "MCP_HOST_LAUNCH"

    static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return String(random.next(), radix: 36) + String(random.next(), radix: 36)
    }

    /// Living processes of this user with one of these marks. Linux only: elsewhere there are none to be seen.
    static func bearers(of marks: Set<String>) -> [ProcessIdentity] {
        #if os(Linux)
            guard !marks.isEmpty else { return [] }
            let wanted = Set(marks.map { "\(Self.variable)=\($0)" })
            let own = getpid()
            return ProcessIdentity.all { process in
                process.pid != own && Self.environment(of: process.pid).contains { wanted.contains($0) }
            }
        #else
            return []
        #endif
    }

    #if os(Linux)
        private static func environment(of pid: Int32) -> [String] {
            let descriptor = open("/proc/\(pid)/environ", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return [] }
            defer { _ = close(descriptor) }
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 16 << 10)
            while bytes.count < 1 << 20 {
                let count = read(descriptor, &chunk, chunk.count)
                guard count > 0 else { break }
                bytes += chunk[..<count]
            }
            return bytes.split(separator: 0).filter { $0.starts(with: Self.variable.utf8) }.map {
                String(decoding: $0, as: UTF8.self)
            }
        }
    #endif
}
