public import MCPJSON

/// How the user is to be asked: by a form, or by a page.
public enum ElicitRequestParams: ProtocolObject {
    /// By a form; a message without `mode` is one.
    case form(ElicitRequestFormParams)
    /// By a page. Revisions 2025-11-25 and later.
    case url(ElicitRequestURLParams)

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        if try reader.peekMember("mode") == "url" {
            self = .url(try reader.read())
        } else {
            self = .form(try reader.read())
        }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .form(let params): params.encode(to: &writer, for: revision)
        case .url(let params): params.encode(to: &writer, for: revision)
        }
    }
}

/// One field of a form, told apart by its shape.
public enum PrimitiveSchemaDefinition: ProtocolObject {
    /// Text.
    case string(StringSchema)
    /// A number.
    case number(NumberSchema)
    /// Yes or no.
    case boolean(BooleanSchema)
    /// One of several values.
    case untitledSingleSelect(UntitledSingleSelectEnumSchema)
    /// One of several values with names.
    case titledSingleSelect(TitledSingleSelectEnumSchema)
    /// Some of several values.
    case untitledMultiSelect(UntitledMultiSelectEnumSchema)
    /// Some of several values with names.
    case titledMultiSelect(TitledMultiSelectEnumSchema)
    /// One of several values, names in a second list.
    case legacyTitled(LegacyTitledEnumSchema)
    /// A shape that this library does not know, kept as it came.
    case unknown(JSONObject)

    /// Reads whichever it is; a field of another shape is kept as it came (V2).
    public init(from reader: inout JSONReader) throws(JSONError) {
        let start = reader.checkpoint
        do throws(JSONError) { self = try Self.known(&reader) } catch {
            guard error.code == .typeMismatch || error.code == .missingMember else { throw error }
            reader.rewind(to: start)
            self = .unknown(try reader.read())
        }
    }

    private static func known(_ reader: inout JSONReader) throws(JSONError) -> Self {
        switch try reader.peekMember("type") {
        case "number"?, "integer"?: return .number(try reader.read())
        case "boolean"?: return .boolean(try reader.read())
        case "array"?:
            let start = reader.checkpoint
            do throws(JSONError) { return .titledMultiSelect(try reader.read()) } catch {
                reader.rewind(to: start)
                return .untitledMultiSelect(try reader.read())
            }
        case "string"?:
            if try reader.hasMember("oneOf") { return .titledSingleSelect(try reader.read()) }
            if try reader.hasMember("enumNames") { return .legacyTitled(try reader.read()) }
            if try reader.hasMember("enum") { return .untitledSingleSelect(try reader.read()) }
            return .string(try reader.read())
        default: return .unknown(try reader.read())
        }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .string(let schema): schema.encode(to: &writer, for: revision)
        case .number(let schema): schema.encode(to: &writer, for: revision)
        case .boolean(let schema): schema.encode(to: &writer, for: revision)
        case .untitledSingleSelect(let schema): schema.encode(to: &writer, for: revision)
        case .titledSingleSelect(let schema): schema.encode(to: &writer, for: revision)
        case .untitledMultiSelect(let schema): schema.encode(to: &writer, for: revision)
        case .titledMultiSelect(let schema): schema.encode(to: &writer, for: revision)
        case .legacyTitled(let schema): schema.encode(to: &writer, for: revision)
        case .unknown(let object): object.encode(to: &writer)
        }
    }
}

/// Values by name, in the order in which they were written.
public struct OrderedMembers<Value: ProtocolObject>: ProtocolObject {
    /// One member.
    public struct Member: Sendable, Hashable {
        /// Its name.
        public var name: String
        /// Its value.
        public var value: Value
        /// A name and a value.
        public init(_ name: String, _ value: Value) { (self.name, self.value) = (name, value) }
    }

    /// The members in order.
    public var members: [Member]

    /// These members, in this order.
    public init(_ members: [Member] = []) { self.members = members }

