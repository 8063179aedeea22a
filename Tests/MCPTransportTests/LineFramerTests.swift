import Foundation
import MCPJSON
import MCPTransport
import MCPTypes
import Testing

private func threadTime(_ body: () -> Void) -> Duration {
    func now() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
    let start = now()
    body()
    return now() - start
}

@Suite("Framing", .timeLimit(.minutes(5)))
struct LineFramerTests {
    /// Feeds a stream in pieces of one size, and describes what comes out.
    private func frames(_ text: [UInt8], piece: Int, limit: Int = 1000) -> [String] {
        var framer = LineFramer(limit: limit)
        var result: [String] = []
        func note(_ frame: LineFramer.Frame) {
            switch frame {
            case .message(let message): result.append("message \(message)")
            case .stray(let start, let size): result.append("stray \(size) \(start)")
            case .oversized(let envelope, let size): result.append("oversized \(size) \(envelope)")
            }
        }
        for start in stride(from: 0, to: text.count, by: piece) {
            text[start..<min(start + piece, text.count)].withUnsafeBytes { framer.append($0, emit: note) }
        }
        framer.end(emit: note)
        return result
    }

    @Test("C7 eight times the line takes about eight times as long, not sixty-four")
    func linear() {
        func time(_ size: Int) -> Duration {
            let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
            // This thread's own time: on a busy machine others have the processor in between.
            return threadTime {
                var framer = LineFramer(limit: 64 << 20)
                var ends = 0
                chunk.withUnsafeBytes { bytes in
                    for _ in 0..<(size / 4096) { framer.append(bytes, emit: { _ in ends += 1 }) }
                }
                framer.end(emit: { _ in ends += 1 })
                #expect(ends == 1)
            }
        }
        _ = time(1 << 20)
        let small = (0..<3).map { _ in time(2 << 20) }.min() ?? .zero
        let large = (0..<3).map { _ in time(16 << 20) }.min() ?? .zero
        // Looking at everything again with each chunk would take seconds; a busy machine may double or treble milliseconds.
        #expect(large < max(small * 32, .milliseconds(300)), "\(small) for 2 MiB, \(large) for 16 MiB")
    }

