import CMCPProcess
import MCPJSON
import MCPTransport
import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The one writer of a server's input: messages go out in order, each whole, whoever sends (D6, D7).
///
/// The sender's own thread writes what the pipe takes at once, if nothing waits; what it does not take, and what others are to join, waits here for
/// the I/O thread.
struct OutputQueue {
    enum Outcome {
        /// Everything is written.
        case empty
        /// The pipe is full.
        case blocked
        /// Nobody reads the pipe any more.
        case broken
    }

    private var messages: [RawJSON] = []
    private var first = 0
    /// Bytes of the first message (and its line break) that are written already.
    private var written = 0
    private(set) var bytes = 0

    var isEmpty: Bool { self.first == self.messages.count }
    /// Messages that are kept, those included that are out.
    var keptCount: Int { self.messages.count }

    mutating func append(_ message: RawJSON) {
        self.messages.append(message)
        self.bytes += message.count + 1
    }

    mutating func removeAll() { self = OutputQueue() }

    /// What one write has come to.
    enum Written { case bytes(Int), blocked, broken }

    /// Writes until everything is out or the pipe is full. Never blocks: the descriptor is non-blocking.
    /// - Parameter scratch: room in which small messages are put together, so that they leave with one call of the system; nil for none.
    mutating func write(to descriptor: Int32, _ scratch: UnsafeMutableRawBufferPointer? = nil) -> Outcome {
        self.write { messages, offset in
            guard let scratch, messages.count > 1, let first = messages.first, first.count - offset < scratch.count / 4
            else { return Self.write(messages[messages.startIndex], from: offset, to: descriptor) }
            return Self.write(Self.gather(messages, from: offset, scratch), to: descriptor)
        }
    }

    /// Writes until everything is out or `writeSome` takes no more.
    /// - Parameter writeSome: takes bytes of messages, each with a line break behind it, from an offset in the first on.
    mutating func write(_ writeSome: (ArraySlice<RawJSON>, _ offset: Int) -> Written) -> Outcome {
        while self.first < self.messages.count {
            switch writeSome(self.messages[self.first...], self.written) {
            case .bytes(let count): self.advance(count)
            case .blocked: return .blocked
            case .broken: return .broken
            }
        }
        self.messages.removeAll(keepingCapacity: self.messages.count <= 64)
        self.first = 0
        return .empty
    }

    /// So many bytes are out.
    private mutating func advance(_ count: Int) {
        self.written += count
        while self.first < self.messages.count {
            let total = self.messages[self.first].count + 1
            guard self.written >= total else { break }
            self.written -= total
            self.bytes -= total
            self.first += 1
        }
        // What is out stays in front until it is worth moving the rest, also where the queue is never quite empty.
        if self.first > 32, self.first * 2 > self.messages.count {
            self.messages.removeFirst(self.first)
            self.first = 0
        }
    }

    /// As many whole messages as there is room for, one behind the other.
    private static func gather(
        _ messages: ArraySlice<RawJSON>,
        from offset: Int,
        _ scratch: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        var (filled, skipped) = (0, offset)
        for message in messages {
            let count = message.count + 1 - skipped
            guard filled + count <= scratch.count else { break }
            message.withUnsafeBytes { bytes in
                scratch[filled...].copyBytes(from: bytes.dropFirst(skipped))
            }
            scratch[filled + count - 1] = 0x0A
            filled += count
            skipped = 0
        }
        return UnsafeRawBufferPointer(rebasing: scratch[..<filled])
    }

    /// One `write`.
    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Written {
        #if canImport(Darwin)
            Self.outcome { Darwin.write(descriptor, bytes.baseAddress, bytes.count) }
        #elseif canImport(Glibc)
            Self.outcome { Glibc.write(descriptor, bytes.baseAddress, bytes.count) }
        #elseif canImport(Musl)
            Self.outcome { Musl.write(descriptor, bytes.baseAddress, bytes.count) }
        #endif
    }

    private static func outcome(_ call: () -> Int) -> Written {
        while true {
            let result = call()
            if result > 0 { return .bytes(result) }
            if errno == EINTR { continue }
            return errno == EAGAIN || errno == EWOULDBLOCK ? .blocked : .broken
        }
    }

    /// One `writev`: what is left of the message, and its line break.
    private static func write(_ message: RawJSON, from offset: Int, to descriptor: Int32) -> Written {
        message.withUnsafeBytes { bytes in
            var lineBreak: UInt8 = 0x0A
            return withUnsafeMutablePointer(to: &lineBreak) { end in
                let rest = UnsafeMutableRawPointer(mutating: bytes.baseAddress).map { $0 + min(offset, bytes.count) }
                let left = max(0, bytes.count - offset)
                var parts = (iovec(iov_base: rest, iov_len: left), iovec(iov_base: end, iov_len: 1))
                return withUnsafePointer(to: &parts) {
                    $0.withMemoryRebound(to: iovec.self, capacity: 2) { parts in
                        Self.outcome { writev(descriptor, parts, 2) }
                    }
                }
            }
        }
    }
}

/// Whether a message may join the queue, and who is told when there is room again. No descriptor, no lock: decisions only.
///
/// Who was refused is told exactly once that the queue has drained, after the refusal; the receiver keeps count of what it was told, so
/// that a refusal that reaches it late is not taken for a new one (T6).
struct SendWindow {
    private(set) var queue = OutputQueue()
    private var isRefusing = false

    enum Sent {
        case accepted
        /// Accepted, and the pipe is full: watch for room.
        case blocked
        /// Accepted, and nothing is written yet: see to it that ``resume(_:)`` is called soon.
        case gathered
        /// Not accepted; ``resume(_:)`` will say that there is room.
        case full
        case broken
    }

