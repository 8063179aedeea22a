import MCPJSON

/// Keywords that concern one kind of value.
extension SchemaEvaluation {
    mutating func performNumber(_ check: SchemaProgram.Check, _ place: Int, _ number: JSONNumber) -> Bool {
        switch check {
        case .multipleOf(let divisor):
            number.isMultiple(of: divisor)
                || self.fail(place, "multipleOf", "\(number) is not a multiple of \(divisor)")
        case .maximum(let bound):
            !bound.isLess(than: number) || self.fail(place, "maximum", "\(number) is more than \(bound)")
        case .exclusiveMaximum(let bound):
            number.isLess(than: bound) || self.fail(place, "exclusiveMaximum", "\(number) is not less than \(bound)")
        case .minimum(let bound):
            !number.isLess(than: bound) || self.fail(place, "minimum", "\(number) is less than \(bound)")
        case .exclusiveMinimum(let bound):
            bound.isLess(than: number) || self.fail(place, "exclusiveMinimum", "\(number) is not more than \(bound)")
        default: true
        }
    }

    mutating func performString(_ check: SchemaProgram.Check, _ place: Int, _ string: String) -> Bool {
        switch check {
        case .maxLength(let bound):
            let count = string.unicodeScalars.count
            return count <= bound || self.fail(place, "maxLength", "\(count) characters are more than \(bound)")
        case .minLength(let bound):
            let count = string.unicodeScalars.count
            return count >= bound || self.fail(place, "minLength", "\(count) characters are fewer than \(bound)")
        case .pattern(let pattern, let source):
            return self.matches(pattern, string)
                || self.fail(
                    place,
                    "pattern",
                    "\(Self.shown(.string(string))) does not match \(Self.shown(.string(source)))"
                )
        case .format(let format):
            return Format.accepts(string, format) ?? true
                || self.fail(place, "format", "\(Self.shown(.string(string))) is no \(format)")
        default: return true
        }
    }

    private mutating func matches(_ pattern: Pattern, _ text: String) -> Bool {
        var left = max(0, self.steps)
        let before = left
        let result = pattern.matches(text, steps: &left)
        self.spend(before - left)
        return result
    }

    mutating func performArray(
        _ check: SchemaProgram.Check,
        _ place: Int,
        _ array: [JSONValue],
        _ collects: Bool,
        _ seen: inout Seen
    ) -> Bool {
        switch check {
        case .maxItems(let bound):
            return array.count <= bound || self.fail(place, "maxItems", "\(array.count) items are more than \(bound)")
        case .minItems(let bound):
            return array.count >= bound || self.fail(place, "minItems", "\(array.count) items are fewer than \(bound)")
        case .uniqueItems:
            self.spend(array.count)
            var found: Set<JSONValue> = []
            for (i, value) in array.enumerated() where !found.insert(value).inserted {
                return self.fail(place, "uniqueItems", "item \(i), \(Self.shown(value)), is there twice")
            }
            return true
        case .items(let prefix, let rest):
            var isValid = true
            for (i, value) in array.enumerated() {
                guard let node = i < prefix.count ? prefix[i] : rest else { break }
                if !self.child(.index(i), node, value) {
                    isValid = false
                    if self.quiet > 0 || self.isGivenUp { return false }
                }
            }
            if collects {
                seen.firstItems = max(seen.firstItems, min(prefix.count, array.count))
                if rest != nil { seen.allItems = true }
            }
            return isValid
        case .contains(let node, let minimum, let maximum, let isSeen):
            var count = 0
            self.quiet += 1
            for (i, value) in array.enumerated() where self.child(.index(i), node, value) {
                count += 1
                if collects, isSeen { seen.items.insert(i) }
            }
            self.quiet -= 1
            if count < minimum {
                return self.fail(
                    place,
                    minimum == 1 ? "contains" : "minContains",
                    "\(count) items fit, fewer than \(minimum)"
                )
            }
            if let maximum, count > maximum {
                return self.fail(place, "maxContains", "\(count) items fit, more than \(maximum)")
            }
            return true
        default: return true
        }
    }

    mutating func performObject(
        _ check: SchemaProgram.Check,
        _ place: Int,
        _ object: JSONObject,
        _ collects: Bool,
        _ seen: inout Seen
    ) -> Bool {
        switch check {
        case .maxProperties(let bound):
            return object.count <= bound
                || self.fail(place, "maxProperties", "\(object.count) properties are more than \(bound)")
        case .minProperties(let bound):
            return object.count >= bound
                || self.fail(place, "minProperties", "\(object.count) properties are fewer than \(bound)")
        case .required(let names):
            self.spend(names.count)
            var isValid = true
            for name in names where object[name] == nil {
                isValid = self.fail(place, "required", "property \"\(name)\" is missing")
            }
            return isValid
        case .dependentRequired(let dependencies):
            var isValid = true
            for (name, others) in dependencies where object[name] != nil {
                for other in others where object[other] == nil {
                    isValid = self.fail(
                        place,
                        "dependentRequired",
                        "with \"\(name)\", property \"\(other)\" is missing"
                    )
                }
            }
            return isValid
        case .propertyNames(let node):
            var isValid = true
            for (name, _) in object where !self.child(.name(name), node, .string(name)) { isValid = false }
            return isValid
        case .properties(let named, let patterns, let additional):
            return self.performProperties(object, place, named, patterns, additional, collects, &seen)
        default: return true
        }
    }

    private mutating func performProperties(
        _ object: JSONObject,
        _ place: Int,
        _ named: [WireString: Int],
        _ patterns: [(Pattern, Int)],
        _ additional: Int?,
        _ collects: Bool,
        _ seen: inout Seen
    ) -> Bool {
        var isValid = true
        for (name, value) in object {
            var isKnown = false
            if let node = named[WireString(name)] {
                isKnown = true
                if !self.child(.name(name), node, value) { isValid = false }
            }
            for (pattern, node) in patterns where self.matches(pattern, name) {
                isKnown = true
                if !self.child(.name(name), node, value) { isValid = false }
            }
            if !isKnown, let additional {
                isKnown = true
                if self.program.nodes[additional].verdict == false {
                    isValid = self.fail(place, "additionalProperties", "unexpected property \"\(name)\"")
                } else if !self.child(.name(name), additional, value) {
                    isValid = false
                }
            }
            if collects, isKnown { seen.properties.insert(WireString(name)) }
            if self.isGivenUp || (!isValid && self.quiet > 0) { return false }
        }
        return isValid
    }
}
