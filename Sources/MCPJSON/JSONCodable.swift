/// A type that reads itself from JSON without an intermediate tree.
public protocol JSONDecodable {
    /// Reads exactly one value.
    init(from reader: inout JSONReader) throws(JSONError)
}

/// A type that writes itself as JSON.
public protocol JSONEncodable {
    /// Writes exactly one value.
    func encode(to writer: inout JSONWriter)
}

/// Both directions.
public typealias JSONCodable = JSONDecodable & JSONEncodable

extension String: JSONDecodable, JSONEncodable {
    /// Reads a string.
    public init(from reader: inout JSONReader) throws(JSONError) { self = try reader.readString() }
    /// Writes a string.
    public func encode(to writer: inout JSONWriter) { writer.write(self) }
}

extension Bool: JSONDecodable, JSONEncodable {
    /// Reads a truth value.
    public init(from reader: inout JSONReader) throws(JSONError) { self = try reader.readBool() }
    /// Writes a truth value.
    public func encode(to writer: inout JSONWriter) { writer.write(self) }
}

extension JSONNumber: JSONDecodable, JSONEncodable {
    /// Reads a number.
    public init(from reader: inout JSONReader) throws(JSONError) { self = try reader.readNumber() }
    /// Writes a number.
    public func encode(to writer: inout JSONWriter) { writer.write(self) }
}

extension Int64: JSONDecodable, JSONEncodable {
    /// Reads a number that is an integer of 64 bits, however it is spelt.
    public init(from reader: inout JSONReader) throws(JSONError) {
        let number = try reader.readNumber()
        guard let value = number.int64 else {
            throw reader.error("expected an integer of 64 bits, found \("\(number)".prefix(40))")
        }
        self = value
    }
    /// Writes an integer.
    public func encode(to writer: inout JSONWriter) { writer.write(self) }
}

extension Int: JSONDecodable, JSONEncodable {
    /// Reads a number that is an integer, however it is spelt.
    public init(from reader: inout JSONReader) throws(JSONError) {
        let value = try Int64(from: &reader)
        guard let native = Int(exactly: value) else { throw reader.error("\(value) is too large for this machine") }
        self = native
    }
    /// Writes an integer.
    public func encode(to writer: inout JSONWriter) { writer.write(Int64(self)) }
}

extension Double: JSONDecodable, JSONEncodable {
    /// Reads a number as the nearest binary floating-point one.
    public init(from reader: inout JSONReader) throws(JSONError) { self = try reader.readNumber().double }
    /// Writes a number; infinities and NaN, which JSON cannot write, become `null`.
    public func encode(to writer: inout JSONWriter) {
        if let number = JSONNumber(self) { writer.write(number) } else { writer.writeNull() }
    }
}

extension Array: JSONDecodable where Element: JSONDecodable {
    /// Reads a list; a lenient reader leaves out what is no element of it.
    public init(from reader: inout JSONReader) throws(JSONError) {
        self = []
        try reader.beginArray()
        while try reader.nextElement() {
            if let element: Element = try reader.readElement() { self.append(element) }
        }
    }
}

extension Array: JSONEncodable where Element: JSONEncodable {
    /// Writes a list.
    public func encode(to writer: inout JSONWriter) {
        writer.beginArray()
        for element in self { element.encode(to: &writer) }
        writer.endArray()
    }
}

extension Dictionary: JSONDecodable where Key == String, Value: JSONDecodable {
    /// Reads an object; of equal names the last wins.
    public init(from reader: inout JSONReader) throws(JSONError) {
        self = [:]
        try reader.beginObject()
        while let key = try reader.nextKey() { self[key.string] = try Value(from: &reader) }
    }
}

extension Dictionary: JSONEncodable where Key == String, Value: JSONEncodable {
    /// Writes an object, its members sorted by name so that equal values give equal bytes.
    public func encode(to writer: inout JSONWriter) {
        writer.beginObject()
        for (key, value) in self.sorted(by: { $0.key < $1.key }) {
            writer.key(key)
            value.encode(to: &writer)
        }
        writer.endObject()
    }
}
