public import MCPJSON

/// A request on the wire.
public struct JSONRPCRequest<Params: ProtocolObject>: ProtocolObject {
    /// What its answer is found by.
    public var id: JSONRPCRequestID
    /// What is asked.
    public var method: Method
    /// With what; nil where nothing is needed.
    public var params: Params?

    /// A request.
    public init(id: JSONRPCRequestID, method: Method, params: Params?) {
        self.id = id
        self.method = method
        self.params = params
    }

    /// Reads a message.
    public init(from reader: inout JSONReader) throws(JSONError) {
        var (id, method, params): (JSONRPCRequestID?, Method?, Params?)
        try reader.readEnvelope { (key, reader) throws(JSONError) in
            switch key {
            case "id": id = try reader.read()
            case "method": method = try reader.read()
            case "params": params = try reader.readIfPresent()
            default: try reader.skipValue()
            }
        }
        guard let id else { throw reader.missing("id") }
        guard let method else { throw reader.missing("method") }
        self.init(id: id, method: method, params: params)
    }

    /// Writes a message.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginEnvelope()
        writer.member("id", self.id, for: revision)
        writer.member("method", self.method, for: revision)
        if let params = self.params { writer.member("params", params, for: revision) }
        writer.endObject()
    }
}

/// A notification on the wire.
public struct JSONRPCNotification<Params: ProtocolObject>: ProtocolObject {
    /// What is told.
    public var method: NotificationMethod
    /// The details; nil where there are none.
    public var params: Params?

    /// A notification.
    public init(method: NotificationMethod, params: Params?) {
        self.method = method
        self.params = params
    }

    /// Reads a message.
    public init(from reader: inout JSONReader) throws(JSONError) {
        var (method, params): (NotificationMethod?, Params?)
        try reader.readEnvelope { (key, reader) throws(JSONError) in
            switch key {
            case "method": method = try reader.read()
            case "params": params = try reader.readIfPresent()
            default: try reader.skipValue()
            }
        }
        guard let method else { throw reader.missing("method") }
        self.init(method: method, params: params)
    }

    /// Writes a message.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginEnvelope()
        writer.member("method", self.method, for: revision)
        if let params = self.params { writer.member("params", params, for: revision) }
        writer.endObject()
    }
}

/// An answer on the wire.
public struct JSONRPCResultResponse<Result: ProtocolObject>: ProtocolObject {
    /// The request that it answers.
    public var id: JSONRPCRequestID
    /// The answer.
    public var result: Result

    /// An answer.
    public init(id: JSONRPCRequestID, result: Result) {
        self.id = id
        self.result = result
    }

    /// Reads a message.
    public init(from reader: inout JSONReader) throws(JSONError) {
        var (id, result): (JSONRPCRequestID?, Result?)
        try reader.readEnvelope { (key, reader) throws(JSONError) in
            switch key {
            case "id": id = try reader.read()
            case "result": result = try reader.read()
            default: try reader.skipValue()
            }
        }
        guard let id else { throw reader.missing("id") }
        guard let result else { throw reader.missing("result") }
        self.init(id: id, result: result)
    }

    /// Writes a message.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginEnvelope()
        writer.member("id", self.id, for: revision)
        writer.member("result", self.result, for: revision)
        writer.endObject()
    }
}

/// A refusal on the wire.
public struct JSONRPCErrorResponse: ProtocolObject {
    /// The request that it answers; nil where its id could not be read. Some peers write `null`, some nothing: both are accepted.
    public var id: JSONRPCRequestID?
    /// The refusal.
    public var error: JSONRPCErrorObject

    /// A refusal.
    public init(id: JSONRPCRequestID?, error: JSONRPCErrorObject) {
        self.id = id
        self.error = error
    }

    /// Reads a message.
    public init(from reader: inout JSONReader) throws(JSONError) {
        var (id, error): (JSONRPCRequestID?, JSONRPCErrorObject?)
        try reader.readEnvelope { (key, reader) throws(JSONError) in
            switch key {
            case "id": id = try reader.readIfPresent()
            case "error": error = try reader.read()
            default: try reader.skipValue()
            }
        }
        guard let error else { throw reader.missing("error") }
        self.init(id: id, error: error)
    }

    /// Writes a message. Revisions before 2025-11-25 demand an id: `null` stands for an unknown one there.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginEnvelope()
        if let id = self.id {
            writer.member("id", id, for: revision)
        } else if let revision, revision < .v2025_11_25 {
            writer.key("id")
            writer.writeNull()
        }
        writer.member("error", self.error, for: revision)
        writer.endObject()
    }
}

