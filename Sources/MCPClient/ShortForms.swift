public import MCPJSON
public import MCPTypes

/// Short forms of what handlers answer, and of what is wanted of an answer.
extension ElicitResult {
    /// The user has filled in the form: `.accept(["name": "Ann"])`.
    public static func accept(_ content: JSONObject = JSONObject()) -> Self { Self(action: .accept, content: content) }
    /// The user does not want to.
    public static var decline: Self { Self(action: .decline) }
    /// The user has gone away without a decision.
    public static var cancel: Self { Self(action: .cancel) }
}

extension CreateMessageResult {
    /// What a model has said.
    /// - Parameters:
    ///   - text: its words.
    ///   - model: which one it was.
    ///   - stopReason: why it ended there.
    public init(text: String, model: String, stopReason: StopReason? = .endTurn) {
        self.init(
            role: .assistant,
            content: .single(.content(.text(TextContent(text: text)))),
            model: model,
            stopReason: stopReason
        )
    }
}

extension CallToolResult {
    /// All text of the answer, a line break between its pieces.
    public var text: String { self.content.compactMap(\.text).joined(separator: "\n") }
}
