#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Finds where values end without reading them: eight bytes at a time inside strings, one branch per bracket outside.
///
/// Skipping is what the envelope scan and `RawJSON` live on, so it runs at memory speed (`Benchmarks/`). It checks brackets and
/// quotes, not the grammar between them; that is checked when the slice is decoded.
package enum JSONScanner {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080
    private static let spaces: UInt64 = 0x2020_2020_2020_2020
    private static let quotes: UInt64 = 0x2222_2222_2222_2222
    private static let backslashes: UInt64 = 0x5C5C_5C5C_5C5C_5C5C

    /// High bits at bytes that are zero; exact for the lowest one, which is all that is used.
    @inline(__always)
    private static func zeroBytes(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & highs }

    /// The place of the first quote or backslash at or after `start`, or `end`.
    @inline(__always)
    package static func quoteOrBackslash(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var i = start
        let raw = UnsafeRawPointer(base)
        while i &+ 8 <= end {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: i, as: UInt64.self))
            let hit = zeroBytes(word ^ quotes) | zeroBytes(word ^ backslashes)
            if hit != 0 { return i &+ hit.trailingZeroBitCount / 8 }
            i &+= 8
        }
        while i < end, base[i] != UInt8(ascii: "\""), base[i] != UInt8(ascii: "\\") { i &+= 1 }
        return i
    }

    /// The place of the first byte at or after `start` that a writer has to escape, or `end`.
    @inline(__always)
    static func escaped(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var i = start
        let raw = UnsafeRawPointer(base)
        while i &+ 8 <= end {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: i, as: UInt64.self))
            // High bits at bytes below a space; as with those that are zero, exact for the lowest.
            let controls = (word &- spaces) & ~word & highs
            let hit = controls | zeroBytes(word ^ quotes) | zeroBytes(word ^ backslashes)
            if hit != 0 { return i &+ hit.trailingZeroBitCount / 8 }
            i &+= 8
        }
        while i < end, base[i] >= 0x20, base[i] != UInt8(ascii: "\""), base[i] != UInt8(ascii: "\\") { i &+= 1 }
        return i
    }

    /// - Parameter start: just behind the opening quote.
    /// - Returns: just behind the closing quote; nil if there is none.
    @inline(__always)
    static func stringEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
        var i = start
        let near = min(end, start &+ 48)
        while i < near {
            i = quoteOrBackslash(base, i, near)
            guard i < near else { break }
            if base[i] == UInt8(ascii: "\"") { return i &+ 1 }
            i &+= 2
        }
        return longStringEnd(base, max(i, start), i > near ? i : near, end)
    }

    /// Long strings: the C library finds quotes at many bytes a cycle; an odd run of backslashes before one escapes it.
    @inline(never)
    private static func longStringEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ from: Int, _ end: Int) -> Int? {
        var i = from
        while i < end {
            guard let hit = memchr(base + i, 0x22, end - i) else { return nil }
            let quote = UnsafeRawPointer(base).distance(to: UnsafeRawPointer(hit))
            var run = quote
            while run > start, base[run - 1] == UInt8(ascii: "\\") { run -= 1 }
            if (quote - run) & 1 == 0 { return quote + 1 }
            i = quote + 1
        }
        return nil
    }

    /// - Parameter start: at the first byte of a value.
    /// - Returns: just behind the value, or nil if the text ends first.
    @inline(__always)
    static func valueEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
        guard start < end else { return nil }
        switch base[start] {
        case UInt8(ascii: "\""): return stringEnd(base, start &+ 1, end)
        case UInt8(ascii: "{"), UInt8(ascii: "["): return containerEnd(base, start, end)
        default:
            var i = start
            while i < end, !isDelimiter(base[i]) { i &+= 1 }
            return i
        }
    }

    @inline(__always)
    static func isDelimiter(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            || byte == UInt8(ascii: ":")
    }

    private static func containerEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int? {
        var i = start
        var depth = 0
        while i < end {
            let byte = base[i]
            i &+= 1
            if byte == UInt8(ascii: "\"") {
                guard let next = stringEnd(base, i, end) else { return nil }
                i = next
            } else if byte >= UInt8(ascii: "[") {  // everything else that occurs often is below it
                let folded = byte | 0x20
                if folded == UInt8(ascii: "{") {
                    depth &+= 1
                } else if folded == UInt8(ascii: "}") {
                    depth &-= 1
                    if depth == 0 { return i }
                }
            }
        }
        return nil
    }
}
