public import MCPJSON
public import MCPTypes

/// One of the streams of a connection. Messages on the same one keep their order; those on different ones may overtake each other.
public struct MessageStream: Sendable, Hashable, CustomStringConvertible {
    /// The request that opened it; nil for the stream that is always there.
    public let request: JSONRPCRequestID?

    /// The stream that is always there: the only one of pipes and of a pair in memory, the standing one of HTTP.
    public static let main = Self(request: nil)

    /// The stream that a request opened: its answer comes on it, and whatever else belongs to the request.
    /// - Parameter request: the request's id.
    public static func request(_ request: JSONRPCRequestID) -> Self { Self(request: request) }

    /// `main`, `request 7`.
    public var description: String { self.request.map { "request \($0)" } ?? "main" }
}

/// One message on its way out, and what a transport has to know of it without reading it: HTTP puts it into headers, tells apart which
/// failure is whose by it, and may give each request a stream of its own.
public struct OutgoingMessage: Sendable {
    /// What JSON-RPC calls it.
    public enum Kind: Sendable, Hashable {
        /// Wants an answer, which will carry this id.
        case request(JSONRPCRequestID)
        /// Wants none.
        case notification
        /// Answers the other end's request with this id; nil for an error about one that could not be read.
        case response(to: JSONRPCRequestID?)
    }

    /// An argument of a tool that the tool's schema wants repeated outside the message (`x-mcp-header`, `HDR-14`).
    public struct MirroredParameter: Sendable, Hashable {
        /// The name that the schema gives it: `Region` for `Mcp-Param-Region`.
        public var name: String
        /// Its value: a string, a whole number or a boolean.
        public var value: JSONValue

        /// Names a value.
        public init(_ name: String, _ value: JSONValue) { (self.name, self.value) = (name, value) }
    }

    /// The whole message: one JSON object.
    public var payload: RawJSON
    /// What it is.
    public var kind: Kind
    /// Its method; nil for a response.
    public var method: String?
    /// The revision in which it is written; nil as long as none is negotiated.
    public var revision: ProtocolRevision?
    /// What it is about, for `Mcp-Name`: the tool, the prompt, the URI or the task (`XTASK-25`); nil where it is about nothing of that kind.
    public var name: String?
    /// Arguments that are repeated outside it.
    public var mirrored: [MirroredParameter] = []
    /// Where it belongs. A request opens its own stream, where the transport has such.
    public var stream: MessageStream = .main

    /// A message.
    /// - Parameters:
    ///   - payload: the whole of it, one JSON object.
    ///   - kind: what it is.
    ///   - method: its method, if it has one.
    ///   - revision: the revision in which it is written, if one is negotiated.
    public init(_ payload: RawJSON, kind: Kind, method: String? = nil, revision: ProtocolRevision? = nil) {
        self.payload = payload
        self.kind = kind
        self.method = method
        self.revision = revision
    }
}
