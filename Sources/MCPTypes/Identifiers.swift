public import MCPJSON

/// The id of a request: what its answer is found by.
public enum JSONRPCRequestID: Sendable, Hashable, CustomStringConvertible {
    /// A whole number.
    case integer(Int64)
    /// Any text.
    case string(String)

    /// The id as a person would write it.
    public var description: String {
        switch self {
        case .integer(let value): String(value)
        case .string(let value): "\"\(value)\""
        }
    }
}

extension JSONRPCRequestID {
    /// The same number, or text of the same bytes (V3).
    public static func == (a: Self, b: Self) -> Bool {
        switch (a, b) {
        case (.integer(let a), .integer(let b)): a == b
        case (.string(let a), .string(let b)): WireString(a) == WireString(b)
        case (.integer, .string), (.string, .integer): false
        }
    }

    /// As the id is compared.
    public func hash(into hasher: inout Hasher) {
        switch self {
        case .integer(let value): hasher.combine(value)
        case .string(let value): hasher.combine(WireString(value))
        }
    }
}

extension JSONRPCRequestID: JSONDecodable, JSONEncodable {
    /// Reads a string or a whole number in plain digits; anything else is an error. `2.0` and `2e0` are no ids: an id is compared as it
    /// is written (T20).
    public init(from reader: inout JSONReader) throws(JSONError) {
        if try reader.peekKind() == .string {
            self = .string(try reader.readString())
            return
        }
        let number: JSONNumber = try reader.read()
        guard let value = number.int64, String(value) == number.description else {
            throw reader.error("an id is a string or a whole number, not \("\(number)".prefix(40))")
        }
        self = .integer(value)
    }

    /// Writes it as it came.
    public func encode(to writer: inout JSONWriter) {
        switch self {
        case .integer(let value): writer.write(value)
        case .string(let value): writer.write(value)
        }
    }
}

/// What ties progress to its request; of the same form as an id.
public typealias ProgressToken = JSONRPCRequestID

/// A whole number, or `null` where the protocol gives that a meaning of its own.
public struct NullableInteger: Sendable, Hashable, JSONDecodable, JSONEncodable, ExpressibleByIntegerLiteral {
    /// The number; nil is `null`.
    public var value: Int64?
    /// A number, or nil for `null`.
    public init(_ value: Int64?) { self.value = value }
    /// A number.
    public init(integerLiteral value: Int64) { self.value = value }
    /// Reads a number or `null`.
    public init(from reader: inout JSONReader) throws(JSONError) { self.value = try reader.readIfPresent() }
    /// Writes a number or `null`.
    public func encode(to writer: inout JSONWriter) {
        if let value = self.value { writer.write(value) } else { writer.writeNull() }
    }
}

/// For whom a cached result is valid. Revision 2026-07-28.
public struct CacheScope: OpenString {
    /// The word on the wire.
    public var rawValue: String
    /// Takes any word.
    public init(rawValue: String) { self.rawValue = rawValue }
    /// Only for whoever asked.
    public static let `private` = Self(rawValue: "private")
    /// For everybody.
    public static let `public` = Self(rawValue: "public")
}

/// Whether a result is the result. Revision 2026-07-28; absent means ``complete``.
public struct ResultType: OpenString {
    /// The word on the wire.
    public var rawValue: String
    /// Takes any word.
    public init(rawValue: String) { self.rawValue = rawValue }
    /// This is the result.
    public static let complete = Self(rawValue: "complete")
    /// The server needs something first.
    public static let inputRequired = Self(rawValue: "input_required")
    /// It became a task, of the extension for tasks.
    public static let task = Self(rawValue: "task")
}
