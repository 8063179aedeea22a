import MCPJSON

/// Makes a ``SchemaProgram``: finds every reference, reads every pattern, refuses what cannot be right.
struct SchemaCompiler {
    typealias Place = SchemaLibrary.Place
    typealias Check = SchemaProgram.Check

    private var library: SchemaLibrary
    private let options: JSONSchema.Options
    private var nodes: [SchemaProgram.Node] = []
    private var known: [Place: Int] = [:]
    /// Places that are known as nodes and not yet compiled: a list, so that depth of a schema is no depth of ours.
    private var open: [(node: Int, place: Place, value: JSONValue)] = []
    private var patterns: [WireString: Pattern] = [:]
    private var hasDynamicReference = false

    static func compile(
        _ schema: JSONValue,
        _ options: JSONSchema.Options
    ) throws(JSONSchema.SchemaError) -> SchemaProgram {
        var compiler = SchemaCompiler(library: SchemaLibrary(options), options: options)
        let resource = try compiler.library.add(schema, uri: "")
        let root = try compiler.node(Place(resource: resource, pointer: ""), schema)
        try compiler.compileOpen()
        var dynamicAnchors: [[WireString: Int]] = []
        if compiler.hasDynamicReference {
            // Compiling an anchor may lead to further resources.
            while dynamicAnchors.count < compiler.library.resources.count {
                let place = dynamicAnchors.count
                var anchors: [WireString: Int] = [:]
                for (name, pointer) in compiler.library.resources[place].dynamicAnchors {
                    let target = Place(resource: place, pointer: pointer)
                    guard let value = compiler.library.value(at: target) else { continue }
                    anchors[name] = try compiler.node(target, value)
                }
                dynamicAnchors.append(anchors)
                try compiler.compileOpen()
            }
        }
        return SchemaProgram(nodes: compiler.nodes, root: root, dynamicAnchors: dynamicAnchors, options: options)
    }

    private init(library: SchemaLibrary, options: JSONSchema.Options) {
        self.library = library
        self.options = options
    }

    private func path(_ place: Place) -> String {
        "\(self.library.resources[place.resource].uri)#\(place.pointer)"
    }

    private mutating func node(_ place: Place, _ value: JSONValue) throws(JSONSchema.SchemaError) -> Int {
        // What has an `$id` lies in a resource of its own.
        var place = place
        if let inner = self.library.resources[place.resource].embedded[WireString(place.pointer)] {
            place = Place(resource: inner, pointer: "")
        }
        if let node = self.known[place] { return node }
        guard self.nodes.count < self.options.size else {
            throw JSONSchema.SchemaError(
                schemaPath: self.path(place),
                message: "the schema has more than \(self.options.size) subschemas"
            )
        }
        let node = self.nodes.count
        self.nodes.append(SchemaProgram.Node(resource: place.resource, path: self.path(place)))
        self.known[place] = node
        self.open.append((node, place, value))
        return node
    }

    private mutating func compileOpen() throws(JSONSchema.SchemaError) {
        while let (node, place, value) = self.open.popLast() {
            switch value {
            case .bool(let verdict): self.nodes[node].verdict = verdict
            case .object(let object):
                var keywords = Keywords(object: object, place: place, path: self.path(place))
                try self.compile(&keywords, node)
                self.nodes[node].checks = keywords.checks
            case .null, .number, .string, .array:
                throw JSONSchema.SchemaError(
                    schemaPath: self.path(place),
                    message: "a schema is an object, true or false, not \(value.kind)"
                )
            }
        }
    }

    // MARK: Keywords

    /// The members of one schema, and what has been made of them.
    private struct Keywords {
        let object: JSONObject
        let place: Place
        let path: String
        var checks: [Check] = []

        func wrong(_ name: String, _ message: String) -> JSONSchema.SchemaError {
            JSONSchema.SchemaError(schemaPath: "\(self.path)/\(name)", message: message)
        }

        func number(_ name: String) throws(JSONSchema.SchemaError) -> JSONNumber? {
            guard let value = self.object[name] else { return nil }
            guard case .number(let number) = value else {
                throw self.wrong(name, "expected a number, found \(value.kind)")
            }
            return number
        }

