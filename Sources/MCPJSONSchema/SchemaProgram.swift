import MCPJSON

/// A schema made ready for checking: nodes that refer to each other by place.
final class SchemaProgram: Sendable {
    /// One subschema.
    struct Node: Sendable {
        /// The resource that it lies in, for dynamic references.
        var resource: Int
        /// Where it is, for messages.
        var path: String
        /// `true` and `false`.
        var verdict: Bool?
        var checks: [Check] = []
        /// `unevaluatedProperties` and `unevaluatedItems`, which come last.
        var unevaluatedProperties: Int?
        var unevaluatedItems: Int?
    }

    /// One keyword, or some that belong together; numbers are places of nodes.
    enum Check: Sendable {
        case type(Set<String>)
        case oneOfValues([JSONValue])
        case const(JSONValue)
        case multipleOf(JSONNumber)
        case maximum(JSONNumber)
        case exclusiveMaximum(JSONNumber)
        case minimum(JSONNumber)
        case exclusiveMinimum(JSONNumber)
        case maxLength(Int)
        case minLength(Int)
        case pattern(Pattern, source: String)
        case format(String)
        case maxItems(Int)
        case minItems(Int)
        case uniqueItems
        case maxProperties(Int)
        case minProperties(Int)
        case required([String])
        case dependentRequired([(String, [String])])
        case reference(Int)
        case dynamicReference(Int, anchor: String)
        case allOf([Int])
        case anyOf([Int])
        case oneOf([Int])
        case not(Int)
        case conditional(if: Int, then: Int?, else: Int?)
        case dependentSchemas([(String, Int)])
        case properties(named: [WireString: Int], patterns: [(Pattern, Int)], additional: Int?)
        case propertyNames(Int)
        case items(prefix: [Int], rest: Int?)
        case contains(Int, minimum: Int, maximum: Int?, isSeen: Bool)
    }

    let nodes: [Node]
    let root: Int
    /// For each resource, its dynamic anchors.
    let dynamicAnchors: [[WireString: Int]]
    let options: JSONSchema.Options

    init(nodes: [Node], root: Int, dynamicAnchors: [[WireString: Int]], options: JSONSchema.Options) {
        self.nodes = nodes
        self.root = root
        self.dynamicAnchors = dynamicAnchors
        self.options = options
    }
}
