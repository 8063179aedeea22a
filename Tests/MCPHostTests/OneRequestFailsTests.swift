import Dispatch
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// A transport may lose one request and keep the connection, as HTTP does.
@Suite("One request fails, the connection goes on", .timeLimit(.minutes(5)))
struct OneRequestFailsTests {
    /// Loses requests with one method, so many of them, before or after the server got them.
    private final class Lossy: Transport {
        private let base: any Transport
        private let method: String
        private let wasSent: Bool
        private let left: Locked<Int>
        private let queue = DispatchQueue(label: "losses")
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
            // The transport tells of it later, as it has to, and before anything is answered.
            let error = MCPError(.connectionLost, "the stream of this request broke")
            let (receiver, wasSent) = (self.receiver.withLock { $0 }, self.wasSent)
            self.queue.async {
                receiver?.transportDidFail(id, error, wasSent: wasSent)
                if wasSent { try? self.base.send(message) }
            }
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
        return try await MCPHost.withHost(HostSetup(servers: [definition])) { host in
            let error = await failure { try await host.callTool(server: "a", name: "t") }
            let status = try host.server("a").status
            #expect(status == .ready && server.connections == 1)
            // The next one finds everything as it was.
            if times == 1 { _ = try await host.callTool(server: "a", name: "t") }
            // What was sent and lost may reach the server after its failure has been told.
            if wasSent { await server.wait(forReceived: method, times: method == "tools/call" ? 2 : 1) }
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

    @Test("V4 a list that was lost fails no call", arguments: [true, false]) func list(wasSent: Bool) async throws {
        let list = try await self.calls(losing: "tools/list", times: 1, wasSent: wasSent)
        #expect(list.error == nil && list.server.received("tools/call").count == 2)
        // Calls go on without it for a while; whoever asks for the list is told.
        #expect(list.server.received("tools/list").count == (wasSent ? 1 : 0))
    }

    @Test("SUB-06 the host's own subscription is opened again when its request is lost", arguments: [true, false])
    func subscription(wasSent: Bool) async throws {
        let server = ProtocolServer(.v2026_07_28, capabilities: ["tools": ["listChanged": true]])
        var definition = server.configuration("a")
        definition.client.listenRetryDelay = .milliseconds(1)
        definition.endpoint = Endpoint("in memory") { _ in
            Lossy(server.transport(), "subscriptions/listen", times: 2, wasSent: wasSent)
        }
        try await MCPHost.withHost(HostSetup(servers: [definition])) { host in
            let events = host.serverEvents()
            await server.wait(forReceived: "subscriptions/listen", times: wasSent ? 3 : 1)
            await server.wait(for: "the subscriptions") { $0.listening.count == (wasSent ? 3 : 1) }
            server.tell("notifications/tools/list_changed")
            for await event in events {
                if case .toolsChanged = event.event { break }
            }
        }
    }
}
