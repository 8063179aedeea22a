import MCPJSON
import MCPTypes

/// What a tool takes, in a line: `git_log(repo_path: str, max_count: int = 10)`.
struct Signature: CustomStringConvertible {
    /// One argument.
    struct Parameter {
        var name: String
        var type: String
        var isRequired: Bool
        var standard: JSONValue?
        var description: String?

        /// `name: type`, with what counts where it is left out.
        var text: String {
            let end = self.standard.map { " = \($0)" } ?? (self.isRequired ? "" : "?")
            return "\(self.name): \(self.type)\(end)"
        }
    }

    let name: String
    let parameters: [Parameter]

    init(_ tool: Tool) {
        self.name = tool.name
        let schema = (try? tool.inputSchema.decode(JSONValue.self)) ?? .null
        // A schema of a few lines can mean a tree without an end: so many of its nodes are looked at.
        var budget = 2000
        let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
        let all = (schema["properties"]?.object ?? JSONObject()).map { name, property in
            let resolved = schema.resolving(property) ?? property
            return Parameter(
                name: name,
                type: Self.type(property, schema, depth: 0, &budget),
                isRequired: required.contains(name),
                standard: property["default"] == .null ? Optional.none : property["default"],
                description: (property["description"] ?? resolved["description"])?.string
            )
        }
        self.parameters = all.filter(\.isRequired) + all.filter { !$0.isRequired }
    }

    var description: String { "\(self.name)(\(self.parameters.map(\.text).joined(separator: ", ")))" }

    private static func type(_ schema: JSONValue, _ root: JSONValue, depth: Int, _ budget: inout Int) -> String {
        budget -= 1
        guard depth < 8, budget > 0 else { return "any" }
        let schema = root.resolving(schema) ?? schema
        if let values = schema["enum"]?.array, !values.isEmpty {
            return values.count > 6 ? "str" : values.map(\.description).joined(separator: "|")
        }
        if let value = schema["const"] { return value.description }
        for name in ["anyOf", "oneOf"] {
            guard let choices = schema[name]?.array else { continue }
            let types = choices.map { self.type($0, root, depth: depth + 1, &budget) }.filter { $0 != "null" }
            return types.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.joined(separator: "|")
        }
        if let only = schema["allOf"]?.array?.first { return self.type(only, root, depth: depth + 1, &budget) }
        let names = schema["type"]?.array?.compactMap(\.string) ?? schema["type"]?.string.map { [$0] } ?? []
        let types = names.filter { $0 != "null" || names.count == 1 }.map { name -> String in
            switch name {
            case "string": return "str"
            case "integer": return "int"
            case "number": return "float"
            case "boolean": return "bool"
            case "object": return "object"
            case "array":
                let items = schema["items"].map { self.type($0, root, depth: depth + 1, &budget) } ?? "any"
                return "[\(items)]"
            default: return name
            }
        }
        return types.isEmpty ? "any" : types.joined(separator: "|")
    }
}
