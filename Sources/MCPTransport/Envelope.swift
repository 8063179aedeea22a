public import JSON
public import MCPTypes

/// What can be known of a message without reading its payload: kind, id, method, and where the payload lies.
public struct Envelope: Sendable {
    /// What kind of message it is.
    public enum Kind: Sendable, Hashable {
        /// Wants an answer.
        case request(id: RequestID, method: String)
        /// Wants none.
        case notification(method: String)
        /// The answer to a request; the payload is its `result`.
        case result(id: RequestID)
        /// The refusal of a request; the payload is its `error`. The id is nil where the server could not read it.
        case error(id: RequestID?)
    }

    /// What kind of message it is.
    public var kind: Kind
    /// `params`, `result` or `error`, unread; nil where a request or notification has no params.
    public var payload: RawJSON?

    /// A message that breaks JSON-RPC, with whatever id could still be read (C21).
    public struct Malformed: Error, Sendable {
        /// What is wrong.
        public var reason: String
        /// The id, if the bytes tell it.
        public var id: RequestID?
        /// Whether the message looks like an answer to that id.
        public var isAnswer: Bool
    }

    /// Looks at the members of `message`, and only at them.
    ///
    /// A repeated `id`, `method`, `result` or `error` is refused: two readers could see two different messages (C19).
    public init(scanning message: RawJSON) throws(Malformed) {
        var seen = Members()
        do {
            try seen.read(message)
        } catch {
            throw Malformed(reason: "\(error)", id: seen.id, isAnswer: seen.method == nil)
        }
        func malformed(_ reason: String) -> Malformed {
            Malformed(reason: reason, id: seen.duplicate ? nil : seen.id, isAnswer: seen.method == nil)
        }
        if seen.duplicate { throw malformed("a member of the envelope occurs twice") }
        if !seen.isVersion2 { throw malformed("\"jsonrpc\" is not \"2.0\"") }
        switch (seen.method, seen.id, seen.result, seen.error) {
        case (let method?, let id?, nil, nil): self.kind = .request(id: id, method: method)
        case (let method?, nil, nil, nil):
            if seen.hasID { throw malformed("a request has no usable id") }
            self.kind = .notification(method: method)
        case (nil, let id?, _?, nil): self.kind = .result(id: id)
        case (nil, let id, nil, _?): self.kind = .error(id: id)
        case (nil, nil, _?, nil): throw malformed("a result has no usable id")
        default: throw malformed("it is neither a request nor a notification, result or error")
        }
        self.payload = seen.result ?? seen.error ?? seen.params
    }

    /// The id at the start of a message of which only the start is there (C6).
    public static func id(inStart start: RawJSON) -> RequestID? {
        var seen = Members()
        _ = try? seen.read(start)
        return seen.method == nil && !seen.duplicate ? seen.id : nil
    }

    private struct Members {
        var id: RequestID?
        var hasID = false
        var method: String?
        var params: RawJSON?
        var result: RawJSON?
        var error: RawJSON?
        var isVersion2 = false
        var duplicate = false

        /// What was read before an error stays.
        mutating func read(_ message: RawJSON) throws(JSONError) {
            var reader = try JSONReader(message, limits: JSONLimits(bytes: .max))
            try reader.beginObject()
            while let key = try reader.nextKey() {
                switch key {
                case "jsonrpc":
                    self.isVersion2 = try reader.readRaw().withUnsafeBytes { $0.elementsEqual(#""2.0""#.utf8) }
                case "id":
                    self.duplicate = self.duplicate || self.hasID
                    self.hasID = true
                    switch try reader.peekKind() {
                    case .string, .number: self.id = try reader.read()
                    default: try reader.skipValue()
                    }
                case "method":
                    self.duplicate = self.duplicate || self.method != nil
                    self.method = try reader.readString()
                case "params": self.params = try reader.readRaw()
                case "result":
                    self.duplicate = self.duplicate || self.result != nil
                    self.result = try reader.readRaw()
                case "error":
                    if try reader.peekKind() == .null, self.error == nil {
                        try reader.skipValue()  // `"error": null` beside a result: sloppy, and clear
                        continue
                    }
                    self.duplicate = self.duplicate || self.error != nil
                    self.error = try reader.readRaw()
                default: try reader.skipValue()
                }
            }
            try reader.expectEnd()
        }
    }
}
