import MCPJSON

/// Two ends of one connection in the same process, for tests and for servers that need no process of their own.
///
/// Each direction holds at most `capacity` messages: a full one makes `send` throw `busy`. Messages are handed over on the sender's
/// thread when the other end is receiving, so nothing waits for a scheduler.
public final class InMemoryTransport: Transport {
    private struct State {
        var receiver: (any TransportReceiver)?
        var finish: OneShot<TransportEnd>?
        var inbox: [RawJSON] = []
        var isReceiving = true
        /// Somebody is telling the receiver something: nobody else does meanwhile, and the end waits for it.
        var isTelling = false
        var ended: MCPError?
        /// Somebody was refused because the inbox was full.
        var refused = false
        /// The other end has room again, and the receiver is to be told.
        var hasDrained = false

        /// What the receiver is to be told next, in the order of the contract.
        mutating func next() -> Step {
            guard !self.isTelling else { return .nothing }
            if let receiver = self.receiver {
                if self.hasDrained {
                    self.hasDrained = false
                    self.isTelling = true
                    return .drained(receiver)
                }
                // What the other end sent before it went arrives, wanted or not.
                if !self.inbox.isEmpty, self.isReceiving || self.ended != nil {
                    self.isTelling = true
                    defer { self.refused = false }
                    return .message(self.inbox.removeFirst(), receiver, wasFull: self.refused)
                }
            }
            guard self.ended != nil, let finish = self.finish else { return .nothing }
            self.finish = nil
            return .finish(finish)
        }
    }

    private enum Step {
        case drained(any TransportReceiver)
        case message(RawJSON, any TransportReceiver, wasFull: Bool)
        /// Nothing is left to be told but the end.
        case finish(OneShot<TransportEnd>)
        case nothing
    }

    private let state = Locked(State())
    private let peer = Locked<Weak>(Weak())
    private let capacity: Int

    private struct Weak { weak var end: InMemoryTransport? }

    private init(capacity: Int) { self.capacity = capacity }

    /// Makes two connected ends; each is then run by its owner.
    /// - Parameter capacity: messages that may wait in each direction.
    public static func pair(capacity: Int = 256) -> (client: InMemoryTransport, server: InMemoryTransport) {
        let ends = (InMemoryTransport(capacity: capacity), InMemoryTransport(capacity: capacity))
        ends.0.peer.withLock { $0.end = ends.1 }
        ends.1.peer.withLock { $0.end = ends.0 }
        return ends
    }

    /// Delivers until either end closes.
    public func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        let isOpen = self.state.withLock { state in
            guard state.ended == nil else {
                state.inbox = []
                return false
            }
            // Nothing comes before it is told that it is open.
            (state.receiver, state.isTelling) = (receiver, true)
            return true
        }
        if isOpen {
            receiver.transportDidOpen()
            self.state.withLock { $0.isTelling = false }
        }
        let finish = OneShot<TransportEnd>()
        self.state.withLock { $0.finish = finish }
        self.deliver()
        let end = await finish.wait()
        let error = self.state.withLock { state in
            state.receiver = nil
            return state.ended
        }
        receiver.transportDidBreak(error ?? MCPError(.connectionLost, "the connection was closed"))
        return end
    }

    /// Hands the message to the other end.
    public func send(_ message: OutgoingMessage) throws(MCPError) {
        guard self.state.withLock({ $0.ended }) == nil, let other = self.peer.withLock({ $0.end }) else {
            throw MCPError(.connectionLost, "the connection is closed")
        }
        let accepted: Bool? = other.state.withLock { state in
            if state.ended != nil { return nil }
            guard state.inbox.count < other.capacity else {
                state.refused = true
                return false
            }
            state.inbox.append(message.payload)
            return true
        }
        switch accepted {
        case true?: other.deliver()
        case false?: throw MCPError(.busy, "the other end has \(self.capacity) messages waiting")
        case nil: throw MCPError(.connectionLost, "the other end is closed")
        }
    }

    /// Stops or resumes delivery.
    public func setReceiving(_ enabled: Bool) {
        self.state.withLock { $0.isReceiving = enabled }
        if enabled { self.deliver() }
    }

    /// Ends both directions.
    public func close(_ mode: TeardownMode) {
        self.end(MCPError(.hostClosed, "the connection was closed"), dropsInbox: true)
        let error = MCPError(.connectionLost, "the other end closed the connection")
        self.peer.withLock({ $0.end })?.end(error, dropsInbox: false)
    }

    private func end(_ error: MCPError, dropsInbox: Bool) {
        self.state.withLock { state in
            if state.ended == nil { state.ended = error }
            if dropsInbox { state.inbox = [] }
        }
        self.deliver()
    }

    /// Tells the receiver what there is to tell, one thread at a time, so that messages keep their order, and the end comes last.
    private func deliver() {
        while true {
            switch self.state.withLock({ $0.next() }) {
            case .nothing: return
            case .finish(let finish):
                finish.complete(TransportEnd())
                return
            case .drained(let receiver):
                receiver.transportDidDrain()
                self.state.withLock { $0.isTelling = false }
            case .message(let message, let receiver, let wasFull):
                receiver.transportDidReceive(message, from: .main)
                self.state.withLock { $0.isTelling = false }
                if wasFull { self.peer.withLock({ $0.end })?.drained() }
            }
        }
    }

    /// The other end has room again.
    private func drained() {
        self.state.withLock { $0.hasDrained = $0.ended == nil }
        self.deliver()
    }
}
