import CMCPProcess
import Dispatch
import MCPJSON
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What is said to a client, line by line, on a thread of its own: a client that does not read holds up nobody but itself.
///
/// Answers are not lost while somebody may read them; so, while ``limit`` bytes wait, nothing more is read from the client, and nothing is asked of
/// it. News (events, progress) are dropped then. When the end has begun there is one time for all that waits.
final class LineWriter: Sendable {
    private struct State {
        var lines: [RawJSON] = []
        var bytes = 0
        /// Nobody reads any more, or all has been said.
        var isOver = false
        var isFinishing = false
    }

    /// Bytes that may wait.
    static let limit = 8 << 20
    /// How long a client may take, from the beginning of the end, to read what is said to it, in milliseconds.
    private static let patience: Int64 = 5000
    /// Of which a pipe takes all or nothing, so that a write after `poll` does not block.
    private static let piece = Int(PIPE_BUF)

    private let output: Int32
    private let ending: Ending
    private let state = Locked(State())
    private let work = DispatchSemaphore(value: 0)
    /// Readable when there is room again.
    private let room: (read: Int32, write: Int32)
    /// All has been written, or nobody reads any more.
    let over = OneShot<Void>()

    /// - Parameters:
    ///   - output: where the client reads.
    ///   - ending: told when the end begins.
    /// - Throws: `launchFailed` where no descriptors are left.
    init(output: Int32, ending: Ending) throws(MCPError) {
        var ends: [Int32] = [-1, -1]
        guard mcp_pipe(&ends, -1) == 0 else { throw MCPError(.launchFailed, "no pipe could be made for a client") }
        for end in ends { _ = mcp_set_nonblocking(end) }
        (self.output, self.ending, self.room) = (output, ending, (ends[0], ends[1]))
        // Writing to a client that has gone is an error of that write.
        mcp_ignore_sigpipe()
    }

    deinit {
        mcp_close(self.room.read)
        mcp_close(self.room.write)
    }

    /// Starts the thread.
    /// - Returns: whether there is one; all is over where not.
    func start() -> Bool {
        if SmallThread.start({ self.run() }) == 0 { return true }
        self.end()
        return false
    }

    /// Whether more may be asked of the client.
    var hasRoom: Bool { self.state.withLock { $0.bytes <= Self.limit && !$0.isOver } }

    /// Queues an answer, or a question.
    func write(_ line: RawJSON) {
        let isOver = self.state.withLock { state in
            if state.isOver { return true }
            state.lines.append(line)
            state.bytes += line.count + 1
            return false
        }
        if !isOver { self.work.signal() }
    }

    /// Queues what may be lost.
    /// - Returns: whether it was not.
    @discardableResult
    func offer(_ line: @autoclosure () -> RawJSON) -> Bool {
        guard self.hasRoom else { return false }
        self.write(line())
        return true
    }

    /// Nothing more will be queued.
    func finish() {
        self.state.withLock { $0.isFinishing = true }
        self.work.signal()
    }

    /// Blocks while too much waits to be read by the client, unless the end begins, or the client has said all that it will: what is left of that
    /// is not much.
    /// - Parameter input: where it is read from.
    func waitForRoom(_ input: Int32) {
        while !self.hasRoom, !self.over.isComplete {
            var entries = [
                pollfd(fd: self.room.read, events: Int16(POLLIN), revents: 0),
                pollfd(fd: input, events: Readiness.hangUp, revents: 0),
                pollfd(fd: self.ending.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&entries, nfds_t(entries.count), -1)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            if count <= 0 || entries[1].revents != 0 || entries[2].revents != 0 { return }
            var bytes = [UInt8](repeating: 0, count: 64)
            _ = systemRead(self.room.read, &bytes, bytes.count)
        }
    }

    private func run() {
        while true {
            self.work.wait()
            let (lines, isFinishing) = self.state.withLock { state in
                defer { state.lines = [] }
                return (state.lines, state.isFinishing)
            }
            for line in lines {
                guard self.put(line) else { return self.end() }
                let hasRoom = self.state.withLock { state in
                    let wasFull = state.bytes > Self.limit
                    state.bytes -= line.count + 1
                    return wasFull && state.bytes <= Self.limit
                }
                if hasRoom { self.tellRoom() }
            }
            if isFinishing, self.state.withLock({ $0.lines.isEmpty }) { return self.end() }
        }
    }

    private func tellRoom() {
        var byte: UInt8 = 1
        _ = systemWrite(self.room.write, &byte, 1)
    }

    private func end() {
        self.state.withLock { $0 = State(isOver: true) }
        self.over.complete(())
        self.tellRoom()
    }

    /// - Returns: false where nobody will read it.
    private func put(_ line: RawJSON) -> Bool {
        var rest = (line.bytes + [0x0A])[...]
        while !rest.isEmpty {
            guard self.waitUntilWritable() else { return false }
            let count = rest.withUnsafeBytes { systemWrite(self.output, $0.baseAddress, min($0.count, Self.piece)) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private func waitUntilWritable() -> Bool {
        if !self.ending.hasBegun, Readiness.wait(for: self.output, POLLOUT, self.ending) == .ready { return true }
        let left = max(0, self.lastMoment() - Self.now)
        return Readiness.wait(for: self.output, POLLOUT, nil, limit: Int32(left)) == .ready
    }

    private let deadline = Locked<Int64?>(nil)

    /// When whoever has not read it will not read it.
    private func lastMoment() -> Int64 {
        self.deadline.withLock { deadline in
            if let deadline { return deadline }
            let moment = Self.now + Self.patience
            deadline = moment
            return moment
        }
    }

    private static var now: Int64 { Int64(SystemMonotonicClock().now / .milliseconds(1)) }
}
