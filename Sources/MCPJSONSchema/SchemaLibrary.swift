import MCPJSON

/// All documents that references may lead to, cut into resources: whatever has an `$id` is one.
struct SchemaLibrary {
    struct Resource {
        var uri: String
        var root: JSONValue
        var dialect: JSONSchema.Dialect
        /// Custom metaschemas may leave out the vocabulary of assertions.
        var hasAssertions = true
        var assertsFormat: Bool?
        /// Pointers by name.
        var anchors: [WireString: String] = [:]
        var dynamicAnchors: [WireString: String] = [:]
        /// Other resources inside this one, by pointer.
        var embedded: [WireString: Int] = [:]
    }

    /// A place in a resource.
    struct Place: Hashable {
        var resource: Int
        var pointer: String

        static func == (a: Self, b: Self) -> Bool {
            a.resource == b.resource && WireString(a.pointer) == WireString(b.pointer)
        }
        func hash(into hasher: inout Hasher) {
            hasher.combine(self.resource)
            hasher.combine(WireString(self.pointer))
        }
    }

    private(set) var resources: [Resource] = []
    private var byURI: [WireString: Int] = [:]
    private let options: JSONSchema.Options
    /// Documents that nothing has led to yet.
    private var unread: [String: JSONValue]
    private var objects = 0

    init(_ options: JSONSchema.Options) {
        self.options = options
        self.unread = options.resources
    }

    /// Takes a document in.
    mutating func add(_ document: JSONValue, uri: String) throws(JSONSchema.SchemaError) -> Int {
        let target = URIReference.resolve(uri, against: "")
        let place = try self.addResource(document, uri: target.resource, inherited: nil)
        if self.byURI[WireString(target.resource)] == nil { self.byURI[WireString(target.resource)] = place }
        return place
    }

    private mutating func addResource(
        _ root: JSONValue,
        uri: String,
        inherited: Resource?
    ) throws(JSONSchema.SchemaError) -> Int {
        var resource = Resource(uri: uri, root: root, dialect: inherited?.dialect ?? self.options.dialect)
        resource.hasAssertions = inherited?.hasAssertions ?? true
        resource.assertsFormat = inherited?.assertsFormat
        if let schema = root["$schema"]?.string { try self.setDialect(of: &resource, schema) }
        if let id = Self.id(root, resource.dialect) { resource.uri = URIReference.resolve(id, against: uri).resource }
        let place = self.resources.count
        self.resources.append(resource)
        if self.byURI[WireString(resource.uri)] == nil || inherited != nil {
            self.byURI[WireString(resource.uri)] = place
        }
        try self.index(root, in: place, pointer: "", isRoot: true)
        return place
    }

    private mutating func setDialect(
        of resource: inout Resource,
        _ schema: String
    ) throws(JSONSchema.SchemaError) {
        let uri = URIReference.resolve(schema, against: "").resource
        if let dialect = JSONSchema.Dialect(rawValue: uri) {
            resource.dialect = dialect
            resource.hasAssertions = true
            return
        }
        guard let metaschema = self.options.resources[uri] else {
            throw JSONSchema.SchemaError(
                schemaPath: "#/$schema",
                message: "dialect \"\(schema)\" is not supported; 2020-12 and draft-07 are"
            )
        }
        resource.dialect = .draft2020
        guard let vocabulary = metaschema["$vocabulary"]?.object else { return }
        let prefix = "https://json-schema.org/draft/2020-12/vocab/"
        let known: Set<String> = [
            "core", "applicator", "unevaluated", "validation", "meta-data", "format-annotation", "format-assertion",
            "content",
        ]
        resource.hasAssertions = vocabulary[prefix + "validation"] != nil
        if vocabulary[prefix + "format-assertion"] != nil { resource.assertsFormat = true }
        for (name, isRequired) in vocabulary where isRequired.bool == true {
            guard name.hasPrefix(prefix), known.contains(String(name.dropFirst(prefix.count))) else {
                throw JSONSchema.SchemaError(
                    schemaPath: "#/$schema",
                    message: "dialect \"\(schema)\" requires the vocabulary \"\(name)\", which is not supported"
                )
            }
        }
    }

    /// The `$id` that starts a resource; in draft-07 not beside `$ref`, and not one that only names an anchor.
    private static func id(_ value: JSONValue, _ dialect: JSONSchema.Dialect) -> String? {
        guard let id = value["$id"]?.string, !id.hasPrefix("#") else { return nil }
        return dialect == .draft07 && value["$ref"] != nil ? nil : id
    }

    static let single: Set<String> = [
        "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else", "unevaluatedItems",
        "unevaluatedProperties", "items", "additionalItems", "contentSchema",
    ]
    static let lists: Set<String> = ["allOf", "anyOf", "oneOf", "prefixItems", "items"]
    static let maps: Set<String> = [
        "$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies",
    ]

