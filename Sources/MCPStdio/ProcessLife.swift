import CMCPProcess
import JSON
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One server process from its start to its end. Everything here runs on the I/O thread.
///
/// `@unchecked Sendable`: its properties are touched by no other thread; `begin` and all that follows are called through
/// `IOThread.execute` or by its handlers, and timers hop there first.
final class ProcessLife: @unchecked Sendable {
    private let process: LaunchedProcess
    private let options: StdioTransport.Options
    private let outgoing: Locked<Outgoing>
    private let accounts: ResourceAccounts
    private let timekeeper: any Timekeeper
    private let receiver: any TransportReceiver
    private let io = IOThread.shared

    private var machine: TeardownStateMachine
    private let output: ServerOutput
    private var finish: CheckedContinuation<TransportEnd, Never>?
    private var timer: (any DeadlineTimer)?
    private var deadline: Duration?
    private var stdoutToken: UInt64?
    private var stderrToken: UInt64?
    private var controlToken: UInt64?
    /// Of our child: the server, or the guard in between.
    private var exitWatch: IOThread.ExitWatch?
    /// Who the server is, for the case that its guard is killed.
    private let server: ProcessIdentity?
    /// The guard, until it has been reaped.
    private var keeper: LaunchedProcess.Keeper?
    /// What the server left and nobody guards.
    private var others: [ProcessIdentity: IOThread.ExitWatch] = [:]
    private var isReceiving = true
    private var isBroken = false
    /// Input or output has ended; the end of the process is expected any moment and would be the better explanation than this.
    private var awaitingExit: String?
    /// The process was seen on its way out.
    private var isExitNear = false
    private var lastRung: TeardownRung = .none
    private var rungStart: Duration = .zero
    private var end = TransportEnd()

    /// How long after the end of output the end of the process may take and still be told as the reason (B2, D9).
    private static let exitPatience: Duration = .milliseconds(80)

    init(
        _ process: LaunchedProcess,
        options: StdioTransport.Options,
        outgoing: Locked<Outgoing>,
        accounts: ResourceAccounts,
        timekeeper: any Timekeeper,
        receiver: any TransportReceiver
    ) {
        self.process = process
        self.server = ProcessIdentity(of: process.pid)
        self.keeper = process.keeper
        self.options = options
        self.outgoing = outgoing
        self.accounts = accounts
        self.timekeeper = timekeeper
        self.receiver = receiver
        self.output = ServerOutput(options, receiver: receiver)
        self.machine = TeardownStateMachine(
            graces: TeardownStateMachine.Graces(
                flush: options.flushGrace,
                endOfInput: options.endOfInputGrace,
                terminate: options.terminateGrace,
                reap: options.reapGrace
            )
        )
    }

    // MARK: Start

    func begin(_ finish: CheckedContinuation<TransportEnd, Never>) {
        self.finish = finish
        self.end.processID = self.process.pid
        self.accounts.add(3, \.descriptors)
        self.outgoing.withLock { outgoing in
            outgoing.open(self.process.stdin, io: self.io) { [weak self] _, _ in self?.writable() }
        }
        self.stdoutToken = self.io.watch(self.process.stdout) { [weak self] _, scratch in self?.readOutput(scratch) }
        self.stderrToken = self.io.watch(self.process.stderr) { [weak self] _, scratch in self?.readErrors(scratch) }
        if let keeper = self.keeper {
            self.accounts.add(1, \.descriptors)
            self.controlToken = self.io.watch(keeper.control) { [weak self] _, scratch in self?.readControl(scratch) }
            self.exitWatch = self.io.watchExit(of: keeper.pid) { [weak self] in self?.keeperEnded($0) }
        } else {
            self.exitWatch = self.io.watchExit(of: self.process.pid) { [weak self] in self?.processEnded($0) }
        }
        if self.exitWatch == nil {
            // No descriptor left to watch it with: it cannot be looked after, so it must not run.
            self.signalAll(SIGKILL)
            self.io.execute { scratch in
                if self.keeper == nil {
                    self.processEnded(scratch, mayWait: true)
                } else {
                    self.keeperEnded(scratch, mayWait: true)
                }
            }
            return
        }
        if (self.exitWatch?.descriptor ?? -1) >= 0 { self.accounts.add(1, \.descriptors) }
        self.receiver.transportDidOpen()
    }

    // MARK: Bytes

