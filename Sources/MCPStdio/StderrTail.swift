/// The last 64 KiB that a server wrote to its standard error (D1, L1).
struct StderrTail {
    private static let capacity = 64 << 10
    private var ring: [UInt8] = []
    private var next = 0

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var bytes = bytes[...].suffix(Self.capacity)
        let room = min(Self.capacity - self.ring.count, bytes.count)
        self.ring.append(contentsOf: bytes.prefix(room))
        bytes = bytes.dropFirst(room)
        // At most twice: to the end of the ring, and from its start.
        while !bytes.isEmpty {
            let piece = bytes.prefix(Self.capacity - self.next)
            self.ring.withUnsafeMutableBytes { [next = self.next] in
                UnsafeMutableRawBufferPointer(rebasing: $0[next..<next + piece.count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: piece))
            }
            self.next = (self.next + piece.count) % Self.capacity
            bytes = bytes.dropFirst(piece.count)
        }
    }

    /// The last lines, at most `lines` of them and `bytes` bytes, without their last line break.
    func text(lines: Int = 20, bytes: Int = 4096) -> String {
        let ordered = self.ring[self.next...] + self.ring[..<self.next]
        var tail = ordered.suffix(bytes)
        while let last = tail.last, last == 0x0A || last == 0x0D { tail = tail.dropLast() }
        var breaks = 0
        if let start = tail.lastIndex(where: { byte in
            if byte == 0x0A { breaks += 1 }
            return breaks == lines
        }) {
            tail = tail[(start + 1)...]
        }
        return String(decoding: tail, as: UTF8.self)
    }
}
