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

/// Told of a process that ended after it had been given up: in words for a person, and whether nothing of the server is left now.
package typealias EndedLate = @Sendable (_ what: String, _ isClear: Bool) -> Void

/// One server process from its start to its end. Everything here runs on the I/O thread. Its bytes are in this file, its end in
/// `ServerProcess+End.swift`.
///
/// `@unchecked Sendable`: its properties are touched by no other thread; `begin` and all that follows are called through
/// `IOThread.execute` or by its handlers, and timers and searches hop there first.
final class ServerProcess: @unchecked Sendable {
    let process: LaunchedProcess
    let options: StdioTransport.Options
    let accounts: ResourceAccounts
    let clock: any MonotonicClock
    let receiver: any TransportReceiver
    let io: IOThread
    let output: ServerOutput
    private let outgoing: Locked<Outgoing>
    private var reads: ReadCount?
    /// Told of what ends after it was given up.
    let endedLate: EndedLate

    var machine: TeardownStateMachine
    private var finish: OneShot<TransportEnd>?
    private var timer: (any DeadlineTimer)?
    private var deadline: Duration?
    private var stdoutToken: UInt64?
    private var stderrToken: UInt64?
    private var controlToken: UInt64?
    /// Of our child: the server, or the guard in between.
    var exitWatch: IOThread.ExitWatch?
    /// Who the server is, for the case that its guard is killed.
    let server: ProcessIdentity?
    /// The guard, until it has been reaped.
    var guardProcess: LaunchedProcess.GuardProcess?
    /// What the server left and nobody guards; a watch for its end, or nil where the system has none.
    var others: [ProcessIdentity: IOThread.ExitWatch?] = [:]
    /// The server has ended; how is in `processEnd.exitStatus`, if anybody knows.
    var hasEnded = false
    /// The server was our child, and nobody has reaped it yet.
    var isUnreaped = false
    /// Somebody else has reaped the server, so that its process group cannot be told from another of the same number (T9).
    var isGroupUnknown = false
    /// The guard has said that nothing is left, or we have seen so ourselves before we ended it.
    var isClear = false
    /// The last look at the process table failed.
    var isBlind = false
    /// What is to be looked at again soon, and the timer for it.
    var laterJobs: [@Sendable () -> Void] = []
    var laterTimer: (any DeadlineTimer)?
    private var isReceiving = true
    var isBroken = false
    /// Input or output has ended; the end of the process is expected any moment and would be the better explanation than this.
    private var awaitingExit: String?
    /// The process was seen on its way out.
    private var isExitNear = false
    private var lastStep: TeardownStep = .none
    private var stepStart: Duration = .zero
    var end = TransportEnd()
    /// What is told of the process in it.
    var processEnd: ProcessEnd

    /// How long after the end of output the end of the process may take and still be told as the reason (B2, D9).
    private static let exitPatience: Duration = .milliseconds(80)

