import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

@Suite("Standard error, line by line", .timeLimit(.minutes(5)))
struct LineSinkTests {
    private static func lines(_ pieces: [String]) -> [String] {
        let lines = Locked<[String]>([])
        var sink = LineSink { line in lines.withLock { $0.append(line) } }
        for piece in pieces {
            var bytes = Array(piece.utf8)
            bytes.withUnsafeMutableBytes { sink.append(UnsafeRawBufferPointer($0)) }
        }
        sink.end()
        return lines.withLock { $0 }
    }

    @Test("D1 however it is cut; an end without a line break is a line; bounded")
    func cut() {
        #expect(Self.lines(["a\nb", "", "c\r\n", "\n", "d"]) == ["a", "bc", "", "d"])
        #expect(Self.lines([]) == [] && Self.lines(["\n"]) == [""])
        let long = String(repeating: "x", count: 3 * LineSink.longestLine + 5)
        let pieces = Self.lines(["y" + long + "\nz\n"])
        #expect(pieces.joined() == "y" + long + "z" && pieces.allSatisfy { $0.utf8.count <= LineSink.longestLine })
        #expect(pieces.count == 5)
        // A piece ends with a whole character, and a carriage return in the middle of a line stays.
        let umlauts = "x" + String(repeating: "ü", count: LineSink.longestLine)
        #expect(Self.lines([umlauts]).joined() == umlauts)
        let returns = String(repeating: "x", count: LineSink.longestLine - 1) + "\r" + "yz"
        #expect(Self.lines([returns, "\r\n"]).joined() == returns)
    }
}
