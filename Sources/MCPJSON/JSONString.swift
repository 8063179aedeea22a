#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The name of a member, compared as bytes so that decoding a known type makes no strings.
public struct JSONKey {
    let bytes: UnsafeBufferPointer<UInt8>

    /// The name as text.
    public var string: String {
        (try? JSONString.decode(self.bytes) { JSONError(code: .syntax, message: $0, offset: $1) }.0)
            ?? String(decoding: self.bytes, as: UTF8.self)
    }

    /// Whether it is written with escapes, so that its bytes are not its text.
    package var isEscaped: Bool { self.bytes.contains(UInt8(ascii: "\\")) }

    /// Whether it is written in just these bytes.
    package func isWritten(as name: [UInt8]) -> Bool { self.bytes.elementsEqual(name) }

    /// Whether the name is `pattern`, an ASCII literal.
    @inline(__always)
    public static func ~= (pattern: StaticString, key: JSONKey) -> Bool {
        let count = pattern.utf8CodeUnitCount
        if key.bytes.count == count {
            guard let start = key.bytes.baseAddress else { return true }
            return memcmp(start, pattern.utf8Start, count) == 0
        }
        guard key.bytes.count > count, key.bytes.contains(UInt8(ascii: "\\")) else { return false }
        return key.string == "\(pattern)"
    }
}

/// The content of a JSON string, from the wire.
enum JSONString {
    /// - Parameter bytes: what stands between the quotes.
    /// - Returns: the text, and whether something in it was not Unicode and became U+FFFD.
    @inline(__always)
    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>,
        orThrow error: (String, Int) -> JSONError
    ) throws(JSONError) -> (String, Bool) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return ("", false) }
        if memchr(base, 0x5C, bytes.count) == nil {
            // What is mended is no longer what came, and what is not mended is. `String(validating:as:)` would say so too, and asks the
            // run-time for the types that it needs, each time: a third of all the time that a tree takes.
            var text = String(decoding: bytes, as: UTF8.self)
            let isWhole = text.withUTF8 { text in
                text.count == bytes.count && text.baseAddress.map { memcmp($0, base, bytes.count) == 0 } == true
            }
            return (text, !isWhole)
        }
        return try self.unescape(bytes, base, orThrow: error)
    }

    private static func unescape(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ base: UnsafePointer<UInt8>,
        orThrow error: (String, Int) -> JSONError
    ) throws(JSONError) -> (String, Bool) {
        var failure: JSONError?
        var repaired = false
        var length = 0
        // Unescaping never makes text longer, so the string's own memory is the only buffer.
        let text = String(unsafeUninitializedCapacity: bytes.count) { out in
            guard let target = out.baseAddress else { return 0 }
            var written = 0
            var i = 0
            while i < bytes.count {
                let rest = bytes.count - i
                let run =
                    memchr(base + i, 0x5C, rest).map { UnsafeRawPointer(base + i).distance(to: UnsafeRawPointer($0)) }
                    ?? rest
                memcpy(target + written, base + i, run)
                written += run
                i += run
                guard i < bytes.count else { break }
                guard let scalar = self.escape(bytes, &i, &repaired) else {
                    failure = error("a string has an invalid escape", i)
                    return 0
                }
                for unit in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
                    target[written] = unit
                    written += 1
                }
            }
            length = written  // the initialiser mends invalid UTF-8, which nearly always changes the length
            return written
        }
        if let failure { throw failure }
        return (text, repaired || text.utf8.count != length)
    }

    /// Reads one escape at `i`, which is at the backslash, and steps behind it.
    private static func escape(_ bytes: UnsafeBufferPointer<UInt8>, _ i: inout Int, _ repaired: inout Bool)
        -> UnicodeScalar?
    {
        guard i + 1 < bytes.count else { return nil }
        let letter = bytes[i + 1]
        i += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return UnicodeScalar(letter)
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "u"):
            guard let unit = self.hex(bytes, i) else { return nil }
            i += 4
            if let scalar = UnicodeScalar(UInt32(unit)) { return scalar }
            if unit < 0xDC00, i + 1 < bytes.count, bytes[i] == UInt8(ascii: "\\"), bytes[i + 1] == UInt8(ascii: "u"),
                let low = self.hex(bytes, i + 2), (0xDC00...0xDFFF).contains(low)
            {
                i += 6
                return UnicodeScalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00))
            }
            repaired = true
            return "\u{FFFD}"
        default: return nil
        }
    }

    private static func hex(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> UInt16? {
        guard start + 4 <= bytes.count else { return nil }
        var value: UInt16 = 0
        for i in start..<start + 4 {
            let digit: UInt8
            switch bytes[i] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = bytes[i] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = bytes[i] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = bytes[i] - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt16(digit)
        }
        return value
    }
}
