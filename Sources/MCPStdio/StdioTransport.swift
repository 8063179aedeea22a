import CMCPProcess
import Dispatch
public import JSON
public import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A server as a subprocess: messages over its standard input and output, its standard error kept, its process group ended.
///
/// All of its life happens on the I/O thread, one event at a time: start, bytes, end of output, end of process, timers, requests to
/// close. Other threads only queue messages. ``run(_:)`` returns when process and descriptors are gone.
///
/// The first transport makes this process ignore SIGPIPE, if it has its default: writing to a dead server must be an error of that
/// call, and pipes know no other way (D8). Servers start with the default again.
public final class StdioTransport: Transport {
    /// Bounds and times.
    public struct Options: Sendable, Hashable {
        /// Bytes that one message may have, in either direction. Default 16 MiB.
        public var maximumMessageSize = 16 << 20
        /// Bytes of messages that may wait for a server that does not read. Default 32 MiB.
        public var maximumQueuedBytes = 32 << 20
        /// Bytes of anything but messages that a server may write before its first message (C2). Default 1 MiB.
        public var maximumStrayBytes = 1 << 20
        /// How long queued messages may take to go out when closing. Default 0.5 s.
        public var flushGrace: Duration = .milliseconds(500)
        /// How long a server may take to end after its input has ended. Default 2 s.
        public var endOfInputGrace: Duration = .seconds(2)
        /// How long it may take after SIGTERM. Default 2 s.
        public var terminateGrace: Duration = .seconds(2)
        /// How long the system may take to end it after SIGKILL. Default 2 s.
        public var reapGrace: Duration = .seconds(2)

        /// Processes that have left the server's session on purpose (daemons) stay when the server has ended, also when the host was
        /// killed (E6). By default everything that a server started ends with it.
        public var keepsDaemons = false
        /// Put an mcp-guard between this process and the server, if ``GuardProgram`` finds one: it ends all of the server when this
        /// process is killed (E15), and costs about 0.5 ms at the start. Default true.
        public var isGuarded = true

        /// The defaults of ARCHITECTURE section 10.
        public init() {}
    }

    /// Spawning blocks, so it has threads of its own and never one of the cooperative pool (L8).
    private static let spawning = DispatchQueue(label: "mcp.spawn", attributes: .concurrent)

    private let launch: ServerLaunch
    private let options: Options
    private let accounts: ResourceAccounts
    private let timekeeper: any Timekeeper
    private let io: IOThread
    private let outgoing: Locked<Outgoing>
    private let life: Locked<ProcessLife?>
    private let requested = Locked<CloseManner?>(nil)

    /// A transport that has not started anything yet.
    /// - Parameters:
    ///   - launch: what to start.
    ///   - options: bounds and times.
    ///   - accounts: the books in which processes, descriptors and timers are entered.
    ///   - timekeeper: where the times of closing come from.
    public init(
        _ launch: ServerLaunch,
        options: Options = Options(),
        accounts: ResourceAccounts = ResourceAccounts(),
        timekeeper: any Timekeeper = SystemTimekeeper()
    ) {
        self.launch = launch
        self.options = options
        self.accounts = accounts
        self.timekeeper = timekeeper
        self.io = .shared
        self.outgoing = Locked(Outgoing())
        self.life = Locked(nil)
    }

