#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Files, descriptors and this program, as the system has them. All of Foundation would take longer to load than a call takes.
enum System {
    /// The next bytes, as soon as there are some.
    /// - Returns: none at the end; nil where it cannot be read.
    static func read(_ descriptor: Int32) -> [UInt8]? {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { readBytes(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                self.wait(for: POLLIN, of: descriptor)
                continue
            }
            return count < 0 ? nil : Array(chunk[..<count])
        }
    }

    /// Somebody has made a descriptor one that does not wait: whoever shares a terminal shares that, too.
    private static func wait(for events: Int32, of descriptor: Int32) {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        _ = poll(&entry, 1, -1)
    }

    /// Whether a write failed because nobody reads any more.
    static func isGone(_ failure: Int32) -> Bool { failure == EPIPE }

    /// The system's words for an error.
    static func description(of failure: Int32) -> String { String(cString: strerror(failure)) }

    /// Everything up to the end.
    static func readToEnd(_ descriptor: Int32) -> [UInt8]? {
        var bytes: [UInt8] = []
        while true {
            guard let next = self.read(descriptor) else { return nil }
            if next.isEmpty { return bytes }
            bytes += next
        }
    }

    /// All of a file.
    /// - Returns: or what went wrong.
    static func contents(of path: String) -> (bytes: [UInt8]?, problem: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return (nil, self.lastError) }
        defer { self.close(descriptor) }
        guard let bytes = self.readToEnd(descriptor) else { return (nil, self.lastError) }
        return (bytes, "")
    }

    /// Writes all of it, however long that takes.
    /// - Returns: 0, or the number of the error.
    @discardableResult
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { writeBytes(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                self.wait(for: POLLOUT, of: descriptor)
                continue
            }
            guard count > 0 else { return errno }
            rest = rest.dropFirst(count)
        }
        return 0
    }

    /// Writes a file; what was there is replaced.
    /// - Returns: nil, or what went wrong.
    static func write(_ bytes: [UInt8], toFile path: String) -> String? {
        // A FIFO that nobody reads would be waited for, whatever signals come.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { return errno == ENXIO ? "nobody reads it" : self.lastError }
        let failure = self.write(bytes, to: descriptor)
        // A network's file system may find out only now.
        guard closeDescriptor(descriptor) == 0, failure == 0 else {
            return failure == 0 ? self.lastError : self.description(of: failure)
        }
        return nil
    }

    /// Writes to standard output.
    /// - Returns: nil, or what went wrong.
    static func writeOut(_ bytes: [UInt8]) -> String? {
        let failure = self.write(bytes, to: 1)
        return failure == 0 || self.isGone(failure) ? nil : self.description(of: failure)
    }

    /// What kind of thing has a path.
    enum Kind {
        /// `nowhere` is a link to what is not there.
        case directory, nowhere, other
    }

    /// - Returns: nil where there is nothing.
    static func kind(of path: String) -> Kind? {
        var info = stat()
        guard stat(path, &info) == 0 else { return lstat(path, &info) == 0 ? .nowhere : nil }
        return info.st_mode & S_IFMT == S_IFDIR ? .directory : .other
    }

    /// A pipe that no child gets.
    static func pipe() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [-1, -1]
        guard makePipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    static func close(_ descriptor: Int32) { _ = closeDescriptor(descriptor) }

    /// Waits until something can be read.
    /// - Parameter other: ends the waiting when there is something to read from it; -1 for none.
    /// - Returns: false if that was it.
    static func waitForInput(_ descriptor: Int32, unless other: Int32) -> Bool {
        var entries = [
            pollfd(fd: other, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            guard poll(&entries, nfds_t(entries.count), -1) >= 0 else {
                if errno == EINTR { continue }
                return false
            }
            if entries[0].revents != 0 { return false }
            if entries[1].revents != 0 { return true }
        }
    }

    /// Whether what is typed at a terminal is for this program. Where nobody keeps account of that it is.
    static func isInForeground(_ descriptor: Int32) -> Bool {
        let group = tcgetpgrp(descriptor)
        return group < 0 || group == getpgrp()
    }

    /// What was closed when this program began is taken by something that can neither be read nor written, so that no descriptor of its own gets
    /// that number: results would be written into a pipe of a server's.
    static func occupyStandardDescriptors() {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY)
        }
    }

    /// Forgets what was typed and not read.
    static func dropInput(_ descriptor: Int32) { tcflush(descriptor, TCIFLUSH) }

    static func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Columns of a terminal.
    static func columns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : nil
    }

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// The file of this program.
    static var program: String {
        #if os(Linux)
            if let path = realpath("/proc/self/exe", nil) {
                defer { free(path) }
                return String(cString: path)
            }
        #else
            var size = UInt32(0)
            _ = _NSGetExecutablePath(nil, &size)
            var path = [CChar](repeating: 0, count: Int(size) + 1)
            if _NSGetExecutablePath(&path, &size) == 0 { return String(cString: path) }
        #endif
        return CommandLine.arguments[0]
    }

    /// Whether a signal was ignored when this program began, by `nohup` or a shell in the background (T20).
    static func isIgnored(_ signal: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(signal, nil, &action) == 0 else { return false }
        #if canImport(Darwin)
            let handler = unsafeBitCast(action.__sigaction_u.__sa_handler, to: Int.self)
        #else
            let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
        #endif
        return handler == 1  // SIG_IGN, a macro that Swift does not see
    }

    /// Those that ask a program to end.
    static let endingSignals = (interrupt: SIGINT, terminate: SIGTERM, hangUp: SIGHUP)

    /// A time as ISO 8601 has it, in UTC.
    /// - Parameters:
    ///   - microseconds: since 1970; nil for now.
    ///   - hasFraction: with milliseconds.
    static func time(_ microseconds: Int64? = nil, hasFraction: Bool = false) -> String {
        var clock = timespec()
        clock_gettime(CLOCK_REALTIME, &clock)
        let time = microseconds ?? Int64(clock.tv_sec) * 1_000_000
        var (seconds, parts) = (time_t(time / 1_000_000), tm())
        guard gmtime_r(&seconds, &parts) != nil else { return "\(time)" }
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let milliseconds = "\(1000 + time / 1000 % 1000)".dropFirst()
        return "\(1900 + Int(parts.tm_year))-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T"
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))\(hasFraction ? ".\(milliseconds)" : "")Z"
    }

    /// Ends this program, whatever its tasks do.
    static func leave(_ code: Int32) -> Never { exit(code) }

    private static var lastError: String { self.description(of: errno) }
}

// The system's own, where a member of that name is in the way.
private func readBytes(_ descriptor: Int32, _ start: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, start, count)
}
private func writeBytes(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, start, count)
}
private func closeDescriptor(_ descriptor: Int32) -> Int32 { close(descriptor) }
private func makePipe(_ ends: UnsafeMutablePointer<Int32>) -> Int32 { pipe(ends) }
