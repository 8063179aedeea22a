import MCPTransport

/// The way to a server whose configuration cannot be used: it does not open, and says why.
final class UnusableTransport: Transport {
    private let error: MCPError

    init(_ error: MCPError) { self.error = error }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        receiver.transportDidBreak(self.error)
        return TransportEnd(launchError: self.error)
    }

    func send(_ message: OutgoingMessage) throws(MCPError) { throw self.error }
    func setReceiving(_ enabled: Bool) {}
    func close(_ mode: TeardownMode) {}
}
