#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Text that came over the wire, or goes over it, as something to compare by: a URI, the name of a tool, a cursor, an id, a token.
///
/// Bytes decide (V3, `CACHE-03`). Swift's strings are equal already when they look the same: an "é" of one code point and one of two
/// would share a cache entry, a schema, a subscription. So no dictionary or set of this package has a string from the wire as its key;
/// it has one of these.
package struct WireString: Sendable, Hashable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// As it came.
    package let text: String

    /// Takes any text; changes nothing about it.
    package init(_ text: String) { self.text = text }
    /// Takes a literal.
    package init(stringLiteral value: String) { self.text = value }

    /// The text.
    package var description: String { self.text }

    /// Whether the bytes are the same.
    package static func == (a: Self, b: Self) -> Bool { a.text.isSame(as: b.text) }

    /// In the order of the bytes.
    package static func < (a: Self, b: Self) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }

    /// Hashes the bytes, as they are compared. The string's own hash is the same for whatever looks the same: whoever sends thousands of
    /// such names would make a list of every table (S30).
    package func hash(into hasher: inout Hasher) {
        var text = self.text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(UInt8(0xFF))
    }
}

extension String {
    /// Equal on the wire: the same code points (RFC 8259 section 8.3), which in UTF-8 are the same bytes.
    package func isSame(as other: String) -> Bool {
        let (own, others) = (self.utf8, other.utf8)
        guard own.count == others.count else { return false }
        // Swift's strings are stored as UTF-8; only those of Foundation on macOS may not be.
        let isSame: Bool?? = own.withContiguousStorageIfAvailable { a in
            others.withContiguousStorageIfAvailable { b in
                guard let a = a.baseAddress, let b = b.baseAddress else { return true }
                return memcmp(a, b, own.count) == 0
            }
        }
        return (isSame ?? nil) ?? own.elementsEqual(others)
    }
}
