import MCPJSON

/// Says of a text that it fits, without making a tree of it, where the schema is as those of most tools are: an object whose members have a
/// type each, and nothing is said of what is in them.
///
/// What it does not say yes to has to be checked properly. It never says yes to what the schema, or JSON, does not allow.
struct PlainObjectCheck: Sendable {
    private struct Kinds: OptionSet {
        let rawValue: UInt8
        static let string = Self(rawValue: 1)
        static let number = Self(rawValue: 2)
        static let integer = Self(rawValue: 4)
        static let bool = Self(rawValue: 8)
        static let null = Self(rawValue: 16)
        /// Of containers something is said only by a proper check.
        static let scalars: Self = [.string, .number, .integer, .bool, .null]

        init(rawValue: UInt8) { self.rawValue = rawValue }

        /// - Returns: nil for a type that there is not.
        init?(_ name: String) {
            switch name {
            case "string": self = .string
            case "number": self = [.number, .integer]
            case "integer": self = .integer
            case "boolean": self = .bool
            case "null": self = .null
            case "array", "object": self = []
            default: return nil
            }
        }
    }

    private struct Member: Sendable {
        var name: [UInt8]
        var kinds: Kinds
    }

    private static let annotations: Set<String> = ["title", "description", "default", "examples", "$comment"]
    private static let keywords = Self.annotations.union([
        "$schema", "type", "properties", "required", "additionalProperties",
    ])

    private let members: [Member]
    /// Places of members that have to be there.
    private let required: UInt64
    private let allowsOthers: Bool

    /// - Returns: nil where the schema says more than this can check.
    init?(_ schema: JSONValue) {
        guard let object = schema.object, object["type"]?.string == "object",
            object.keys.allSatisfy(Self.keywords.contains)
        else { return nil }
        switch object["additionalProperties"] {
        case nil, .bool(true)?: self.allowsOthers = true
        case .bool(false)?: self.allowsOthers = false
        default: return nil
        }
        var members: [Member] = []
        for (name, schema) in object["properties"]?.object ?? JSONObject() {
            guard let kinds = Self.kinds(schema), Self.isPlain(name) else { return nil }
            members.append(Member(name: Array(name.utf8), kinds: kinds))
        }
        guard members.count <= 64 else { return nil }
        var required: UInt64 = 0
        for name in object["required"]?.array ?? [] {
            guard let place = members.firstIndex(where: { $0.name.elementsEqual((name.string ?? "").utf8) }) else {
                return nil
            }
            required |= 1 << UInt64(place)
        }
        (self.members, self.required) = (members, required)
    }

    private static func kinds(_ schema: JSONValue) -> Kinds? {
        if schema == .bool(true) { return .scalars }
        guard let object = schema.object,
            object.keys.allSatisfy({ $0 == "type" || self.annotations.contains($0) })
        else { return nil }
        switch object["type"] {
        case nil: return .scalars
        case .string(let name)?: return Kinds(name)
        case .array(let names)?:
            var kinds: Kinds = []
            for name in names {
                guard let kind = name.string.flatMap({ Kinds($0) }) else { return nil }
                kinds.formUnion(kind)
            }
            return kinds
        default: return nil
        }
    }

    /// Written in one way only, near enough: then names are compared as they stand in the text.
    private static func isPlain(_ name: String) -> Bool {
        name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }

    /// Whether a text certainly fits.
    func accepts(_ text: RawJSON) -> Bool {
        do throws(JSONError) {
            var reader = try JSONReader(text)
            guard try reader.peekKind() == .object else { return false }
            try reader.beginObject()
            var seen: UInt64 = 0
            while let key = try reader.nextKey() {
                // It may be written in another way, and mean a member all the same.
                guard !key.isEscaped else { return false }
                if let place = self.members.firstIndex(where: { key.isWritten(as: $0.name) }) {
                    guard try Self.reads(&reader, self.members[place].kinds) else { return false }
                    seen |= 1 << UInt64(place)
                } else {
                    guard self.allowsOthers, try Self.reads(&reader, .scalars) else { return false }
                }
            }
            try reader.expectEnd()
            return seen & self.required == self.required
        } catch {
            return false
        }
    }

    /// Reads a scalar value.
    /// - Returns: false if it is none of these kinds, or that is not certain.
    private static func reads(_ reader: inout JSONReader, _ kinds: Kinds) throws(JSONError) -> Bool {
        switch try reader.peekKind() {
        case .string: return kinds.contains(.string) ? try reader.skipPlainString() : false
        case .number:
            let number = try reader.readNumber()
            return kinds.contains(.number) || kinds.contains(.integer) && number.int64 != nil
        case .bool:
            _ = try reader.readBool()
            return kinds.contains(.bool)
        case .null:
            try reader.readNull()
            return kinds.contains(.null)
        case .array, .object: return false
        }
    }
}
