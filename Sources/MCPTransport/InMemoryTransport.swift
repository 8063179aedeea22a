import MCPJSON

/// Two ends of one connection in the same process, for tests and for servers that need no process of their own.
///
/// Each direction holds at most `capacity` messages: a full one makes `send` throw `busy`. Messages are handed over on the sender's
/// thread when the other end is receiving, so nothing waits for a scheduler.
public final class InMemoryTransport: Transport {
    private struct State {
        var receiver: (any TransportReceiver)?
        var finish: CheckedContinuation<TransportEnd, Never>?
        var inbox: [RawJSON] = []
        var isReceiving = true
        var isDelivering = false
        var ended: MCPError?
        var refused = false
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
        let alreadyEnded = self.state.withLock { state in
            state.receiver = receiver
            return state.ended
        }
        if alreadyEnded == nil {
            receiver.transportDidOpen()
            self.deliver()
        }
        let end = await withCheckedContinuation { (continuation: CheckedContinuation<TransportEnd, Never>) in
            let isOver = self.state.withLock { state in
                if state.ended != nil { return true }
                state.finish = continuation
                return false
            }
            if isOver { continuation.resume(returning: TransportEnd()) }
        }
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
        self.end(MCPError(.hostClosed, "the connection was closed"))
        self.peer.withLock({ $0.end })?.end(MCPError(.connectionLost, "the other end closed the connection"))
    }

    private func end(_ error: MCPError) {
        let finish = self.state.withLock { state -> CheckedContinuation<TransportEnd, Never>? in
            guard state.ended == nil else { return nil }
            state.ended = error
            defer { state.finish = nil }
            return state.finish
        }
        finish?.resume(returning: TransportEnd())
    }

    /// Empties the inbox into the receiver, one thread at a time, so that messages keep their order.
    private func deliver() {
        while true {
            let next: (RawJSON, any TransportReceiver, Bool)? = self.state.withLock { state in
                guard !state.isDelivering, state.isReceiving, state.ended == nil, let receiver = state.receiver,
                    !state.inbox.isEmpty
                else { return nil }
                state.isDelivering = true
                defer { state.refused = false }
                return (state.inbox.removeFirst(), receiver, state.refused)
            }
            guard let (message, receiver, wasFull) = next else { return }
            receiver.transportDidReceive(message, from: .main)
            self.state.withLock { $0.isDelivering = false }
            if wasFull {
                let other = self.peer.withLock { $0.end }
                other?.state.withLock({ $0.receiver })?.transportDidDrain()
            }
        }
    }
}
