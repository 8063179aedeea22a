/// A URI or a reference to one, taken apart and put together as RFC 3986 says.
struct URIReference {
    var scheme: Substring?
    var authority: Substring?
    var path: Substring
    var query: Substring?
    var fragment: Substring?

    init(_ text: String) {
        var rest = text[...]
        if let hash = rest.firstIndex(of: "#") {
            self.fragment = rest[rest.index(after: hash)...]
            rest = rest[..<hash]
        }
        if let mark = rest.firstIndex(of: "?") {
            self.query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        if let colon = rest.firstIndex(of: ":"), Self.isScheme(rest[..<colon]) {
            self.scheme = rest[..<colon]
            rest = rest[rest.index(after: colon)...]
        }
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            let end = rest.firstIndex(of: "/") ?? rest.endIndex
            self.authority = rest[..<end]
            rest = rest[end...]
        }
        self.path = rest
    }

    private static func isScheme(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, (first | 0x20) >= 0x61, (first | 0x20) <= 0x7A else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x2E: true
            default: false
            }
        }
    }

    /// Without its fragment.
    var resource: String {
        (self.scheme.map { "\($0):" } ?? "") + (self.authority.map { "//\($0)" } ?? "") + self.path
            + (self.query.map { "?\($0)" } ?? "")
    }

    /// What `reference` means where `base` is spoken (RFC 3986 section 5.2.2).
    /// - Returns: the resource and the fragment, still encoded.
    static func resolve(_ reference: String, against base: String) -> (resource: String, fragment: String) {
        var target = URIReference(reference)
        let fragment = target.fragment.map { String($0) } ?? ""
        if target.scheme == nil {
            let base = URIReference(base)
            target.scheme = base.scheme
            if target.authority == nil {
                target.authority = base.authority
                if target.path.isEmpty {
                    target.path = base.path
                    target.query = target.query ?? base.query
                } else if !target.path.hasPrefix("/") {
                    let folder =
                        base.path.lastIndex(of: "/").map { base.path[...$0] } ?? (base.authority == nil ? "" : "/")
                    target.path = Self.withoutDots(folder + target.path)
                } else {
                    target.path = Self.withoutDots(target.path)
                }
            }
        }
        return (target.resource, fragment)
    }

    private static func withoutDots(_ path: Substring) -> Substring {
        guard path.contains(".") else { return path }
        var result: [Substring] = []
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        for (i, segment) in segments.enumerated() {
            let isLast = i == segments.count - 1
            switch segment {
            case ".": if isLast { result.append("") }
            case "..":
                if result.count > 1 || result.first?.isEmpty == false { result.removeLast() }
                if isLast { result.append("") }
            default: result.append(segment)
            }
        }
        return result.joined(separator: "/")[...]
    }

    /// `%25` back to `%`; nil where the result is no text.
    static func decoded(_ text: String) -> String? {
        guard text.utf8.contains(0x25) else { return text }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == 0x25, let value = UInt8(Substring(rest.prefix(2)), radix: 16), rest.count >= 2 {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
