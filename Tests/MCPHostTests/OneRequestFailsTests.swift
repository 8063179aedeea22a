import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// A transport may lose one request and keep the connection, as HTTP does.
@Suite("One request fails, the connection goes on")
struct OneRequestFailsTests {
    /// Loses requests with one method, so many of them, before or after the server got them.
    private final class Lossy: Transport {
        private let base: any Transport
        private let method: String
        private let wasSent: Bool
        private let left: Locked<Int>
        private let receiver = Locked<(any TransportReceiver)?>(nil)

        init(_ base: any Transport, _ method: String, times: Int, wasSent: Bool) {
            self.base = base
            self.method = method
            self.wasSent = wasSent
            self.left = Locked(times)
        }

        func run(_ receiver: any TransportReceiver) async -> TransportEnd {
            self.receiver.withLock { $0 = receiver }
            defer { self.receiver.withLock { $0 = nil } }
            return await self.base.run(receiver)
        }

        func send(_ message: OutgoingMessage) throws(MCPError) {
            guard case .request(let id) = message.kind, message.method == self.method,
                self.left.withLock({ left in
                    left -= 1
                    return left >= 0
                })
            else { return try self.base.send(message) }
            // Told first: the answer must not come before.
            let error = MCPError(.connectionLost, "the stream of this request broke")
            self.receiver.withLock { $0 }?.transportDidFail(id, error, wasSent: self.wasSent)
            if self.wasSent { try self.base.send(message) }
        }

        func setReceiving(_ enabled: Bool) { self.base.setReceiving(enabled) }
        func close(_ mode: TeardownMode) { self.base.close(mode) }
    }

    private func calls(
        losing method: String,
        times: Int,
        wasSent: Bool
    ) async throws -> (error: MCPError?, server: ProtocolServer) {
        let tool: JSONValue = ["name": "t", "inputSchema": ["type": "object"]]
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "tools/list": { _ in ["tools": [tool], "ttlMs": 60000, "cacheScope": "private"] },
                "tools/call": { _ in ["content": []] },
            ]
        )
        var definition = server.configuration("a")
        definition.endpoint = Endpoint("in memory") { _ in
            Lossy(server.transport(), method, times: times, wasSent: wasSent)
        }
        return try await MCPHost.withHost(HostConfiguration(servers: [definition])) { host in
            let error = await failure { try await host.callTool(server: "a", name: "t") }
            let status = try host.server("a").status
            #expect(status == .ready && server.connections == 1)
            // The next one finds everything as it was.
            if times == 1 { _ = try await host.callTool(server: "a", name: "t") }
            return (error, server)
        }
    }

    @Test("F15 a call that had not left is made once more, and not for ever")
    func notSent() async throws {
        let once = try await self.calls(losing: "tools/call", times: 1, wasSent: false)
        #expect(once.error == nil && once.server.received("tools/call").count == 2)
        let always = try await self.calls(losing: "tools/call", times: 9, wasSent: false)
        #expect(always.error?.code == .connectionLost && always.error?.server == "a")
        #expect(always.server.received("tools/call").isEmpty)
    }

    @Test("F15 one that had left is not: it may have been executed") func sent() async throws {
        let call = try await self.calls(losing: "tools/call", times: 1, wasSent: true)
        #expect(call.error?.code == .outcomeUnknown && call.server.received("tools/call").count == 2)
    }

    @Test("a list that was lost is read again", arguments: [true, false]) func list(wasSent: Bool) async throws {
        let list = try await self.calls(losing: "tools/list", times: 1, wasSent: wasSent)
        #expect(list.error == nil)
    }
}