    @Test("C3 C4 C5 the same messages, however they are cut", arguments: [1, 2, 3, 7, 64, 10_000])
    func cuts(piece: Int) {
        let text = "{\"a\":1}\n[{\"a\":2}]\r\n\n  \n\0\nlog line\n{\"b\":\"😀 é\u{2028}x\"}\n{\"last\":3}"
        #expect(
            self.frames(Array(text.utf8), piece: piece) == [
                #"message {"a":1}"#, #"message [{"a":2}]"#, "stray 8 log line", "message {\"b\":\"😀 é\u{2028}x\"}",
                #"message {"last":3}"#,
            ]
        )
    }

    @Test(
        "C1 a list of messages begins with [ and an object, or nothing; what sets colors, and a log's [INFO], does not"
    )
    func brackets() {
        for (line, isMessage) in [
            ("[]", true), ("[ {}]", true), ("[\t{\"a\":1}]", true), ("[", true), ("[INFO] started", false),
            ("[1]", false),
            ("\u{1B}[32m{\"a\":1}\u{1B}[0m", false), ("[\"a\"]", false),
        ] {
            let frames = self.frames(Array("\(line)\n".utf8), piece: 100)
            #expect(frames.count == 1 && frames[0].hasPrefix("message") == isMessage, "\(frames)")
        }
    }

    @Test(
        "C7 T12 each byte of a line that does not end is looked at once, whatever it begins with",
        arguments: ["[", "", "\u{FEFF}"]
    )
    func endlessBeginning(start: String) {
        func time(_ size: Int) -> Duration {
            var framer = LineFramer(limit: 1 << 30)
            let chunk = [UInt8](repeating: 0x20, count: 64 << 10)
            return ContinuousClock().measure {
                Array(start.utf8).withUnsafeBytes { framer.append($0) { _ in } }
                for _ in 0..<(size / chunk.count) {
                    chunk.withUnsafeBytes { framer.append($0) { _ in } }
                    _ = framer.pendingStrayBytes
                }
            }
        }
        let small = (0..<3).map { _ in time(1 << 20) }.min() ?? .zero
        let large = (0..<3).map { _ in time(16 << 20) }.min() ?? .zero
        #expect(large < max(small * 64, .milliseconds(500)), "\(small) for 1 MiB, \(large) for 16 MiB")
    }

    @Test("C14 a byte-order mark before a message is skipped, at the start and later")
    func byteOrderMark() {
        let text: [UInt8] = [0xEF, 0xBB, 0xBF] + Array("{}\n".utf8) + [0xEF, 0xBB, 0xBF] + Array("[]\n".utf8)
        for piece in [1, 2, 100] { #expect(self.frames(text, piece: piece) == ["message {}", "message []"]) }
    }

    @Test(
        "C6 T8 of a line over the limit the envelope is known, wherever it stands, and the next line is whole",
        arguments: [1, 100, 5000]
    )
    func oversized(piece: Int) {
        let plain = String(repeating: "x", count: 700)
        let long = String(repeating: #"\"}],\"id\":1,"#, count: 300) + plain + #"\\\""# + plain + #"\\"#
        let cases: [(line: String, envelope: String)] = [
            (#"{"id":5,"x":"\#(long)"}"#, #","id":5"#),
            (#"{"result":{"a":["\#(long)",{"id":9}]},"jsonrpc":"2.0" , "id" : "six" }"#, #","id":"six""#),
            (#"{"params":["\#(long)"],"method":"ping","id":7}"#, #","id":7,"method":"ping""#),
            (#"{"id":5,"x":"\#(long)","id":6}"#, ""), (#"{"x":"\#(long)"}"#, ""),
            (String(repeating: "x", count: 3000), ""),
            // Where it ceases to be JSON, nothing more is looked for; what was found before counts.
            (#"{"id":5,"x":"\#(long)" ; "id":6}"#, #","id":5"#), (#"{"id":5,"x" xx "\#(long)","id":6}"#, #","id":5"#),
            (#"{"id":5,"\#(long)":1,"method":"ping"}"#, #","id":5,"method":"ping""#),
            (#"{"x":"\#(plain)\#(plain)\#(plain)","id":5}"#, #","id":5"#),
        ]
        for (line, envelope) in cases {
            let found = self.frames(Array("\(line)\n{\"id\":6}\n".utf8), piece: piece, limit: 2000)
            #expect(
                found == [
                    "oversized \(line.utf8.count) {\"jsonrpc\":\"2.0\"\(envelope)}", #"message {"id":6}"#,
                ]
            )
        }
    }

    @Test("C6 C20 T8 of a batch over the limit the envelope of each element is known", arguments: [1, 100, 5000])
    func oversizedBatch(piece: Int) {
        let long = String(repeating: #"\"}],\"id\":1,"#, count: 300)
        let batch = #"[{"id":5,"x":"\#(long)"}, {"x":[{"id":9}],"id":"six"},{"x":{"id":1}} ,{"method":"ping","id":7}]"#
        let envelopes = [#","id":5"#, #","id":"six""#, "", #","id":7,"method":"ping""#].map {
            #"{"jsonrpc":"2.0"\#($0)}"#
        }
        #expect(
            self.frames(Array("\(batch)\n{}\n".utf8), piece: piece, limit: 2000) == [
                "oversized \(batch.utf8.count) [\(envelopes.joined(separator: ","))]", "message {}",
            ]
        )
        let broken = #"[{"id":5,"x":"\#(long)"}, {"id":"six","x":1 y},{"id":7}]"#
        #expect(
            self.frames(Array("\(broken)\n{}\n".utf8), piece: piece, limit: 2000) == [
                "oversized \(broken.utf8.count) [\(envelopes[0]),\(envelopes[1])]", "message {}",
            ]
        )
    }

    @Test("C6 a line of exactly the limit is a message")
    func atLimit() {
        let line = "{" + String(repeating: " ", count: 98) + "}"
        #expect(self.frames(Array((line + "\n").utf8), piece: 7, limit: 100) == ["message \(line)"])
    }

    @Test("C16 a last line without a line break counts") func endOfStream() {
        #expect(self.frames(Array("{}".utf8), piece: 1) == ["message {}"])
        #expect(self.frames([], piece: 1) == [])
    }

    @Test("C4 ten thousand messages in one write, all, in order")
    func many() {
        let text = (0..<10_000).map { "{\"id\":\($0)}\n" }.joined()
        let found = self.frames(Array(text.utf8), piece: 1 << 20)
        #expect(found.count == 10_000 && found.last == #"message {"id":9999}"#)
    }
}

@Suite("Envelope", .timeLimit(.minutes(5)))
struct EnvelopeTests {
    private func scan(_ text: String) -> Result<Envelope, Envelope.Malformed> {
        Result { () throws(Envelope.Malformed) in try Envelope(scanning: RawJSON(copying: text)) }
    }

    @Test("RPC-01 kind, id, method and payload, in any order of members")
    func kinds() throws {
        let request = try self.scan(#"{"params":{"a":[1,"]"]},"method":"m","id":7,"jsonrpc":"2.0"}"#).get()
        #expect(
            request.kind == .request(id: .integer(7), method: "m") && request.payload?.description == #"{"a":[1,"]"]}"#
        )
        #expect(try self.scan(#"{"jsonrpc":"2.0","method":"n"}"#).get().kind == .notification(method: "n"))
        #expect(try self.scan(#"{"jsonrpc":"2.0","id":"x","result":{}}"#).get().kind == .result(id: .string("x")))
        #expect(try self.scan(#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#).get().kind == .error(id: nil))
        #expect(try self.scan(#"{"jsonrpc":"2.0","error":{"code":1}}"#).get().kind == .error(id: nil))
        #expect(
            try self.scan(#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#).get().kind == .result(id: .integer(1))
        )
        // Sloppy, and clear.
        let refusal = try self.scan(#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}"#).get()
        #expect(refusal.kind == .error(id: .integer(1)) && refusal.payload?.description == #"{"code":1}"#)
        let bare = try self.scan(#"{"id":1,"result":null,"error":{"code":1}}"#).get()
        #expect(bare.kind == .error(id: .integer(1)) && bare.lacksVersion)
    }

    @Test(
        "F21 C19 malformed messages are refused, with the id where it can be read (C21)",
        arguments: [
            (#"{"jsonrpc":"2.0","id":5,"result":"#, JSONRPCRequestID.integer(5)),
            (#"{"jsonrpc":2.0,"id":5,"result":{}}"#, .integer(5)),
            (#"{"jsonrpc":"2.0","id":5,"result":{},"error":{}}"#, .integer(5)),
            (#"{"jsonrpc":"2.0","id":5,"id":6,"result":{}}"#, nil),
            (#"{"jsonrpc":"2.0","id":{},"result":{}}"#, nil), (#"{"jsonrpc":"2.0","result":{}}"#, nil), ("{}", nil),
            ("[]", nil),
            (#"{"jsonrpc":"2.0","id":1.5,"result":{}}"#, nil), (#"{"jsonrpc":"2.0","id":1}"#, .integer(1)),
            ("{\"jsonrpc\"", nil),
            (#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, nil),
            (#"{"jsonrpc":"2.0","id":1e-9223372036854775808,"result":{}}"#, nil),
        ]
    )
    func malformed(text: String, id: JSONRPCRequestID?) {
        guard case .failure(let error) = self.scan(text) else { return #expect(Bool(false), "\(text) was accepted") }
        #expect(error.id == id)
    }

    @Test("a message without its version is one where its meaning is clear; another version is none, and is named")
    func versions() throws {
        for (text, kind) in [
            (#"{"id":1,"result":{}}"#, Envelope.Kind.result(id: .integer(1))),
            (#"{"id":1,"error":{"code":1}}"#, .error(id: .integer(1))),
            (#"{"method":"notifications/progress"}"#, .notification(method: "notifications/progress")),
            (#"{"id":2,"method":"ping"}"#, .request(id: .integer(2), method: "ping")),
        ] {
            let envelope = try self.scan(text).get()
            #expect(envelope.kind == kind && envelope.lacksVersion)
            #expect(throws: Envelope.Malformed.self) {
                try Envelope(scanning: RawJSON(copying: text), isStrict: true)
            }
        }
        // Lines of logs: none is an answer to anything.
        for text in [
            #"{"id":3,"method":"GET"}"#, #"{"id":3,"method":"tools/call","params":{}}"#,
            #"{"level":"info","id":3,"result":{}}"#,
            #"{"id":3,"result":"ok"}"#, #"{"error":{"code":1}}"#, #"{"level":"warn","error":"cannot open cache"}"#,
            #"{"id":3,"error":"x"}"#,
        ] {
            guard case .failure(let problem) = self.scan(text) else { return #expect(Bool(false), "\(text) is none") }
            #expect(problem.id == nil || !problem.isAnswer, "\(text)")
        }
        #expect(try !self.scan(#"{"jsonrpc":"2.0","id":1,"result":{}}"#).get().lacksVersion)
        guard case .failure(let problem) = self.scan(#"{"jsonrpc":"1.0","id":1,"result":{}}"#) else {
            return #expect(Bool(false), "1.0 was taken for 2.0")
        }
        #expect(
            problem.reason == #""jsonrpc" is "1.0", and not "2.0""# && problem.id == .integer(1) && problem.isAnswer
        )
    }

    @Test("C6 the id at the start of a message that is cut off")
    func start() {
        #expect(Envelope.id(inStart: #"{"jsonrpc":"2.0","id":12,"result":{"content":[{"te"#) == .integer(12))
        #expect(Envelope.id(inStart: #"{"jsonrpc":"2.0","method":"x","id":12"#) == nil)
    }
}
