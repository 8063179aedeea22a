import CMCPProcess
import Foundation
import MCPJSON
import TestSupport
import Testing

@testable import MCPStdio

/// What waits for a server that does not read, and what waits for others to leave with it.
@Suite("The queue of a server's input", .timeLimit(.minutes(5)))
struct OutputQueueTests {
    /// Everything that is in a pipe now.
    private static func drain(_ descriptor: Int32, atMost limit: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = read(descriptor, &bytes, limit)
        return Array(bytes.prefix(max(0, count)))
    }

    @Test(
        "D6 D7 messages of any size leave whole and in order, gathered or not, however little the pipe takes at once",
        arguments: [0, 64, 1000, 1 << 16]
    )
    func wholeAndInOrder(scratchSize: Int) throws {
        var ends: [Int32] = [0, 0]
        try #require(mcp_pipe(&ends, -1) == 0)
        defer { for end in ends { close(end) } }
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, scratchSize), alignment: 16)
        defer { scratch.deallocate() }
        var random = Seeded(state: UInt64(scratchSize) + 1)
        var (queue, sent, arrived) = (OutputQueue(), [UInt8](), [UInt8]())
        var largest = 0
        for number in 0..<2000 {
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let sizes = [0, 1, 30, 200, 5000, 70_000]
                let size = number % 50 == 0 ? sizes[5] : sizes[Int.random(in: 0..<5, using: &random)]
                let message = RawJSON(copying: String(repeating: "\(number % 10)", count: size))
                queue.append(message)
                sent += message.bytes + [0x0A]
            }
            largest = max(largest, queue.bytes)
            #expect(queue.bytes >= sent.count - arrived.count - (1 << 20))
            switch queue.write(to: ends[1], scratchSize == 0 ? nil : scratch) {
            case .empty: #expect(queue.isEmpty && queue.bytes == 0)
            case .blocked: #expect(!queue.isEmpty && queue.bytes > 0)
            case .broken: Issue.record("the pipe is broken")
            }
            arrived += Self.drain(ends[0], atMost: Int.random(in: 1...20_000, using: &random))
        }
        for _ in 0..<100_000 where !queue.isEmpty || arrived.count < sent.count {
            _ = queue.write(to: ends[1], scratchSize == 0 ? nil : scratch)
            arrived += Self.drain(ends[0], atMost: 1 << 16)
        }
        #expect(queue.isEmpty && arrived == sent, "\(arrived.count) of \(sent.count) bytes")
        #expect(largest > 1 << 16, "the pipe was never full")
    }

    @Test("D4 what is out is not kept, also where the queue is never empty")
    func neverEmpty() {
        var queue = OutputQueue()
        for number in 0..<100 { queue.append(RawJSON(copying: "\(number)")) }
        for number in 100..<10_000 {
            queue.append(RawJSON(copying: "\(number)"))
            var hasWritten = false
            _ = queue.write { messages, offset in
                if hasWritten { return .blocked }
                hasWritten = true
                return .bytes((messages.first?.count ?? 0) + 1 - offset)
            }
            #expect(!queue.isEmpty && queue.keptCount <= 300, "\(queue.keptCount)")
        }
    }

    @Test("what is gathered leaves with one call of the system; a message that finds others waiting joins them")
    func gathered() throws {
        var window = SendWindow()
        func isGathered(_ text: String) -> Bool {
            if case .gathered = window.gather(RawJSON(copying: text), limit: 100) { true } else { false }
        }
        #expect(isGathered("1") && !isGathered("2") && !isGathered("3"))
        var writes = 0
        let progress = window.resume { queue in
            queue.write { messages, _ in
                writes += 1
                return .bytes(messages.reduce(0) { $0 + $1.count + 1 })
            }
        }
        #expect(progress == .drained(tellReceiver: false) && writes == 1)
        #expect(isGathered("4"))
        guard case .full = window.gather(RawJSON(copying: String(repeating: "x", count: 200)), limit: 100) else {
            Issue.record("there is no room for it")
            return
        }
        // Who was refused is told, once.
        func resume() -> SendWindow.Progress {
            window.resume { queue in queue.write { messages, _ in .bytes(messages.reduce(0) { $0 + $1.count + 1 }) } }
        }
        #expect(
            resume() == .drained(tellReceiver: true) && isGathered("5") && resume() == .drained(tellReceiver: false)
        )
    }
}
