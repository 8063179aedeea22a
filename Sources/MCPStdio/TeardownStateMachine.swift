import MCPTransport

/// Decides how a server process ends: which step follows when. Pure: no clock, no process.
///
/// `open -> flushing -> inputClosed -> terminated -> killed`, and from each of them, when the process has ended, `searching` for what it
/// has left, then `sweeping -> sweepingHard`, or `releasing` when only its guard is left, and `ended`.
struct TeardownStateMachine {
    /// Times of the steps.
    struct Graces: Sendable, Hashable {
        var flush: Duration
        var endOfInput: Duration
        var terminate: Duration
        var reap: Duration
    }

    enum Action: Equatable {
        /// The rest of the pipe to the server is thrown away and the pipe closed.
        case closeInput
        case signalGroup(Signal)
        /// The guard has not done it: SIGKILL from here to everything below it.
        case killDirectly
        /// Ask whether what is left sleeps in the kernel, where SIGKILL does not reach it; if so, call ``isStuck()``.
        case lookWhetherStuck
        /// Find out what the server has left, and tell with ``found(_:)``. The server is not reaped before that.
        case search
        case arm(Duration)
        case disarm
        /// Everything that can be done is done.
        case finish
    }

    enum Signal: Equatable { case terminate, kill }

    /// What is there when the server has ended.
    enum Remainder: Equatable {
        case nobody
        /// Its guard, which ends by itself.
        case guardProcess
        /// Processes that it started.
        case descendants
    }

    private enum State: Equatable {
        /// -> flushing, inputClosed, killed, searching
        case open
        /// -> inputClosed, killed, searching
        case flushing
        /// -> terminated, killed, searching
        case inputClosed
        /// -> killed, searching
        case terminated
        /// -> searching, ended (abandoned)
        case killed
        /// The server has ended; somebody looks for what it has left. -> sweeping, sweepingHard, releasing, ended
        case searching
        /// The server is gone, what it left had SIGTERM. -> sweepingHard, ended
        case sweeping
        /// They had SIGKILL. -> ended
        case sweepingHard
        /// Nobody is left but the guard, which is ending. -> ended
        case releasing
        case ended
    }

    /// What happens while SIGKILL is waited for, and when, counted from the signal.
    private enum Patience {
        static let beforeDirect: Duration = .seconds(1)
        static let beforeLook: Duration = .seconds(2)
    }

    private var state: State = .open
    private let graces: Graces
    private var isImmediate = false
    /// The step on which the server ended was SIGKILL: what it left needs no SIGTERM any more.
    private var wasKilled = false
    /// Steps of the last wait that are left, each with its time after the step before.
    private var steps: [(delay: Duration, action: Action?)] = []
    /// The step that ended the leader.
    private(set) var step: TeardownStep = .none
    /// Whether SIGKILL did not help.
    private(set) var isAbandoned = false

    init(graces: Graces) { self.graces = graces }

    var isOpen: Bool { self.state == .open }
    var isEnded: Bool { self.state == .ended }
    /// SIGKILL is what is sent now.
    var isKilling: Bool { self.state == .killed || self.state == .sweepingHard }

    /// The step that time is being spent on.
    var currentStep: TeardownStep {
        switch self.state {
        case .open, .searching, .releasing, .ended: .none
        case .flushing: .flush
        case .inputClosed: .endOfInput
        case .terminated, .sweeping: .terminate
        case .killed, .sweepingHard: .kill
        }
    }

    /// Somebody wants the end, or the server can no longer be talked to.
    /// - Parameter hasUnsent: whether messages are still queued.
    mutating func close(_ mode: TeardownMode, hasUnsent: Bool) -> [Action] {
        if mode == .immediate { self.isImmediate = true }
        switch (self.state, mode) {
        case (.open, .graceful) where hasUnsent:
            self.state = .flushing
            return [.arm(self.graces.flush)]
        case (.open, .graceful): return self.closeInput()
        case (.open, .immediate), (.flushing, .immediate), (.inputClosed, .immediate), (.terminated, .immediate):
            let input: [Action] = self.state == .open || self.state == .flushing ? [.closeInput] : []
            return input + self.kill(.killed)
        case (.sweeping, .immediate): return self.kill(.sweepingHard)
        case (.flushing, .graceful), (.inputClosed, .graceful), (.terminated, .graceful), (.killed, _), (.searching, _),
            (.sweeping, .graceful), (.sweepingHard, _), (.releasing, _), (.ended, _):
            return []
        }
    }

