#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes one JSON text, compact and on one line, into bytes that are then shared without a copy.
///
/// Commas are set by the writer. What is written never contains a line break, so a message is always one line, as the stdio
/// transport demands (`STDIO-01`).
public struct JSONWriter: ~Copyable {
    private var out: ByteBuilder
    private var needsComma = false

    /// An empty writer.
    /// - Parameter capacity: bytes to reserve at once; it grows by doubling.
    public init(capacity: Int = 256) { self.out = ByteBuilder(capacity: capacity) }

    /// Ends writing and gives the text away.
    public consuming func finish() -> RawJSON { RawJSON(self.out.finish()) }

    @inline(__always)
    private mutating func separate() {
        if self.needsComma { self.out.append(UInt8(ascii: ",")) }
    }

    @inline(__always)
    private mutating func literal(_ text: StaticString) {
        self.out.append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    // MARK: Containers

    /// Opens an object.
    public mutating func beginObject() { self.open(UInt8(ascii: "{")) }
    /// Closes the object.
    public mutating func endObject() { self.close(UInt8(ascii: "}")) }
    /// Opens an array.
    public mutating func beginArray() { self.open(UInt8(ascii: "[")) }
    /// Closes the array.
    public mutating func endArray() { self.close(UInt8(ascii: "]")) }

    private mutating func open(_ byte: UInt8) {
        self.separate()
        self.out.append(byte)
        self.needsComma = false
    }

    private mutating func close(_ byte: UInt8) {
        self.out.append(byte)
        self.needsComma = true
    }

    /// Writes the name of the next member; `name` needs no escaping.
    @inline(__always)
    public mutating func key(_ name: StaticString) {
        self.separate()
        self.out.append(UInt8(ascii: "\""))
        self.literal(name)
        self.literal("\":")
        self.needsComma = false
    }

    /// Writes the name of the next member.
    @_disfavoredOverload
    public mutating func key(_ name: String) {
        self.write(name)
        self.out.append(UInt8(ascii: ":"))
        self.needsComma = false
    }

    /// Writes the members of `object` into the object that is open.
    public mutating func members(of object: JSONObject) {
        for (key, value) in object {
            self.key(key)
            value.encode(to: &self)
        }
    }

    // MARK: Values

    /// Writes a value.
    @inline(__always)
    public mutating func write<T: JSONEncodable>(_ value: T) { value.encode(to: &self) }

    /// Writes `null`.
    public mutating func writeNull() { self.scalar("null") }

    /// Writes a truth value.
    public mutating func write(_ value: Bool) { if value { self.scalar("true") } else { self.scalar("false") } }

    private mutating func scalar(_ text: StaticString) {
        self.separate()
        self.literal(text)
        self.needsComma = true
    }

    /// Writes an integer.
    public mutating func write(_ value: Int64) {
        self.separate()
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var magnitude = value.magnitude
            var first = 20
            repeat {
                first &-= 1
                digits[first] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: magnitude % 10)
                magnitude /= 10
            } while magnitude > 0
            if value < 0 {
                first &-= 1
                digits[first] = UInt8(ascii: "-")
            }
            self.out.append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digits)[first...]))
        }
        self.needsComma = true
    }

    /// Writes a number as it was written before.
    public mutating func write(_ value: JSONNumber) {
        switch value.storage {
        case .integer(let integer): self.write(integer)
        case .literal(let text):
            self.separate()
            var text = text
            text.withUTF8 { self.out.append(UnsafeRawBufferPointer($0)) }
            self.needsComma = true
        }
    }

    /// Writes a string, escaping what must be.
    public mutating func write(_ value: String) {
        self.separate()
        self.out.append(UInt8(ascii: "\""))
        var value = value
        value.withUTF8 { bytes in
            guard let base = bytes.baseAddress else { return }
            var start = 0
            while true {
                let next = JSONScanner.escaped(base, start, bytes.count)
                self.out.append(UnsafeRawBufferPointer(start: base + start, count: next - start))
                guard next < bytes.count else { break }
                self.escape(base[next])
                start = next + 1
            }
        }
        self.out.append(UInt8(ascii: "\""))
        self.needsComma = true
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): self.literal("\\\"")
        case UInt8(ascii: "\\"): self.literal("\\\\")
        case 0x0A: self.literal("\\n")
        case 0x0D: self.literal("\\r")
        case 0x09: self.literal("\\t")
        default:
            let hex: StaticString = "0123456789abcdef"
            self.literal("\\u00")
            self.out.append(hex.utf8Start[Int(byte >> 4)])
            self.out.append(hex.utf8Start[Int(byte & 15)])
        }
    }

    /// Writes a text that is JSON already.
    ///
    /// Line breaks in it become spaces: in JSON they can only stand between tokens, and a message must stay on one line.
    public mutating func write(raw text: RawJSON) {
        self.separate()
        text.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            // Nearly always there is none, and looking for one byte is what the library does fastest.
            if memchr(base, 0x0A, bytes.count) == nil, memchr(base, 0x0D, bytes.count) == nil {
                return self.out.append(bytes)
            }
            var rest = bytes[...]
            while let line = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
                self.out.append(UnsafeRawBufferPointer(rebasing: rest[..<line]))
                self.out.append(0x20)
                rest = rest[(line + 1)...]
            }
            self.out.append(UnsafeRawBufferPointer(rebasing: rest))
        }
        self.needsComma = true
    }
}
