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
    private let ending: Ending
    private let clients = Locked<[Int32: ControlConnection]>([:])

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
        let ending = try Ending()
        try Self.prepare(folder.isEmpty ? "/" : folder)
        self.lock = open("\(path).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.lock >= 0 else { throw Self.error("\(path).lock cannot be opened: \(Self.lastError)") }
        guard flock(self.lock, LOCK_EX | LOCK_NB) == 0 else {
            _ = close(self.lock)
            throw Self.error("somebody listens at \(path) already")
        }
        // Its listener is gone: it would hold the lock. Anything else that has the name is not ours to take away.
        var info = stat()
        if lstat(path, &info) == 0 {
            guard info.st_mode & S_IFMT == S_IFSOCK, info.st_uid == geteuid() else {
                _ = close(self.lock)
                throw Self.error("\(path) is there, and no socket of yours")
            }
            unlink(path)
        }
        guard let descriptor = LocalSocket.make() else {
            let why = Self.lastError
            _ = close(self.lock)
            throw Self.error("no socket can be made: \(why)")
        }
        let isBound = LocalSocket.with(&address) { bind(descriptor, $0, $1) } == 0
        guard isBound, chmod(path, 0o600) == 0, listen(descriptor, 64) == 0 else {
            let why = Self.lastError
            _ = close(descriptor)
            _ = close(self.lock)
            throw Self.error("\(path) cannot be listened at: \(why)")
        }
        _ = mcp_set_nonblocking(descriptor)
        (self.path, self.descriptor, self.shared, self.ending) = (path, descriptor, shared, ending)
    }

    /// The folder is there, and this user's alone.
    private static func prepare(_ folder: String) throws(MCPError) {
        if mkdir(folder, 0o700) == 0 { return }
        var info = stat()
        guard lstat(folder, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
            throw self.error("\(folder) is no folder, and cannot be made one")
        }
        guard info.st_uid == geteuid(), info.st_mode & 0o077 == 0 else {
            throw self.error(
                "\(folder) is open to others: whoever reaches the socket has this user's servers; chmod 700 it"
            )
        }
    }

    /// Ends it: no more clients, and those that are there are served to the end as if they had ended their input. From anywhere.
    /// - Parameter isNow: what is open gets no time to end.
    public func end(now isNow: Bool = false) {
        self.ending.begin()
        for connection in self.clients.withLock({ Array($0.values) }) { connection.end(now: isNow) }
    }

    /// Serves clients until somebody asks for the end, or the calling task is cancelled; returns when everything that they had opened is closed.
    /// - Returns: of their hosts, those of which something may be left.
    /// - Throws: `launchFailed` where there is no thread for it, and where no client can be taken any more.
    public func run() async throws(MCPError) -> [TeardownReport] {
        defer { self.leave() }
        let (accepted, continuation) = AsyncStream<Int32>.makeStream(bufferingPolicy: .unbounded)
        let hasEnded = OneShot<MCPError?>()
        let failure = SmallThread.start {
            let error = self.accept(continuation)
            continuation.finish()
            // Who cannot take clients any more has nobody who could ask for the end.
            if error != nil { self.end() }
            hasEnded.complete(error)
        }
        guard failure == 0 else { throw MCPError(.launchFailed, "there is no thread for taking clients") }
        let unclean = Locked<[TeardownReport]>([])
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                // To the end of the stream, also in a cancelled task: each descriptor in it is to be closed.
                var clients = accepted.makeAsyncIterator()
                while let client = await clients.next() {
                    group.addTask(name: "control: client \(client)") {
                        let reports = await self.serve(client)
                        unclean.withLock { $0 += reports }
                    }
                }
            }
        } onCancel: {
            self.end()
        }
        let (error, reports) = (await hasEnded.wait(), unclean.withLock { $0 })
        if let error, reports.isEmpty { throw error }
        return reports
    }

    private func serve(_ client: Int32) async -> [TeardownReport] {
        defer {
            self.clients.withLock { $0[client] = nil }
            _ = close(client)
        }
        guard let connection = try? ControlConnection(input: client, output: client, shared: self.shared) else {
            return []
        }
        self.clients.withLock { $0[client] = connection }
        // It may have begun in between.
        if self.ending.hasBegun { connection.end() }
        return (try? await connection.run()) ?? []
    }

    private let hasLeft = Locked(false)

    deinit { self.leave() }

    /// Gives back what it has, once.
    private func leave() {
        let isFirst = self.hasLeft.withLock { hasLeft in
            defer { hasLeft = true }
            return !hasLeft
        }
        guard isFirst else { return }
        unlink(self.path)
        _ = close(self.descriptor)
        _ = close(self.lock)
    }

    /// Takes clients, on a thread of its own.
    /// - Returns: why no more can be taken; nil where the end has begun.
    private func accept(_ clients: AsyncStream<Int32>.Continuation) -> MCPError? {
        while Readiness.wait(for: self.descriptor, POLLIN, self.ending) == .ready {
            let client = systemAccept(self.descriptor)
            guard client >= 0 else {
                switch errno {
                case EINTR, EAGAIN, ECONNABORTED, EPROTO: continue
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    // Whoever is there may go, and leave room.
                    if Readiness.wait(for: -1, 0, self.ending, limit: 100) == .ending { return nil }
                default: return Self.error("no client can be taken at \(self.path) any more: \(Self.lastError)")
                }
                continue
            }
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            let isTaken = mcp_peer_is_own(client) == 1 && self.clients.withLock { $0.count } < Self.maximumClients
            if !isTaken { _ = close(client) } else if case .terminated = clients.yield(client) { _ = close(client) }
        }
        return nil
    }

    private static func error(_ message: String) -> MCPError { MCPError(.invalidConfiguration, message) }

    private static var lastError: String { String(cString: strerror(errno)) }
}

// The system's own, where a member of that name is in the way.
private func systemAccept(_ descriptor: Int32) -> Int32 { accept(descriptor, nil, nil) }
