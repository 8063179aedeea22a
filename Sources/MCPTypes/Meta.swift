public import MCPJSON

/// `_meta`: what belongs to a message and not to its content. Everything in it is kept; known members can be read by name.
public struct Meta: ProtocolObject, ExpressibleByDictionaryLiteral {
    /// All members, in order.
    public var members: JSONObject

    /// These members.
    public init(_ members: JSONObject = JSONObject()) { self.members = members }
    /// These members.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self.members = JSONObject(elements) }
    /// Reads an object.
    public init(from reader: inout JSONReader) throws(JSONError) { self.members = try reader.read() }
    /// Writes the object.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        self.members.encode(to: &writer)
    }

    /// Names that revision 2026-07-28 gives a meaning (`META-07` to `META-09`).
    public enum Name {
        /// The revision that a request is written in.
        public static let protocolVersion = "io.modelcontextprotocol/protocolVersion"
        /// Who sends a request.
        public static let clientInfo = "io.modelcontextprotocol/clientInfo"
        /// What the sender offers.
        public static let clientCapabilities = "io.modelcontextprotocol/clientCapabilities"
        /// From which level on the request wants log messages.
        public static let logLevel = "io.modelcontextprotocol/logLevel"
        /// Who answers.
        public static let serverInfo = "io.modelcontextprotocol/serverInfo"
        /// Which subscription a notification belongs to.
        public static let subscriptionID = "io.modelcontextprotocol/subscriptionId"
        /// Which task a message belongs to. Revision 2025-11-25 only.
        public static let relatedTask = "io.modelcontextprotocol/related-task"
    }

    private func read<T: JSONDecodable>(_ key: String) -> T? {
        self.members[key].flatMap { try? RawJSON(encoding: $0).decode(T.self) }
    }

    /// What progress is to be reported under.
    public var progressToken: ProgressToken? { self.read("progressToken") }
    /// The revision that a request is written in.
    public var protocolVersion: String? { self.members[Name.protocolVersion]?.string }
    /// Who sends a request.
    public var clientInfo: Implementation? { self.read(Name.clientInfo) }
    /// What the sender offers.
    public var clientCapabilities: ClientCapabilities? { self.read(Name.clientCapabilities) }
    /// From which level on the request wants log messages.
    public var logLevel: LoggingLevel? { self.read(Name.logLevel) }
    /// Who answers.
    public var serverInfo: Implementation? { self.read(Name.serverInfo) }
    /// Which subscription a notification belongs to.
    public var subscriptionID: JSONRPCRequestID? { self.read(Name.subscriptionID) }
    /// Which task a message belongs to. Revision 2025-11-25 only.
    public var relatedTask: RelatedTaskMetadata? { self.read(Name.relatedTask) }
    /// W3C trace context: `traceparent`, `tracestate`, `baggage`. Revision 2026-07-28.
    public var traceparent: String? { self.members["traceparent"]?.string }
}
