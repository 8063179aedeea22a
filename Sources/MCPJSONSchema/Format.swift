/// The formats of JSON Schema 2020-12 section 7.3 that can be decided from their grammar.
enum Format {
    /// Whether a text is what a format says.
    /// - Returns: nil for a format that is not known here; such a one is an annotation (`idn-hostname`, `iri`, ...).
    static func accepts(_ text: String, _ format: String) -> Bool? {
        switch format {
        case "date-time": self.isDateTime(text)
        case "date": self.isDate(text[...])
        case "time": self.isTime(text[...])
        case "duration": self.matches(text, self.duration)
        case "email": self.isEmail(text)
        case "hostname": self.isHostname(text[...])
        case "ipv4": self.isIPv4(text[...])
        case "ipv6": self.isIPv6(text[...])
        case "uri": URIReference(text).scheme != nil && self.isURIReference(text)
        case "uri-reference": self.isURIReference(text)
        case "uri-template": self.matches(text, self.uriTemplate)
        case "uuid": self.isUUID(text)
        case "json-pointer": self.isPointer(text[...])
        case "relative-json-pointer": self.isRelativePointer(text)
        case "regex": (try? Pattern(text)) != nil
        default: nil
        }
    }

    private static func number(_ text: some StringProtocol, digits: Int) -> Int? {
        guard text.utf8.count == digits, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text)
    }

    private static func isDate(_ text: Substring) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let year = self.number(parts[0], digits: 4),
            let month = self.number(parts[1], digits: 2),
            let day = self.number(parts[2], digits: 2), (1...12).contains(month), day >= 1
        else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return day <= days[month - 1]
    }

    /// RFC 3339 `full-time`; a leap second only where it can be, at 23:59:60 UTC.
    private static func isTime(_ text: Substring) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count >= 9, bytes[2] == 0x3A, bytes[5] == 0x3A,
            let hour = self.number(text.prefix(2), digits: 2), hour < 24,
            let minute = self.number(text.dropFirst(3).prefix(2), digits: 2), minute < 60,
            let second = self.number(text.dropFirst(6).prefix(2), digits: 2), second <= 60
        else { return false }
        var rest = text.dropFirst(8)
        if rest.hasPrefix(".") {
            let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty else { return false }
            rest = rest.dropFirst(1 + digits.count)
        }
        var offset = 0
        if rest != "Z", rest != "z" {
            let parts = rest.dropFirst().split(separator: ":", omittingEmptySubsequences: false)
            guard rest.hasPrefix("+") || rest.hasPrefix("-"), parts.count == 2,
                let hours = self.number(parts[0], digits: 2), hours < 24,
                let minutes = self.number(parts[1], digits: 2), minutes < 60
            else { return false }
            offset = (hours * 60 + minutes) * (rest.hasPrefix("-") ? -1 : 1)
        }
        return second < 60 || ((hour * 60 + minute - offset) % 1440 + 1440) % 1440 == 1439
    }

    private static func isDateTime(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count > 11, bytes.allSatisfy({ $0 < 0x80 }), bytes[10] | 0x20 == UInt8(ascii: "t") else {
            return false
        }
        return self.isDate(text.prefix(10)) && self.isTime(text.dropFirst(11))
    }

    /// RFC 3339 appendix A: units in order, at least one, weeks alone.
    private static let duration: Pattern? = {
        let time = "T(\\d+H(\\d+M(\\d+S)?)?|\\d+M(\\d+S)?|\\d+S)"
        return try? Pattern("^P(\\d+W|(\\d+Y(\\d+M(\\d+D)?)?|\\d+M(\\d+D)?|\\d+D)(\(time))?|\(time))$")
    }()

    /// RFC 5321 `Mailbox`, with dot-atoms and quoted strings.
    private static func isEmail(_ text: String) -> Bool {
        guard let at = text.lastIndex(of: "@") else { return false }
        let (local, domain) = (text[..<at], text[text.index(after: at)...])
        if domain.hasPrefix("["), domain.hasSuffix("]") {
            let address = domain.dropFirst().dropLast()
            guard address.hasPrefix("IPv6:") ? self.isIPv6(address.dropFirst(5)) : self.isIPv4(address) else {
                return false
            }
        } else if !self.isHostname(domain) {
            return false
        }
        if local.count >= 2, local.hasPrefix("\""), local.hasSuffix("\"") {
            return !local.dropFirst().dropLast().contains("\"")
        }
        let special = Set("!#$%&'*+-/=?^_`{|}~".utf8)
        return !local.isEmpty
            && local.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { atom in
                !atom.isEmpty && atom.utf8.allSatisfy { self.isAlphanumeric($0) || special.contains($0) }
            }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) && byte < 0x80
    }

    /// RFC 1123 section 2.1.
    private static func isHostname(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.utf8.first != 0x2D && label.utf8.last != 0x2D
                    && label.utf8.allSatisfy { self.isAlphanumeric($0) || $0 == 0x2D }
                    && !(label.utf8.dropFirst(2).starts(with: "--".utf8) && !label.lowercased().hasPrefix("xn--"))
            }
    }

    private static func isIPv4(_ text: Substring) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4
            && parts.allSatisfy { part in
                guard let value = self.number(part, digits: part.utf8.count), part.utf8.count <= 3 else { return false }
                return value <= 255 && (part.utf8.count == 1 || part.utf8.first != 0x30)
            }
    }

    private static func isIPv6(_ text: Substring) -> Bool {
        var groups = 0
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        guard halves.count <= 2 else { return false }
        for (i, half) in halves.enumerated() where !(half.isEmpty && halves.count == 2) {
            let parts = half.split(separator: ":", omittingEmptySubsequences: false)
            for (j, part) in parts.enumerated() {
                if i == halves.count - 1, j == parts.count - 1, part.contains(".") {
                    guard self.isIPv4(part) else { return false }
                    groups += 2
                } else {
                    guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ self.isHexadecimal($0) }) else {
                        return false
                    }
                    groups += 1
                }
            }
        }
        return halves.count == 2 ? groups <= 7 : groups == 8
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }

    /// The characters that RFC 3986 allows, and percent signs with two digits; brackets only around an address.
    private static func isURIReference(_ text: String) -> Bool {
        let parts = URIReference(text)
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case 0x25:
                guard rest.count >= 2, rest.prefix(2).allSatisfy({ self.isHexadecimal($0) }) else { return false }
            case 0...0x20, 0x7F...0xFF, UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"),
                UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
                return false
            default: break
            }
        }
        if parts.scheme == nil, parts.authority == nil, parts.path.prefix(while: { $0 != "/" }).contains(":") {
            return false
        }
        let outside = [parts.path, parts.query ?? "", parts.fragment ?? ""]
        if outside.contains(where: { $0.contains("[") || $0.contains("]") }) || parts.fragment?.contains("#") == true {
            return false
        }
        guard let authority = parts.authority else { return true }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        if let user = authority.lastIndex(of: "@"), authority[..<user].contains(where: { "[]@".contains($0) }) {
            return false
        }
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]"), self.isIPv6(host[..<end].dropFirst()) else { return false }
            return self.isPort(host[host.index(after: end)...])
        }
        guard let colon = host.firstIndex(of: ":") else { return true }
        return self.isPort(host[colon...])
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.isEmpty || text.hasPrefix(":") && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    /// RFC 6570 section 2.
    private static let uriTemplate: Pattern? = {
        let encoded = "%[0-9A-Fa-f]{2}"
        let name = "(\\w|\(encoded))(\\.?(\\w|\(encoded)))*(:[1-9]\\d{0,3}|\\*)?"
        let literal = "[^\\x00-\\x20\"%<>\\\\^`{|}\\x7F]"
        return try? Pattern("^(\(literal)|\(encoded)|\\{[+#./;?&=,!@|]?\(name)(,\(name))*\\})*$")
    }()

    private static func matches(_ text: String, _ pattern: Pattern?) -> Bool {
        var steps = 1_000_000
        return pattern?.matches(text, steps: &steps) ?? false
    }

    private static func isUUID(_ text: String) -> Bool {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        return groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.allSatisfy { $0.utf8.allSatisfy { self.isHexadecimal($0) } }
    }

    private static func isPointer(_ text: Substring) -> Bool {
        guard text.isEmpty || text.hasPrefix("/") else { return false }
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == 0x7E, rest.first != 0x30, rest.first != 0x31 { return false }
        }
        return true
    }

    private static func isRelativePointer(_ text: String) -> Bool {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits == "0" || !digits.hasPrefix("0") else { return false }
        let rest = text.dropFirst(digits.count)
        return rest == "#" || self.isPointer(rest)
    }
}
