/// Cuts what a server writes to its standard error into lines for whoever wants them, in bounded memory.
struct LineSink {
    /// Longer lines come in pieces of so many bytes.
    static let longestLine = 16 << 10

    private let take: @Sendable (String) -> Void
    private var pending: [UInt8] = []

    /// - Parameter take: told of each line, without its end.
    init(_ take: @escaping @Sendable (String) -> Void) { self.take = take }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0A) {
            self.keep(rest[..<end])
            if self.pending.last == 0x0D { self.pending.removeLast() }
            self.tell()
            rest = rest[(end + 1)...]
        }
        self.keep(rest)
    }

    /// The end of it: a last line needs no end of its own.
    mutating func end() {
        if self.pending.last == 0x0D { self.pending.removeLast() }
        if !self.pending.isEmpty { self.tell() }
    }

    private mutating func keep(_ bytes: Slice<UnsafeRawBufferPointer>) {
        var rest = bytes
        while self.pending.count + rest.count > Self.longestLine {
            let piece = rest.prefix(Self.longestLine - self.pending.count)
            self.pending.append(contentsOf: piece)
            rest = rest.dropFirst(piece.count)
            let whole = self.wholeCharacters
            let begun = Array(self.pending[whole...])
            self.pending.removeSubrange(whole...)
            self.tell()
            self.pending = begun
        }
        self.pending.append(contentsOf: rest)
    }

    /// So many bytes of what is kept end with the end of a character; where there is no such end near, all.
    private var wholeCharacters: Int {
        // The first byte of the last character is one of the last four.
        for place in self.pending.indices.suffix(4).reversed() where self.pending[place] & 0xC0 != 0x80 {
            let length = (~self.pending[place]).leadingZeroBitCount
            return length > self.pending.count - place ? place : self.pending.count
        }
        return self.pending.count
    }

    private mutating func tell() {
        self.take(String(decoding: self.pending, as: UTF8.self))
        self.pending.removeAll(keepingCapacity: true)
    }
}
