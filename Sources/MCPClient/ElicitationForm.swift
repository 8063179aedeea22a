package import MCPJSON
package import MCPJSONSchema
package import MCPTypes

/// A form that a server wants filled in: its fields as a schema, and its defaults.
///
/// Which kinds of fields a form may have is the server's to keep: what it sends goes to the handler as it came, and only what that
/// answers is checked (V2).
package struct ElicitationForm {
    private let schema: ElicitationSchema

    package init(_ schema: ElicitationSchema) { self.schema = schema }

    /// An accepted answer, its missing fields filled in where the form says with what. A default that does not fit its own field is none.
    package func completed(_ content: JSONObject) -> JSONObject {
        var content = content
        for field in self.schema.properties.members where content[field.name] == nil {
            if let value = Self.defaultValue(of: field.value), Self.fits(value, field.value) {
                content[field.name] = value
            }
        }
        return content
    }

    private static func fits(_ value: JSONValue, _ field: PrimitiveSchemaDefinition) -> Bool {
        guard let schema = try? RawJSON(encoding: field).decode(JSONValue.self) else { return true }
        return self.violation(in: value, of: schema) == nil
    }

    /// What is wrong with the answer to one field, as the whole answer will be checked; nil also where its schema cannot be used.
    package static func violation(in value: JSONValue, of field: JSONValue) -> JSONSchema.Violation? {
        field.object.flatMap(self.compiled)?.violations(in: value, limit: 1).first
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
        case .unknown(let schema): schema["default"]
        }
    }

    /// What is wrong with an answer. A field whose schema cannot be used is not checked: the answer is the user's, and not lost for that.
    package func violations(in content: JSONObject) -> [JSONSchema.Violation] {
        guard var form = (try? RawJSON(encoding: self.schema).decode(JSONValue.self))?.object else { return [] }
        if let schema = Self.compiled(form) { return schema.violations(in: .object(content)) }
        var usable = JSONObject()
        for (name, field) in form["properties"]?.object ?? JSONObject() {
            form["properties"] = .object([name: field])
            if Self.compiled(form) != nil { usable[name] = field }
        }
        form["properties"] = .object(usable)
        return Self.compiled(form)?.violations(in: .object(content)) ?? []
    }

    private static func compiled(_ form: JSONObject) -> JSONSchema? {
        var options = JSONSchema.Options()
        options.assertsFormat = true
        return try? JSONSchema(.object(form), options: options)
    }
}
