/// References within one document, as schemas have them.
extension JSONValue {
    /// What a schema of this document means: where it has a `$ref` into the document, what that names, with what stands beside the reference, which is
    /// nearer and counts more; along a chain of at most 16.
    /// - Returns: nil where a reference leads nowhere, out of the document, or in a circle.
    package func resolving(_ schema: JSONValue) -> JSONValue? {
        var schema = schema
        for _ in 0..<16 {
            guard let reference = schema["$ref"]?.string else { return schema }
            guard let found = self.value(at: reference) else { return nil }
            guard var joined = found.object else { return found }
            for (key, value) in schema.object ?? JSONObject() where key != "$ref" { joined[key] = value }
            schema = .object(joined)
        }
        return nil
    }

    /// The part that a JSON Pointer (RFC 6901) names, written as a fragment of a URI: `#/$defs/a~1b%20c`.
    package func value(at fragment: String) -> JSONValue? {
        guard fragment == "#" || fragment.hasPrefix("#/") else { return nil }
        var value = self
        for step in fragment.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let name = Self.unescaped(step)
            let element = value.array.flatMap { list in
                Int(name).flatMap { list.indices.contains($0) ? .some(list[$0]) : .none }
            }
            guard let next = value[name] ?? element else { return nil }
            value = next
        }
        return value
    }

    /// Percent-encoding belongs to the fragment, `~` to the pointer in it.
    private static func unescaped(_ step: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(step.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count > 1,
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                rest = rest.dropFirst(2)
                bytes.append(code)
            } else {
                bytes.append(byte)
            }
        }
        var name: [UInt8] = []
        var escaped = bytes[...]
        while let byte = escaped.popFirst() {
            switch (byte, escaped.first) {
            case (UInt8(ascii: "~"), UInt8(ascii: "1")?): name.append(UInt8(ascii: "/"))
            case (UInt8(ascii: "~"), UInt8(ascii: "0")?): name.append(UInt8(ascii: "~"))
            default:
                name.append(byte)
                continue
            }
            escaped.removeFirst()
        }
        return String(decoding: name, as: UTF8.self)
    }
}
