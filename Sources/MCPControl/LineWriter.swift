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
/// Answers are never lost while somebody can read them, and so are limited by what is read from the client meanwhile: nothing, once
/// ``limit`` bytes wait. News (events, progress) are dropped when that much waits, and counted.
final class LineWriter: Sendable {
    private struct State {
        var lines: [RawJSON] = []
        var bytes = 0
        /// News that were dropped, since that was told.
        var dropped = 0
        /// Nobody reads any more, or all has been said.
        var isOver = false
        var isFinishing = false
        /// The reader waits for room.
        var isFull = false
    }

    /// Bytes that may wait before no more is read from the client.
    static let limit = 8 << 20
    /// How long a client that has ended its input, or has gone, may let us wait before it counts as gone.
    private static let patience: Int32 = 5000
    /// Of which a pipe takes all or nothing.
    private static let piece = 4096

    private let input: Int32
    private let output: Int32
    private let state = Locked(State())
    private let work = DispatchSemaphore(value: 0)
    private let room = DispatchSemaphore(value: 0)
    /// All has been written, or nobody reads any more.
    let over = OneShot<Void>()

    /// - Parameters:
    ///   - input: where the client is read from, by others: its end says that the client may have gone.
    ///   - output: where it reads.
    init(input: Int32, output: Int32) { (self.input, self.output) = (input, output) }

    /// Starts the thread.
    /// - Returns: 0 or an errno.
    func start() -> Int32 { SmallThread.start { self.run() } }

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
    /// - Parameter line: made of the number of those that were lost before it.
    func offer(_ line: (_ dropped: Int) -> RawJSON) {
        let isTaken = self.state.withLock { state in
            if state.isOver { return false }
            if state.bytes > Self.limit {
                state.dropped += 1
                return false
            }
            let line = line(state.dropped)
            state.dropped = 0
            state.lines.append(line)
            state.bytes += line.count + 1
            return true
        }
        if isTaken { self.work.signal() }
    }

    /// Nothing more will be queued.
    func finish() {
        self.state.withLock { $0.isFinishing = true }
        self.work.signal()
    }

    /// Blocks while too much waits to be read by the client.
    func waitForRoom() {
        while true {
            let isFull = self.state.withLock { state in
                state.isFull = state.bytes > Self.limit && !state.isOver
                return state.isFull
            }
            if !isFull { return }
            self.room.wait()
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
                self.told(line.count + 1)
            }
            if isFinishing, self.state.withLock({ $0.lines.isEmpty }) { return self.end() }
        }
    }

    private func told(_ count: Int) {
        let hasRoom = self.state.withLock { state in
            state.bytes -= count
            guard state.isFull, state.bytes <= Self.limit / 2 else { return false }
            state.isFull = false
            return true
        }
        if hasRoom { self.room.signal() }
    }

    private func end() {
        let wasFull = self.state.withLock { state in
            defer { state = State(isOver: true) }
            return state.isFull
        }
        if wasFull { self.room.signal() }
        self.over.complete(())
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
        #if os(Linux)
            let hangUp = Int16(0x2000)  // POLLRDHUP
        #else
            let hangUp = Int16(0)
        #endif
        var entries = [
            pollfd(fd: self.output, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: self.input, events: hangUp, revents: 0),
        ]
        var limit: Int32 = -1
        while true {
            let count = poll(&entries, nfds_t(entries.count), limit)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            if entries[0].revents & Int16(POLLOUT) != 0 { return true }
            if entries[0].revents != 0 { return false }
            // It says no more; whether it still listens shows within a while.
            entries.removeLast()
            limit = Self.patience
        }
    }
}

// The system's own, where a member of that name is in the way.
private func systemWrite(_ descriptor: Int32, _ start: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, start, count)
}