/// Why a request was refused.
public struct JSONRPCErrorObject: ProtocolObject, Error {
    /// What kind of refusal; see ``ErrorCode``.
    public var code: ErrorCode
    /// One sentence. Untrusted.
    public var message: String
    /// Details, in a form that the code determines.
    public var data: JSONValue?

    /// A refusal.
    public init(code: ErrorCode, message: String, data: JSONValue? = nil) {
        self.code = code
        self.message = message
        self.data = data
    }

    /// Reads an error; a missing message is an empty one (F21).
    public init(from reader: inout JSONReader) throws(JSONError) {
        var (code, message, data): (ErrorCode?, String?, JSONValue?)
        try reader.beginObject()
        while let key = try reader.nextKey() {
            switch key {
            case "code": code = ErrorCode(rawValue: try reader.read())
            case "message": message = try reader.readIfPresent()
            case "data": data = try reader.read()
            default: try reader.skipValue()
            }
        }
        guard let code else { throw reader.missing("code") }
        self.init(code: code, message: message ?? "", data: data)
    }

    /// Writes an error.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginObject()
        writer.key("code")
        writer.write(Int64(self.code.rawValue))
        writer.key("message")
        writer.write(self.message)
        if let data = self.data { writer.member("data", data, for: revision) }
        writer.endObject()
    }

    /// Revisions that the other side speaks, for ``ErrorCode/unsupportedProtocolVersion``.
    public var supportedVersions: [String]? { self.data?["supported"]?.array?.compactMap(\.string) }
    /// Capabilities that would be needed, for ``ErrorCode/missingRequiredClientCapability``.
    public var requiredCapabilities: ClientCapabilities? {
        self.data?["requiredCapabilities"].flatMap { try? RawJSON(encoding: $0).decode() }
    }
    /// The resource that is not there, for ``ErrorCode/resourceNotFound`` and ``ErrorCode/invalidParams``.
    public var uri: String? { self.data?["uri"]?.string }
    /// Pages that the user has to visit first, for ``ErrorCode/urlElicitationRequired``.
    public var elicitations: [ElicitRequestURLParams]? {
        self.data?["elicitations"].flatMap { try? RawJSON(encoding: $0).decode() }
    }
}

/// The codes of JSON-RPC and of the specification (`RPC-27`, `RPC-29` to `RPC-32`); any other number is possible.
public struct ErrorCode: RawRepresentable, Sendable, Hashable {
    /// The number.
    public var rawValue: Int
    /// Any number.
    public init(rawValue: Int) { self.rawValue = rawValue }
    /// It was not JSON.
    public static let parseError = Self(rawValue: -32700)
    /// It was not a request.
    public static let invalidRequest = Self(rawValue: -32600)
    /// There is no such method.
    public static let methodNotFound = Self(rawValue: -32601)
    /// The parameters do not fit; in 2026-07-28 also an unknown tool, prompt or resource.
    public static let invalidParams = Self(rawValue: -32602)
    /// The other side failed.
    public static let internalError = Self(rawValue: -32603)
    /// HTTP headers and body say different things. Revision 2026-07-28.
    public static let headerMismatch = Self(rawValue: -32020)
    /// The request needs something that the client does not offer. Revision 2026-07-28.
    public static let missingRequiredClientCapability = Self(rawValue: -32021)
    /// The revision is not spoken. Revision 2026-07-28.
    public static let unsupportedProtocolVersion = Self(rawValue: -32022)
    /// There is no such resource. Revisions up to 2025-11-25.
    public static let resourceNotFound = Self(rawValue: -32002)
    /// The user has to visit a page first. Revision 2025-11-25 only.
    public static let urlElicitationRequired = Self(rawValue: -32042)
    /// The user refused a sampling request. Revisions up to 2025-11-25.
    public static let userRejected = Self(rawValue: -1)
}

extension JSONReader {
    /// Goes through a message's members and checks that it is JSON-RPC 2.0 (`RPC-01`).
    mutating func readEnvelope(
        _ member: (JSONKey, inout JSONReader) throws(JSONError) -> Void
    ) throws(JSONError) {
        var isVersion2 = false
        try self.beginObject()
        while let key = try self.nextKey() {
            if "jsonrpc" ~= key {
                try self.expect("2.0", for: "jsonrpc")
                isVersion2 = true
            } else {
                try member(key, &self)
            }
        }
        guard isVersion2 else { throw self.missing("jsonrpc") }
    }
}

extension JSONWriter {
    mutating func beginEnvelope() {
        self.beginObject()
        self.key("jsonrpc")
        self.write("2.0")
    }
}
