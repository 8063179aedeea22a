import MCPTransport
import MCPTypes

/// The requests of one conversation: which are waiting, which are on their way, and that each ends exactly once. Pure: no clock,
/// no transport; `Waiter` is whoever waits.
///
/// Numbers are never used twice in the life of a connection (F6), so an answer that comes late finds nobody (F7).
struct SessionStateMachine<Waiter> {
    /// How many requests may be where.
    struct Limits: Sendable, Hashable {
        /// On their way at once. Default 64.
        var inFlight = 64
        /// Waiting for their turn, of one caller. Default 1 024; beyond that `busy` to that caller.
        var waitingPerCaller = 1024
        /// Waiting for their turn in all. Default 8 192.
        var waiting = 8192
        /// Subscriptions at once, which take nobody's place: they are on their way for as long as somebody listens.
        var standing = 256
    }

    /// What a request may take.
    struct Timeouts: Sendable, Hashable {
        /// Without a sign of life.
        var idle: Duration
        /// In all, with what earlier rounds of the same call have taken.
        var hard: Duration
        /// That much of it.
        var spent: Duration = .zero

        /// What of it is left, at most.
        var left: Duration { min(self.idle, self.hard - self.spent) }
    }

    struct Pending {
        var waiter: Waiter
        var timeouts: Timeouts
        var started: Duration
        var lastSign: Duration
        var progress: Double?
        /// The message, while it waits for its turn.
        var message: OutgoingMessage?
        /// In whose line it waits.
        var caller: String?
        var isProbe: Bool
        /// A subscription: no place of those that are on their way is its.
        var isStanding = false
        /// The session's own, and nobody's use of it.
        var isReserved = false
        /// The transport is just being given it, and has not said whether it takes it.
        var isSending = false
        /// The answer is here, and its caller is not told yet: a progress handler is still busy. The server has done its part, so it is
        /// told of nothing any more; the caller may still go, and the hard limit still holds (T15).
        var isAnswered = false

        /// - Parameter isIdleCounted: no, while the server waits for us.
        func deadline(_ isIdleCounted: Bool) -> Duration {
            let hard = self.started + self.timeouts.hard
            return isIdleCounted && !self.isAnswered ? min(self.lastSign + self.timeouts.idle, hard) : hard
        }
    }

    let limits: Limits
    var nextID: Int64 = 1
    var pending: [Int64: Pending] = [:]
    var line = FairLine()
    var inFlight = 0
    /// Subscriptions that have not ended.
    private(set) var standing = 0
    /// Requests that have ended while the transport was being given them, and why: whoever works on them has to be told afterwards.
    var endedWhileSending: [Int64: String] = [:]
    var brokenBy: MCPError?
    /// Cancelled between taking a number and starting.
    var cancelledEarly: Set<Int64> = []
    /// Set when a message could not be sent because the transport is full: nothing leaves the line until it drains.
    private var isBlocked = false
    /// How often the transport has drained. Whoever tries to send takes the number along: a refusal that comes back with an older number
    /// is out of date, because the transport has drained in between and will not say so again (T6).
    private var drains = 0
    /// Messages that nobody waits for: answers to the server, cancellations. They wait for room like requests, and go first (T13).
    var outbox: [Post] = []
    /// So many of them are just being given to the transport.
    private var posting = 0
    /// Nothing waits for room, or is on its way to the transport.
    var hasNoPosts: Bool { self.outbox.isEmpty && self.posting == 0 }
    /// So many of them may wait before the server is not listened to any more.
    private static var outboxLimit: Int { 256 }
    /// Whether the server is to be listened to: not while it asks and does not read the answers.
    var isReceiving = true
    /// Requests of the server that have no answer yet.
    private(set) var questions = 0
    /// Requests and subscriptions of callers, ever.
    var uses = 0
    /// So many callers are between two requests, and have not done with the server: it waits for their answer, or they for its task.
    var holds = 0

    init(limits: Limits) { self.limits = limits }

    var pendingCount: Int { self.pending.count }
    var isBroken: Bool { self.brokenBy != nil }

    /// Takes the next number.
    mutating func takeID() -> Int64 {
        defer { self.nextID += 1 }
        return self.nextID
    }

    // MARK: Start

    enum StartAction {
        /// Send it; a refusal goes back with this number of drains.
        case send(OutgoingMessage, drains: Int)
        case wait
        case refuse(Waiter, MCPError)
    }