        func count(_ name: String) throws(JSONSchema.SchemaError) -> Int? {
            guard let number = try self.number(name) else { return nil }
            guard number.isInteger, number.double >= 0 else {
                throw self.wrong(name, "expected a count, found \(number)")
            }
            return number.int64.map { Int($0) } ?? Int.max
        }

        func string(_ name: String) throws(JSONSchema.SchemaError) -> String? {
            guard let value = self.object[name] else { return nil }
            guard let string = value.string else { throw self.wrong(name, "expected a string, found \(value.kind)") }
            return string
        }

        func bool(_ name: String) throws(JSONSchema.SchemaError) -> Bool? {
            guard let value = self.object[name] else { return nil }
            guard let bool = value.bool else {
                throw self.wrong(name, "expected true or false, found \(value.kind)")
            }
            return bool
        }

        func strings(_ value: JSONValue, _ name: String) throws(JSONSchema.SchemaError) -> [String] {
            guard let array = value.array else { throw self.wrong(name, "expected a list, found \(value.kind)") }
            var result: [String] = []
            for element in array {
                guard let string = element.string else {
                    throw self.wrong(name, "expected strings, found \(element.kind)")
                }
                result.append(string)
            }
            return result
        }

        func members(_ name: String) throws(JSONSchema.SchemaError) -> JSONObject? {
            guard let value = self.object[name] else { return nil }
            guard let object = value.object else { throw self.wrong(name, "expected an object, found \(value.kind)") }
            return object
        }
    }

    private mutating func subschema(
        _ name: String,
        _ keywords: Keywords
    ) throws(JSONSchema.SchemaError) -> Int? {
        guard let value = keywords.object[name] else { return nil }
        return try self.node(
            Place(resource: keywords.place.resource, pointer: "\(keywords.place.pointer)/\(name)"),
            value
        )
    }

    private mutating func list(_ name: String, _ keywords: Keywords) throws(JSONSchema.SchemaError) -> [Int]? {
        guard let value = keywords.object[name] else { return nil }
        guard let elements = value.array, !elements.isEmpty || name == "items" else {
            throw keywords.wrong(
                name,
                "expected a list of schemas, found \(value.array == nil ? "\(value.kind)" : "none")"
            )
        }
        var result: [Int] = []
        for (i, element) in elements.enumerated() {
            let pointer = "\(keywords.place.pointer)/\(name)/\(i)"
            result.append(try self.node(Place(resource: keywords.place.resource, pointer: pointer), element))
        }
        return result
    }

    private mutating func map(
        _ name: String,
        _ keywords: Keywords
    ) throws(JSONSchema.SchemaError) -> [(String, Int)]? {
        guard let members = try keywords.members(name) else { return nil }
        var result: [(String, Int)] = []
        for (key, value) in members {
            let pointer = "\(keywords.place.pointer)/\(name)/\(SchemaLibrary.escaped(key))"
            result.append((key, try self.node(Place(resource: keywords.place.resource, pointer: pointer), value)))
        }
        return result
    }

    private mutating func pattern(
        _ source: String,
        _ name: String,
        _ keywords: Keywords
    ) throws(JSONSchema.SchemaError) -> Pattern {
        if let known = self.patterns[WireString(source)] { return known }
        do throws(Pattern.Malformed) {
            let pattern = try Pattern(source)
            self.patterns[WireString(source)] = pattern
            return pattern
        } catch {
            throw keywords.wrong(name, "pattern \"\(source.prefix(100))\": \(error.message)")
        }
    }

    private mutating func reference(
        _ name: String,
        _ keywords: Keywords
    ) throws(JSONSchema.SchemaError) -> (Int, Place)? {
        guard let reference = try keywords.string(name) else { return nil }
        guard let place = try self.library.find(reference, from: keywords.place.resource),
            let value = self.library.value(at: place)
        else {
            throw keywords.wrong(
                name,
                "\"\(reference)\" is not in this schema, and nothing is fetched from anywhere else"
            )
        }
        return (try self.node(place, value), place)
    }

