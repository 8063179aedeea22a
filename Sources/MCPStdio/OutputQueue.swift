import MCPJSON
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The one writer of a server's input: messages go out in order, each whole, whoever sends (D6, D7).
///
/// The sender's own thread writes what the pipe takes at once; what it does not take waits here for the I/O thread.
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

    mutating func append(_ message: RawJSON) {
        self.messages.append(message)
        self.bytes += message.count + 1
    }

    mutating func removeAll() { self = OutputQueue() }

    /// What one write has come to.
    enum Written { case bytes(Int), blocked, broken }

    /// Writes until everything is out or the pipe is full. Never blocks: the descriptor is non-blocking.
    mutating func write(to descriptor: Int32) -> Outcome {
        self.write { message, offset in Self.write(message, from: offset, to: descriptor) }
    }

    /// Writes until everything is out or `writeSome` takes no more.
    /// - Parameter writeSome: takes bytes of a message and its line break, from an offset on.
    mutating func write(_ writeSome: (RawJSON, _ offset: Int) -> Written) -> Outcome {
        while self.first < self.messages.count {
            let message = self.messages[self.first]
            let total = message.count + 1
            while self.written < total {
                switch writeSome(message, self.written) {
                case .bytes(let count): self.written += count
                case .blocked: return .blocked
                case .broken: return .broken
                }
            }
            self.written = 0
            self.bytes -= total
            self.first += 1
        }
        self.messages.removeAll(keepingCapacity: self.messages.count <= 64)
        self.first = 0
        return .empty
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
                        while true {
                            let result = writev(descriptor, parts, 2)
                            if result > 0 { return .bytes(result) }
                            if errno == EINTR { continue }
                            return errno == EAGAIN || errno == EWOULDBLOCK ? .blocked : .broken
                        }
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
        /// Not accepted; ``resume(_:)`` will say that there is room.
        case full
        case broken
    }

    /// - Parameters:
    ///   - limit: bytes that may wait; a message that finds the queue empty is taken whatever its size.
    ///   - write: writes what the pipe takes.
    mutating func send(_ message: RawJSON, limit: Int, _ write: (inout OutputQueue) -> OutputQueue.Outcome) -> Sent {
        guard self.queue.isEmpty else {
            guard self.queue.bytes + message.count <= limit else {
                self.isRefusing = true
                return .full
            }
            self.queue.append(message)
            return .accepted
        }
        self.queue.append(message)
        switch write(&self.queue) {
        case .empty: return .accepted
        case .blocked: return .blocked
        case .broken:
            self.queue.removeAll()
            return .broken
        }
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

/// The way to a server's input, shared by all senders and the I/O thread.
struct Outgoing {
    enum Outcome { case accepted, full, closed(String), broken }

    private var window = SendWindow()
    private var descriptor: Int32 = -1
    private var registration: (io: IOThread, token: UInt64)?
    private var closedBecause = "the server is not started yet"

    var isEmpty: Bool { self.window.queue.isEmpty }

    /// - Parameter handler: called when there is room again, and when the server has closed its end, which nobody would notice who
    ///   only waits for an answer (D8).
    mutating func open(_ descriptor: Int32, io: IOThread, _ handler: @escaping IOThread.Handler) throws(SystemFailure) {
        self.descriptor = descriptor
        self.registration = (io, try io.watch(descriptor, read: false, write: false, handler))
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
    }

    private func watch(write: Bool) {
        guard let registration = self.registration else { return }
        registration.io.change(self.descriptor, registration.token, read: false, write: write)
    }

    mutating func send(_ message: RawJSON, limit: Int) -> Outcome {
        guard self.descriptor >= 0 else { return .closed(self.closedBecause) }
        let descriptor = self.descriptor
        switch self.window.send(message, limit: limit, { $0.write(to: descriptor) }) {
        case .accepted: return .accepted
        case .blocked:
            self.watch(write: true)
            return .accepted
        case .full: return .full
        case .broken: return .broken
        }
    }

    /// The pipe has room again, or an error: with nothing to write, only an error counts.
    mutating func resume(isBroken: Bool) -> SendWindow.Progress {
        guard self.descriptor >= 0 else { return .stillBlocked }
        if self.isEmpty {
            guard isBroken else { return .stillBlocked }
            self.stopWatching()
            return .broken
        }
        let descriptor = self.descriptor
        let progress = self.window.resume { $0.write(to: descriptor) }
        switch progress {
        case .stillBlocked: break
        case .drained: self.watch(write: false)
        case .broken: self.stopWatching()
        }
        return progress
    }
}
