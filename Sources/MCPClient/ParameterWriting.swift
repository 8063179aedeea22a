import MCPJSON

/// Parameters that several requests have.
extension JSONWriter {
    mutating func member(_ name: StaticString, _ value: String) {
        self.key(name)
        self.write(value)
    }

    /// Of `tools/call`.
    mutating func toolCall(_ name: String, _ arguments: RawJSON?) {
        self.member("name", name)
        if let arguments {
            self.key("arguments")
            self.write(raw: arguments)
        }
    }

    /// Of `prompts/get`.
    mutating func prompt(_ name: String, _ arguments: [String: String]) {
        self.member("name", name)
        if !arguments.isEmpty {
            self.key("arguments")
            self.write(arguments)
        }
    }
}
