/// A JSON text that has not been read yet: a slice of a message, decoded only when somebody asks.
///
/// A gateway relays results as `RawJSON`, byte for byte. Two of them are equal when their values are.
public struct RawJSON: Sendable {
    /// The bytes that this is a slice of.
    let storage: ByteStorage
    let lowerBound: Int
    let upperBound: Int

    /// A slice of `storage`; the caller has seen that the bounds are inside it.
    package init(storage: ByteStorage, range: Range<Int>) {
        self.storage = storage
        self.lowerBound = range.lowerBound
        self.upperBound = range.upperBound
    }

    /// All of `storage`.
    public init(_ storage: ByteStorage) { self.init(storage: storage, range: 0..<storage.count) }

    /// Copies a text; it is not looked at.
    public init(copying bytes: some Collection<UInt8>) {
        let storage =
            bytes.withContiguousStorageIfAvailable { ByteStorage(copying: UnsafeRawBufferPointer($0)) }
            ?? Array(bytes).withUnsafeBytes { ByteStorage(copying: $0) }
        self.init(storage)
    }

    /// Copies a text; it is not looked at.
    public init(copying text: String) { self.init(copying: text.utf8) }

    /// Writes a value.
    public init(encoding value: some JSONEncodable) {
        var writer = JSONWriter()
        value.encode(to: &writer)
        self = writer.finish()
    }

    /// How many bytes the text has.
    public var count: Int { self.upperBound - self.lowerBound }

    /// Calls `body` with the bytes, which are valid only inside it.
    @inline(__always)
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        defer { withExtendedLifetime(self.storage) {} }
        return try body(UnsafeRawBufferPointer(start: self.storage.base + self.lowerBound, count: self.count))
    }

    /// Reads the text as a value of `type`.
    /// - Throws: ``JSONError`` when it is not JSON, not of that type, or exceeds a limit.
    public func decode<T: JSONDecodable>(
        _ type: T.Type = T.self,
        limits: JSONLimits = .default
    ) throws(JSONError) -> T {
        var reader = try JSONReader(self, limits: limits)
        let value = try T(from: &reader)
        try reader.expectEnd()
        return value
    }

    /// A copy of the bytes.
    public var bytes: [UInt8] { self.withUnsafeBytes { Array($0) } }
}

extension RawJSON: CustomStringConvertible {
    /// The text; invalid UTF-8 shows as U+FFFD.
    public var description: String { self.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}

extension RawJSON: Hashable {
    /// Equal when the bytes are, or when both are JSON and their values are.
    public static func == (a: Self, b: Self) -> Bool {
        if a.withUnsafeBytes({ x in b.withUnsafeBytes { y in x.elementsEqual(y) } }) { return true }
        guard let x = try? a.decode(JSONValue.self), let y = try? b.decode(JSONValue.self) else { return false }
        return x == y
    }

    /// Hashes the value; a text that is not JSON hashes its bytes.
    public func hash(into hasher: inout Hasher) {
        if let value = try? self.decode(JSONValue.self) {
            hasher.combine(value)
        } else {
            self.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }
}

extension RawJSON: JSONDecodable, JSONEncodable {
    /// Takes the next value of the message as a slice, unread.
    public init(from reader: inout JSONReader) throws(JSONError) { self = try reader.readRaw() }

    /// Copies the bytes into the message.
    public func encode(to writer: inout JSONWriter) { writer.write(raw: self) }
}

extension RawJSON: Encodable {
    /// Writes the value, with whatever encoder.
    /// - Throws: ``JSONError`` if the text is no JSON.
    public func encode(to encoder: any Encoder) throws { try self.decode(JSONValue.self).encode(to: encoder) }

    /// The value of a member, if this is an object that has it. Reads the text each time.
    public subscript(key: String) -> JSONValue? { (try? self.decode(JSONValue.self))?[key] }
}

extension RawJSON: ExpressibleByDictionaryLiteral, ExpressibleByStringLiteral {
    /// An object with these members.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(encoding: JSONObject(elements)) }
    /// A JSON text (not a JSON string): `#"{"a":1}"#`.
    public init(stringLiteral text: String) { self.init(copying: text) }
}
