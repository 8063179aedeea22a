/// Any JSON value, with nothing lost: order of members, spelling of numbers.
public enum JSONValue: Sendable, Hashable {
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number as it was written.
    case number(JSONNumber)
    /// A string; lone surrogates and invalid UTF-8 arrive as U+FFFD (C10, C11).
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Members in the order in which they were written.
    case object(JSONObject)
}

extension JSONValue {
    /// Equal as JSON values are: numbers by value, strings by code points, objects whatever the order of their members.
    public static func == (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.isSame(as: b)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        case (.null, _), (.bool, _), (.number, _), (.string, _), (.array, _), (.object, _): false
        }
    }

    /// As values are compared.
    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .number(let value): hasher.combine(value)
        case .string(let value): hasher.combine(WireString(value))
        case .array(let value): hasher.combine(value)
        case .object(let value): hasher.combine(value)
        }
    }

    /// The string, if it is one.
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The truth value, if it is one.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The number as an exact integer, if it is one.
    public var int64: Int64? { if case .number(let value) = self { value.int64 } else { nil } }
    /// The number, if it is one.
    public var double: Double? { if case .number(let value) = self { value.double } else { nil } }
    /// The elements, if it is a list.
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    /// The members, if it is an object.
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    /// What kind of value it is.
    public var kind: JSONKind {
        switch self {
        case .null: .null
        case .bool: .bool
        case .number: .number
        case .string: .string
        case .array: .array
        case .object: .object
        }
    }

    /// The value of a member, if this is an object that has it.
    public subscript(key: String) -> JSONValue? { self.object?[key] }
}

/// The six kinds of JSON values.
public enum JSONKind: String, Sendable, Hashable {
    /// `{}`
    case object
    /// `[]`
    case array
    /// `""`
    case string
    /// `0`
    case number
    /// `true`, `false`
    case bool
    /// `null`
    case null
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    public init(integerLiteral value: Int64) { self = .number(JSONNumber(value)) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A floating-point number.
    public init(floatLiteral value: Double) { self = JSONNumber(value).map(JSONValue.number) ?? .null }
    /// A list.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// An object.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    /// `null`
    public init(nilLiteral: ()) { self = .null }
}

extension JSONValue: JSONDecodable, JSONEncodable {
    /// Reads any value.
    public init(from reader: inout JSONReader) throws(JSONError) {
        switch try reader.peekKind() {
        case .object: self = .object(try JSONObject(from: &reader))
        case .array:
            // Not as a list of its own: nothing of a value is ever left out.
            var elements: [JSONValue] = []
            try reader.beginArray()
            while try reader.nextElement() { elements.append(try JSONValue(from: &reader)) }
            self = .array(elements)
        case .string: self = .string(try reader.readString())
        case .number: self = .number(try reader.readNumber())
        case .bool: self = .bool(try reader.readBool())
        case .null:
            try reader.readNull()
            self = .null
        }
    }

    /// Writes the value.
    public func encode(to writer: inout JSONWriter) {
        switch self {
        case .null: writer.writeNull()
        case .bool(let value): writer.write(value)
        case .number(let value): writer.write(value)
        case .string(let value): writer.write(value)
        case .array(let value): writer.write(value)
        case .object(let value): writer.write(value)
        }
    }

    /// Reads one JSON text.
    /// - Parameters:
    ///   - bytes: UTF-8; a byte-order mark at the start is skipped.
    ///   - limits: bounds on depth and size.
    /// - Throws: ``JSONError`` with the byte offset of the mistake.
    public init(parsing bytes: some Collection<UInt8>, limits: JSONLimits = .default) throws(JSONError) {
        self = try RawJSON(copying: bytes).decode(JSONValue.self, limits: limits)
    }

    /// Reads one JSON text.
    public init(parsing text: String, limits: JSONLimits = .default) throws(JSONError) {
        try self.init(parsing: text.utf8, limits: limits)
    }
}

/// Bounds for reading untrusted JSON; exceeding one is an error that names it.
public struct JSONLimits: Sendable, Hashable {
    /// How deep containers may nest. Default 512.
    public var depth: Int
    /// How many bytes a text may have. Default 64 MiB; transports bound messages more tightly before they get here.
    public var bytes: Int

    /// Makes limits.
    public init(depth: Int = 512, bytes: Int = 64 << 20) {
        self.depth = depth
        self.bytes = bytes
    }

    /// 512 levels, 64 MiB.
    public static var `default`: Self { Self() }
}
