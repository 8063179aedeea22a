import JSON
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
    var count: Int { self.messages.count - self.first }

    mutating func append(_ message: RawJSON) {
        self.messages.append(message)
        self.bytes += message.count + 1
    }

    mutating func removeAll() { self = OutputQueue() }

    /// Writes until everything is out or the pipe is full. Never blocks: the descriptor is non-blocking.
    mutating func write(to descriptor: Int32) -> Outcome {
        while self.first < self.messages.count {
            let message = self.messages[self.first]
            let total = message.count + 1
            while self.written < total {
                let result = Self.write(message, from: self.written, to: descriptor)
                if result > 0 {
                    self.written += result
                } else if errno == EINTR {
                    continue
                } else {
                    return errno == EAGAIN || errno == EWOULDBLOCK ? .blocked : .broken
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
    private static func write(_ message: RawJSON, from offset: Int, to descriptor: Int32) -> Int {
        message.withUnsafeBytes { bytes in
            var lineBreak: UInt8 = 0x0A
            return withUnsafeMutablePointer(to: &lineBreak) { end in
                let rest = UnsafeMutableRawPointer(mutating: bytes.baseAddress).map { $0 + min(offset, bytes.count) }
                let left = max(0, bytes.count - offset)
                var parts = (iovec(iov_base: rest, iov_len: left), iovec(iov_base: end, iov_len: 1))
                return withUnsafePointer(to: &parts) {
                    $0.withMemoryRebound(to: iovec.self, capacity: 2) { writev(descriptor, $0, 2) }
                }
            }
        }
    }
}