    private mutating func compile(_ keywords: inout Keywords, _ node: Int) throws(JSONSchema.SchemaError) {
        let resource = self.library.resources[keywords.place.resource]
        if let (target, _) = try self.reference("$ref", keywords) {
            keywords.checks.append(.reference(target))
            // In draft-07 nothing else beside it counts.
            if resource.dialect == .draft07 { return }
        }
        if resource.hasAssertions { try self.compileAssertions(&keywords) }
        if let format = try keywords.string("format"), resource.assertsFormat ?? self.options.assertsFormat {
            keywords.checks.append(.format(format))
        }
        if let all = try self.list("allOf", keywords) { keywords.checks.append(.allOf(all)) }
        if let any = try self.list("anyOf", keywords) { keywords.checks.append(.anyOf(any)) }
        if let one = try self.list("oneOf", keywords) { keywords.checks.append(.oneOf(one)) }
        if let not = try self.subschema("not", keywords) { keywords.checks.append(.not(not)) }
        if let condition = try self.subschema("if", keywords) {
            let (then, otherwise) = (try self.subschema("then", keywords), try self.subschema("else", keywords))
            keywords.checks.append(.conditional(if: condition, then: then, else: otherwise))
        }
        try self.compileProperties(&keywords)
        if let names = try self.subschema("propertyNames", keywords) { keywords.checks.append(.propertyNames(names)) }
        switch resource.dialect {
        case .draft07: try self.compileDraft07(&keywords)
        case .draft2020: try self.compileDraft2020(&keywords, node)
        }
    }

    private mutating func compileAssertions(_ keywords: inout Keywords) throws(JSONSchema.SchemaError) {
        if let value = keywords.object["type"] {
            let names: [String]
            if let name = value.string { names = [name] } else { names = try keywords.strings(value, "type") }
            let known: Set<String> = ["null", "boolean", "object", "array", "number", "string", "integer"]
            if let unknown = names.first(where: { !known.contains($0) }) {
                throw keywords.wrong("type", "unknown type \"\(unknown)\"")
            }
            keywords.checks.append(.type(Set(names)))
        }
        if let value = keywords.object["enum"] {
            guard let values = value.array else {
                throw keywords.wrong("enum", "expected a list, found \(value.kind)")
            }
            keywords.checks.append(.oneOfValues(values))
        }
        if let value = keywords.object["const"] { keywords.checks.append(.const(value)) }
        if let number = try keywords.number("multipleOf") {
            guard number.double > 0 else { throw keywords.wrong("multipleOf", "expected more than 0, found \(number)") }
            keywords.checks.append(.multipleOf(number))
        }
        if let number = try keywords.number("maximum") { keywords.checks.append(.maximum(number)) }
        if let number = try keywords.number("exclusiveMaximum") { keywords.checks.append(.exclusiveMaximum(number)) }
        if let number = try keywords.number("minimum") { keywords.checks.append(.minimum(number)) }
        if let number = try keywords.number("exclusiveMinimum") { keywords.checks.append(.exclusiveMinimum(number)) }
        if let count = try keywords.count("maxLength") { keywords.checks.append(.maxLength(count)) }
        if let count = try keywords.count("minLength") { keywords.checks.append(.minLength(count)) }
        if let source = try keywords.string("pattern") {
            keywords.checks.append(.pattern(try self.pattern(source, "pattern", keywords), source: source))
        }
        if let count = try keywords.count("maxItems") { keywords.checks.append(.maxItems(count)) }
        if let count = try keywords.count("minItems") { keywords.checks.append(.minItems(count)) }
        if try keywords.bool("uniqueItems") == true { keywords.checks.append(.uniqueItems) }
        if let count = try keywords.count("maxProperties") { keywords.checks.append(.maxProperties(count)) }
        if let count = try keywords.count("minProperties") { keywords.checks.append(.minProperties(count)) }
        if let value = keywords.object["required"] {
            keywords.checks.append(.required(try keywords.strings(value, "required")))
        }
    }

