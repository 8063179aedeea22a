import MCPJSON
import MCPTransport
import MCPTypes

/// Why a request of a client is refused, as docs/control.md has it.
struct ControlError: Error {
    var code: Int
    var message: String
    var data: JSONObject

    private init(_ code: Int, _ message: String, _ data: JSONObject = JSONObject()) {
        (self.code, self.message, self.data) = (code, message, data)
    }

    /// What came is no JSON.
    static func noMessage(_ message: String) -> Self { Self(-32700, message, ["kind": "invalidRequest"]) }

    /// What came is no JSON-RPC.
    static func invalidRequest(_ message: String) -> Self { Self(-32600, message, ["kind": "invalidRequest"]) }

    /// The words of the request are wrong.
    static func invalidParams(_ message: String) -> Self {
        Self(-32602, message, ["kind": .string(MCPError.Code.invalidArguments.description)])
    }

    /// There is no such method.
    static func unknown(_ method: String) -> Self {
        Self(-32601, "there is no method \"\(method.prefix(100))\"", ["kind": "notSupported"])
    }

    /// What the host says.
    init(_ error: MCPError) {
        var data: JSONObject = ["kind": .string(error.code.description)]
        if let server = error.server { data["server"] = .string(server) }
        if let refusal = error.rpcError {
            data["code"] = .number(JSONNumber(Int64(refusal.code.rawValue)))
            if let more = refusal.data { data["data"] = more }
        }
        if let status = error.exitStatus { data["exitStatus"] = .string(status.description) }
        if let line = error.lastLine { data["lastLine"] = .string(line) }
        if let answer = error.answer { data["result"] = (try? answer.decode(JSONValue.self)) ?? .null }
        self.init(-32000, error.message, data)
    }

    /// For `error` of an answer.
    func encode(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.key("code")
        writer.write(Int64(self.code))
        writer.key("message")
        writer.write(self.message)
        writer.key("data")
        writer.write(JSONValue.object(self.data))
        writer.endObject()
    }
}

/// The words of a request.
struct Parameters: Sendable {
    private let object: JSONObject

    init(_ payload: RawJSON?) throws(ControlError) {
        // "params": null is none (V2).
        guard let payload, !payload.withUnsafeBytes({ $0.elementsEqual("null".utf8) }) else {
            self.object = JSONObject()
            return
        }
        do throws(JSONError) { self.object = try payload.decode(JSONObject.self) } catch {
            throw .invalidParams("params: \(error)")
        }
    }

    /// A text that may be missing.
    func text(_ name: String) throws(ControlError) -> String? { try self.get(name, "a text") { $0.string } }

    /// A text that has to be there.
    func needed(_ name: String) throws(ControlError) -> String {
        guard let text = try self.text(name) else { throw .invalidParams("\(name) is missing") }
        return text
    }

    /// Yes or no; no where it is missing.
    func flag(_ name: String) throws(ControlError) -> Bool { try self.get(name, "true or false") { $0.bool } ?? false }

    /// An object that may be missing.
    func object(_ name: String) throws(ControlError) -> JSONObject? { try self.get(name, "an object") { $0.object } }

    /// Texts; none where they are missing.
    func texts(_ name: String) throws(ControlError) -> [String] {
        try self.get(name, "a list of texts") { value in
            guard let array = value.array else { return nil }
            let texts = array.compactMap(\.string)
            return texts.count == array.count ? texts : nil
        } ?? []
    }

    /// A whole number that may be missing.
    func number(_ name: String) throws(ControlError) -> Int64? { try self.get(name, "a whole number") { $0.int64 } }

    /// Seconds, from 0 to a year.
    func seconds(_ name: String) throws(ControlError) -> Duration? {
        try self.get(name, "a number of seconds from 0 to 31536000") { value in
            value.double.flatMap { (0...31_536_000).contains($0) ? .seconds($0) : nil }
        }
    }

    private func get<Value>(
        _ name: String,
        _ expected: String,
        _ read: (JSONValue) -> Value?
    ) throws(ControlError) -> Value? {
        guard let value = self.object[name], value != .null else { return nil }
        guard let read = read(value) else { throw .invalidParams("\(name) has to be \(expected)") }
        return read
    }
}
