import MCPTransport

/// Where a host stands. Pure: told what happened, says what to do.
///
/// `open -> draining -> closing -> closed`, or without the draining, where no call is under way. Nothing leads back. Calls and servers are let in
/// while it is open; when it is closed nothing of it is left, and it is closed once.
struct HostStateMachine {
    /// What the world may know.
    enum State: Equatable {
        case open
        /// No new calls; those that are under way may end, for a time.
        case draining
        /// All servers are being ended.
        case closing
        /// Nothing is left.
        case closed
    }

    private(set) var state: State = .open
    private(set) var callsInFlight = 0
    /// When the end was asked for first.
    private(set) var closingSince: Duration?
    /// Somebody runs it, or it has ended without having been run.
    private var isEntered = false
    private(set) var hasDrainTimer = false

    /// Calls and servers are let in.
    var isOpen: Bool { self.state == .open }

    /// Somebody wants to run it.
    /// - Returns: whether that one is the first, and has to.
    mutating func enter() -> Bool {
        defer { self.isEntered = true }
        return !self.isEntered
    }

    // MARK: Calls

    /// A call wants to begin.
    /// - Returns: whether it may.
    mutating func beginCall() -> Bool {
        guard self.isOpen else { return false }
        self.callsInFlight += 1
        return true
    }

    /// A call has ended.
    /// - Returns: whether it was the last that was waited for: close.
    mutating func endCall() -> Bool {
        self.callsInFlight -= 1
        return self.state == .draining && self.callsInFlight == 0
    }

    // MARK: The end

    enum ShutdownAction: Equatable {
        /// It is on its way already.
        case nothing
        /// Make a timer, and tell with ``drainTimerMade()``.
        case drain
        case close
    }

    /// Somebody wants the end.
    /// - Parameters:
    ///   - mode: how soon.
    ///   - mayDrain: calls may be given time.
    ///   - now: by the host's clock.
    mutating func shutDown(_ mode: TeardownMode, mayDrain: Bool, now: Duration) -> ShutdownAction {
        switch self.state {
        case .open:
            self.closingSince = now
            guard mode == .graceful, self.callsInFlight > 0, mayDrain else { return .close }
            self.state = .draining
            return .drain
        case .draining, .closing: return mode == .immediate ? .close : .nothing
        case .closed: return .nothing
        }
    }

    /// The timer for draining is there.
    /// - Returns: whether it is still wanted: the last call may have ended, and with it the draining and the host, while it was made. Then it is
    ///   not for anybody (T16).
    mutating func drainTimerMade() -> Bool {
        guard self.state == .draining else { return false }
        self.hasDrainTimer = true
        return true
    }

    /// All servers are to be ended now.
    /// - Returns: false if nothing is left of them.
    mutating func close() -> Bool {
        guard self.state != .closed else { return false }
        self.state = .closing
        return true
    }

    /// Nobody runs it any more: from now on nobody is let in who would never be run.
    /// - Returns: whether the timer for draining has to go.
    mutating func leave() -> Bool {
        if self.state != .closed { self.state = .closing }
        defer { self.hasDrainTimer = false }
        return self.hasDrainTimer
    }

    /// Nothing of it is left.
    mutating func closed() { self.state = .closed }
}