    /// The value of a name; of equal names the last.
    public subscript(name: String) -> Value? { self.members.last { $0.name == name }?.value }

    /// Reads an object.
    public init(from reader: inout JSONReader) throws(JSONError) {
        self.members = []
        try reader.beginObject()
        while let key = try reader.nextKey() { self.members.append(Member(key.string, try reader.read())) }
    }

    /// Writes an object.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginObject()
        for member in self.members {
            writer.key(member.name)
            member.value.encode(to: &writer, for: revision)
        }
        writer.endObject()
    }
}

/// Fields of a form by name, in order.
public typealias ElicitationFields = OrderedMembers<PrimitiveSchemaDefinition>
/// What a modern server needs, by a key of its own.
public typealias InputRequests = OrderedMembers<InputRequest>
/// Answers to it, by the same keys.
public typealias InputResponses = OrderedMembers<InputResponse>

/// Something that a modern server needs from the client: a request without an id, inside a result. Revision 2026-07-28.
public struct InputRequest: ProtocolObject {
    /// What is needed.
    public enum Kind: Sendable, Hashable {
        /// Ask the model.
        case createMessage(CreateMessageRequestParams)
        /// List the roots.
        case listRoots(EmptyParams?)
        /// Ask the user.
        case elicit(ElicitRequestParams)
        /// A method that this library does not know, with its parameters as they came.
        case unknown(Method, JSONValue?)
    }

    /// What is needed.
    public var kind: Kind
    /// Members that this type does not know, kept as they came.
    public var additional: JSONObject

    /// Asks for something.
    public init(_ kind: Kind, additional: JSONObject = JSONObject()) {
        self.kind = kind
        self.additional = additional
    }

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        let method = try reader.peekMember("method").map(Method.init(rawValue:))
        guard let method else { throw reader.missing("method") }
        var kind: Kind? = method == .rootsList ? .listRoots(nil) : nil
        self.additional = JSONObject()
        try reader.beginObject()
        while let key = try reader.nextKey() {
            switch key {
            case "method": try reader.skipValue()
            case "params":
                switch method {
                case .samplingCreateMessage: kind = .createMessage(try reader.read())
                case .rootsList: kind = .listRoots(try reader.readIfPresent())
                case .elicitationCreate: kind = .elicit(try reader.read())
                default: kind = .unknown(method, try reader.read())
                }
            default: self.additional.append(key.string, try reader.read())
            }
        }
        if kind == nil, method == .samplingCreateMessage || method == .elicitationCreate {
            throw reader.missing("params")
        }
        self.kind = kind ?? .unknown(method, nil)
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        writer.beginObject()
        switch self.kind {
        case .createMessage(let params):
            writer.member("method", Method.samplingCreateMessage, for: revision)
            writer.member("params", params, for: revision)
        case .listRoots(let params):
            writer.member("method", Method.rootsList, for: revision)
            if let params { writer.member("params", params, for: revision) }
        case .elicit(let params):
            writer.member("method", Method.elicitationCreate, for: revision)
            writer.member("params", params, for: revision)
        case .unknown(let method, let params):
            writer.member("method", method, for: revision)
            if let params { writer.member("params", params, for: revision) }
        }
        writer.members(of: self.additional)
        writer.endObject()
    }
}

/// The answer to an ``InputRequest``. It does not tell its kind: decode it as the request with the same key demands.
public struct InputResponse: ProtocolObject {
    /// The answer, unread.
    public var result: RawJSON

    /// An answer.
    public init(_ result: some ProtocolObject) {
        var writer = JSONWriter()
        result.encode(to: &writer, for: .v2026_07_28)
        self.result = writer.finish()
    }

    /// Reads any object.
    public init(from reader: inout JSONReader) throws(JSONError) { self.result = try reader.readRaw() }

    /// Writes it as it came.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) { self.result.encode(to: &writer) }
}
