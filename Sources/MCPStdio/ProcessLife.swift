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
    private var framer: LineFramer
    private var finish: CheckedContinuation<TransportEnd, Never>?
    private var timer: (any DeadlineTimer)?
    private var deadline: Duration?
    private var stdoutToken: UInt64?
    private var stderrToken: UInt64?
    private var exitWatch: IOThread.ExitWatch?
    private var others: [Int32: IOThread.ExitWatch] = [:]
    private var isReceiving = true
    private var isBroken = false
    /// Input or output has ended; the end of the process is expected any moment and would be the better explanation than this.
    private var awaitingExit: String?
    /// The process was seen on its way out.
    private var isExitNear = false
    private var hasMessages = false
    private var strayBytes = 0
    private var strayLines = 0
    private var stderr = StderrTail()
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
        self.options = options
        self.outgoing = outgoing
        self.accounts = accounts
        self.timekeeper = timekeeper
        self.receiver = receiver
        self.framer = LineFramer(limit: options.maximumMessageSize)
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
            outgoing.open(self.process.stdin)
            outgoing.onWritable = { [weak self] _, _ in self?.writable() }
        }
        self.stdoutToken = self.io.watch(self.process.stdout) { [weak self] _, scratch in self?.readOutput(scratch) }
        self.stderrToken = self.io.watch(self.process.stderr) { [weak self] _, scratch in self?.readErrors(scratch) }
        self.exitWatch = self.io.watchExit(of: self.process.pid) { [weak self] in self?.processEnded($0) }
        if self.exitWatch == nil {
            // No descriptor left to watch it with: it cannot be looked after, so it must not run.
            ProcessGroup.signal(self.process.pid, SIGKILL)
            self.io.execute { scratch in self.processEnded(scratch, mayWait: true) }
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
        self.framer.append(bytes) { self.deliver($0) }
        guard !self.hasMessages else { return }
        let stray = self.strayBytes + self.framer.pendingStrayBytes
        if stray > self.options.maximumStrayBytes {
            let message = "standard output is not MCP: \(stray) bytes without a message. Is this command a server?"
            self.fail(MCPError(.handshakeFailed, message))
        }
    }

    private func deliver(_ frame: LineFramer.Frame) {
        guard !self.isBroken else { return }
        switch frame {
        case .message(let message):
            self.hasMessages = true
            self.receiver.transportDidReceive(message)
        case .oversized(let start, let size):
            self.hasMessages = true
            self.receiver.transportDidDropOversized(start: start, size: size, limit: self.options.maximumMessageSize)
        case .stray(let line, let size):
            self.strayLines += 1
            self.strayBytes += size
            line.withUnsafeBytes { self.stderr.append($0) }
            "\n".utf8.withContiguousStorageIfAvailable { self.stderr.append(UnsafeRawBufferPointer($0)) }
            if size >= 15, "\(line)".hasPrefix("Content-Length:") {
                self.fail(
                    MCPError(
                        .handshakeFailed,
                        "the server uses LSP framing (Content-Length); MCP is one message a line"
                    )
                )
            }
        }
    }

    private func readErrors(_ scratch: UnsafeMutableRawBufferPointer) {
        let count = read(self.process.stderr, scratch.baseAddress, scratch.count)
        if count > 0 {
            self.stderr.append(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
            self.stopReading(self.process.stderr, &self.stderrToken)
        }
    }

    private func outputEnded() {
        self.stopReading(self.process.stdout, &self.stdoutToken)
        self.framer.end { self.deliver($0) }
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
        var error = error
        let tail = self.stderr.text()
        if !tail.isEmpty { error.message += "\nlast lines of its standard error:\n" + tail }
        self.receiver.transportDidBreak(error)
    }

    private func processEnded(_ scratch: UnsafeMutableRawBufferPointer, mayWait: Bool = false) {
        guard self.end.exitStatus == nil, !self.machine.isEnded else { return }
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(self.process.pid, &status, mayWait ? 0 : WNOHANG) } while result < 0 && errno == EINTR
        guard result == self.process.pid else { return }
        let signal = status & 0x7F
        let exit: ExitStatus = signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
        self.end.exitStatus = exit
        if let watch = self.exitWatch { self.unwatch(watch) }
        self.exitWatch = nil
        self.drain(scratch)
        let wasAsked = !self.machine.isOpen
        self.awaitingExit = nil
        self.breakOff(
            mayWait
                ? MCPError(.launchFailed, "too many open files: the process could not be watched (raise `ulimit -n`)")
                : MCPError(wasAsked ? .hostClosed : .connectionLost, "the server's process ended with \(exit)")
        )
        let others = ProcessGroup.members(of: self.process.pid)
        self.perform(self.machine.leaderEnded(othersLeft: !others.isEmpty))
        if !self.machine.isEnded { self.watchOthers(others) }
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
        self.framer.end { self.deliver($0) }
        rounds = 64
        while rounds > 0, self.stderrToken != nil {
            let count = read(self.process.stderr, scratch.baseAddress, scratch.count)
            guard count > 0 else { break }
            self.stderr.append(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
            rounds -= 1
        }
    }

    private func watchOthers(_ pids: [Int32]) {
        self.end.helpersEnded += pids
        for pid in pids {
            guard let watch = self.io.watchExit(of: pid, { [weak self] _ in self?.otherEnded(pid) }) else { continue }
            if watch.descriptor >= 0 { self.accounts.add(1, \.descriptors) }
            self.others[pid] = watch
        }
        if self.others.isEmpty { self.sweep() }
    }

    private func otherEnded(_ pid: Int32) {
        if let watch = self.others.removeValue(forKey: pid) { self.unwatch(watch) }
        if self.others.isEmpty { self.sweep() }
    }

    /// All that were seen are gone; look once more, they may have had children.
    private func sweep() {
        guard !self.machine.isEnded else { return }
        let more = ProcessGroup.members(of: self.process.pid).filter { !self.end.helpersEnded.contains($0) }
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
            case .signalGroup(let signal): ProcessGroup.signal(self.process.pid, signal == .kill ? SIGKILL : SIGTERM)
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
        if let watch = self.exitWatch { self.unwatch(watch) }
        self.exitWatch = nil
        self.end.processesLeft = self.machine.isAbandoned ? Array(self.others.keys) : []
        if self.end.exitStatus == nil { self.end.processesLeft.append(self.process.pid) }
        for watch in self.others.values { self.unwatch(watch) }
        self.others = [:]
        if let timer = self.timer {
            timer.cancel()
            self.accounts.add(-1, \.timers)
        }
        self.timer = nil
        self.outgoing.withLock { $0.onWritable = nil }
        self.end.rung = self.machine.rung
        self.end.stderrTail = self.stderr.text()
        self.end.strayLines = self.strayLines
        self.finish?.resume(returning: self.end)
        self.finish = nil
    }
}
