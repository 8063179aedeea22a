import MCPClient
import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// One field of a form that a server shows, as it is typed by a person.
struct FormField {
    let name: String
    let isRequired: Bool

    /// The fields of a form, in its order.
    static func all(of form: ElicitationSchema) -> [Self] {
        let required = Set(form.required ?? [])
        return form.properties.members.map {
            let schema = JSONValue.document($0.value)
            let hasDefault = schema["default"].map { ElicitationForm.violation(in: $0, of: schema) == nil } ?? false
            return Self(
                name: $0.name,
                isRequired: required.contains($0.name),
                hasDefault: hasDefault,
                schema: schema
            )
        }
    }

    /// It can be left out; the form's own value counts then. One that does not fit the field itself is none.
    let hasDefault: Bool
    private let schema: JSONValue

    /// For a shell: a name that could mean something else there stands in quotes.
    var quotedName: String {
        let isPlain = self.name.utf8.allSatisfy { byte in
            byte >= 0x80 || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
        let name = Terminal.line(self.name)
        return isPlain && !name.isEmpty
            ? name : "'\(name.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#))'"
    }

    /// `age, number, 1 to 99 [30]: your age`, for the person who is asked.
    var question: String {
        let label = self.schema["title"]?.string.map { "\(self.name) (\($0))" } ?? self.name
        let standard =
            (self.hasDefault ? self.schema["default"] : nil).map { " [\($0.string ?? $0.description)]" } ?? ""
        let description = self.schema["description"]?.string.map { ": \($0)" } ?? ""
        return Terminal.line("\(label), \(self.kind)\(self.isRequired ? "" : ", optional")\(standard)\(description)")
    }

    /// What is wanted, in a few words.
    private var kind: String {
        let choices = self.choices.map { choice in choice.title.map { "\(choice.value) (\($0))" } ?? choice.value }
        let values = choices.joined(separator: ", ")
        func range(_ low: String, _ high: String) -> String {
            switch (self.schema[low], self.schema[high]) {
            case (let low?, let high?): ", \(low) to \(high)"
            case (let low?, nil): ", at least \(low)"
            case (nil, let high?): ", at most \(high)"
            case (nil, nil): ""
            }
        }
        switch self.schema["type"]?.string {
        case "array"?:
            let elements =
                choices.isEmpty
                ? self.schema["items"]?["type"]?.string.map { "\($0)s" } ?? "texts" : "some of \(values)"
            return "\(elements), with commas between\(range("minItems", "maxItems"))"
        case _ where !choices.isEmpty: return "one of \(values)"
        case "boolean"?: return "yes or no"
        case "number"?: return "number\(range("minimum", "maximum"))"
        case "integer"?: return "whole number\(range("minimum", "maximum"))"
        case "string"?:
            let length = range("minLength", "maxLength")
            return (self.schema["format"]?.string ?? "text") + (length.isEmpty ? "" : "\(length) characters")
        default: return "JSON or text"
        }
    }

    /// What can be chosen, where it is a choice.
    private var choices: [(value: String, title: String?)] {
        let source = self.schema["type"]?.string == "array" ? self.schema["items"] ?? .null : self.schema
        if let values = source["enum"]?.array?.compactMap(\.string) {
            let titles = source["enumNames"]?.array?.map(\.string) ?? []
            return values.enumerated().map { ($1, $0 < titles.count ? titles[$0] : nil) }
        }
        return (source["oneOf"] ?? source["anyOf"])?.array?.compactMap { choice in
            choice["const"]?.string.map { ($0, choice["title"]?.string) }
        } ?? []
    }

    /// Reads what was typed: several words are a list, and so is one with commas where a list is wanted.
    /// - Throws: `invalidArguments` where it does not fit.
    func read(_ texts: [String]) throws(MCPError) -> JSONValue {
        let last = texts.last ?? ""
        let value: JSONValue
        switch self.schema["type"]?.string {
        case "array"?:
            if texts.count == 1, last.hasPrefix("["), let list = try? JSONValue(parsing: last), list.array != nil {
                value = list
                break
            }
            let isOne = self.choices.contains { $0.value == last }
            let parts = texts.count == 1 && !isOne ? last.split(separator: ",").map(String.init) : texts
            let isText = (self.schema["items"]?["type"]?.string ?? "string") == "string"
            value = .array(
                parts.map { part in
                    let text = Self.trimmed(part)
                    return (isText ? nil : try? JSONValue(parsing: text)) ?? .string(self.chosen(text))
                }
            )
        case "string"?: value = .string(self.chosen(last))
        case "boolean"? where ["yes", "y", "true"].contains(Self.trimmed(last).lowercased()): value = true
        case "boolean"? where ["no", "n", "false"].contains(Self.trimmed(last).lowercased()): value = false
        default: value = (try? JSONValue(parsing: last)) ?? .string(last)
        }
        guard let violation = ElicitationForm.violation(in: value, of: self.schema) else { return value }
        throw MCPError(
            .invalidArguments,
            "\(Terminal.line(self.name)) is \(Terminal.line(self.kind)); \(Terminal.line(violation.message))"
        )
    }

    /// A choice may be named by its value or by its title.
    private func chosen(_ text: String) -> String {
        let choices = self.choices
        if choices.contains(where: { $0.value == text }) { return text }
        return choices.first {
            $0.title?.lowercased() == text.lowercased() || $0.value.lowercased() == text.lowercased()
        }?
        .value ?? text
    }

    private static func trimmed(_ text: String) -> String {
        String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
