import MCPJSON
import MCPJSONSchema
import MCPTypes

/// A form that a server wants filled in: its fields as a schema, and its defaults.
struct ElicitationForm {
    private let schema: ElicitationSchema

    init(_ schema: ElicitationSchema) { self.schema = schema }

    /// Fields may be of the kinds that the specification lists, and not nested (`ELI-03`).
    /// - Returns: what is not allowed about it.
    var problem: String? {
        for field in self.schema.properties.members {
            if case .unknown = field.value { return "field \"\(field.name)\" is of a kind that forms do not have" }
        }
        let names = Set(self.schema.properties.members.map { WireString($0.name) })
        if let missing = (self.schema.required ?? []).first(where: { !names.contains(WireString($0)) }) {
            return "\"\(missing)\" is required, and is no field"
        }
        return nil
    }

    /// An accepted answer, its missing fields filled in where the form says with what.
    func completed(_ content: JSONObject) -> JSONObject {
        var content = content
        for field in self.schema.properties.members where content[field.name] == nil {
            if let value = Self.defaultValue(of: field.value) { content[field.name] = value }
        }
        return content
    }

    private static func defaultValue(of field: PrimitiveSchemaDefinition) -> JSONValue? {
        switch field {
        case .string(let schema): schema.default.map(JSONValue.string)
        case .number(let schema): schema.default.map(JSONValue.number)
        case .boolean(let schema): schema.default.map(JSONValue.bool)
        case .untitledSingleSelect(let schema): schema.default.map(JSONValue.string)
        case .titledSingleSelect(let schema): schema.default.map(JSONValue.string)
        case .legacyTitled(let schema): schema.default.map(JSONValue.string)
        case .untitledMultiSelect(let schema): schema.default.map { .array($0.map(JSONValue.string)) }
        case .titledMultiSelect(let schema): schema.default.map { .array($0.map(JSONValue.string)) }
        case .unknown: nil
        }
    }

    /// What is wrong with an answer.
    func violations(in content: JSONObject) -> [JSONSchema.Violation] {
        var options = JSONSchema.Options()
        options.assertsFormat = true
        do {
            let text = RawJSON(encoding: self.schema)
            return try JSONSchema(text.decode(JSONValue.self), options: options).violations(in: .object(content))
        } catch {
            return [JSONSchema.Violation(instancePath: "", schemaPath: "#", message: "the form is unusable: \(error)")]
        }
    }
}
