public import MCPClient
public import MCPJSON
public import MCPTransport
import MCPTypes

/// What a model has returned when it wants a tool called, in whichever form its interface has.
///
/// `tool_use` of Anthropic; `function` of OpenAI's Chat Completions, `function_call` of its Responses; `functionCall` of Gemini.
public struct ModelToolCall: Sendable, Hashable {
    enum Form: Sendable, Hashable { case anthropic, openAIChat, openAIResponses, gemini }
    let form: Form
    /// What its answer is found by; Gemini has none, or its own.
    public let id: String?
    /// The name that the model was told.
    public let name: String
    /// The arguments, as text.
    public let arguments: RawJSON

    /// Reads one.
    /// - Parameter json: the element of the model's answer.
    /// - Throws: `invalidArguments` where it is none, or a part of it is missing.
    public init(_ json: JSONValue) throws(MCPError) {
        func text(_ value: JSONValue?, _ what: String) throws(MCPError) -> String {
            guard let text = value?.string else {
                throw MCPError(.invalidArguments, "a model's call of a tool lacks its \"\(what)\"")
            }
            return text
        }
        if json["type"]?.string == "tool_use" {
            self.form = .anthropic
            self.id = try text(json["id"], "id")
            self.name = try text(json["name"], "name")
            self.arguments = Self.object(json["input"])
        } else if json["type"]?.string == "function_call" {
            self.form = .openAIResponses
            self.id = try text(json["call_id"], "call_id")
            self.name = try text(json["name"], "name")
            self.arguments = try Self.arguments(json["arguments"])
        } else if let function = json["function"] {
            self.form = .openAIChat
            self.id = try text(json["id"], "id")
            self.name = try text(function["name"], "function.name")
            self.arguments = try Self.arguments(function["arguments"])
        } else if let call = json["functionCall"] ?? json["function_call"] {
            self.form = .gemini
            self.id = call["id"]?.string
            self.name = try text(call["name"], "functionCall.name")
            self.arguments = Self.object(call["args"])
        } else {
            throw MCPError(
                .invalidArguments,
                "this is no call of a tool: expected \"tool_use\", \"function\", \"function_call\" or \"functionCall\""
            )
        }
    }

    /// Models write `null` where there are none.
    private static func object(_ value: JSONValue?) -> RawJSON {
        value.map { $0 == .null ? [:] : RawJSON(encoding: $0) } ?? [:]
    }

    /// OpenAI's are a text; a model may write one that is none, or nothing.
    private static func arguments(_ value: JSONValue?) throws(MCPError) -> RawJSON {
        guard let text = value?.string else { return self.object(value) }
        if text.allSatisfy(\.isWhitespace) || text == "null" { return [:] }
        return RawJSON(copying: text)
    }

    /// The answer in the form that the model's interface wants.
    func answer(_ text: String, isError: Bool, structured: JSONValue? = nil) -> JSONValue {
        switch self.form {
        case .anthropic:
            var result: JSONObject = ["type": "tool_result", "tool_use_id": .string(self.id ?? "")]
            // An empty text is refused there, and no content is fine.
            if !text.isEmpty { result["content"] = [["type": "text", "text": .string(text)]] }
            if isError { result["is_error"] = true }
            return .object(result)
        case .openAIChat: return ["role": "tool", "tool_call_id": .string(self.id ?? ""), "content": .string(text)]
        case .openAIResponses:
            return ["type": "function_call_output", "call_id": .string(self.id ?? ""), "output": .string(text)]
        case .gemini:
            let value = structured.flatMap { $0.object == nil ? nil : $0 } ?? .string(text)
            var response: JSONObject = [
                "name": .string(self.name), "response": isError ? ["error": .string(text)] : ["output": value],
            ]
            if let id = self.id { response["id"] = .string(id) }
            return ["functionResponse": .object(response)]
        }
    }
}

extension MCPHost {
    /// Calls the tool that a model wants, and gives what its interface wants back: errors too, so that the model can try again.
    /// - Parameters:
    ///   - call: what the model has returned; its name is one of `HostListing.definitions(for:)`.
    ///   - options: time limits and progress of this call.
    /// - Returns: for the next request to the model. Text is given as text, other content is named.
    /// - Throws: `cancelled` and `hostClosed` only: all else is told to the model.
    public func call(_ call: ModelToolCall, options: RequestOptions = RequestOptions()) async throws(MCPError)
        -> JSONValue
    {
        let arguments: JSONValue
        do throws(JSONError) { arguments = try call.arguments.decode() } catch {
            return call.answer("the arguments are no JSON: \(error.message)", isError: true)
        }
        do throws(MCPError) {
            let result = try await self.callTool(call.name, arguments: RawJSON(encoding: arguments), options: options)
            return Self.answer(call, result)
        } catch {
            switch error.code {
            case .cancelled, .hostClosed: throw error
            default:
                // The call was made, and this is what came of it.
                if let answer = error.answer, let result = try? answer.decode(CallToolResult.self) {
                    return Self.answer(call, result)
                }
                return call.answer(error.message, isError: true)
            }
        }
    }

    /// The same with what the model has returned as it came.
    public func call(
        modelToolCall json: JSONValue,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> JSONValue {
        try await self.call(try ModelToolCall(json), options: options)
    }

    private static func answer(_ call: ModelToolCall, _ result: CallToolResult) -> JSONValue {
        let structured = result.structuredContent.flatMap { try? $0.decode(JSONValue.self) }
        var parts = result.content.map { block -> String in
            switch block {
            case .text(let text): text.text
            case .image(let image): "[image \(image.mimeType)]"
            case .audio(let audio): "[audio \(audio.mimeType)]"
            case .resourceLink(let link): "[resource \(link.uri)]"
            case .resource(let embedded):
                switch embedded.resource {
                case .text(let contents): contents.text
                case .blob(let contents): "[resource \(contents.uri)]"
                }
            case .unknown(let object): object.description
            }
        }
        if parts.isEmpty, let structured { parts = [structured.description] }
        return call.answer(parts.joined(separator: "\n"), isError: result.isError == true, structured: structured)
    }
}
