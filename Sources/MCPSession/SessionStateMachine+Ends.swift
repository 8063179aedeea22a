import MCPJSON
public import MCPTransport
public import MCPTypes

/// The ends of requests, one for each.
extension SessionStateMachine {
    /// What ended, for whom, and whether the server has to be told.
    @usableFromInline package struct Ending {
        @usableFromInline package var id: Int64
        @usableFromInline package var waiter: Waiter
        /// The message had left and has no answer, so the server works on it.
        @usableFromInline package var wasSent = false
        /// The answer had come: the waiter has it.
        @usableFromInline package var isAnswered = false
        @usableFromInline package var isProbe = false
        /// The transport is just being given the message: what has to be told to the server waits for that.
        @usableFromInline package var isSending = false
        /// The session's own.
        @usableFromInline package var isReserved = false

        @inlinable package init(_ id: Int64, _ entry: Pending) {
            (self.id, self.waiter) = (id, entry.waiter)
            self.wasSent = entry.message == nil && !entry.isAnswered
            (self.isAnswered, self.isProbe) = (entry.isAnswered, entry.isProbe)
            (self.isSending, self.isReserved) = (entry.isSending, entry.isReserved)
        }

        /// Its id, as it was sent.
        @inlinable package var wireID: JSONRPCRequestID { SessionStateMachine.wireID(self.id, isProbe: self.isProbe) }
    }

    @inlinable package mutating func take(_ id: Int64) -> Ending? {
        guard let entry = self.pending.removeValue(forKey: id) else { return nil }
        let ending = Ending(id, entry)
        if ending.wasSent { self.returned(entry) }
        self.over(entry)
        if entry.message != nil { self.line.remove(id, of: entry.caller) }
        return ending
    }

    @usableFromInline package enum Answer {
        /// Its caller is to be told.
        case ends(Ending)
        /// It stays until ``delivered(_:)``, because the caller's progress handler comes first.
        case held(Int64, Waiter)
        /// Nobody waits for it.
        case stray
    }

    /// The probe's id, if it is with the server, and nothing else is.
    @inlinable package var onlyProbe: JSONRPCRequestID? {
        guard self.pending.count == 1, let (id, entry) = self.pending.first, entry.isProbe, entry.message == nil else {
            return nil
        }
        return Self.wireID(id, isProbe: true)
    }

    /// An answer came. A number that came back as a string is taken for the number, if nobody has that string (F5); only the very digits
    /// that were sent count (T20).
    /// - Parameter hold: puts the answer into the waiter and says yes, if the waiter is not to be told yet.
    @inlinable package mutating func answered(_ id: JSONRPCRequestID, hold: (inout Waiter) -> Bool) -> Answer {
        guard let number = Self.number(of: id), var entry = self.pending[number], entry.message == nil,
            !entry.isAnswered
        else { return .stray }
        if case .integer = id, entry.isProbe { return .stray }
        if case .string(let text) = id, entry.isProbe != text.hasPrefix(Self.probePrefix) { return .stray }
        guard hold(&entry.waiter) else { return self.take(number).map { .ends($0) } ?? .stray }
        entry.isAnswered = true
        self.returned(entry)
        self.pending[number] = entry
        return .held(number, entry.waiter)
    }

    /// The same for a waiter that is told at once.
    @inlinable package mutating func answered(_ id: JSONRPCRequestID) -> Ending? {
        if case .ends(let ending) = self.answered(id, hold: { _ in false }) { ending } else { nil }
    }

    /// What came before the answer has been told to the caller; nil if it has gone meanwhile.
    @inlinable package mutating func delivered(_ id: Int64) -> Ending? { self.take(id) }

    /// How the number of a request looks on the wire; a probe's is a string, so that its late answer is never taken for another's.
    @inlinable package static func wireID(_ id: Int64, isProbe: Bool) -> JSONRPCRequestID {
        isProbe ? .string("\(self.probePrefix)\(id)") : .integer(id)
    }

    @inlinable package static var probePrefix: String { "probe-" }

    /// Whether an id is that of a probe.
    @inlinable package static func isProbe(_ id: JSONRPCRequestID) -> Bool {
        if case .string(let text) = id { text.hasPrefix(self.probePrefix) } else { false }
    }

    @inlinable package static func number(of id: JSONRPCRequestID) -> Int64? {
        switch id {
        case .integer(let number): return number
        case .string(let text):
            let digits = text.hasPrefix(self.probePrefix) ? text.dropFirst(self.probePrefix.count) : text[...]
            // `+2` and `02` are other strings than `2`.
            guard let number = Int64(digits), String(number).utf8.elementsEqual(digits.utf8) else { return nil }
            return number
        }
    }

    /// The caller has gone.
    @inlinable package mutating func cancelled(_ id: Int64) -> Ending? {
        if let ending = self.take(id) {
            self.note(ending, "the caller cancelled")
            return ending
        }
        if self.brokenBy != nil { return nil }
        self.cancelledEarly.insert(id)
        return nil
    }

    /// The number will not be used: whatever was noted for it is forgotten.
    @inlinable package mutating func forget(_ id: Int64) { self.cancelledEarly.remove(id) }

    /// The message cannot be sent.
    @inlinable package mutating func failed(_ id: Int64) -> Ending? {
        self.endedWhileSending[id] = nil
        return self.take(id)
    }

    /// A request has ended without an answer. If the transport is just being given it, the server can be told only afterwards.
    @inlinable package mutating func note(_ ending: Ending, _ reason: String) {
        if ending.isSending, ending.wasSent { self.endedWhileSending[ending.id] = reason }
    }

    /// The transport says that one request has failed. It takes what was sent as an answer would be, and nothing else.
    @inlinable package mutating func failed(_ id: JSONRPCRequestID) -> Ending? { self.answered(id) }

    /// A number that stays the same for as long as nobody uses the conversation; nil while somebody does.
    @inlinable package var idleMark: Int? {
        let isUsed =
            self.holds > 0 || self.questions > 0 || !self.hasNoPosts
            || self.pending.contains { !$0.value.isReserved }
        return isUsed ? nil : self.uses
    }

    /// Nothing will be sent any more, if nobody has used the conversation since a mark was taken: whoever comes later is refused, and has
    /// nothing on its way.
    /// - Returns: nil if somebody has.
    @inlinable package mutating func retire(since mark: Int, _ error: MCPError) -> [Ending]? {
        self.brokenBy == nil && self.idleMark == mark ? self.broke(error) : nil
    }

    /// Nothing will come any more.
    @inlinable package mutating func broke(_ error: MCPError) -> [Ending] {
        guard self.brokenBy == nil else { return [] }
        self.brokenBy = error
        self.endedDuringProbe = self.phase == .probing && error.code == .connectionLost
        self.phase = .broken
        self.openBy = nil
        self.line.removeAll()
        self.outbox = []
        self.isReceiving = true
        self.cancelledEarly = []
        self.endedWhileSending = [:]
        let endings = self.pending.keys.sorted().compactMap { self.take($0) }
        self.requestsFailed = endings.count { !$0.isAnswered && !$0.isReserved }
        return endings
    }
}

extension SessionStateMachine.Ending: Sendable where Waiter: Sendable {}
