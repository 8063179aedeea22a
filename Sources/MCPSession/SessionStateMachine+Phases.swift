package import MCPTransport

/// The way of a conversation from the opening of its transport to its break.
extension SessionStateMachine {
    /// How far it is. Forward only, but for the question which era the server speaks, which may be asked twice.
    @usableFromInline package enum Phase: Sendable, Hashable {
        /// The transport is not open yet.
        case opening
        /// It is open, and nothing is agreed.
        case negotiating
        /// The server has been asked which era it speaks, and has not said: its end is an answer to that. It may have been asked the older
        /// way meanwhile, since it was silent.
        case probing
        /// It is agreed what is spoken.
        case ready
        /// Nothing could be agreed, or not in time; the transport is about to be closed.
        case failed
        /// Nothing will come any more.
        case broken
    }

    /// The transport is being opened.
    /// - Parameter deadline: when that has taken too long.
    package mutating func opens(by deadline: Duration) {
        if self.phase == .opening { self.openBy = deadline }
    }

    /// It is open.
    /// - Returns: whether that still matters: nobody has given it up.
    package mutating func opened() -> Bool {
        guard self.phase == .opening else { return false }
        self.openBy = nil
        self.phase = .negotiating
        return true
    }

    /// Whether it has taken too long to open; said once.
    package mutating func openingIsLate(now: Duration) -> Bool {
        guard let deadline = self.openBy, deadline <= now else { return false }
        self.openBy = nil
        self.phase = .failed
        return true
    }

    /// The server is asked which era it speaks.
    package mutating func probes() { if self.phase == .negotiating { self.phase = .probing } }

    /// It has said so, with whatever it has said: if it ends from now on, that is no answer.
    package mutating func probeAnswered() { if self.phase == .probing { self.phase = .negotiating } }

    /// It is agreed what is spoken. So the server has answered, even if it has gone since.
    package mutating func agreed() {
        self.endedDuringProbe = false
        if self.phase == .negotiating || self.phase == .probing { self.phase = .ready }
    }

    /// Nothing could be agreed. An end that follows from our own verdict is no answer of the server.
    package mutating func disagreed(_ error: MCPError) {
        if error.code != .connectionLost || error.isOfOneRequest { self.endedDuringProbe = false }
        self.openBy = nil
        switch self.phase {
        case .opening, .negotiating, .probing: self.phase = .failed
        case .failed, .broken: break
        case .ready: preconditionFailure("a handshake ends once")
        }
    }
}
