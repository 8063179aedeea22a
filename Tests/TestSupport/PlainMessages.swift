public import MCPJSON
public import MCPTransport

extension Transport {
    /// Sends a text that the test is not interested in as a message.
    public func send(_ payload: RawJSON) throws(MCPError) {
        try self.send(OutgoingMessage(payload, kind: .notification))
    }
}

extension OutgoingMessage: ExpressibleByStringLiteral {
    /// A text that the test is not interested in.
    public init(stringLiteral text: StringLiteralType) {
        self.init(RawJSON(copying: text), kind: .notification)
    }
}
