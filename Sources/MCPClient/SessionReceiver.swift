package import MCPJSON
package import MCPTransport

/// What the session's transport talks to.
package final class SessionReceiver: TransportReceiver {
    private let session: ClientSession

    package init(_ session: ClientSession) { self.session = session }

    package func transportDidOpen() { self.session.transportDidOpen() }
    package func transportDidReceive(_ message: RawJSON) { self.session.transportDidReceive(message) }
    package func transportDidDropOversized(start: RawJSON, size: Int, limit: Int) {
        self.session.transportDidDropOversized(start: start, size: size, limit: limit)
    }
    package func transportDidDrain() { self.session.transportDidDrain() }
    package func transportDidBreak(_ error: MCPError) { self.session.transportDidBreak(error) }
}
