import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("In-memory transport and waiting", .timeLimit(.minutes(5)))
struct InMemoryTransportTests {
    final class Listener: TransportReceiver {
        let received = Locked<[String]>([])
        let broken = OneShot<MCPError>()
        let opened = OneShot<Void>()
        let drained = Locked(0)
        func transportDidOpen() { self.opened.complete(()) }
        func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
            self.received.withLock { $0.append(message.description) }
        }
        func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {}
        func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {}
        func transportDidDrain() { self.drained.withLock { $0 += 1 } }
        func transportDidBreak(_ error: MCPError) { self.broken.complete(error) }
    }

    @Test("messages arrive in order; a full inbox says busy, and says when it has room again")
    func backPressure() async throws {
        let (client, server) = InMemoryTransport.pair(capacity: 3)
        let (a, b) = (Listener(), Listener())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = await client.run(a) }
            group.addTask { _ = await server.run(b) }
            await a.opened.wait()
            await b.opened.wait()
            server.setReceiving(false)
            for i in 0..<3 { try client.send(RawJSON(encoding: i)) }
            #expect { try client.send("9") } throws: { ($0 as? MCPError)?.code == .busy }
            server.setReceiving(true)
            #expect(b.received.withLock { $0 } == ["0", "1", "2"])
            #expect(a.drained.withLock { $0 } == 1)
            client.close(.graceful)
            try await group.waitForAll()
        }
        #expect(await a.broken.wait().code == .hostClosed)
        #expect(await b.broken.wait().code == .connectionLost)
        #expect { try client.send("1") } throws: { ($0 as? MCPError)?.code == .connectionLost }
    }

    @Test("OneShot: one value for all, also for those who come late; a cancelled waiter leaves alone")
    func completion() async {
        let completion = OneShot<Int>()
        let patient = Task { await completion.wait() }
        let hasty = Task { await completion.waitUnlessCancelled() }
        hasty.cancel()
        #expect(await hasty.value == nil)
        #expect(completion.complete(1))
        #expect(!completion.complete(2))
        #expect(await patient.value == 1)
        #expect(await completion.waitUnlessCancelled() == 1)
    }
}
