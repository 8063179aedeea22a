import MCPJSON
import MCPTransport

/// The arguments of one tool that its schema wants repeated outside the message, where a router can read them (`x-mcp-header`, `HDR-14`,
/// `HDR-15`).
struct MirroredParameters: Sendable {
    private struct Entry: Sendable {
        var path: [String]
        var name: String
    }

    private var entries: [Entry] = []

    /// Finds them in the tool's `inputSchema`. An annotation where there may be none is not one: on a value of another type, below
    /// anything but `properties` (`HDR-20`, `HDR-22`), under a name that is no token (`HDR-16` to `HDR-18`), or a second time under one
    /// (`HDR-19`).
    init(schema: JSONValue) {
        self.find(in: schema, [])
        // Nobody means as many headers as that.
        if self.entries.count > Self.limit { self.entries = [] }
        var seen: Set<String> = []
        self.entries.removeAll { !seen.insert($0.name.lowercased()).inserted }
    }

    private static let limit = 64

    private mutating func find(in schema: JSONValue, _ path: [String]) {
        for (name, property) in schema["properties"]?.object ?? JSONObject() {
            guard self.entries.count <= Self.limit else { return }
            let path = path + [name]
            if let header = property["x-mcp-header"]?.string, Self.isToken(header),
                ["string", "integer", "boolean"].contains(property["type"]?.string)
            {
                self.entries.append(Entry(path: path, name: header))
            }
            // A schema that nests deeper than any arguments would is not followed for ever.
            if path.count < 32 { self.find(in: property, path) }
        }
    }

    /// RFC 9110, section 5.6.2.
    private static func isToken(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    /// Their values in the arguments of one call; what is absent or null is left out.
    func values(in arguments: RawJSON?) -> [OutgoingMessage.MirroredParameter] {
        guard !self.entries.isEmpty, let all = try? arguments?.decode(JSONValue.self) else { return [] }
        return self.entries.compactMap { entry in
            var value: JSONValue? = all
            for name in entry.path { value = value?[name] }
            switch value {
            case .string?, .bool?: return value.map { .init(entry.name, $0) }
            case .number(let number)? where number.int64 != nil: return value.map { .init(entry.name, $0) }
            default: return nil
            }
        }
    }
}