    init(
        _ process: LaunchedProcess,
        io: IOThread,
        options: StdioTransport.Options,
        outgoing: Locked<Outgoing>,
        accounts: ResourceAccounts,
        clock: any MonotonicClock,
        receiver: any TransportReceiver,
        output: sending ServerOutput,
        endedLate: @escaping EndedLate
    ) {
        self.process = process
        self.processEnd = ProcessEnd(processID: process.pid)
        self.io = io
        self.server = process.serverIdentity
        self.guardProcess = process.guardProcess
        self.isUnreaped = process.guardProcess == nil
        self.options = options
        self.outgoing = outgoing
        self.accounts = accounts
        self.clock = clock
        self.receiver = receiver
        self.endedLate = endedLate
        self.output = output
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

    func begin(_ finish: OneShot<TransportEnd>) {
        self.finish = finish
        self.processEnd.startedAt = .now
        self.accounts.add(3, \.descriptors)
        if self.guardProcess != nil { self.accounts.add(1, \.descriptors) }
        do throws(SystemFailure) {
            try self.watchEverything()
        } catch {
            // It cannot be looked after, so it must not run.
            let error = MCPError(.launchFailed, "the process could not be watched: \(error.explanation)")
            self.end.launchError = error
            self.breakOff(error)
            return self.perform(self.machine.close(.immediate, hasUnsent: false))
        }
        self.receiver.transportDidOpen()
        // It has ended already, and somebody in this program reaps all children: nothing will tell of it (T9).
        guard self.exitWatch == nil else { return }
        self.io.execute { self.guardProcess == nil ? self.processEnded($0) : self.guardEnded($0) }
    }

    private func watchEverything() throws(SystemFailure) {
        self.reads = try self.outgoing.withLock { outgoing throws(SystemFailure) in
            try outgoing.open(self.process.stdin, io: self.io) { [weak self] in self?.writable($0.broken, $1) }
        }
        self.stdoutToken = try self.io.watch(self.process.stdout) { [weak self] _, scratch in self?.readOutput(scratch)
        }
        self.stderrToken = try self.io.watch(self.process.stderr) { [weak self] _, scratch in self?.readErrors(scratch)
        }
        if let guardProcess = self.guardProcess {
            self.controlToken = try self.io.watch(guardProcess.control) { [weak self] _, scratch in
                self?.readControl(scratch)
            }
            self.exitWatch = try self.watchChild { [weak self] in self?.guardEnded($0) }
        } else {
            self.exitWatch = try self.watchChild { [weak self] in self?.processEnded($0) }
        }
        if (self.exitWatch?.descriptor ?? -1) >= 0 { self.accounts.add(1, \.descriptors) }
    }

    /// - Returns: nil if it has ended and is reaped.
    private func watchChild(_ ended: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Void) throws(SystemFailure)
        -> IOThread.ExitWatch?
    {
        do throws(SystemFailure) {
            return try self.io.watchExit(of: self.process.child, isChild: true, ended)
        } catch {
            guard error.code == ESRCH else { throw error }
            return nil
        }
    }

    // MARK: Bytes

    private func readOutput(_ scratch: UnsafeMutableRawBufferPointer) {
        let count = read(self.process.stdout, scratch.baseAddress, scratch.count)
        self.reads?.value.add(1, ordering: .relaxed)
        if count > 0 {
            self.take(UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
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

    private func writable(_ isBroken: Bool, _ scratch: UnsafeMutableRawBufferPointer) {
        switch self.outgoing.withLock({ $0.resume(isBroken: isBroken, scratch) }) {
        case .stillBlocked: break
        case .drained(let tellReceiver):
            self.perform(self.machine.flushed())
            if tellReceiver { self.receiver.transportDidDrain() }
        case .broken:
            // Nothing is left that a close could wait for.
            self.perform(self.machine.flushed())
            self.inputBroke()
        }
    }

    func setReceiving(_ enabled: Bool) {
        guard enabled != self.isReceiving, let token = self.stdoutToken else { return }
        self.isReceiving = enabled
        self.io.change(self.process.stdout, token, read: enabled, write: false)
    }

    func stopReading(_ descriptor: Int32, _ token: inout UInt64?) {
        if let active = token { self.io.unwatch(descriptor, active) }
        token = nil
    }

    func stopReadingControl() {
        guard let guardProcess = self.guardProcess else { return }
        self.stopReading(guardProcess.control, &self.controlToken)
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

    // MARK: The end, as far as it is about the conversation

    func close(_ mode: TeardownMode) {
        if self.stdoutToken != nil { self.setReceiving(true) }
        self.noteWork()
        self.perform(self.machine.close(mode, hasUnsent: !self.outgoing.withLock { $0.isEmpty }))
    }

    /// The server has ended: what it wrote is read, and everybody who waits is told.
    /// - Parameters:
    ///   - status: its wait status; nil if nobody knows.
    ///   - why: what to say instead of a status.
    func ended(_ status: Int32?, _ scratch: UnsafeMutableRawBufferPointer, otherwise why: String) {
        self.hasEnded = true
        self.processEnd.endedAt = .now
        if let status {
            let signal = status & 0x7F
            self.processEnd.exitStatus = signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
        }
        self.drain(scratch)
        self.awaitingExit = nil
        let how = self.processEnd.exitStatus.map { "ended with \($0)" } ?? why
        self.breakOff(MCPError(self.machine.isOpen ? .connectionLost : .hostClosed, "the server's process \(how)"))
    }

    // MARK: Time, and what the machine wants done

    private func timeout() {
        // A timer that was set again while its alarm was on its way here.
        guard let deadline = self.deadline, self.clock.now >= deadline else { return }
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
            self.timer = self.clock.makeTimer { [weak self] in
                guard let self else { return }
                self.io.execute { _ in self.timeout() }
            }
        }
        self.deadline = self.clock.now + delay
        self.timer?.set(self.deadline)
    }

    func perform(_ actions: [TeardownStateMachine.Action]) {
        for action in actions {
            switch action {
            case .closeInput: self.closeInput()
            case .signalGroup(let signal): self.signalAll(signal == .kill ? SIGKILL : SIGTERM)
            case .killDirectly: self.killDirectly()
            case .lookWhetherStuck: self.lookWhetherStuck()
            case .search: self.search()
            case .arm(let delay):
                self.awaitingExit = nil
                self.noteStep()
                self.arm(delay)
            case .disarm:
                self.deadline = nil
                self.timer?.set(nil)
            case .finish: self.finishAll()
            }
        }
    }

    private func noteStep() {
        guard self.machine.currentStep != self.lastStep else { return }
        let now = self.clock.now
        if self.lastStep != .none {
            // What the server left may come to the same step after it.
            if let last = self.end.stepTimes.indices.last, self.end.stepTimes[last].step == self.lastStep {
                self.end.stepTimes[last].time += now - self.stepStart
            } else {
                self.end.stepTimes.append(TeardownStepTime(self.lastStep, now - self.stepStart))
            }
        }
        self.lastStep = self.machine.currentStep
        self.stepStart = now
    }

    private func closeInput() {
        if let descriptor = self.outgoing.withLock({ $0.close(because: "the connection is closed") }) {
            self.giveBack(descriptor)
        }
        // A guard that its server has stopped is to see what comes next (T17).
        self.wakeKeeper()
    }

    private func giveBack(_ descriptor: Int32) {
        mcp_close(descriptor)
        self.accounts.add(-1, \.descriptors)
    }

    func giveBackControl(_ guardProcess: LaunchedProcess.GuardProcess) { self.giveBack(guardProcess.control) }

    private func finishAll() {
        guard let finish = self.finish else { return }
        self.finish = nil
        self.noteStep()
        self.breakOff(MCPError(.hostClosed, "the connection was closed; the server's process did not end"))
        self.closeInput()
        self.stopReading(self.process.stdout, &self.stdoutToken)
        self.stopReading(self.process.stderr, &self.stderrToken)
        self.giveBack(self.process.stdout)
        self.giveBack(self.process.stderr)
        self.giveUpRest()
        self.cancelLater()
        if let timer = self.timer {
            timer.cancel()
            self.accounts.add(-1, \.timers)
        }
        self.timer = nil
        self.end.step = self.machine.step
        self.output.endErrors()
        self.processEnd.stderrTail = self.output.lastWords
        self.processEnd.strayLines = self.output.strayLines
        self.end.process = self.processEnd
        finish.complete(self.end)
    }
}
