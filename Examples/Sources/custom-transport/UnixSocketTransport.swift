import Foundation
import MCPHost

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#endif

/// A transport of one's own: a server that listens on a Unix socket, one message a line. It passes the same conformance tests as the
/// transports of the library (`TransportConformance`), and uses nothing of it that is not public.
///
/// One thread reads, one queue writes. What both want to know about each other stands behind one lock.
final class UnixSocketTransport: Transport, @unchecked Sendable {
    private let path: String
    private let accounts: ResourceAccounts
    private let capacity = 256

    /// `@unchecked Sendable`: everything below is touched with this lock held only.
    private let condition = NSCondition()
    private var socket: Int32 = -1
    private var isReceiving = true
    private var isClosed = false
    private var waiting = 0
    private var wasRefused = false
    private var receiver: (any TransportReceiver)?

    /// Calls to the receiver come one at a time.
    private let telling = NSRecursiveLock()
    private let writing = DispatchQueue(label: "unix-socket.writing")

    init(path: String, context: TransportContext) {
        self.path = path
        self.accounts = context.accounts
    }

    private func locked<R>(_ body: () -> R) -> R {
        self.condition.lock()
        defer { self.condition.unlock() }
        return body()
    }

    private func tell(_ body: (any TransportReceiver) -> Void) {
        self.telling.lock()
        defer { self.telling.unlock() }
        if let receiver = self.locked({ self.receiver }) { body(receiver) }
    }

    // MARK: Transport

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.serve(receiver)) }
        }
    }

    func send(_ message: OutgoingMessage) throws(MCPError) {
        let problem: MCPError.Code? = self.locked {
            if self.isClosed || self.socket < 0 { return .connectionLost }
            if self.waiting >= self.capacity {
                self.wasRefused = true
                return .busy
            }
            self.waiting += 1
            return nil
        }
        if let problem {
            throw MCPError(problem, problem == .busy ? "256 messages are waiting" : "the socket is closed")
        }
        self.writing.async { self.write(message.payload) }
    }

    func setReceiving(_ enabled: Bool) {
        self.locked {
            self.isReceiving = enabled
            self.condition.broadcast()
        }
    }

    func close(_ mode: TeardownMode) {
        self.locked {
            self.isClosed = true
            // Wakes the thread that reads, and whoever writes. The thread that reads closes the descriptor.
            if self.socket >= 0 { shutdown(self.socket, Int32(SHUT_RDWR)) }
            self.condition.broadcast()
        }
    }

    // MARK: The thread that reads

    private func serve(_ receiver: any TransportReceiver) -> TransportEnd {
        var end = TransportEnd()
        let error: MCPError
        if let socket = self.connect() {
            self.accounts.add(1, \.descriptors)
            self.locked { self.receiver = receiver }
            self.tell { $0.transportDidOpen() }
            self.read(socket)
            self.writing.sync {}
            let wasClosed = self.locked { () -> Bool in
                defer { (self.socket, self.isClosed) = (-1, true) }
                return self.isClosed
            }
            _ = System.close(socket)
            self.accounts.add(-1, \.descriptors)
            error = MCPError(
                wasClosed ? .hostClosed : .connectionLost,
                wasClosed ? "the connection was closed" : "the server closed its socket"
            )
        } else {
            let reason = String(cString: strerror(errno))
            error = MCPError(.launchFailed, "cannot connect to \(self.path): \(reason)")
            end.launchError = error
            self.locked { self.receiver = receiver }
        }
        self.tell { $0.transportDidBreak(error) }
        self.locked { self.receiver = nil }
        return end
    }

    private func connect() -> Int32? {
        let socket = System.socket()
        guard socket >= 0 else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: self.path.utf8.prefix($0.count - 1)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                System.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        let isWanted = self.locked { () -> Bool in
            if result == 0, !self.isClosed { self.socket = socket }
            return self.socket == socket
        }
        if isWanted { return socket }
        let reason = errno
        _ = System.close(socket)
        errno = reason
        return nil
    }

    private func read(_ socket: Int32) {
        var line: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while self.waitUntilReceiving() {
            let count = recv(socket, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            var rest = chunk[..<count]
            while let end = rest.firstIndex(of: 0x0A) {
                line += rest[..<end]
                rest = rest[(end + 1)...]
                defer { line.removeAll(keepingCapacity: true) }
                guard line.first == UInt8(ascii: "{") || line.first == UInt8(ascii: "[") else { continue }
                guard self.waitUntilReceiving() else { return }
                self.tell { $0.transportDidReceive(RawJSON(copying: line), from: .main) }
            }
            line += rest
        }
    }

    /// - Returns: false when the connection is to be closed.
    private func waitUntilReceiving() -> Bool {
        self.locked {
            while !self.isReceiving, !self.isClosed { self.condition.wait() }
            return !self.isClosed
        }
    }

    // MARK: The queue that writes

    private func write(_ message: RawJSON) {
        let socket = self.locked { self.socket }
        let line = message.withUnsafeBytes { Array($0) } + [0x0A]
        var start = 0
        while start < line.count, socket >= 0 {
            let count = line[start...].withUnsafeBytes { System.send(socket, $0) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            start += count
        }
        let hasRoom = self.locked { () -> Bool in
            self.waiting -= 1
            guard self.wasRefused, self.waiting <= self.capacity / 2 else { return false }
            self.wasRefused = false
            return true
        }
        if hasRoom { self.tell { $0.transportDidDrain() } }
    }
}

/// The calls of the system whose names the transport's own methods have.
private enum System {
    static func socket() -> Int32 {
        #if canImport(Darwin)
            let socket = Darwin.socket(AF_UNIX, SOCK_STREAM, 0)
            var yes: Int32 = 1
            setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &yes, socklen_t(MemoryLayout<Int32>.size))
            _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
            return socket
        #else
            return Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #endif
    }

    static func connect(_ socket: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
        #if canImport(Darwin)
            return Darwin.connect(socket, address, size)
        #else
            return Glibc.connect(socket, address, size)
        #endif
    }

    static func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Darwin)
            return Darwin.send(socket, bytes.baseAddress, bytes.count, 0)
        #else
            return Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        #endif
    }

    static func close(_ descriptor: Int32) -> Int32 {
        #if canImport(Darwin)
            return Darwin.close(descriptor)
        #else
            return Glibc.close(descriptor)
        #endif
    }
}
