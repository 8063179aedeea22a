import MCPJSON

/// One check of one value. Stops at its bounds, whatever schema and value are.
struct SchemaEvaluation {
    /// Properties and elements that some keyword has looked at, for `unevaluatedProperties` and `unevaluatedItems`.
    struct Seen {
        var allProperties = false
        var properties: Set<WireString> = []
        var allItems = false
        var firstItems = 0
        var items: Set<Int> = []

        mutating func formUnion(_ other: Seen) {
            self.allProperties = self.allProperties || other.allProperties
            self.properties.formUnion(other.properties)
            self.allItems = self.allItems || other.allItems
            self.firstItems = max(self.firstItems, other.firstItems)
            self.items.formUnion(other.items)
        }
    }

    enum Step {
        case name(String)
        case index(Int)
    }

    let program: SchemaProgram
    private let limit: Int
    private(set) var violations: [JSONSchema.Violation] = []
    var steps: Int
    private var depth = 0
    private var problem: String?
    private var path: [Step] = []
    /// Resources that the check has come through, the first one first.
    private var scope: [Int] = []
    /// Above 0 nothing is written down: an answer is enough.
    var quiet: Int

    /// - Parameter limit: violations to write down; with 0 there is only an answer.
    init(_ program: SchemaProgram, limit: Int) {
        self.program = program
        self.limit = limit
        self.steps = program.options.steps
        self.quiet = limit == 0 ? 1 : 0
    }

    mutating func run(_ value: JSONValue) -> Bool {
        var seen = Seen()
        let isValid = self.evaluate(self.program.root, value, wantsSeen: false, &seen)
        guard let problem = self.problem else { return isValid }
        let root = self.program.nodes[self.program.root].path
        self.violations = [JSONSchema.Violation(instancePath: "", schemaPath: root, message: problem)]
        return false
    }

    // MARK: -

    var isGivenUp: Bool { self.problem != nil }

    mutating func spend(_ count: Int = 1) {
        self.steps -= count
        if self.steps <= 0, self.problem == nil {
            self.problem = "the check was given up: it takes more than \(self.program.options.steps) steps"
        }
    }

    private var pointer: String {
        var result = ""
        for step in self.path {
            switch step {
            case .name(let name): result += "/" + SchemaLibrary.escaped(name)
            case .index(let index): result += "/\(index)"
            }
        }
        return result
    }

    /// A violation, if anybody wants to know. Always false, for `return`.
    @discardableResult
    mutating func fail(_ node: Int, _ keyword: String, _ message: @autoclosure () -> String) -> Bool {
        if self.quiet == 0, self.violations.count < self.limit {
            let path = self.program.nodes[node].path + (keyword.isEmpty ? "" : "/\(keyword)")
            self.violations.append(
                JSONSchema.Violation(instancePath: self.pointer, schemaPath: path, message: message())
            )
        }
        return false
    }

    mutating func child(_ step: Step, _ node: Int, _ value: JSONValue) -> Bool {
        self.path.append(step)
        defer { self.path.removeLast() }
        var seen = Seen()
        return self.evaluate(node, value, wantsSeen: false, &seen)
    }

    /// - Parameters:
    ///   - wantsSeen: somebody above asks what has been looked at.
    ///   - seen: what has been looked at, if the value fits.
    private mutating func evaluate(_ place: Int, _ value: JSONValue, wantsSeen: Bool, _ seen: inout Seen) -> Bool {
        self.spend()
        let node = self.program.nodes[place]
        if let verdict = node.verdict { return verdict || self.fail(place, "", "nothing is allowed here") }
        self.depth += 1
        defer { self.depth -= 1 }
        if self.depth > self.program.options.depth, self.problem == nil {
            self.problem = "the check was given up: it nests deeper than \(self.program.options.depth) levels"
        }
        if self.isGivenUp { return false }
        let isNewScope = self.scope.last != node.resource
        if isNewScope { self.scope.append(node.resource) }
        defer { if isNewScope { self.scope.removeLast() } }

        let collects = wantsSeen || node.unevaluatedProperties != nil || node.unevaluatedItems != nil
        var own = Seen()
        var isValid = true
        for check in node.checks {
            if !self.perform(check, place, value, collects, &own) {
                isValid = false
                // The first one is answer enough.
                if self.quiet > 0 || self.isGivenUp { return false }
            }
        }
        if let rest = node.unevaluatedProperties, case .object(let object) = value, isValid {
            isValid = self.unevaluatedProperties(object, rest, place, own)
            own.allProperties = true
        }
        if let rest = node.unevaluatedItems, case .array(let array) = value, isValid {
            isValid = self.unevaluatedItems(array, rest, place, own)
            own.allItems = true
        }
        if isValid, wantsSeen { seen.formUnion(own) }
        return isValid && !self.isGivenUp
    }

    private mutating func unevaluatedProperties(_ object: JSONObject, _ rest: Int, _ place: Int, _ seen: Seen) -> Bool {
        if seen.allProperties { return true }
        var isValid = true
        for (name, value) in object where !seen.properties.contains(WireString(name)) {
            if self.program.nodes[rest].verdict == false {
                isValid = self.fail(place, "unevaluatedProperties", "unexpected property \"\(name)\"")
            } else if !self.child(.name(name), rest, value) {
                isValid = false
            }
            if !isValid, self.quiet > 0 { return false }
        }
        return isValid
    }

    private mutating func unevaluatedItems(_ array: [JSONValue], _ rest: Int, _ place: Int, _ seen: Seen) -> Bool {
        if seen.allItems { return true }
        var isValid = true
        for (i, value) in array.enumerated().dropFirst(seen.firstItems) where !seen.items.contains(i) {
            if !self.child(.index(i), rest, value) { isValid = false }
            if !isValid, self.quiet > 0 { return false }
        }
        return isValid
    }