    /// All queued messages are written.
    mutating func flushed() -> [Action] {
        switch self.state {
        case .flushing: self.closeInput()
        case .open, .inputClosed, .terminated, .killed, .searching, .sweeping, .sweepingHard, .releasing, .ended: []
        }
    }

    /// The time of the current step is over.
    mutating func timeout() -> [Action] {
        switch self.state {
        case .flushing: return self.closeInput()
        case .inputClosed:
            self.state = .terminated
            return [.signalGroup(.terminate), .arm(self.graces.terminate)]
        case .terminated: return self.kill(.killed)
        case .sweeping: return self.kill(.sweepingHard)
        case .killed, .searching, .sweepingHard, .releasing: return self.nextStep()
        case .open, .ended: return []
        }
    }

    /// What is left sleeps in the kernel: SIGKILL will reach it when it wakes, and no sooner.
    mutating func isStuck() -> [Action] {
        switch self.state {
        case .killed, .sweepingHard: self.abandon()
        case .open, .flushing, .inputClosed, .terminated, .searching, .sweeping, .releasing, .ended: []
        }
    }

    /// The process has ended; it is not reaped yet, so its number and its group's still belong to it.
    mutating func leaderEnded() -> [Action] {
        let input: [Action]
        switch self.state {
        case .open:
            self.step = .alreadyGone
            input = [.closeInput]
        case .flushing:
            self.step = .flush
            input = [.closeInput]
        case .inputClosed, .terminated, .killed:
            self.step = self.currentStep
            self.wasKilled = self.state == .killed
            input = []
        case .searching, .sweeping, .sweepingHard, .releasing, .ended: return []
        }
        self.state = .searching
        self.steps = []
        return input + [.arm(self.graces.reap), .search]
    }

    /// The search after ``leaderEnded()`` is over.
    mutating func found(_ remainder: Remainder) -> [Action] {
        guard self.state == .searching else { return [] }
        switch remainder {
        case .nobody:
            self.state = .ended
            return [.disarm, .finish]
        case .guardProcess:
            self.state = .releasing
            return self.startSteps()
        case .descendants:
            if self.isImmediate || self.wasKilled { return self.kill(.sweepingHard) }
            self.state = .sweeping
            return [.signalGroup(.terminate), .arm(self.graces.terminate)]
        }
    }

    /// The last other process has ended.
    mutating func othersEnded() -> [Action] {
        switch self.state {
        case .sweeping, .sweepingHard, .releasing:
            self.state = .ended
            return [.disarm, .finish]
        case .open, .flushing, .inputClosed, .terminated, .killed, .searching, .ended: return []
        }
    }

    private mutating func closeInput() -> [Action] {
        self.state = .inputClosed
        return [.closeInput, .arm(self.graces.endOfInput)]
    }

    private mutating func kill(_ next: State) -> [Action] {
        self.state = next
        return [.signalGroup(.kill)] + self.startSteps()
    }

    /// Nobody can refuse SIGKILL, but a guard can be stopped (T17), a process can sleep in the kernel, and a machine can be busy (T26).
    private mutating func startSteps() -> [Action] {
        var passed: Duration = .zero
        self.steps = []
        for (time, action) in [
            (Patience.beforeDirect, Action.killDirectly), (Patience.beforeLook, Action.lookWhetherStuck),
        ] where time < self.graces.reap {
            self.steps.append((time - passed, action))
            passed = time
        }
        self.steps.append((self.graces.reap - passed, nil))
        return [.arm(self.steps[0].delay)]
    }

    private mutating func nextStep() -> [Action] {
        guard self.steps.count > 1 else { return self.abandon() }
        let action = self.steps.removeFirst().action
        return [.arm(self.steps[0].delay)] + (action.map { [$0] } ?? [])
    }

    private mutating func abandon() -> [Action] {
        self.isAbandoned = true
        if self.state == .killed { self.step = .abandoned }
        self.state = .ended
        return [.disarm, .finish]
    }
}