    /// Starts the process and stays until it is gone.
    public func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        func refused(_ error: MCPError) -> TransportEnd {
            receiver.transportDidBreak(error)
            return TransportEnd(launchError: error)
        }
        if self.requested.withLock({ $0 }) != nil {
            return refused(MCPError(.hostClosed, "closed before it was started"))
        }
        let launched = await withCheckedContinuation { continuation in
            Self.spawning.async {
                do throws(MCPError) {
                    let process = try self.launch.start(
                        ServerLaunch.Care(
                            guardProgram: self.options.isGuarded ? GuardProgram.path : nil,
                            keepsDaemons: self.options.keepsDaemons
                        )
                    )
                    LiveGroups.shared.insert(process)
                    continuation.resume(returning: Result<LaunchedProcess, MCPError>.success(process))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        switch launched {
        case .failure(let error): return refused(error)
        case .success(let process):
            self.accounts.add(1, \.processes)
            let life = ProcessLife(
                process,
                options: self.options,
                outgoing: self.outgoing,
                accounts: self.accounts,
                timekeeper: self.timekeeper,
                receiver: receiver
            )
            let end = await withCheckedContinuation { continuation in
                self.io.execute { _ in
                    self.life.withLock { $0 = life }
                    life.begin(continuation)
                    if let manner = self.requested.withLock({ $0 }) { life.close(manner) }
                }
            }
            self.life.withLock { $0 = nil }
            LiveGroups.shared.remove(process)
            if end.processesLeft.isEmpty { ProcessJournal.shared.ended(process.mark) }
            self.accounts.add(-1, \.processes)
            return end
        }
    }

    /// Writes the message, or queues what the pipe does not take.
    public func send(_ message: RawJSON) throws(MCPError) {
        guard message.count <= self.options.maximumMessageSize else {
            throw MCPError(
                .messageTooLarge,
                "a message of \(message.count) bytes exceeds the limit of \(self.options.maximumMessageSize) bytes"
            )
        }
        switch self.outgoing.withLock({ $0.send(message, limit: self.options.maximumQueuedBytes, io: self.io) }) {
        case .accepted: return
        case .full:
            throw MCPError(
                .busy,
                "the server does not read its input; \(self.options.maximumQueuedBytes) bytes are waiting"
            )
        case .closed(let reason): throw MCPError(.connectionLost, reason)
        case .broken:
            // Most likely the process is ending: its exit status, known in a moment, explains more than "broken pipe". All that
            // wait are told then; this message has been lost like those before it.
            self.io.execute { _ in self.life.withLock { $0 }?.inputBroke() }
        }
    }

    /// Stops or resumes reading the server's output.
    public func setReceiving(_ enabled: Bool) {
        self.io.execute { _ in self.life.withLock { $0 }?.setReceiving(enabled) }
    }

    /// Asks for the end of the process.
    public func close(_ manner: CloseManner) {
        self.requested.withLock { $0 = max($0 ?? manner, manner) }
        self.io.execute { _ in self.life.withLock { $0 }?.close(manner) }
    }
}

/// The way to a server's input, shared by all senders and the I/O thread.
struct Outgoing {
    enum Outcome { case accepted, full, closed(String), broken }

    var queue = OutputQueue()
    private var descriptor: Int32 = -1
    private var token: UInt64?
    private var isRefusing = false
    private var closedBecause = "the server is not started yet"

    /// - Parameter handler: called when there is room again, and when the server has closed its end, which nobody would notice who
    ///   only waits for an answer (D8).
    mutating func open(_ descriptor: Int32, io: IOThread, _ handler: @escaping IOThread.Handler) {
        self.descriptor = descriptor
        self.token = io.watch(descriptor, read: false, write: false, handler)
    }

    /// Takes the descriptor away; what is queued is lost.
    mutating func close(because reason: String, io: IOThread) -> Int32? {
        guard self.descriptor >= 0 else { return nil }
        defer { self.descriptor = -1 }
        self.closedBecause = reason
        self.queue.removeAll()
        self.stopWatching(io)
        return self.descriptor
    }

    mutating func stopWatching(_ io: IOThread) {
        if let token = self.token { io.unwatch(self.descriptor, token) }
        self.token = nil
    }

    mutating func send(_ message: RawJSON, limit: Int, io: IOThread) -> Outcome {
        guard self.descriptor >= 0 else { return .closed(self.closedBecause) }
        guard self.queue.isEmpty else {
            guard self.queue.bytes + message.count <= limit else {
                self.isRefusing = true
                return .full
            }
            self.queue.append(message)
            return .accepted
        }
        self.queue.append(message)
        switch self.queue.write(to: self.descriptor) {
        case .empty: return .accepted
        case .blocked:
            if let token = self.token { io.change(self.descriptor, token, read: false, write: true) }
            return .accepted
        case .broken:
            self.queue.removeAll()
            return .broken
        }
    }

    enum Progress { case stillBlocked, drained(tellReceiver: Bool), broken }

    /// The pipe has room again, or an error: with nothing to write, only an error calls.
    mutating func resume(_ io: IOThread) -> Progress {
        guard self.descriptor >= 0 else { return .stillBlocked }
        if self.queue.isEmpty {
            self.stopWatching(io)
            return .broken
        }
        switch self.queue.write(to: self.descriptor) {
        case .blocked: return .stillBlocked
        case .empty:
            if let token = self.token { io.change(self.descriptor, token, read: false, write: false) }
            defer { self.isRefusing = false }
            return .drained(tellReceiver: self.isRefusing)
        case .broken:
            self.queue.removeAll()
            self.stopWatching(io)
            return .broken
        }
    }
}
