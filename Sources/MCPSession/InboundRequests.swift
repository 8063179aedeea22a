package import MCPTransport
package import MCPTypes

/// The other side's requests that are being worked on: each is answered once, or cancelled and not answered.
package final class InboundRequests: Sendable {
    private struct State {
        var running: [JSONRPCRequestID: OneShot<Void>] = [:]
        var isOver = false
    }

    private let limit: Int
    private let state = Locked(State())

    /// - Parameter limit: so many at once; who asks for more is told to wait.
    package init(limit: Int = 64) { self.limit = limit }

    package enum Admission {
        /// Work on it until this is completed.
        case begin(OneShot<Void>)
        case refuse(String)
    }

    /// A request has come.
    package func admit(_ id: JSONRPCRequestID) -> Admission {
        self.state.withLock { state in
            if state.isOver { return .refuse("the connection is closing") }
            if state.running[id] != nil { return .refuse("this id is in use") }
            if state.running.count >= self.limit { return .refuse("busy: \(self.limit) requests are being worked on") }
            let cancelled = OneShot<Void>()
            state.running[id] = cancelled
            return .begin(cancelled)
        }
    }

    /// Whether it is being worked on.
    package func isRunning(_ id: JSONRPCRequestID) -> Bool { self.state.withLock { $0.running[id] != nil } }

    /// The other side wants no answer any more.
    package func cancel(_ id: JSONRPCRequestID) { self.state.withLock { $0.running[id] }?.complete(()) }

    /// It is answered, or will not be.
    package func left(_ id: JSONRPCRequestID) { self.state.withLock { $0.running[id] = nil } }

    /// Cancels everything and admits no more.
    package func end() {
        let running = self.state.withLock { state in
            state.isOver = true
            return Array(state.running.values)
        }
        for cancelled in running { cancelled.complete(()) }
    }
}
