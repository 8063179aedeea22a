import Foundation
import Testing

@testable import MCPStdio

@Suite("Tail of standard error", .timeLimit(.minutes(5)))
struct StderrTailTests {
    @Test("D1 L1 the last 64 KiB, however the bytes come", arguments: [1, 1000, 65_535, 65_536, 65_537, 200_000])
    func ring(piece: Int) {
        let all = (0..<30_000).map { "line \($0)\n" }.joined()
        let bytes = Array(all.utf8.prefix(piece == 1 ? 70_000 : .max))
        var tail = StderrTail()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { tail.append($0) }
        }
        let kept = String(decoding: bytes.suffix(64 << 10), as: UTF8.self)
        #expect(tail.text(lines: .max, bytes: .max) == kept.trimmingCharacters(in: .newlines))
    }
}
