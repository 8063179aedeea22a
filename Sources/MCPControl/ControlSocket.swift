import CMCPProcess
public import MCPHost
public import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The control channel at a socket of this machine, for several clients: of the same user, and of nobody else.
public final class ControlSocket: Sendable {
    /// Clients at once; more are let go of at once.
    static let maximumClients = 256

    private let path: String
    private let descriptor: Int32
    /// Nobody else has the path while this is held.
    private let lock: Int32
    private let shared: [String: MCPHost]
    private let clients = Locked<Set<Int32>>([])

    /// Listens at a path. What a listener that is gone has left there is replaced.
    /// - Parameters:
    ///   - path: of at most a hundred bytes. Its folder is made if it is not there, and has to be this user's alone (0700).
    ///   - shared: hosts that all clients may use, by their ids.
    /// - Throws: `invalidConfiguration` where there is a listener, or the folder is somebody else's.
    public init(path: String, shared: [String: MCPHost] = [:]) throws(MCPError) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        guard var address = LocalSocket.address(path) else {
            throw Self.error("\(path) is no name for a socket: it has at most 100 bytes")
        }
        try Self.prepare(folder.isEmpty ? "/" : folder)
        self.lock = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.lock >= 0 else { throw Self.error("\(path).lock cannot be opened: \(Self.lastError)") }
        guard flock(self.lock, LOCK_EX | LOCK_NB) == 0 else {
            _ = close(self.lock)
            throw Self.error("somebody listens at \(path) already")
        }
        // Its listener is gone: it would hold the lock.
        unlink(path)
        guard let descriptor = LocalSocket.make() else { throw Self.error("no socket can be made: \(Self.lastError)") }
        let isBound = LocalSocket.with(&address) { bind(descriptor, $0, $1) } == 0
        guard isBound, chmod(path, 0o600) == 0, listen(descriptor, 64) == 0 else {
            let why = Self.lastError
            _ = close(descriptor)
            _ = close(self.lock)
            throw Self.error("\(path) cannot be listened at: \(why)")
        }
        (self.path, self.descriptor, self.shared) = (path, descriptor, shared)
    }

    /// The folder is there, and this user's alone.
    private static func prepare(_ folder: String) throws(MCPError) {
        if mkdir(folder, 0o700) == 0 { return }
        var info = stat()
        guard stat(folder, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
            throw self.error("\(folder) is no folder, and cannot be made one")
        }
        guard info.st_uid == geteuid(), info.st_mode & 0o077 == 0 else {
            throw self.error(
                "\(folder) is open to others: whoever reaches the socket has this user's servers; chmod 700 it"
            )
        }
    }

    /// Serves clients until the calling task is cancelled; returns when everything that they had opened is closed.
    /// - Returns: what was not closed as it should have been.
    public func run() async -> [TeardownReport] {
        let (accepted, continuation) = AsyncStream<Int32>.makeStream(bufferingPolicy: .unbounded)
        guard SmallThread.start({ self.accept(continuation) }) == 0 else { return [] }
        let unclean = Locked<[TeardownReport]>([])
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                for await client in accepted {
                    group.addTask(name: "control: client \(client)") {
                        let connection = ControlConnection(input: client, output: client, shared: self.shared)
                        let reports = try? await connection.run()
                        self.clients.withLock { _ = $0.remove(client) }
                        _ = close(client)
                        unclean.withLock { $0 += (reports ?? [:]).values.filter { !$0.isClean } }
                    }
                }
            }
        } onCancel: {
            // Ends the waiting for clients, and the reading from those that are there.
            _ = shutdown(self.descriptor, Int32(SHUT_RDWR))
            self.clients.withLock { clients in
                for client in clients { _ = shutdown(client, Int32(SHUT_RD)) }
            }
        }
        unlink(self.path)
        _ = close(self.descriptor)
        _ = close(self.lock)
        return unclean.withLock { $0 }
    }

    /// Takes clients, on a thread of its own.
    private func accept(_ clients: AsyncStream<Int32>.Continuation) {
        while true {
            let client = systemAccept(self.descriptor)
            if client < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                break
            }
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            let isTaken =
                mcp_peer_is_own(client) == 1
                && self.clients.withLock { known in
                    guard known.count < Self.maximumClients else { return false }
                    known.insert(client)
                    return true
                }
            if isTaken { clients.yield(client) } else { _ = close(client) }
        }
        clients.finish()
    }

    private static func error(_ message: String) -> MCPError { MCPError(.invalidConfiguration, message) }

    private static var lastError: String { String(cString: strerror(errno)) }
}

// The system's own, where a member of that name is in the way.
private func systemAccept(_ descriptor: Int32) -> Int32 { accept(descriptor, nil, nil) }