    /// A request enters, its message written.
    /// - Parameters:
    ///   - isStanding: it is a subscription, and takes no place of those that are on their way.
    ///   - isReserved: it is the session's own, for which there is always room.
    mutating func start(
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
        var entry = Pending(
            waiter: waiter,
            timeouts: timeouts,
            started: now - timeouts.spent,
            lastSign: now,
            message: nil,
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
    private mutating func leave(_ entry: inout Pending) {
        entry.message = nil
        entry.isSending = true
        if !entry.isStanding { self.inFlight += 1 }
    }

    /// It is not on its way any more.
    mutating func returned(_ entry: Pending) {
        if !entry.isStanding { self.inFlight -= 1 }
    }

    /// It has ended, however.
    mutating func over(_ entry: Pending) {
        if entry.isStanding { self.standing -= 1 }
    }

    /// The transport has taken the message of `id`.
    /// - Returns: why the request has ended meanwhile, if whoever works on it has to be told now.
    mutating func sent(_ id: Int64) -> String? {
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
    mutating func sendRefused(_ id: Int64, _ message: OutgoingMessage, drains: Int) -> Bool {
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

    private mutating func noteRefusal(_ drains: Int) -> Bool {
        if drains == self.drains { self.isBlocked = true }
        return drains != self.drains
    }

    /// The transport has room again.
    mutating func drained() {
        self.isBlocked = false
        self.drains += 1
    }

    /// The next message whose turn it is, if there is a free place. Ask until nil.
    mutating func nextToSend() -> (id: Int64, message: OutgoingMessage, drains: Int)? {
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
    struct Post: Sendable {
        var message: OutgoingMessage
        /// The request that it gives up, if it does: how is the transport's affair.
        var cancels: JSONRPCRequestID?
    }

    /// A message is to leave as soon as there is room.
    mutating func post(_ post: Post) {
        guard self.brokenBy == nil else { return }
        self.outbox.append(post)
        if self.outbox.count >= Self.outboxLimit { self.isReceiving = false }
    }

    /// The next of them, if there is room. Ask until nil.
    mutating func nextPost() -> (post: Post, drains: Int)? {
        guard !self.isBlocked, !self.outbox.isEmpty else { return nil }
        let post = self.outbox.removeFirst()
        self.posting += 1
        if self.outbox.isEmpty { self.isReceiving = true }
        return (post, self.drains)
    }

    /// The transport has been given one of them, or has refused it for good.
    mutating func posted() { self.posting -= 1 }

    /// The transport had no room for it.
    /// - Returns: whether it is to be tried again now.
    mutating func postRefused(_ post: Post, drains: Int) -> Bool {
        self.posting -= 1
        let isOutdated = self.noteRefusal(drains)
        if self.brokenBy == nil { self.outbox.insert(post, at: 0) }
        return isOutdated
    }

    // MARK: Time

    /// The server reported progress: its idle time starts again, the hard limit does not (F11, F12). A token of nobody and a value
    /// that does not grow change nothing (F14).
    mutating func progressed(_ token: Int64, _ value: Double, now: Duration) -> Waiter? {
        guard let entry = self.pending[token], entry.message == nil, !entry.isAnswered,
            value > entry.progress ?? -.infinity
        else { return nil }
        self.pending[token]?.progress = value
        self.pending[token]?.lastSign = now
        return entry.waiter
    }

    /// The server asks for something: until it has that, its own silence is no idleness.
    mutating func serverAsks() { self.questions += 1 }

    /// The server has its answer, and idle time begins anew.
    mutating func serverIsAnswered(now: Duration) {
        self.questions -= 1
        guard self.questions == 0 else { return }
        for id in self.pending.keys { self.pending[id]?.lastSign = now }
    }

    /// Requests whose time is over, each with the limit that it exceeded.
    mutating func expire(now: Duration) -> [(ending: Ending, error: MCPError)] {
        let due = self.pending.filter { $0.value.deadline(self.questions == 0) <= now }.keys.sorted()
        return due.compactMap { id in
            guard let entry = self.pending[id], let ending = self.take(id) else { return nil }
            self.note(ending, "timeout")
            let hard = entry.started + entry.timeouts.hard <= now
            let message =
                entry.isAnswered
                ? "timeout: the answer came, but the progress handler did not return within \(entry.timeouts.hard), the limit for one request"
                : hard
                    ? "timeout: no result within \(entry.timeouts.hard), the limit for one request"
                    : "timeout: no answer and no progress for \(entry.timeouts.idle), the idle limit of a request"
            return (ending, MCPError(.timeout, message))
        }
    }

    /// When to call ``expire(now:)`` next.
    var nextDeadline: Duration? { self.pending.values.lazy.map { $0.deadline(self.questions == 0) }.min() }
}
