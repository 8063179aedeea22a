import MCPTransport

/// Decides how a server process ends: which rung follows when. Pure: no clock, no process.
///
/// `open -> flushing -> inputClosed -> terminated -> killed`, and from each of them, when the process has ended,
/// `sweeping -> sweepingHard` for what it has left, or `releasing` when only its guard is left, and `ended`.
struct TeardownStateMachine {
    /// Times of the rungs.
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
        case keeper
        /// Processes that it started.
        case helpers
    }

    private enum State: Equatable {
        case open
        case flushing
        case inputClosed
        case terminated
        case killed
        /// The server is gone, what it left had SIGTERM.
        case sweeping
        /// They had SIGKILL.
        case sweepingHard
        /// Nobody is left but the guard, which is ending.
        case releasing
        case ended
    }

    private var state: State = .open
    private let graces: Graces
    private var force = false
    /// The rung that ended the leader.
    private(set) var rung: TeardownRung = .none
    /// Whether SIGKILL did not help.
    private(set) var isAbandoned = false

    init(graces: Graces) { self.graces = graces }

    var isOpen: Bool { self.state == .open }
    var isEnded: Bool { self.state == .ended }
    /// SIGKILL is what is sent now.
    var isKilling: Bool { self.state == .killed || self.state == .sweepingHard }

    /// The rung that time is being spent on.
    var currentRung: TeardownRung {
        switch self.state {
        case .open, .releasing, .ended: .none
        case .flushing: .flush
        case .inputClosed: .endOfInput
        case .terminated, .sweeping: .terminate
        case .killed, .sweepingHard: .kill
        }
    }

    /// Somebody wants the end, or the server can no longer be talked to.
    /// - Parameter hasUnsent: whether messages are still queued.
    mutating func close(_ manner: CloseManner, hasUnsent: Bool) -> [Action] {
        if manner == .force { self.force = true }
        switch (self.state, manner) {
        case (.open, .orderly) where hasUnsent:
            self.state = .flushing
            return [.arm(self.graces.flush)]
        case (.open, .orderly): return self.closeInput()
        case (.open, .force), (.flushing, .force), (.inputClosed, .force), (.terminated, .force):
            let input: [Action] = self.state == .open || self.state == .flushing ? [.closeInput] : []
            return input + self.kill()
        case (.sweeping, .force): return self.sweepHard()
        case (.flushing, .orderly), (.inputClosed, .orderly), (.terminated, .orderly), (.killed, _),
            (.sweeping, .orderly),
            (.sweepingHard, _), (.releasing, _), (.ended, _):
            return []
        }
    }

    /// All queued messages are written.
    mutating func flushed() -> [Action] {
        switch self.state {
        case .flushing: self.closeInput()
        case .open, .inputClosed, .terminated, .killed, .sweeping, .sweepingHard, .releasing, .ended: []
        }
    }

    /// The time of the current rung is over.
    mutating func timeout() -> [Action] {
        switch self.state {
        case .flushing: return self.closeInput()
        case .inputClosed:
            self.state = .terminated
            return [.signalGroup(.terminate), .arm(self.graces.terminate)]
        case .terminated: return self.kill()
        case .sweeping: return self.sweepHard()
        case .killed, .sweepingHard, .releasing:
            self.isAbandoned = true
            if self.state == .killed { self.rung = .abandoned }
            self.state = .ended
            return [.finish]
        case .open, .ended: return []
        }
    }

    /// The process has ended; it is not reaped yet, so its number and its group's still belong to it.
    /// - Parameter remainder: who of it is still there.
    mutating func leaderEnded(remainder: Remainder) -> [Action] {
        let input: [Action]
        // Who was to be killed with it needs no SIGTERM any more.
        let isHard = self.force || self.state == .killed
        switch self.state {
        case .open:
            self.rung = .alreadyGone
            input = [.closeInput]
        case .flushing:
            self.rung = .flush
            input = [.closeInput]
        case .inputClosed, .terminated, .killed:
            self.rung = self.currentRung
            input = []
        case .sweeping, .sweepingHard, .releasing, .ended: return []
        }
        switch remainder {
        case .nobody:
            self.state = .ended
            return input + [.disarm, .finish]
        case .keeper:
            self.state = .releasing
            return input + [.arm(self.graces.reap)]
        case .helpers: break
        }
        if isHard { return input + self.sweepHard() }
        self.state = .sweeping
        return input + [.signalGroup(.terminate), .arm(self.graces.terminate)]
    }

    /// The last other process has ended.
    mutating func othersEnded() -> [Action] {
        switch self.state {
        case .sweeping, .sweepingHard, .releasing:
            self.state = .ended
            return [.disarm, .finish]
        case .open, .flushing, .inputClosed, .terminated, .killed, .ended: return []
        }
    }

    private mutating func closeInput() -> [Action] {
        self.state = .inputClosed
        return [.closeInput, .arm(self.graces.endOfInput)]
    }

    private mutating func kill() -> [Action] {
        self.state = .killed
        return [.signalGroup(.kill), .arm(self.graces.reap)]
    }

    private mutating func sweepHard() -> [Action] {
        self.state = .sweepingHard
        return [.signalGroup(.kill), .arm(self.graces.reap)]
    }
}
