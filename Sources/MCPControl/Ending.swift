import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Tells threads that sleep in `poll` that the end has begun: the descriptor hangs up, now and from then on.
final class Ending: Sendable {
    /// For `poll` with POLLIN: nothing is ever written to it, so that what comes is the end. (macOS tells no POLLHUP to who asks for no events.)
    let descriptor: Int32
    private let other: Locked<Int32>

    /// - Throws: an errno where no descriptors are left.
    init() throws(MCPError) {
        var ends: [Int32] = [-1, -1]
        let failure = mcp_pipe(&ends, 1)
        guard failure == 0 else {
            throw MCPError(.launchFailed, "no pipe could be made: \(String(cString: strerror(failure)))")
        }
        self.descriptor = ends[0]
        self.other = Locked(ends[1])
    }

    /// The end begins; again and again is once.
    func begin() {
        let other = self.other.withLock { other in
            defer { other = -1 }
            return other
        }
        if other >= 0 { mcp_close(other) }
    }

    /// Whether it has begun.
    var hasBegun: Bool { self.other.withLock { $0 < 0 } }

    deinit {
        self.begin()
        mcp_close(self.descriptor)
    }
}

/// Whether something can be done with a descriptor, or the end has begun.
enum Readiness {
    case ready, ending, late

    /// The other side has said all that it will, beside POLLHUP, which needs not be asked for.
    #if os(Linux)
        static let hangUp = Int16(0x2000)  // POLLRDHUP
    #else
        static let hangUp = Int16(0)
    #endif

    /// Sleeps until then.
    /// - Parameters:
    ///   - descriptor: what is read or written.
    ///   - events: POLLIN or POLLOUT; an error or a hang-up counts as ready, the call after it tells which.
    ///   - ending: nil where the end has begun and is no news.
    ///   - limit: milliseconds; -1 for none.
    static func wait(for descriptor: Int32, _ events: Int32, _ ending: Ending?, limit: Int32 = -1) -> Self {
        var entries = [
            pollfd(fd: descriptor, events: Int16(events), revents: 0),
            pollfd(fd: ending?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let count = poll(&entries, nfds_t(entries.count), limit)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            if count <= 0 { return .late }
            // Also where there is always something to be read: a client that floods holds up no end.
            return entries[1].revents != 0 ? .ending : .ready
        }
    }
}

// The system's own, where a member of that name is in the way.
func systemRead(_ descriptor: Int32, _ start: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, start, count)
}
func systemWrite(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, start, count)
}