    private func readOutput(_ scratch: UnsafeMutableRawBufferPointer) {
        let count = read(self.process.stdout, scratch.baseAddress, scratch.count)
        if count > 0 {
            self.take(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        } else if count == 0 {
            self.outputEnded()
        } else if errno != EAGAIN, errno != EINTR {
            self.outputEnded()
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        if let refusal = self.output.take(bytes) { self.fail(refusal) }
    }

    private func readErrors(_ scratch: UnsafeMutableRawBufferPointer) {
        let count = read(self.process.stderr, scratch.baseAddress, scratch.count)
        if count > 0 {
            self.output.takeErrors(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            self.stopReading(self.process.stderr, &self.stderrToken)
        }
    }

    private func outputEnded() {
        self.stopReading(self.process.stdout, &self.stdoutToken)
        self.output.end()
        guard !self.isBroken, !self.machine.isEnded else { return }
        self.awaitExit("the server closed its output, but its process still runs")
    }

    /// A message could not be written, because nobody reads the other end.
    func inputBroke() { self.awaitExit("the server closed its input, but its process still runs") }

    /// Something has ended that ends with the process: give the process a moment to be the reason.
    private func awaitExit(_ reason: String) {
        guard self.machine.isOpen, self.awaitingExit == nil else { return }
        self.awaitingExit = reason
        self.arm(Self.exitPatience)
    }

    private func writable() {
        switch self.outgoing.withLock({ $0.resume(self.io) }) {
        case .stillBlocked: break
        case .drained(let tellReceiver):
            self.perform(self.machine.flushed())
            if tellReceiver { self.receiver.transportDidDrain() }
        case .broken: self.inputBroke()
        }
    }

    func setReceiving(_ enabled: Bool) {
        guard enabled != self.isReceiving, let token = self.stdoutToken else { return }
        self.isReceiving = enabled
        self.io.change(self.process.stdout, token, read: enabled, write: false)
    }

    private func stopReading(_ descriptor: Int32, _ token: inout UInt64?) {
        if let active = token { self.io.unwatch(descriptor, active) }
        token = nil
    }

    // MARK: The end

    func close(_ manner: CloseManner) {
        if self.stdoutToken != nil { self.setReceiving(true) }
        self.perform(self.machine.close(manner, hasUnsent: !self.outgoing.withLock { $0.queue.isEmpty }))
    }

    /// The conversation makes no sense any more: tell the waiting calls now, end the process rung by rung.
    private func fail(_ error: MCPError) {
        self.breakOff(error)
        self.close(.orderly)
    }

    private func breakOff(_ error: MCPError) {
        guard !self.isBroken else { return }
        self.isBroken = true
        self.output.isMuted = true
        var error = error
        let tail = self.output.lastWords
        if !tail.isEmpty { error.message += "\nlast lines of its standard error:\n" + tail }
        self.receiver.transportDidBreak(error)
    }

    /// Our child was the server itself, and has ended.
    private func processEnded(_ scratch: UnsafeMutableRawBufferPointer, mayWait: Bool = false) {
        guard self.end.exitStatus == nil, !self.machine.isEnded else { return }
        guard let status = Self.reap(self.process.pid, mayWait: mayWait) else { return }
        self.leaveExitWatch()
        self.ended(status, scratch, wasWatched: !mayWait)
        let others = ProcessGroup.remainder(of: self.process, keepsDaemons: self.options.keepsDaemons)
        self.perform(self.machine.leaderEnded(remainder: others.isEmpty ? .nobody : .helpers))
        if !self.machine.isEnded { self.watchOthers(others) }
    }

    /// - Returns: the wait status; nil if it has not ended.
    private static func reap(_ pid: Int32, mayWait: Bool) -> Int32? {
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(pid, &status, mayWait ? 0 : WNOHANG) } while result < 0 && errno == EINTR
        return result == pid ? status : nil
    }

    /// The server has ended: what it wrote is read, and everybody who waits is told.
    private func ended(_ status: Int32?, _ scratch: UnsafeMutableRawBufferPointer, wasWatched: Bool = true) {
        if let status {
            let signal = status & 0x7F
            self.end.exitStatus = signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
        }
        self.drain(scratch)
        let wasAsked = !self.machine.isOpen
        self.awaitingExit = nil
        let how = self.end.exitStatus.map { "ended with \($0)" } ?? "is lost: somebody killed its mcp-guard"
        self.breakOff(
            wasWatched
                ? MCPError(wasAsked ? .hostClosed : .connectionLost, "the server's process \(how)")
                : MCPError(.launchFailed, "too many open files: the process could not be watched (raise `ulimit -n`)")
        )
    }

    private func leaveExitWatch() {
        if let watch = self.exitWatch { self.unwatch(watch) }
        self.exitWatch = nil
    }

    // MARK: The guard

    private func readControl(_ scratch: UnsafeMutableRawBufferPointer, wasWatched: Bool = true) {
        guard let keeper = self.keeper else { return }
        var event = mcp_guard_event()
        while read(keeper.control, &event, MemoryLayout.size(ofValue: event)) == MemoryLayout.size(ofValue: event) {
            switch event.kind {
            case Int32(MCP_GUARD_DESCENDANT): self.end.helpersEnded.append(event.value)
            case Int32(MCP_GUARD_ENDED):
                self.ended(event.value, scratch, wasWatched: wasWatched)
                self.perform(self.machine.leaderEnded(remainder: self.end.helpersEnded.isEmpty ? .keeper : .helpers))
            default: break
            }
        }
    }

    /// The guard ends when nothing of its server is left; before that only if somebody kills it.
    private func keeperEnded(_ scratch: UnsafeMutableRawBufferPointer, mayWait: Bool = false) {
        self.readControl(scratch, wasWatched: !mayWait)
        guard let keeper = self.keeper, Self.reap(keeper.pid, mayWait: mayWait) != nil else { return }
        self.releaseKeeper()
        if self.end.exitStatus != nil { return self.perform(self.machine.othersEnded()) }
        // Nobody to ask any more: what is left is found by descent and by its mark, and ended at once.
        self.ended(nil, scratch)
        var left = Set(LaunchMark.bearers(of: [self.process.mark]))
        if let server = self.server, server.isAlive { left.formUnion([server] + server.descendants) }
        self.perform(self.machine.leaderEnded(remainder: left.isEmpty ? .nobody : .helpers))
        if !self.machine.isEnded {
            self.watchOthers(Array(left))
            self.perform(self.machine.close(.force, hasUnsent: false))
        }
    }

    private func releaseKeeper() {
        guard let keeper = self.keeper else { return }
        self.leaveExitWatch()
        self.stopReading(keeper.control, &self.controlToken)
        _ = Self.closeDescriptor(keeper.control)
        self.accounts.add(-1, \.descriptors)
        self.keeper = nil
    }

    private func signalAll(_ signal: Int32) {
        if let keeper = self.keeper {
            var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
            _ = mcp_send(keeper.control, &command, 1)
        } else if self.process.keeper == nil, self.end.exitStatus == nil {
            ProcessGroup.signal(self.process.pid, signal)
        }
        for other in self.others.keys { other.signal(signal) }
    }

    /// What the process wrote before it ended is still in the pipes (E9). A pipe holds at most a mebibyte; somebody else who still
    /// writes to it must not keep us here (E8).
    private func drain(_ scratch: UnsafeMutableRawBufferPointer) {
        var rounds = 64
        while rounds > 0, self.stdoutToken != nil {
            let count = read(self.process.stdout, scratch.baseAddress, scratch.count)
            guard count > 0 else { break }
            self.take(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
            rounds -= 1
        }
        self.output.end()
        rounds = 64
        while rounds > 0, self.stderrToken != nil {
            let count = read(self.process.stderr, scratch.baseAddress, scratch.count)
            guard count > 0 else { break }
            self.output.takeErrors(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
            rounds -= 1
        }
    }

    private func watchOthers(_ processes: [ProcessIdentity]) {
        self.end.helpersEnded += processes.map(\.pid)
        for process in processes {
            guard let watch = self.io.watchExit(of: process.pid, { [weak self] _ in self?.otherEnded(process) }) else {
                continue
            }
            if watch.descriptor >= 0 { self.accounts.add(1, \.descriptors) }
            self.others[process] = watch
            process.signal(self.machine.isKilling ? SIGKILL : SIGTERM)
        }
        if self.others.isEmpty { self.sweep() }
    }

    private func otherEnded(_ process: ProcessIdentity) {
        if let watch = self.others.removeValue(forKey: process) { self.unwatch(watch) }
        if self.others.isEmpty { self.sweep() }
    }

    /// All that were seen are gone; look once more, they may have had children.
    private func sweep() {
        guard !self.machine.isEnded else { return }
        let more = ProcessGroup.remainder(of: self.process, keepsDaemons: self.options.keepsDaemons)
            .filter { !self.end.helpersEnded.contains($0.pid) }
        if more.isEmpty { self.perform(self.machine.othersEnded()) } else { self.watchOthers(more) }
    }

    private func unwatch(_ watch: IOThread.ExitWatch) {
        if watch.descriptor >= 0 { self.accounts.add(-1, \.descriptors) }
        self.io.unwatch(watch)
    }

    private func timeout() {
        // A timer that was set again while its alarm was on its way here.
        guard let deadline = self.deadline, self.timekeeper.now >= deadline else { return }
        self.deadline = nil
        if let reason = self.awaitingExit {
            // On a busy machine a dying process may take longer. If it is dying, its end is worth waiting for once more.
            if !self.isExitNear, ProcessGroup.isEnding(self.process.pid) {
                self.isExitNear = true
                return self.arm(self.options.endOfInputGrace)
            }
            self.awaitingExit = nil
            return self.fail(MCPError(.connectionLost, reason))
        }
        self.perform(self.machine.timeout())
    }

    private func arm(_ delay: Duration) {
        if self.timer == nil {
            self.accounts.add(1, \.timers)
            self.timer = self.timekeeper.makeTimer { [weak self] in
                guard let self else { return }
                self.io.execute { _ in self.timeout() }
            }
        }
        self.deadline = self.timekeeper.now + delay
        self.timer?.set(self.deadline)
    }

    private func perform(_ actions: [TeardownStateMachine.Action]) {
        for action in actions {
            switch action {
            case .closeInput: self.closeInput()
            case .signalGroup(let signal): self.signalAll(signal == .kill ? SIGKILL : SIGTERM)
            case .arm(let delay):
                self.awaitingExit = nil
                self.noteRung()
                self.arm(delay)
            case .disarm:
                self.deadline = nil
                self.timer?.set(nil)
            case .finish: self.finishAll()
            }
        }
    }

    private func noteRung() {
        guard self.machine.currentRung != self.lastRung else { return }
        let now = self.timekeeper.now
        if self.lastRung != .none { self.end.rungTimes.append((self.lastRung, now - self.rungStart)) }
        self.lastRung = self.machine.currentRung
        self.rungStart = now
    }

    private func closeInput() {
        if let descriptor = self.outgoing.withLock({ $0.close(because: "the connection is closed", io: self.io) }) {
            _ = Self.closeDescriptor(descriptor)
            self.accounts.add(-1, \.descriptors)
        }
    }

    private static func closeDescriptor(_ descriptor: Int32) -> Int32 {
        #if canImport(Darwin)
            Darwin.close(descriptor)
        #elseif canImport(Glibc)
            Glibc.close(descriptor)
        #else
            Musl.close(descriptor)
        #endif
    }

    private func finishAll() {
        self.noteRung()
        self.breakOff(MCPError(.hostClosed, "the connection was closed; the server's process did not end"))
        self.closeInput()
        self.stopReading(self.process.stdout, &self.stdoutToken)
        self.stopReading(self.process.stderr, &self.stderrToken)
        _ = Self.closeDescriptor(self.process.stdout)
        _ = Self.closeDescriptor(self.process.stderr)
        self.accounts.add(-2, \.descriptors)
        self.end.processesLeft = self.machine.isAbandoned ? self.others.keys.map(\.pid) : []
        if let keeper = self.keeper, let identity = ProcessIdentity(of: keeper.pid) {
            self.end.processesLeft += [keeper.pid] + identity.descendants.map(\.pid)
        } else if self.end.exitStatus == nil, self.process.keeper == nil {
            self.end.processesLeft.append(self.process.pid)
        }
        self.releaseKeeper()
        self.leaveExitWatch()
        for watch in self.others.values { self.unwatch(watch) }
        self.others = [:]
        if let timer = self.timer {
            timer.cancel()
            self.accounts.add(-1, \.timers)
        }
        self.timer = nil
        self.end.rung = self.machine.rung
        self.end.stderrTail = self.output.lastWords
        self.end.strayLines = self.output.strayLines
        self.finish?.resume(returning: self.end)
        self.finish = nil
    }
}