    private mutating func compileProperties(_ keywords: inout Keywords) throws(JSONSchema.SchemaError) {
        let named = try self.map("properties", keywords)
        var patterns: [(Pattern, Int)]?
        if let members = try self.map("patternProperties", keywords) {
            patterns = []
            for (source, node) in members {
                patterns?.append((try self.pattern(source, "patternProperties", keywords), node))
            }
        }
        let additional = try self.subschema("additionalProperties", keywords)
        if named == nil, patterns == nil, additional == nil { return }
        keywords.checks.append(
            .properties(
                named: Dictionary((named ?? []).map { (WireString($0.0), $0.1) }, uniquingKeysWith: { $1 }),
                patterns: patterns ?? [],
                additional: additional
            )
        )
    }

    private mutating func compileDraft07(_ keywords: inout Keywords) throws(JSONSchema.SchemaError) {
        if keywords.object["items"]?.array != nil {
            let prefix = try self.list("items", keywords) ?? []
            keywords.checks.append(.items(prefix: prefix, rest: try self.subschema("additionalItems", keywords)))
        } else if let rest = try self.subschema("items", keywords) {
            keywords.checks.append(.items(prefix: [], rest: rest))
        }
        if let contains = try self.subschema("contains", keywords) {
            keywords.checks.append(.contains(contains, minimum: 1, maximum: nil, isSeen: false))
        }
        guard let dependencies = try keywords.members("dependencies") else { return }
        var (names, schemas): ([(String, [String])], [(String, Int)]) = ([], [])
        for (key, value) in dependencies {
            if value.array != nil {
                names.append((key, try keywords.strings(value, "dependencies")))
            } else {
                let pointer = "\(keywords.place.pointer)/dependencies/\(SchemaLibrary.escaped(key))"
                schemas.append((key, try self.node(Place(resource: keywords.place.resource, pointer: pointer), value)))
            }
        }
        if !names.isEmpty { keywords.checks.append(.dependentRequired(names)) }
        if !schemas.isEmpty { keywords.checks.append(.dependentSchemas(schemas)) }
    }

    private mutating func compileDraft2020(
        _ keywords: inout Keywords,
        _ node: Int
    ) throws(JSONSchema.SchemaError) {
        if let (target, place) = try self.reference("$dynamicRef", keywords) {
            // Only where it leads to a dynamic anchor by name does it depend on who asks.
            let name = String(URIReference(keywords.object["$dynamicRef"]?.string ?? "").fragment ?? "")
            if self.library.resources[place.resource].dynamicAnchors[WireString(name)] == place.pointer {
                self.hasDynamicReference = true
                keywords.checks.append(.dynamicReference(target, anchor: name))
            } else {
                keywords.checks.append(.reference(target))
            }
        }
        let prefix = try self.list("prefixItems", keywords) ?? []
        if keywords.object["items"]?.array != nil {
            throw keywords.wrong(
                "items",
                "a list of schemas is \"prefixItems\" in 2020-12; is \"$schema\" draft-07 missing?"
            )
        }
        let rest = try self.subschema("items", keywords)
        if !prefix.isEmpty || rest != nil { keywords.checks.append(.items(prefix: prefix, rest: rest)) }
        if let contains = try self.subschema("contains", keywords) {
            let resource = self.library.resources[keywords.place.resource]
            let minimum = resource.hasAssertions ? try keywords.count("minContains") ?? 1 : 1
            let maximum = resource.hasAssertions ? try keywords.count("maxContains") : nil
            keywords.checks.append(.contains(contains, minimum: minimum, maximum: maximum, isSeen: true))
        }
        if let members = try keywords.members("dependentRequired") {
            var names: [(String, [String])] = []
            for (key, value) in members { names.append((key, try keywords.strings(value, "dependentRequired"))) }
            keywords.checks.append(.dependentRequired(names))
        }
        if let schemas = try self.map("dependentSchemas", keywords) {
            keywords.checks.append(.dependentSchemas(schemas))
        }
        self.nodes[node].unevaluatedProperties = try self.subschema("unevaluatedProperties", keywords)
        self.nodes[node].unevaluatedItems = try self.subschema("unevaluatedItems", keywords)
    }
}
