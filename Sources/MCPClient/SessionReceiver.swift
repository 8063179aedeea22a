package import MCPJSON
package import MCPTransport

/// What the session's transport talks to.
package final class SessionReceiver: TransportReceiver {
    private let session: ClientSession

    package init(_ session: ClientSession) { self.session = session }

    package func transportDidOpen() { self.session.transportDidOpen() }
    package func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
        self.session.transportDidReceive(message, from: stream)
    }
    package func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
        self.session.transportDidFail(request, error, wasSent: wasSent)
    }
    package func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {
        self.session.transportDidDropOversized(start: start, size: size, limit: limit, from: stream)
    }
    package func transportDidDrain() { self.session.transportDidDrain() }
    package func transportDidBreak(_ error: MCPError) { self.session.transportDidBreak(error) }
}
