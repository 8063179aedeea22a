import MCPJSON

/// A tool's schema as a model's interface takes it.
struct ModelSchema {
    private let interface: ModelInterface
    /// What was left out or written in another way, each kind of it once.
    private(set) var changes: [String] = []
    private var root: JSONValue = .null
    /// A schema of a few lines can mean a tree without an end: so many of its nodes are written.
    private var budget = 2000

    init(_ interface: ModelInterface) { self.interface = interface }

    /// How deep schemas may stand in one another. References may go in circles.
    private static let deepest = 12

    /// - Returns: the schema of an object, with its members named.
    mutating func converted(_ text: RawJSON) -> JSONValue {
        let schema = (try? text.decode(JSONValue.self)) ?? .null
        self.root = schema
        guard var object = self.whole(schema, depth: 0)?.object else {
            self.note("its schema is no object; any members are allowed")
            return ["type": "object", "properties": [:]]
        }
        if object["type"]?.string != "object" {
            object["type"] = "object"
            self.note("its schema does not say that arguments are an object")
        }
        if object["properties"]?.object == nil { object["properties"] = .object(JSONObject()) }
        self.join(&object)
        if self.interface.kind == .gemini { return self.plain(.object(object), depth: 0) }
        object["$schema"] = nil
        return .object(object)
    }

    private mutating func note(_ change: String) { if !self.changes.contains(change) { self.changes.append(change) } }

    /// Alternatives at the top are taken by none: their members are all allowed, and required is what all of them require.
    private mutating func join(_ object: inout JSONObject) {
        for name in ["anyOf", "oneOf", "allOf"] {
            guard let parts = object[name]?.array else { continue }
            object[name] = nil
            self.note("\"\(name)\" at its top became members that may be there")
            var properties = object["properties"]?.object ?? JSONObject()
            var required: [Set<String>] = []
            for part in parts {
                let part = self.whole(part, depth: 1) ?? part
                for (key, value) in part["properties"]?.object ?? JSONObject() where properties[key] == nil {
                    properties[key] = value
                }
                required.append(Set((part["required"]?.array ?? []).compactMap(\.string)))
            }
            let needed =
                name == "allOf"
                ? required.reduce(into: Set()) { $0.formUnion($1) }
                : required.dropFirst().reduce(required.first ?? []) { $0.intersection($1) }
            let before = (object["required"]?.array ?? []).compactMap(\.string)
            let all = before + needed.subtracting(before).sorted()
            if !all.isEmpty { object["required"] = .array(all.map { .string($0) }) }
            object["properties"] = .object(properties)
        }
        for name in ["not", "if", "then", "else", "enum", "dependentSchemas", "dependentRequired"]
        where object[name] != nil {
            object[name] = nil
            self.note("\"\(name)\" at its top was left out")
        }
    }

    /// A schema with its references and its `allOf` put together.
    private mutating func whole(_ schema: JSONValue, depth: Int) -> JSONValue? {
        guard let found = self.root.resolving(schema) else {
            self.note("a reference leads nowhere, so that part may be anything")
            return nil
        }
        if schema["$ref"] != nil { self.note("references were replaced by what they mean") }
        guard var object = found.object, let parts = object["allOf"]?.array, depth < Self.deepest else { return found }
        object["allOf"] = nil
        self.note("\"allOf\" was joined")
        for part in parts {
            for (key, value) in self.whole(part, depth: depth + 1)?.object ?? JSONObject() {
                switch (key, object[key], value) {
                case ("properties", .object(let mine)?, .object(let other)):
                    object[key] = .object(
                        JSONObject(other.map { ($0.key, $0.value) } + mine.map { ($0.key, $0.value) })
                    )
                case ("required", .array(let mine)?, .array(let other)):
                    object[key] = .array(mine + other.filter { !mine.contains($0) })
                case (_, nil, _): object[key] = value
                default: break
                }
            }
        }
        return .object(object)
    }

    // MARK: Gemini's subset

    private static let kept: Set<String> = [
        "type", "format", "title", "description", "enum", "items", "properties", "required", "minItems", "maxItems",
        "minimum",
        "maximum", "minLength", "maxLength", "pattern", "anyOf", "nullable", "default", "minProperties",
        "maxProperties",
    ]

    /// The same in the subset that Gemini takes: no references, one type, values that are strings.
    private mutating func plain(_ schema: JSONValue, depth: Int) -> JSONValue {
        self.budget -= 1
        guard depth < Self.deepest, self.budget > 0 else {
            self.note("what is nested too deep, or stands in itself, may be anything")
            return ["type": "object"]
        }
        guard var object = self.whole(schema, depth: 0)?.object else { return ["type": "string"] }
        if let one = object["oneOf"] {
            (object["oneOf"], object["anyOf"]) = (nil, object["anyOf"] ?? one)
            self.note("\"oneOf\" became \"anyOf\"")
        }
        if let value = object["const"] { (object["const"], object["enum"]) = (nil, .array([value])) }
        self.singleType(&object)
        self.stringValues(&object)
        var result = JSONObject()
        for (key, value) in object where Self.kept.contains(key) {
            switch key {
            case "properties":
                result[key] = .object(
                    JSONObject((value.object ?? JSONObject()).map { ($0.key, self.plain($0.value, depth: depth + 1)) })
                )
            case "items": result[key] = self.plain(value, depth: depth + 1)
            case "anyOf": result[key] = .array((value.array ?? []).map { self.plain($0, depth: depth + 1) })
            case "required":
                let names = (value.array ?? []).filter { object["properties"]?[$0.string ?? ""] != nil }
                if !names.isEmpty { result[key] = .array(names) }
            case "default" where value == .null: break
            default: result[key] = value
            }
        }
        for key in object.keys where !Self.kept.contains(key) && !key.hasPrefix("$") && key != "definitions" {
            self.note("\"\(key)\" was left out")
        }
        if result["type"]?.string == "array", result["items"] == nil { result["items"] = ["type": "string"] }
        return .object(result)
    }

    private mutating func singleType(_ object: inout JSONObject) {
        if let types = object["type"]?.array?.compactMap(\.string) {
            let named = types.filter { $0 != "null" }
            if named.count < types.count { object["nullable"] = true }
            object["type"] = nil
            if named.count < 2 {
                object["type"] = .string(named.first ?? "string")
            } else {
                object["anyOf"] = .array(named.map { ["type": .string($0)] })
            }
            self.note("lists of types became alternatives, or \"nullable\"")
        }
        if let choices = object["anyOf"]?.array {
            let named = choices.filter { $0["type"]?.string != "null" }
            guard named.count < choices.count else { return }
            object["nullable"] = true
            object["anyOf"] = named.count == 1 ? nil : .array(named)
            if named.count == 1 {
                for (key, value) in self.whole(named[0], depth: 1)?.object ?? JSONObject() where object[key] == nil {
                    object[key] = value
                }
            }
            self.note("\"null\" became \"nullable\"")
        }
    }

    private mutating func stringValues(_ object: inout JSONObject) {
        guard let values = object["enum"]?.array else { return }
        let texts = values.compactMap(\.string)
        if texts.count == values.count {
            object["type"] = object["type"] ?? "string"
        } else {
            object["enum"] = nil
            self.note("values that are no strings were left out")
        }
    }
}
