public import JSON
public import MCPHost
public import MCPTransport
import MCPTypes

/// A server in this process: answers what tests ask, over an in-memory transport.
public final class MemoryServer: TransportReceiver {
    private let end: InMemoryTransport
    private let isModern: Bool

    /// A server at one end of a pair.
    public init(_ end: InMemoryTransport, isModern: Bool) {
        self.end = end
        self.isModern = isModern
    }

    /// A host's entry for such a server; a new one is made for each attempt to connect.
    public static func configuration(_ name: String, isModern: Bool) -> ServerConfiguration {
        ServerConfiguration(name: name, endpoint: .transport("in memory") { Joined(isModern: isModern) })
    }

    /// A client's end that runs the server's end beside itself.
    private final class Joined: Transport {
        private let pair = InMemoryTransport.pair()
        private let isModern: Bool

        init(isModern: Bool) { self.isModern = isModern }

        func run(_ receiver: any TransportReceiver) async -> TransportEnd {
            await withTaskGroup(of: Void.self) { group in
                let server = self.pair.server
                let isModern = self.isModern
                group.addTask { _ = await server.run(MemoryServer(server, isModern: isModern)) }
                let end = await self.pair.client.run(receiver)
                await group.waitForAll()
                return end
            }
        }

        func send(_ message: RawJSON) throws(MCPError) { try self.pair.client.send(message) }
        func setReceiving(_ enabled: Bool) { self.pair.client.setReceiving(enabled) }
        func close(_ manner: CloseManner) { self.pair.client.close(manner) }
    }

    /// Nothing to do: the client speaks first.
    public func transportDidOpen() {}
    /// Answers a request.
    public func transportDidReceive(_ message: RawJSON) {
        guard let envelope = try? Envelope(scanning: message), case .request(let id, let method) = envelope.kind else {
            return
        }
        let params = (try? envelope.payload?.decode(JSONValue.self)) ?? .null
        let result: JSONValue?
        switch method {
        case "server/discover" where self.isModern:
            result = ["supportedVersions": ["2026-07-28"], "capabilities": ["tools": [:]]]
        case "initialize" where !self.isModern:
            result = [
                "protocolVersion": params["protocolVersion"] ?? "2025-11-25", "capabilities": ["tools": [:]],
                "serverInfo": ["name": "memory", "version": "1"],
            ]
        case "tools/list": result = ["tools": [["name": "echo", "inputSchema": ["type": "object"]]]]
        case "tools/call" where params["name"]?.string == "hang": return
        case "tools/call": result = ["content": [["type": "text", "text": params["arguments"]?["text"] ?? ""]]]
        default: result = nil
        }
        var reply: JSONObject = ["jsonrpc": "2.0"]
        reply["id"] = try? RawJSON(encoding: id).decode(JSONValue.self)
        if let result {
            reply["result"] = result
        } else {
            reply["error"] = ["code": -32601, "message": "Method not found"]
        }
        try? self.end.send(RawJSON(encoding: reply))
    }
    /// Never happens in memory.
    public func transportDidDropOversized(start: RawJSON, size: Int, limit: Int) {}
    /// Nothing waits.
    public func transportDidDrain() {}
    /// Nothing to do.
    public func transportDidBreak(_ error: MCPError) {}
}