    private mutating func perform(
        _ check: SchemaProgram.Check,
        _ place: Int,
        _ value: JSONValue,
        _ collects: Bool,
        _ seen: inout Seen
    ) -> Bool {
        switch check {
        case .type(let names):
            return Self.matches(value, names)
                || self.fail(place, "type", "expected \(names.sorted().joined(separator: " or ")), found \(value.kind)")
        case .oneOfValues(let values):
            self.spend(values.count)
            return values.contains(value)
                || self.fail(place, "enum", "\(Self.shown(value)) is none of \(Self.shown(.array(values)))")
        case .const(let constant):
            return value == constant || self.fail(place, "const", "\(Self.shown(value)) is not \(Self.shown(constant))")
        case .multipleOf, .maximum, .exclusiveMaximum, .minimum, .exclusiveMinimum:
            guard case .number(let number) = value else { return true }
            return self.performNumber(check, place, number)
        case .maxLength, .minLength, .pattern, .format:
            guard case .string(let string) = value else { return true }
            return self.performString(check, place, string)
        case .maxItems, .minItems, .uniqueItems, .items, .contains:
            guard case .array(let array) = value else { return true }
            return self.performArray(check, place, array, collects, &seen)
        case .maxProperties, .minProperties, .required, .dependentRequired, .properties, .propertyNames:
            guard case .object(let object) = value else { return true }
            return self.performObject(check, place, object, collects, &seen)
        case .reference, .dynamicReference, .allOf, .anyOf, .oneOf, .not, .conditional, .dependentSchemas:
            return self.performApplicator(check, place, value, collects, &seen)
        }
    }

    private static func matches(_ value: JSONValue, _ names: Set<String>) -> Bool {
        switch value {
        case .null: names.contains("null")
        case .bool: names.contains("boolean")
        case .object: names.contains("object")
        case .array: names.contains("array")
        case .string: names.contains("string")
        case .number(let number): names.contains("number") || (names.contains("integer") && number.isInteger)
        }
    }

    static func shown(_ value: JSONValue) -> String {
        let text = value.description
        return text.utf8.count > 120 ? "\(text.prefix(100))..." : text
    }

    private mutating func performApplicator(
        _ check: SchemaProgram.Check,
        _ place: Int,
        _ value: JSONValue,
        _ collects: Bool,
        _ seen: inout Seen
    ) -> Bool {
        switch check {
        case .reference(let node): return self.evaluate(node, value, wantsSeen: collects, &seen)
        case .dynamicReference(let initial, let anchor):
            // The outermost resource on the way here that has the anchor decides.
            let node =
                self.scope.lazy.compactMap { [program] in program.dynamicAnchors[$0][WireString(anchor)] }.first
                ?? initial
            return self.evaluate(node, value, wantsSeen: collects, &seen)
        case .allOf(let nodes):
            var isValid = true
            for node in nodes where !self.evaluate(node, value, wantsSeen: collects, &seen) { isValid = false }
            return isValid
        case .anyOf(let nodes):
            var isValid = false
            for node in nodes where self.quietly(node, value, collects, &seen) {
                isValid = true
                // All that fit may have looked at something.
                if !collects { break }
            }
            return isValid || self.failNone(place, "anyOf", nodes, value)
        case .oneOf(let nodes):
            let matching = nodes.indices.filter { self.quietly(nodes[$0], value, collects, &seen) }
            if matching.count == 1 { return true }
            if matching.isEmpty { return self.failNone(place, "oneOf", nodes, value) }
            return self.fail(place, "oneOf", "fits schemas \(matching[0]) and \(matching[1]), where one is wanted")
        case .not(let node):
            var ignored = Seen()
            return !self.quietly(node, value, false, &ignored) && !self.isGivenUp
                || self.fail(place, "not", "fits a schema that it must not fit")
        case .conditional(let condition, let then, let otherwise):
            let branch = self.quietly(condition, value, collects, &seen) ? then : otherwise
            return branch.map { self.evaluate($0, value, wantsSeen: collects, &seen) } ?? true
        case .dependentSchemas(let schemas):
            guard case .object(let object) = value else { return true }
            var isValid = true
            for (name, node) in schemas where object[name] != nil {
                if !self.evaluate(node, value, wantsSeen: collects, &seen) { isValid = false }
            }
            return isValid
        default: return true
        }
    }

    private mutating func quietly(_ node: Int, _ value: JSONValue, _ collects: Bool, _ seen: inout Seen) -> Bool {
        self.quiet += 1
        defer { self.quiet -= 1 }
        return self.evaluate(node, value, wantsSeen: collects, &seen)
    }

    private mutating func failNone(_ place: Int, _ keyword: String, _ nodes: [Int], _ value: JSONValue) -> Bool {
        let reasons = self.reasons(nodes, value)
        return self.fail(place, keyword, "fits none of \(nodes.count) schemas: \(reasons)")
    }

    /// Why the first few of some schemas do not fit.
    private mutating func reasons(_ nodes: [Int], _ value: JSONValue) -> String {
        guard self.quiet == 0, !self.isGivenUp else { return "" }
        let before = self.violations
        defer { self.violations = before }
        var reasons: [String] = []
        for node in nodes.prefix(3) {
            self.violations = []
            var ignored = Seen()
            _ = self.evaluate(node, value, wantsSeen: false, &ignored)
            if let first = self.violations.first { reasons.append(first.message) }
        }
        return reasons.joined(separator: "; ") + (nodes.count > 3 ? "; ..." : "")
    }
}
