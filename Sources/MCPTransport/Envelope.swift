package import MCPJSON
package import MCPTypes

/// What can be known of a message without reading its payload: kind, id, method, and where the payload lies.
package struct Envelope: Sendable {
    /// What kind of message it is.
    package enum Kind: Sendable, Hashable {
        /// Wants an answer.
        case request(id: JSONRPCRequestID, method: String)
        /// Wants none.
        case notification(method: String)
        /// The answer to a request; the payload is its `result`.
        case result(id: JSONRPCRequestID)
        /// The refusal of a request; the payload is its `error`. The id is nil where the server could not read it.
        case error(id: JSONRPCRequestID?)
    }

    /// What kind of message it is.
    package var kind: Kind
    /// `params`, `result` or `error`, unread; nil where a request or notification has no params.
    package var payload: RawJSON?
    /// It does not say which version of JSON-RPC it is of, and its meaning is clear all the same.
    package var lacksVersion: Bool

    /// A message that breaks JSON-RPC, with whatever id could still be read (C21).
    package struct Malformed: Error, Sendable {
        /// What is wrong.
        package var reason: String
        /// The id, if the bytes tell it.
        package var id: JSONRPCRequestID?
        /// Whether the message looks like an answer to that id.
        package var isAnswer: Bool
    }

    /// Looks at the members of `message`, and only at them.
    ///
    /// Without `jsonrpc` an answer to a request is one, and so is what has a method of this protocol, where nothing else is in it: a line of a log that
    /// happens to be an object is not.
    /// A repeated `id`, `method`, `params`, `result` or `error` is refused: two readers could see two different messages (C19).
    /// - Parameter isStrict: a message without `jsonrpc` is none.
    package init(scanning message: RawJSON, isStrict: Bool = false) throws(Malformed) {
        let members = MessageMembers(scanning: message)
        let id = members.hasDuplicate ? nil : members.id.flatMap { Self.id(message, $0) }
        func malformed(_ reason: String) -> Malformed {
            Malformed(reason: reason, id: id, isAnswer: members.method == nil)
        }
        if let problem = members.problem { throw malformed("\(problem)") }
        if members.hasDuplicate { throw malformed("a member of the envelope occurs twice") }
        self.lacksVersion = members.version == nil
        if self.lacksVersion, isStrict || !Self.isClear(members, message) {
            throw Malformed(reason: "\"jsonrpc\" is missing", id: isStrict ? id : nil, isAnswer: members.method == nil)
        }
        if let version = members.version, !message.bytes(in: version, are: #""2.0""#) {
            let found = message.slice(version).description
            throw malformed("\"jsonrpc\" is \(found.utf8.count > 40 ? "something else" : found), and not \"2.0\"")
        }
        // `"error": null` beside a result, or the other way round: sloppy, and clear.
        let error = members.result != nil && Self.isNull(members.error, message) ? nil : members.error
        let result = error != nil && Self.isNull(members.result, message) ? nil : members.result
        switch (members.method, id, result, error) {
        case (let method?, let id, nil, nil):
            guard let name = try? message.slice(method).decode(String.self) else {
                throw malformed("\"method\" is not a string")
            }
            if self.lacksVersion, !Self.isOfProtocol(name) { throw malformed("\"jsonrpc\" is missing") }
            if let id {
                self.kind = .request(id: id, method: name)
            } else {
                if members.id != nil { throw malformed("a request has no usable id") }
                self.kind = .notification(method: name)
            }
        case (nil, let id?, _?, nil): self.kind = .result(id: id)
        case (nil, let id, nil, _?): self.kind = .error(id: id)
        case (nil, nil, _?, nil): throw malformed("a result has no usable id")
        case (nil, _, _?, _?): throw malformed("both \"result\" and \"error\" are in it")
        default: throw malformed("it is neither a request nor a notification, result or error")
        }
        self.payload = (result ?? error ?? members.params).map { message.slice($0) }
    }

    /// Whether what does not say its version can be nothing else than a message: an answer has an id, and an object in it.
    private static func isClear(_ members: MessageMembers, _ message: RawJSON) -> Bool {
        guard !members.hasOthers else { return false }
        if members.method != nil { return true }
        let value = Self.isNull(members.result, message) ? members.error : members.result
        guard members.id != nil, let value else { return false }
        return message.slice(value).withUnsafeBytes { $0.first == UInt8(ascii: "{") }
    }

    /// Whether a member is not there, or nothing.
    private static func isNull(_ member: Range<Int>?, _ message: RawJSON) -> Bool {
        member.map { message.bytes(in: $0, are: "null") } ?? true
    }

    /// What servers send.
    private static func isOfProtocol(_ method: String) -> Bool {
        let asked: Set<Method> = [.ping, .samplingCreateMessage, .elicitationCreate, .rootsList]
        return NotificationMethod.all.contains(NotificationMethod(rawValue: method))
            || asked.contains(Method(rawValue: method))
    }

    /// The id of an answer of which only a part is there: its start, or its envelope without a payload (C6, T8).
    package static func id(inStart start: RawJSON) -> JSONRPCRequestID? {
        let members = MessageMembers(scanning: start)
        guard members.method == nil, !members.hasDuplicate else { return nil }
        return members.id.flatMap { Self.id(start, $0) }
    }

    private static func id(_ message: RawJSON, _ range: Range<Int>) -> JSONRPCRequestID? {
        if let number = message.plainInteger(in: range) { return .integer(number) }
        return try? message.slice(range).decode(JSONRPCRequestID.self)
    }
}
