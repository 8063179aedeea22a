public import MCPTransport
public import MCPTypes

/// The requests of one conversation: which are waiting, which are on their way, and that each ends exactly once. Pure: no clock,
/// no transport; `Waiter` is whoever waits. Inlinable, so that it is specialized for the one waiter that a program has.
///
/// Numbers are never used twice in the life of a connection (F6), so an answer that comes late finds nobody (F7).
@usableFromInline package struct SessionStateMachine<Waiter> {
    /// How many requests may be where.
    @usableFromInline package struct Limits: Sendable, Hashable {
        /// On their way at once. Default 64.
        @usableFromInline package var inFlight = 64
        /// Waiting for their turn, of one caller. Default 1 024; beyond that `busy` to that caller.
        @usableFromInline package var waitingPerCaller = 1024
        /// Waiting for their turn in all. Default 8 192.
        @usableFromInline package var waiting = 8192
        /// Subscriptions at once, which take nobody's place: they are on their way for as long as somebody listens.
        @usableFromInline package var standing = 256

        @inlinable package init(inFlight: Int = 64, waitingPerCaller: Int = 1024, waiting: Int = 8192) {
            (self.inFlight, self.waitingPerCaller, self.waiting) = (inFlight, waitingPerCaller, waiting)
        }
    }

    /// What a request may take.
    @usableFromInline package struct Timeouts: Sendable, Hashable {
        /// Without a sign of life.
        @usableFromInline package var idle: Duration
        /// In all, with what earlier rounds of the same call have taken.
        @usableFromInline package var hard: Duration
        /// That much of it.
        @usableFromInline package var spent: Duration = .zero

        @inlinable package init(idle: Duration, hard: Duration, spent: Duration = .zero) {
            (self.idle, self.hard, self.spent) = (idle, hard, spent)
        }

        /// What of it is left, at most.
        @inlinable package var left: Duration { min(self.idle, self.hard - self.spent) }
    }

    @usableFromInline package struct Pending {
        @usableFromInline package var waiter: Waiter
        @usableFromInline package var timeouts: Timeouts
        @usableFromInline package var started: Duration
        @usableFromInline package var lastSign: Duration
        @usableFromInline package var progress: Double?
        /// The message, while it waits for its turn.
        @usableFromInline package var message: OutgoingMessage?
        /// In whose line it waits.
        @usableFromInline package var caller: String?
        @usableFromInline package var isProbe: Bool
        /// A subscription: no place of those that are on their way is its.
        @usableFromInline package var isStanding = false
        /// The session's own, and nobody's use of it.
        @usableFromInline package var isReserved = false
        /// The transport is just being given it, and has not said whether it takes it.
        @usableFromInline package var isSending = false
        /// The answer is here, and its caller is not told yet: a progress handler is still busy. The server has done its part, so it is
        /// told of nothing any more; the caller may still go, and the hard limit still holds (T15).
        @usableFromInline package var isAnswered = false

        @inlinable package init(
            _ waiter: Waiter,
            _ timeouts: Timeouts,
            now: Duration,
            caller: String?,
            isProbe: Bool,
            isStanding: Bool,
            isReserved: Bool
        ) {
            (self.waiter, self.timeouts, self.caller) = (waiter, timeouts, caller)
            (self.started, self.lastSign) = (now - timeouts.spent, now)
            (self.isProbe, self.isStanding, self.isReserved) = (isProbe, isStanding, isReserved)
        }

        /// - Parameter isIdleCounted: no, while the server waits for us.
        @inlinable package func deadline(_ isIdleCounted: Bool) -> Duration {
            let hard = self.started + self.timeouts.hard
            return isIdleCounted && !self.isAnswered ? min(self.lastSign + self.timeouts.idle, hard) : hard
        }
    }

    @usableFromInline package let limits: Limits
    /// How far the conversation is.
    @usableFromInline package var phase = Phase.opening
    /// When the opening of the transport has taken too long.
    @usableFromInline package var openBy: Duration?
    /// The server went away because of the question which era it speaks.
    @usableFromInline package var endedDuringProbe = false
    /// The server has answered that question when nobody waited for the answer any more.
    @usableFromInline package var hasAnsweredProbeLate = false
    @usableFromInline package var pending: [Int64: Pending] = [:]
    @usableFromInline package var line = FairLine()
    @usableFromInline package var inFlight = 0
    /// Subscriptions that have not ended.
    @usableFromInline package var standing = 0
    /// Requests that have ended while the transport was being given them, and why: whoever works on them has to be told afterwards.
    @usableFromInline package var endedWhileSending: [Int64: String] = [:]
    @usableFromInline package var brokenBy: MCPError?
    /// Requests that it broke, but for those that always have room.
    @usableFromInline package var requestsFailed = 0
    /// Cancelled while they were not in the table: before they started, or after they had ended and before ``forget(_:)``.
    @usableFromInline package var cancelledEarly: Set<Int64> = []
    /// Set when a message could not be sent because the transport is full: nothing leaves the line until it drains.
    @usableFromInline package var isBlocked = false
    /// How often the transport has drained. Whoever tries to send takes the number along: a refusal that comes back with an older number
    /// is out of date, because the transport has drained in between and will not say so again (T6).
    @usableFromInline package var drains = 0
    /// Messages that nobody waits for: answers to the server, cancellations. They wait for room like requests, and go first (T13).
    @usableFromInline package var outbox: [Post] = []
    /// Something waits for room, or for its turn.
    @inlinable package var hasNext: Bool { !self.outbox.isEmpty || !self.line.isEmpty }
    /// To when the timer is set; nothing that is due later needs it to be set again.
    @usableFromInline package var alarm: Duration?
    /// So many of them are just being given to the transport.
    @usableFromInline package var posting = 0
    /// Nothing waits for room, or is on its way to the transport.
    @inlinable package var hasNoPosts: Bool { self.outbox.isEmpty && self.posting == 0 }
    /// So many of them may wait before the server is not listened to any more.
    @inlinable package static var outboxLimit: Int { 256 }
    /// Whether the server is to be listened to: not while it asks and does not read the answers.
    @usableFromInline package var isReceiving = true
    /// What the transport was told last about that.
    @usableFromInline package var toldReceiving = true
    /// Somebody is telling it.
    @usableFromInline package var isTellingReceiving = false
    /// Requests of the server that have no answer yet.
    @usableFromInline package var questions = 0
    /// Requests and subscriptions of callers, ever.
    @usableFromInline package var uses = 0
    /// So many callers are between two requests, and have not done with the server: it waits for their answer, or they for its task.
    @usableFromInline package var holds = 0

    @inlinable package init(limits: Limits) { self.limits = limits }

    @inlinable package var pendingCount: Int { self.pending.count }
    @inlinable package var isBroken: Bool { self.brokenBy != nil }

    // MARK: Start

    @usableFromInline package enum StartAction {
        /// Send it; a refusal goes back with this number of drains.
        case send(OutgoingMessage, drains: Int)
        case wait
        case refuse(Waiter, MCPError)
    }

    /// A request enters, its message written.
    /// - Parameters:
    ///   - isStanding: it is a subscription, and takes no place of those that are on their way.
    ///   - isReserved: it is the session's own, for which there is always room.
    @inlinable package mutating func start(
        _ id: Int64,
        _ waiter: Waiter,
        _ message: OutgoingMessage,
        timeouts: Timeouts,
        isProbe: Bool = false,
        isStanding: Bool = false,
        isReserved: Bool = false,
        caller: String? = nil,
        now: Duration
    ) -> StartAction {
        if let error = self.brokenBy { return .refuse(waiter, error) }
        if !isReserved { self.uses += 1 }
        if self.cancelledEarly.remove(id) != nil {
            return .refuse(waiter, MCPError(.cancelled, "the call was cancelled before it was sent"))
        }
        if timeouts.spent >= timeouts.hard {
            let reason =
                "timeout: no result within \(timeouts.hard.inMilliseconds), the limit for one request, when it was to be sent"
            return .refuse(waiter, MCPError(.timeout, reason))
        }
        var entry = Pending(
            waiter,
            timeouts,
            now: now,
            caller: caller,
            isProbe: isProbe,
            isStanding: isStanding,
            isReserved: isReserved
        )
        if isStanding {
            guard isReserved || self.standing < self.limits.standing else {
                return .refuse(waiter, MCPError(.busy, "busy: \(self.standing) subscriptions to this server are open"))
            }
            self.standing += 1
        }
        if !self.isBlocked, isStanding || (self.line.isEmpty && self.inFlight < self.limits.inFlight) {
            self.leave(&entry)
            self.pending[id] = entry
            return .send(message, drains: self.drains)
        }
        let waiting = self.line.count(of: caller)
        guard isStanding || (waiting < self.limits.waitingPerCaller && self.line.count < self.limits.waiting) else {
            let reason =
                "busy: \(self.inFlight) requests in flight, \(waiting) of this caller waiting (limit "
                + "\(self.limits.waitingPerCaller)), \(self.line.count) in all (limit \(self.limits.waiting))"
            return .refuse(waiter, MCPError(.busy, reason))
        }
        entry.message = message
        self.pending[id] = entry
        self.line.append(id, of: caller)
        return .wait
    }

    /// It is given to the transport.
    @inlinable package mutating func leave(_ entry: inout Pending) {
        entry.message = nil
        entry.isSending = true
        if !entry.isStanding { self.inFlight += 1 }
    }

    /// It is not on its way any more.
    @inlinable package mutating func returned(_ entry: Pending) {
        if !entry.isStanding { self.inFlight -= 1 }
    }

    /// It has ended, however.
    @inlinable package mutating func over(_ entry: Pending) {
        if entry.isStanding { self.standing -= 1 }
    }

    /// The transport has taken the message of `id`.
    /// - Returns: why the request has ended meanwhile, if whoever works on it has to be told now.
    @inlinable package mutating func sent(_ id: Int64) -> String? {
        // Taken out and put back: changed in its place it costs seven allocations.
        if var entry = self.pending[id] {
            entry.isSending = false
            self.pending[id] = entry
        }
        return self.endedWhileSending.isEmpty ? nil : self.endedWhileSending.removeValue(forKey: id)
    }

    /// The transport had no room for the message of `id`: it goes back to the head of the line.
    /// - Parameter drains: the number that came with the message.
    /// - Returns: whether the transport has drained since: then it is to be tried again now, nobody will say so later.
    @inlinable package mutating func sendRefused(_ id: Int64, _ message: OutgoingMessage, drains: Int) -> Bool {
        let isOutdated = self.noteRefusal(drains)
        self.endedWhileSending[id] = nil
        // Ended meanwhile, or answered without having been asked.
        self.pending[id]?.isSending = false
        guard var entry = self.pending[id], !entry.isAnswered else { return isOutdated }
        entry.message = message
        self.pending[id] = entry
        self.returned(entry)
        self.line.prepend(id, of: entry.caller)
        return isOutdated
    }

    @inlinable package mutating func noteRefusal(_ drains: Int) -> Bool {
        if drains == self.drains { self.isBlocked = true }
        return drains != self.drains
    }

    /// The transport has room again.
    @inlinable package mutating func drained() {
        self.isBlocked = false
        self.drains += 1
    }

    /// The next message whose turn it is, if there is a free place. Ask until nil.
    @inlinable package mutating func nextToSend() -> (id: Int64, message: OutgoingMessage, drains: Int)? {
        guard !self.isBlocked, self.inFlight < self.limits.inFlight else { return nil }
        while let id = self.line.popFirst() {
            guard var entry = self.pending[id], let message = entry.message else { continue }  // ended while it waited
            self.leave(&entry)
            self.pending[id] = entry
            return (id, message, self.drains)
        }
        return nil
    }

    // MARK: Messages that nobody waits for

    /// One of them.
    @usableFromInline package struct Post: Sendable {
        @usableFromInline package var message: OutgoingMessage
        /// The request that it gives up, if it does: how is the transport's affair.
        @usableFromInline package var cancels: JSONRPCRequestID?

        @inlinable package init(message: OutgoingMessage, cancels: JSONRPCRequestID? = nil) {
            (self.message, self.cancels) = (message, cancels)
        }
    }

    /// A message is to leave as soon as there is room.
    @inlinable package mutating func post(_ post: Post) {
        guard self.brokenBy == nil else { return }
        self.outbox.append(post)
        if self.outbox.count >= Self.outboxLimit { self.isReceiving = false }
    }

    /// The next of them, if there is room. Ask until nil.
    @inlinable package mutating func nextPost() -> (post: Post, drains: Int)? {
        guard !self.isBlocked, !self.outbox.isEmpty else { return nil }
        let post = self.outbox.removeFirst()
        self.posting += 1
        if self.outbox.isEmpty { self.isReceiving = true }
        return (post, self.drains)
    }

    /// The transport has been given one of them, or has refused it for good.
    @inlinable package mutating func posted() { self.posting -= 1 }

    /// The transport had no room for it.
    /// - Returns: whether it is to be tried again now.
    @inlinable package mutating func postRefused(_ post: Post, drains: Int) -> Bool {
        self.posting -= 1
        let isOutdated = self.noteRefusal(drains)
        if self.brokenBy == nil { self.outbox.insert(post, at: 0) }
        return isOutdated
    }

    /// What the transport has to be told about listening, if that is new. One thread at a time tells it, and looks again afterwards; whoever
    /// comes meanwhile leaves it to that one. So the last word is about the newest state. Ask until nil, after ``receivingTold()``.
    @inlinable package mutating func receivingToTell() -> Bool? {
        guard !self.isTellingReceiving, self.toldReceiving != self.isReceiving else { return nil }
        (self.toldReceiving, self.isTellingReceiving) = (self.isReceiving, true)
        return self.isReceiving
    }

    /// The transport has been told.
    @inlinable package mutating func receivingTold() { self.isTellingReceiving = false }
}
