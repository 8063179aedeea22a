public import MCPJSON

/// A value of the protocol: one neutral model, written for whichever revision is spoken.
public protocol ProtocolObject: JSONDecodable, JSONEncodable, Encodable, Sendable, Hashable {
    /// Writes what a revision has of the value.
    /// - Parameters:
    ///   - writer: where to.
    ///   - revision: nil writes everything, so that nothing is lost in a round trip.
    func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?)
}

extension ProtocolObject {
    /// Writes everything.
    public func encode(to writer: inout JSONWriter) { self.encode(to: &writer, for: nil) }

    /// Writes everything, with whatever encoder.
    public func encode(to encoder: any Encoder) throws {
        try RawJSON(encoding: self).decode(JSONValue.self).encode(to: encoder)
    }
}

/// A result, which since 2026-07-28 says what it is.
public protocol ResultObject: ProtocolObject {
    /// Absent means ``ResultType/complete`` (`RPC-22`).
    var resultType: ResultType? { get }
    /// What of the answer was not as it has to be, and what was made of it (U3). Not a part of what is written.
    var problems: [JSONProblem] { get set }
}

/// A word from an open set: unknown ones are kept.
public protocol OpenString: RawRepresentable, JSONDecodable, JSONEncodable, Sendable, Hashable
where RawValue == String {
    /// Takes any word.
    init(rawValue: String)
}

extension OpenString {
    /// Reads a string.
    public init(from reader: inout JSONReader) throws(JSONError) { self.init(rawValue: try reader.readString()) }
    /// Writes the word.
    public func encode(to writer: inout JSONWriter) { writer.write(self.rawValue) }
}

/// A request as a table entry: its name, what it asks with, what answers it.
package protocol MCPRequest {
    /// What it asks with.
    associatedtype Params: ProtocolObject
    /// What answers it.
    associatedtype Result: ProtocolObject
    /// Its name.
    static var method: Method { get }
}

/// A notification as a table entry: its name, and what it tells.
package protocol MCPNotification {
    /// What it tells.
    associatedtype Params: ProtocolObject
    /// Its name.
    static var method: NotificationMethod { get }
}

// MARK: What the generated code calls

extension JSONWriter {
    mutating func member<T: JSONEncodable>(_ name: StaticString, _ value: T, for revision: ProtocolRevision?) {
        self.key(name)
        value.encode(to: &self)
    }

    mutating func member<T: ProtocolObject>(_ name: StaticString, _ value: T, for revision: ProtocolRevision?) {
        self.key(name)
        value.encode(to: &self, for: revision)
    }

    mutating func member<T: ProtocolObject>(_ name: StaticString, _ value: [T], for revision: ProtocolRevision?) {
        self.key(name)
        self.beginArray()
        for element in value { element.encode(to: &self, for: revision) }
        self.endArray()
    }
}

extension JSONReader {
    /// A member whose value is fixed.
    mutating func expect(_ value: String, for key: StaticString) throws(JSONError) {
        let found = try self.readString()
        guard found == value else {
            throw self.error("\"\(key)\" should be \"\(value)\", found \"\(found.cut(to: 40))\"")
        }
    }
}

extension ProtocolRevision? {
    /// Whether a member that came in one revision and went after another exists; without a revision, all do.
    func has(since first: ProtocolRevision = .v2024_11_05, until last: ProtocolRevision = .v2026_07_28) -> Bool {
        self.map { first <= $0 && $0 <= last } ?? true
    }
}
