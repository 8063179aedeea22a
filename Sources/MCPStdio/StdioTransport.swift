import CMCPProcess
import MCPJSON
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
/// All of it happens on the I/O thread, one event at a time: start, bytes, end of output, end of process, timers, requests to
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
        /// How long the system may take to end it after SIGKILL, before it is reported as left. It takes milliseconds, and seconds on a
        /// machine that is overloaded (T26). Default 10 s.
        public var reapGrace: Duration = .seconds(10)
        /// How long the mcp-guard may take to say that the server runs; a program that is read over a network may take seconds. Then the
        /// start has failed. Default 10 s.
        public var guardGrace: Duration = .seconds(10)
        /// How long a close waits for a start that has not come back: a file system may not answer (T4). What comes of the start
        /// afterwards is ended. Default 2 s.
        public var startGrace: Duration = .seconds(2)

        /// Processes that have left the server's session on purpose (daemons) stay when the server has ended, also when the host was
        /// killed (E6). By default everything that a server started ends with it.
        public var keepsDaemons = false
        /// Put an mcp-guard between this process and the server, if `GuardProgram` finds one: it ends all of the server when this
        /// process is killed (E15), and costs about 0.5 ms at the start. Without it, a process that has left both the server's process
        /// group and its environment, or whose environment the system hides (it is not dumpable, as agents that keep keys are), cannot be
        /// found, and nothing tells of it (T18); and where this program is process 1, what a server orphans is reaped only when it ends.
        /// Default true.
        public var isGuarded = true

        /// The defaults of docs/architecture.md, section 10.
        public init() {}
    }

    private let launch: ServerLaunch
    private let options: Options
    private let accounts: ResourceAccounts
    private let clock: any MonotonicClock
    private let standardError: (@Sendable (String) -> Void)?
    private let endedLate: EndedLate
    private let outgoing = Locked(Outgoing())
    private let state = Locked(State())

    private struct State {
        var requested: TeardownMode?
        /// What comes of the start; there from the start on.
        var start: PendingStart?
        var serverProcess: ServerProcess?
    }

    /// A transport that has not started anything yet.
    /// - Parameters:
    ///   - launch: what to start.
    ///   - options: bounds and times.
    ///   - accounts: the books in which processes, descriptors and timers are entered.
    ///   - clock: where the times of closing come from.
    public convenience init(
        _ launch: ServerLaunch,
        options: Options = Options(),
        accounts: ResourceAccounts = ResourceAccounts(),
        clock: any MonotonicClock = SystemMonotonicClock()
    ) {
        self.init(
            launch,
            options: options,
            accounts: accounts,
            clock: clock,
            standardError: nil,
            endedLate: { _, _ in }
        )
    }

    /// - Parameters:
    ///   - standardError: told of each line of it, on the I/O thread.
    ///   - endedLate: told of each process that ended after it had been given up.
    package init(
        _ launch: ServerLaunch,
        options: Options,
        accounts: ResourceAccounts,
        clock: any MonotonicClock,
        standardError: (@Sendable (String) -> Void)? = nil,
        endedLate: @escaping EndedLate
    ) {
        self.standardError = standardError
        self.launch = launch
        self.options = options
        self.accounts = accounts
        self.clock = clock
        self.endedLate = endedLate
    }

    /// Starts the process and stays until it is gone.
    public func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        func refused(_ error: MCPError, doubt: String? = nil) -> TransportEnd {
            receiver.transportDidBreak(error)
            return TransportEnd(launchError: error, doubt: doubt)
        }
        let io: IOThread
        do throws(SystemFailure) { io = try IOThread.shared() } catch {
            return refused(MCPError(.launchFailed, "no server can be started: \(error.explanation)"))
        }
        let start = PendingStart(self.clock, self.accounts, self.options.startGrace)
        let isClosed = self.state.withLock { state in
            // Whoever closes again must not start the time of a start that will never be.
            if state.requested == nil { state.start = start }
            return state.requested != nil
        }
        if isClosed { return refused(MCPError(.hostClosed, "closed before it was started")) }
        let doubt = Locked<String?>(nil)
        Spawner.shared.run(
            { [launch = self.launch, options = self.options, endedLate = self.endedLate] in
                let options = ServerLaunch.StartOptions(
                    guardProgram: options.isGuarded ? GuardProgram.path : nil,
                    keepsDaemons: options.keepsDaemons,
                    guardGrace: options.guardGrace,
                    unproved: { why in doubt.withLock { $0 = why } },
                    endedLate: endedLate
                )
                let result: Result<LaunchedProcess, MCPError>
                do throws(MCPError) { result = .success(try launch.start(options)) } catch { result = .failure(error) }
                if !start.cameBack(result) { Self.end(result, endedLate) }
            },
            failed: { failure in
                let why = "no thread for starting it: \(failure.explanation)"
                _ = start.cameBack(.failure(MCPError(.launchFailed, why)))
            }
        )
        guard let launched = await start.outcome.wait() else {
            let why =
                "its start has not come back within \(self.options.startGrace) of closing; what comes of it will be ended"
            return refused(MCPError(.hostClosed, "closed while it was being started: \(why)"), doubt: why)
        }
        switch launched {
        case .failure(let error): return refused(error, doubt: doubt.withLock { $0 })
        case .success(let process): return await self.live(process, io, receiver)
        }
    }

    private func live(_ process: LaunchedProcess, _ io: IOThread, _ receiver: any TransportReceiver) async
        -> TransportEnd
    {
        self.accounts.add(1, \.processes)
        let serverProcess = ServerProcess(
            process,
            io: io,
            options: self.options,
            outgoing: self.outgoing,
            accounts: self.accounts,
            clock: self.clock,
            receiver: receiver,
            output: ServerOutput(
                self.options,
                receiver: receiver,
                mask: self.launch.mask,
                standardError: self.standardError
            ),
            endedLate: self.endedLate
        )
        let finish = OneShot<TransportEnd>()
        io.execute { _ in
            // Before the receiver is told that it is open: whoever hears of that may stop the reading at once.
            let mode = self.state.withLock { state in
                state.serverProcess = serverProcess
                return state.requested
            }
            serverProcess.begin(finish)
            if let mode { serverProcess.close(mode) }
        }
        var end = await finish.wait()
        if end.step == .kill, end.doubt == nil, let client = self.launch.containerClient {
            end.doubt =
                "its \(client) client had to be killed, so the container may go on running: `\(client) ps` tells"
        }
        self.state.withLock { $0.serverProcess = nil }
        ProcessJournal.shared.over(process.launchToken, isProved: end.isProved)
        self.accounts.add(-1, \.processes)
        return end
    }

    /// The start came back after everybody had gone.
    private static func end(
        _ result: Result<LaunchedProcess, MCPError>,
        _ endedLate: @escaping EndedLate
    ) {
        guard case .success(let process) = result else { return }
        Custodian.end(process) { isClear in
            ProcessJournal.shared.over(process.launchToken, isProved: isClear)
            endedLate("process \(process.pid), whose start came back after closing, was ended", isClear)
        }
    }

    /// Writes the message, or leaves it to the I/O thread: with what was sent since the last reading, or because the pipe is full.
    public func send(_ message: OutgoingMessage) throws(MCPError) {
        let message = message.payload
        guard message.count <= self.options.maximumMessageSize else {
            throw MCPError(
                .messageTooLarge,
                "a message of \(message.count) bytes exceeds the limit of \(self.options.maximumMessageSize) bytes"
            )
        }
        switch self.outgoing.withLock({ $0.send(message, limit: self.options.maximumQueuedBytes) }) {
        case .accepted: return
        case .gathered(let io, let flush): io.execute(flush)
        case .full:
            throw MCPError(
                .busy,
                "the server does not read its input; \(self.options.maximumQueuedBytes) bytes are waiting"
            )
        case .closed(let reason): throw MCPError(.connectionLost, reason)
        case .broken:
            // Most likely the process is ending: its exit status, known in a moment, explains more than "broken pipe". All that
            // wait are told then; this message has been lost like those before it.
            self.withServerProcess { $0.inputBroke() }
        }
    }

    /// Stops or resumes reading the server's output.
    public func setReceiving(_ enabled: Bool) { self.withServerProcess { $0.setReceiving(enabled) } }

    /// Asks for the end of the process.
    public func close(_ mode: TeardownMode) {
        let start = self.state.withLock { state in
            state.requested = max(state.requested ?? mode, mode)
            return state.start
        }
        start?.closing()
        self.withServerProcess { $0.close(mode) }
    }

    /// The server's process, while there is one.
    package var processID: Int32? { self.state.withLock { $0.serverProcess }?.process.pid }

    /// All of the server's processes that run now, and how each was started; none where the system does not tell within a second.
    package func processes() async -> [(pid: Int32, command: String)] {
        guard let serverProcess = self.state.withLock({ $0.serverProcess }) else { return [] }
        let found = OneShot<[Int32]>()
        serverProcess.io.execute { _ in serverProcess.find { found.complete($0) } }
        var pids = await found.wait(atMost: .seconds(1), by: SystemMonotonicClock(), late: [])
        // Without a guard it is known anyway, and not looked for.
        if let own = self.processID, !pids.contains(own) { pids.insert(own, at: 0) }
        return pids.map { ($0, self.command(of: $0)) }
    }

    private func command(of pid: Int32) -> String {
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = mcp_process_arguments(pid, buffer.baseAddress, buffer.count)
        }
        let words = (bytes.last == 0 ? bytes.dropLast() : bytes[...]).split(
            separator: 0,
            omittingEmptySubsequences: false
        )
        let text = words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        return bytes.count == 4096 ? self.launch.mask.maskedHead(text) : self.launch.mask.masked(text)
    }

    /// SIGKILL to the server's process and to nothing else, as if it had crashed: for whoever wants to see what happens then.
    package func crash() { self.withServerProcess { _ = $0.server?.signal(SIGKILL) } }

    /// Does something with the process on the I/O thread, if there is one.
    private func withServerProcess(_ body: @escaping @Sendable (ServerProcess) -> Void) {
        guard let serverProcess = self.state.withLock({ $0.serverProcess }) else { return }
        serverProcess.io.execute { _ in body(serverProcess) }
    }
}