    /// - Parameters:
    ///   - limit: bytes that may wait; a message that finds the queue empty is taken whatever its size.
    ///   - write: writes what the pipe takes.
    mutating func send(_ message: RawJSON, limit: Int, _ write: (inout OutputQueue) -> OutputQueue.Outcome) -> Sent {
        let sent = self.gather(message, limit: limit)
        guard case .gathered = sent else { return sent }
        switch write(&self.queue) {
        case .empty: return .accepted
        case .blocked: return .blocked
        case .broken:
            self.queue.removeAll()
            return .broken
        }
    }

    /// The same, and lets others join the message before it is written.
    mutating func gather(_ message: RawJSON, limit: Int) -> Sent {
        let isFirst = self.queue.isEmpty
        guard isFirst || self.queue.bytes + message.count <= limit else {
            self.isRefusing = true
            return .full
        }
        self.queue.append(message)
        return isFirst ? .gathered : .accepted
    }

    enum Progress: Equatable { case stillBlocked, drained(tellReceiver: Bool), broken }

    /// The pipe has room again.
    mutating func resume(_ write: (inout OutputQueue) -> OutputQueue.Outcome) -> Progress {
        switch write(&self.queue) {
        case .blocked: return .stillBlocked
        case .empty:
            defer { self.isRefusing = false }
            return .drained(tellReceiver: self.isRefusing)
        case .broken:
            self.queue.removeAll()
            return .broken
        }
    }

    mutating func removeAll() { self.queue.removeAll() }
}

/// How often a server's output has been read: counted by the I/O thread, looked at by all senders.
final class ReadCount: Sendable {
    let value = Atomic(0)
}

/// The way to a server's input, shared by all senders and the I/O thread.
///
/// The first message after something was read leaves at once, so that whoever asks one thing after the other waits for nobody. Those that
/// come before the next reading, and all that are sent by the I/O thread itself, wait for each other: the I/O thread writes them together.
struct Outgoing {
    enum Outcome {
        case accepted
        /// Accepted; the I/O thread has to call ``resume(isBroken:_:)`` soon.
        case gathered(IOThread, @Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void)
        case full, closed(String), broken
    }

    private var window = SendWindow()
    private var descriptor: Int32 = -1
    private var registration: (io: IOThread, token: UInt64)?
    /// The pipe was full, and the I/O thread waits for room.
    private var isWatching = false
    private var flush: @Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void = { _ in }
    private let reads = ReadCount()
    /// What it was when something was sent last.
    private var readsAtSend = -1
    private var closedBecause = "the server is not started yet"

    var isEmpty: Bool { self.window.queue.isEmpty }

    /// - Parameter handler: called when there is room again, and when the server has closed its end, which nobody would notice who
    ///   only waits for an answer (D8).
    /// - Returns: where to count what is read from the server.
    mutating func open(
        _ descriptor: Int32,
        io: IOThread,
        _ handler: @escaping IOThread.Handler
    ) throws(SystemFailure) -> ReadCount {
        self.descriptor = descriptor
        self.flush = { handler(IOThread.Readiness(readable: false, writable: true, broken: false), $0) }
        self.registration = (io, try io.watch(descriptor, read: false, write: false, handler))
        return self.reads
    }

    /// Takes the descriptor away; what is queued is lost.
    mutating func close(because reason: String) -> Int32? {
        guard self.descriptor >= 0 else { return nil }
        defer { self.descriptor = -1 }
        self.closedBecause = reason
        self.window.removeAll()
        self.stopWatching()
        return self.descriptor
    }

    private mutating func stopWatching() {
        if let registration = self.registration { registration.io.unwatch(self.descriptor, registration.token) }
        self.registration = nil
        self.flush = { _ in }
    }

    private mutating func watch(write: Bool) {
        guard let registration = self.registration, self.isWatching != write else { return }
        self.isWatching = write
        registration.io.change(self.descriptor, registration.token, read: false, write: write)
    }

    mutating func send(_ message: RawJSON, limit: Int) -> Outcome {
        guard self.descriptor >= 0 else { return .closed(self.closedBecause) }
        let (descriptor, reads) = (self.descriptor, self.reads.value.load(ordering: .relaxed))
        let isFirst = reads != self.readsAtSend && mcp_is_io_thread() == 0
        self.readsAtSend = reads
        let sent =
            isFirst
            ? self.window.send(message, limit: limit) { $0.write(to: descriptor) }
            : self.window.gather(message, limit: limit)
        switch sent {
        case .accepted: return .accepted
        case .gathered:
            // The server has closed its input.
            guard let registration = self.registration else {
                self.window.removeAll()
                return .broken
            }
            return .gathered(registration.io, self.flush)
        case .blocked:
            self.watch(write: true)
            return .accepted
        case .full: return .full
        case .broken: return .broken
        }
    }

    /// The pipe has room again, or an error: with nothing to write, only an error counts.
    mutating func resume(isBroken: Bool, _ scratch: UnsafeMutableRawBufferPointer) -> SendWindow.Progress {
        guard self.descriptor >= 0 else { return .stillBlocked }
        if self.isEmpty {
            guard isBroken else { return .stillBlocked }
            self.stopWatching()
            return .broken
        }
        let descriptor = self.descriptor
        let progress = self.window.resume { $0.write(to: descriptor, scratch) }
        switch progress {
        case .stillBlocked: self.watch(write: true)
        case .drained: self.watch(write: false)
        case .broken: self.stopWatching()
        }
        return progress
    }
}
