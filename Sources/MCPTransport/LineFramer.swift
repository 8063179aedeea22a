package import MCPJSON

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Cuts a stream of bytes into messages, one a line (`STDIO-01`).
///
/// Splits on byte 0x0A and nothing else (C12, C13), looks at every byte once (C7), copies every message once, and never holds more
/// than one message of at most `limit` bytes (C8).
package struct LineFramer: ~Copyable {
    /// What a line turned out to be.
    package enum Frame: Sendable {
        /// A message: it starts with `{` or `[`.
        case message(RawJSON)
        /// Something else, cut to its first 1024 bytes (C1).
        case stray(RawJSON, size: Int)
        /// A line over the limit (C6): an envelope with the id and the method of the message, wherever in it they stood (T8).
        case oversized(RawJSON, size: Int)
    }

    private static let kept = 1024

    private let limit: Int
    private var partial = ByteBuilder(capacity: 0)
    /// Length of the current line so far, also of what was thrown away.
    private var lineLength = 0
    /// Of a line that is over the limit.
    private var sketch: EnvelopeSketch?
    /// Of the line that is coming in.
    private var beginning = LineBeginning()

    /// A framer at the start of a stream.
    /// - Parameter limit: bytes that a line may have, without its line break.
    package init(limit: Int) { self.limit = limit }

    /// Takes the next bytes of the stream.
    /// - Parameters:
    ///   - bytes: any number of them, cut anywhere.
    ///   - emit: called for each line that is complete now. Blank lines are not lines (C15).
    package mutating func append(_ bytes: UnsafeRawBufferPointer, emit: (Frame) -> Void) {
        guard let base = bytes.baseAddress else { return }
        var start = 0
        while start < bytes.count {
            guard let found = memchr(base + start, 0x0A, bytes.count - start) else {
                self.hold(UnsafeRawBufferPointer(rebasing: bytes[start...]))
                return
            }
            let end = base.distance(to: UnsafeRawPointer(found))
            let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if self.lineLength == 0 {
                self.finish(piece, size: piece.count, emit)
            } else {
                self.hold(piece)
                self.endLine(emit)
            }
        }
    }

    /// Bytes of the line that is coming in, if it does not look like a message (C2).
    package var pendingStrayBytes: Int {
        guard self.lineLength > 0 else { return 0 }
        if let sketch = self.sketch { return sketch.isMessage ? 0 : self.lineLength }
        return self.beginning.isMessage == true ? 0 : self.lineLength
    }

    /// The stream has ended: a last line without a line break counts (C16).
    package mutating func end(emit: (Frame) -> Void) {
        if self.lineLength > 0 { self.endLine(emit) }
    }

    private mutating func hold(_ piece: UnsafeRawBufferPointer) {
        let before = self.lineLength
        if before == 0 { self.beginning = LineBeginning() }
        self.beginning.look(at: piece)
        self.lineLength += piece.count
        if self.lineLength <= self.limit {
            self.partial.append(piece)
        } else if before <= self.limit {
            // Too long from here on: only what the envelope says is kept.
            var sketch = EnvelopeSketch()
            self.partial.withUnsafeBytes { sketch.scan($0) }
            sketch.scan(piece)
            self.sketch = sketch
            self.partial = ByteBuilder(capacity: 0)
        } else {
            self.sketch?.scan(piece)
        }
    }

    private mutating func endLine(_ emit: (Frame) -> Void) {
        let size = self.lineLength
        self.lineLength = 0
        if let sketch = self.sketch {
            self.sketch = nil
            return emit(.oversized(sketch.envelope, size: size))
        }
        let storage = self.partial.take()
        let whole = RawJSON(storage)
        whole.withUnsafeBytes { line in
            guard let range = Self.trimmed(line) else { return }
            if Self.startsMessage(line[range]) {
                emit(.message(RawJSON(storage: storage, range: range)))
            } else {
                emit(.stray(Self.start(of: UnsafeRawBufferPointer(rebasing: line[range])), size: size))
            }
        }
    }

    private func finish(_ line: UnsafeRawBufferPointer, size: Int, _ emit: (Frame) -> Void) {
        if size > self.limit {
            var sketch = EnvelopeSketch()
            sketch.scan(line)
            return emit(.oversized(sketch.envelope, size: size))
        }
        guard let range = Self.trimmed(line) else { return }
        let text = UnsafeRawBufferPointer(rebasing: line[range])
        if Self.startsMessage(line[range]) {
            emit(.message(RawJSON(ByteStorage(copying: text))))
        } else {
            emit(.stray(Self.start(of: text), size: size))
        }
    }

    private static func start(of line: UnsafeRawBufferPointer) -> RawJSON {
        RawJSON(ByteStorage(copying: UnsafeRawBufferPointer(rebasing: line.prefix(Self.kept))))
    }

    private static func startsMessage(_ line: UnsafeRawBufferPointer.SubSequence) -> Bool {
        if line.first == UInt8(ascii: "{") { return true }
        var beginning = LineBeginning()
        beginning.look(at: UnsafeRawBufferPointer(rebasing: line))
        return beginning.isMessage ?? beginning.isOpen
    }

    /// Without a byte-order mark (C14), and white space and NUL at both ends; nil if nothing else is there.
    private static func trimmed(_ line: UnsafeRawBufferPointer) -> Range<Int>? {
        var lower = line.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        var upper = line.count
        while lower < upper, line[lower] <= 0x20 { lower += 1 }
        while upper > lower, line[upper - 1] <= 0x20 { upper -= 1 }
        return lower < upper ? lower..<upper : nil
    }
}

/// Whether a line is a message, by its first bytes: an object, or a list of them. A line that sets colors begins with `[`, too.
///
/// Each byte is looked at once, and none after it is decided, in whatever pieces they come.
private struct LineBeginning {
    /// nil as long as that cannot be told.
    private(set) var isMessage: Bool?
    /// It began with `[`, and nothing else has come yet.
    private(set) var isOpen = false
    /// So many bytes of a byte-order mark have come.
    private var mark = 0

    mutating func look(at piece: UnsafeRawBufferPointer) {
        guard self.isMessage == nil else { return }
        for byte in piece {
            if self.mark < 3, byte == (self.mark == 0 ? 0xEF : self.mark == 1 ? 0xBB : 0xBF) {
                self.mark += 1
                continue
            }
            self.mark = 3
            if byte <= 0x20 { continue }
            switch byte {
            case UInt8(ascii: "{"): self.isMessage = true
            case UInt8(ascii: "[") where !self.isOpen:
                self.isOpen = true
                continue
            case UInt8(ascii: "]"): self.isMessage = self.isOpen
            default: self.isMessage = false
            }
            return
        }
    }
}