    private mutating func index(
        _ value: JSONValue,
        in place: Int,
        pointer: String,
        isRoot: Bool = false,
        depth: Int = 0
    ) throws(JSONSchema.SchemaError) {
        guard let object = value.object else { return }
        self.objects += 1
        guard self.objects <= self.options.size, depth <= 512 else {
            throw JSONSchema.SchemaError(
                schemaPath: "#\(pointer)",
                message: "the schema has more than \(self.options.size) subschemas or nests deeper than 512"
            )
        }
        let dialect = self.resources[place].dialect
        if !isRoot, Self.id(value, dialect) != nil {
            let resource = self.resources[place]
            let inner = try self.addResource(value, uri: resource.uri, inherited: resource)
            self.resources[place].embedded[WireString(pointer)] = inner
            return
        }
        if dialect == .draft07 {
            if let id = object["$id"]?.string, id.hasPrefix("#"), object["$ref"] == nil {
                self.resources[place].anchors[WireString(String(id.dropFirst()))] = pointer
            }
        } else {
            if let anchor = object["$anchor"]?.string { self.resources[place].anchors[WireString(anchor)] = pointer }
            if let anchor = object["$dynamicAnchor"]?.string {
                self.resources[place].anchors[WireString(anchor)] = pointer
                self.resources[place].dynamicAnchors[WireString(anchor)] = pointer
            }
        }
        for (key, member) in object {
            let path = "\(pointer)/\(Self.escaped(key))"
            if Self.maps.contains(key), let members = member.object {
                for (name, schema) in members {
                    try self.index(schema, in: place, pointer: "\(path)/\(Self.escaped(name))", depth: depth + 1)
                }
            } else if Self.lists.contains(key), let elements = member.array {
                for (i, schema) in elements.enumerated() {
                    try self.index(schema, in: place, pointer: "\(path)/\(i)", depth: depth + 1)
                }
            } else if Self.single.contains(key) {
                try self.index(member, in: place, pointer: path, depth: depth + 1)
            }
        }
    }

    static func escaped(_ name: String) -> String {
        guard name.utf8.contains(where: { $0 == 0x7E || $0 == 0x2F }) else { return name }
        var result = ""
        for character in name.unicodeScalars {
            switch character {
            case "~": result += "~0"
            case "/": result += "~1"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    // MARK: Finding

    /// Where a reference leads.
    /// - Returns: nil if nowhere.
    mutating func find(_ reference: String, from place: Int) throws(JSONSchema.SchemaError) -> Place? {
        let target = URIReference.resolve(reference, against: self.resources[place].uri)
        guard let fragment = URIReference.decoded(target.fragment) else { return nil }
        let resource: Int
        if reference.hasPrefix("#") {
            resource = place
        } else if let known = self.byURI[WireString(target.resource)] {
            resource = known
        } else if let document = self.unread.removeValue(forKey: target.resource) {
            resource = try self.add(document, uri: target.resource)
        } else if let text = Metaschema.text(of: target.resource), let document = try? JSONValue(parsing: text) {
            resource = try self.add(document, uri: target.resource)
        } else {
            return nil
        }
        if fragment.isEmpty || fragment.hasPrefix("/") { return self.walk(resource, fragment) }
        return self.resources[resource].anchors[WireString(fragment)].map { Place(resource: resource, pointer: $0) }
    }

    /// A pointer may cross into an embedded resource, where other rules may hold.
    private func walk(_ start: Int, _ pointer: String) -> Place? {
        var place = Place(resource: start, pointer: "")
        var value = self.resources[start].root
        for token in pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.unescaped(token)
            guard let next = Self.member(name, of: value) else { return nil }
            value = next
            place.pointer += "/\(Self.escaped(name))"
            if let inner = self.resources[place.resource].embedded[WireString(place.pointer)] {
                place = Place(resource: inner, pointer: "")
            }
        }
        return place
    }

    private static func member(_ name: String, of value: JSONValue) -> JSONValue? {
        if let elements = value.array {
            return Int(name).flatMap { elements.indices.contains($0) ? elements[$0] : nil }
        }
        return value.object?[name]
    }

    private static func unescaped(_ token: Substring) -> String {
        guard token.utf8.contains(0x7E) else { return String(token) }
        var result = ""
        var isEscaped = false
        for character in token.unicodeScalars {
            if isEscaped {
                result += character == "1" ? "/" : "~"
                isEscaped = false
            } else if character == "~" {
                isEscaped = true
            } else {
                result.unicodeScalars.append(character)
            }
        }
        return result
    }

    func value(at place: Place) -> JSONValue? {
        var value = self.resources[place.resource].root
        for token in place.pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.unescaped(token)
            guard let next = Self.member(name, of: value) else { return nil }
            value = next
        }
        return value
    }
}
