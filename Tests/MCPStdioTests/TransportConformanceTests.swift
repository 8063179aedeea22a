import Foundation
import MCPJSON
import MCPStdio
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// The same promises for every transport; `UnixSocketTransport` is the one of the example, which uses what is public and nothing else.
@Suite("Transport conformance", .serialized, .timeLimit(.minutes(5)))
struct TransportConformanceTests {
    /// The two ends of a pair in memory in one transport, whose far end echoes.
    private final class EchoingPair: Transport, TransportReceiver {
        private let pair = InMemoryTransport.pair()
        /// What came back from a full inbox.
        private let held = Locked<[RawJSON]>([])

        func run(_ receiver: any TransportReceiver) async -> TransportEnd {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await self.pair.server.run(self) }
                let end = await self.pair.client.run(receiver)
                self.pair.server.close(.immediate)
                await group.waitForAll()
                return end
            }
        }

        func send(_ message: OutgoingMessage) throws(MCPError) { try self.pair.client.send(message) }
        func setReceiving(_ enabled: Bool) { self.pair.client.setReceiving(enabled) }
        func close(_ mode: TeardownMode) { self.pair.client.close(mode) }

        func transportDidOpen() {}
        func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
            if message.count < 64, message.description.contains(#""method":"bye""#) {
                return self.pair.server.close(.graceful)
            }
            self.held.withLock { $0.append(message) }
            self.sendBack()
        }
        func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {}
        func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {}
        func transportDidDrain() {
            self.pair.server.setReceiving(true)
            self.sendBack()
        }
        func transportDidBreak(_ error: MCPError) {}

        private func sendBack() {
            while let message = self.held.withLock({ $0.first }) {
                do throws(MCPError) { try self.pair.server.send(message) } catch {
                    return self.pair.server.setReceiving(false)
                }
                self.held.withLock { _ = $0.removeFirst() }
            }
        }
    }

    @Test("in memory") func memory() async throws {
        try await TransportConformance("memory") { _ in EchoingPair() }.check()
    }

    @Test("stdio, with and without a guard", .looksAtProcesses, arguments: [true, false]) func stdio(isGuarded: Bool)
        async throws
    {
        var options = StdioTransport.Options()
        options.isGuarded = isGuarded
        options.maximumQueuedBytes = 4 << 20
        // Sends back each line, and ends after the one with `bye`. (What sed does unbuffered it does byte by byte.)
        let echo = #"$| = 1; while (<STDIN>) { print; last if /"method":"bye"/ }"#
        let launch = ServerLaunch(command: "perl", arguments: ["-e", echo])
        let endpoint = Endpoint.stdio(launch, options: options)
        try await TransportConformance("stdio") { endpoint.makeTransport($0) }.check()
    }

    @Test("a Unix socket: a transport that was made outside") func unixSocket() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("socket-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("s").path
        let listener = try SocketListener(path: path) { Self.echo($0.fileDescriptor) }
        defer { listener.close() }
        try await TransportConformance("socket") { UnixSocketTransport(path: path, context: $0) }.check()
    }

    /// Sends back what comes, until it was `bye`.
    private static func echo(_ socket: Int32) {
        var last = ""
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = read(socket, &chunk, chunk.count), count > 0 {
            var start = 0
            while start < count {
                let written = chunk[start..<count].withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
                guard written > 0 else { return }
                start += written
            }
            last = String((last + String(decoding: chunk[..<count].suffix(64), as: UTF8.self)).suffix(64))
            if last.contains(#""method":"bye""#) { return }
        }
    }
}
