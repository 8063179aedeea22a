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
    /// - Parameter parent: whose child it must be, where somebody else may have reaped it and given the number back.
    init?(of pid: Int32, childOf parent: Int32? = nil) {
        var process = mcp_process()
        guard mcp_process_read(pid, &process) == 0, parent == nil || process.parent == parent else { return nil }
        self.init(pid: pid, start: process.start)
    }

    init(pid: Int32, start: UInt64) {
        self.pid = pid
        self.start = start
    }

    /// Whether it lives; a zombie does not. What cannot be told, for want of a descriptor, counts as alive.
    var isAlive: Bool {
        var process = mcp_process()
        let failure = mcp_process_read(self.pid, &process)
        if failure != 0 { return failure != ESRCH }
        return process.start == self.start && process.state != Self.zombie
    }

    /// Sends a signal to it and to nobody else.
    func signal(_ signal: Int32) {
        var process = mcp_process()
        process.pid = self.pid
        process.start = self.start
        _ = mcp_process_signal(&process, signal)
    }

    /// Reaps it if it is a zombie and our child, although we have not started it: what a server leaves comes to us where we are process 1, or
    /// where the server made it our child (`CLONE_PARENT`). Nobody else would (E21, T25).
    func reap() {
        var process = mcp_process()
        guard mcp_process_read(self.pid, &process) == 0, process.start == self.start, process.state == Self.zombie,
            process.parent == getpid()
        else { return }
        var status: Int32 = 0
        _ = waitpid(self.pid, &status, WNOHANG)
    }

    /// Its living descendants now; nil when the system does not tell, which is not the same as none.
    var descendants: [ProcessIdentity]? {
        var list: UnsafeMutablePointer<mcp_process>?
        let count = mcp_process_descendants(self.pid, &list, nil)
        defer { free(list) }
        guard count >= 0 else { return nil }
        return UnsafeBufferPointer(start: list, count: count).map { ProcessIdentity(pid: $0.pid, start: $0.start) }
    }

    static let zombie = CChar(bitPattern: UInt8(ascii: "Z"))

    /// Whether it sleeps in the kernel, where no signal reaches it: a disk or a network file system does not answer.
    var isUninterruptible: Bool {
        var process = mcp_process()
        return mcp_process_read(self.pid, &process) == 0 && process.start == self.start
            && process.state == CChar(bitPattern: UInt8(ascii: "D"))
    }

    /// Waits for the ends of processes, blocking: not for the cooperative pool.
    /// - Returns: those that are still there after `milliseconds`.
    static func waitForEnds(_ processes: [ProcessIdentity], milliseconds: Int) -> [ProcessIdentity] {
        let deadline = Self.now() + milliseconds
        for process in processes {
            #if os(Linux)
                let descriptor = mcp_pidfd_open(process.pid)
                guard descriptor >= 0 else {
                    process.waitByLooking(until: deadline)
                    continue
                }
                defer { _ = close(descriptor) }
                guard process.isAlive else { continue }
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                _ = poll(&entry, 1, Int32(max(0, deadline - Self.now())))
            #else
                process.waitByLooking(until: deadline)
            #endif
        }
        return processes.filter(\.isAlive)
    }

    /// Where the system has no descriptor for a process that is not our child (T22), there is nothing to wait for but time.
    private func waitByLooking(until deadline: Int) {
        while self.isAlive, Self.now() < deadline { _ = poll(nil, 0, 5) }
    }

    private static func now() -> Int {
        var clock = timespec()
        clock_gettime(CLOCK_MONOTONIC, &clock)
        return clock.tv_sec * 1000 + clock.tv_nsec / 1_000_000
    }
}

/// The token that every server finds in its environment and hands down to what it starts: a random name of its launch. Whoever has it
/// was started by that launch, whatever became of parents, groups and sessions.
enum LaunchToken {
    static let variable = "MCP_HOST_LAUNCH"

    static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return String(random.next(), radix: 36) + String(random.next(), radix: 36)
    }

    /// What a look into a process's environment has come to.
    enum Found: Equatable {
        case launchTokens([String])
        /// It has none: a process of the kernel, one that has been given none, one that is in the middle of `exec`, or has just ended.
        case noEnvironment
        /// It has ended.
        case gone
        /// The system does not tell, because no descriptor is left to look with.
        case unknown
    }

    /// The launch tokens in a process's environment. Linux only: elsewhere there are none to be seen.
    static func launchTokens(of process: mcp_process) -> Found {
        #if os(Linux)
            var found = Self.environment("/proc/\(process.pid)/environ")
            if found == .success([]), process.threads > 1 {
                // Its main thread has ended, and has given the memory back that this file shows; the others still have it (T7).
                for thread in StateDirectory.files(in: "/proc/\(process.pid)/task") where found == .success([]) {
                    found = Self.environment("/proc/\(process.pid)/task/\(thread)/environ")
                }
            }
            switch found {
            case .success([]): return .noEnvironment
            case .success(let bytes):
                let prefix = Array("\(Self.variable)=".utf8)
                return .launchTokens(
                    bytes.split(separator: 0).filter { $0.starts(with: prefix) }.map {
                        String(decoding: $0.dropFirst(prefix.count), as: UTF8.self)
                    }
                )
            case .failure(let failure):
                switch failure.code {
                case ENOENT: return .gone
                // Somebody else's.
                case EACCES, EPERM: return .launchTokens([])
                default: return .unknown
                }
            }
        #else
            return .launchTokens([])
        #endif
    }

    #if os(Linux)
        private static func environment(_ path: String) -> Result<[UInt8], SystemFailure> {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            // ESRCH: it is there, and has no memory (any more).
            if descriptor < 0 { return errno == ESRCH ? .success([]) : .failure(SystemFailure(code: errno)) }
            defer { _ = close(descriptor) }
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 16 << 10)
            while bytes.count < 1 << 20 {
                let count = read(descriptor, &chunk, chunk.count)
                if count < 0 { return errno == ESRCH ? .success([]) : .failure(SystemFailure(code: errno)) }
                guard count > 0 else { break }
                bytes += chunk[..<count]
            }
            return .success(bytes)
        }
    #endif
}