/// A start that is under way, and those who may have gone before it comes back (T4).
private final class PendingStart: Sendable {
    private struct State {
        var isSettled = false
        var timer: (any DeadlineTimer)?
    }

    /// What came of the start; nil: a close would not wait any longer.
    let outcome = OneShot<Result<LaunchedProcess, MCPError>?>()
    private let state = Locked(State())
    private let clock: any MonotonicClock
    private let accounts: ResourceAccounts
    private let grace: Duration

    init(_ clock: any MonotonicClock, _ accounts: ResourceAccounts, _ grace: Duration) {
        (self.clock, self.accounts, self.grace) = (clock, accounts, grace)
    }

    /// - Returns: false if nobody waits for it any more.
    func cameBack(_ result: Result<LaunchedProcess, MCPError>) -> Bool { self.settle(result) }

    /// Somebody wants the end: from now on there is little patience.
    func closing() {
        self.state.withLock { state in
            guard !state.isSettled, state.timer == nil else { return }
            self.accounts.add(1, \.timers)
            state.timer = self.clock.makeTimer { [weak self] in _ = self?.settle(nil) }
            state.timer?.set(self.clock.now + self.grace)
        }
    }

    private func settle(_ result: Result<LaunchedProcess, MCPError>?) -> Bool {
        let isFirst = self.state.withLock { state in
            guard !state.isSettled else { return false }
            state.isSettled = true
            // Off the books before anybody goes on.
            if let timer = state.timer {
                timer.cancel()
                self.accounts.add(-1, \.timers)
            }
            state.timer = nil
            return true
        }
        if isFirst { self.outcome.complete(result) }
        return isFirst
    }
}

extension StdioTransport.Options: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("maximumMessageSize", \.maximumMessageSize), Setting("maximumQueuedBytes", \.maximumQueuedBytes),
        Setting("maximumStrayBytes", \.maximumStrayBytes), Setting("flushGrace", \.flushGrace),
        Setting("endOfInputGrace", \.endOfInputGrace), Setting("terminateGrace", \.terminateGrace),
        Setting("reapGrace", \.reapGrace), Setting("guardGrace", \.guardGrace), Setting("startGrace", \.startGrace),
        Setting("keepsDaemons", \.keepsDaemons), Setting("isGuarded", \.isGuarded),
    ]

    /// Reads them; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults; times in seconds.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}
