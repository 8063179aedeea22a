/// Reads the syntax of ECMA-262 section 22.2.1 with its `u` flag, and a little more: a needless backslash before punctuation is
/// forgiven, because many servers write one.
struct PatternParser {
    private let scalars: [Unicode.Scalar]
    private var place = 0
    private var depth = 0

    private static let maximumDepth = 100

    init(_ text: String) { self.scalars = Array(text.unicodeScalars) }

    mutating func parse() throws(Pattern.Malformed) -> PatternTree {
        let tree = try self.alternatives()
        if self.place < self.scalars.count { throw self.problem("unexpected \")\"") }
        return tree
    }

    private func problem(_ message: String) -> Pattern.Malformed {
        Pattern.Malformed(message: "\(message) at character \(self.place)")
    }

    private var peek: Unicode.Scalar? { self.place < self.scalars.count ? self.scalars[self.place] : nil }

    private mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard self.scalars[self.place...].starts(with: wanted) else { return false }
        self.place += wanted.count
        return true
    }

    private mutating func next() -> Unicode.Scalar? {
        guard let scalar = self.peek else { return nil }
        self.place += 1
        return scalar
    }

    private mutating func alternatives() throws(Pattern.Malformed) -> PatternTree {
        self.depth += 1
        defer { self.depth -= 1 }
        guard self.depth <= Self.maximumDepth else {
            throw self.problem("groups nest deeper than \(Self.maximumDepth)")
        }
        var alternatives: [PatternTree] = []
        repeat {
            var parts: [PatternTree] = []
            while let scalar = self.peek, scalar != "|", scalar != ")" { parts.append(try self.term(scalar)) }
            alternatives.append(parts.count == 1 ? parts[0] : .sequence(parts))
        } while self.take("|")
        return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
    }

    private mutating func term(_ scalar: Unicode.Scalar) throws(Pattern.Malformed) -> PatternTree {
        self.place += 1
        switch scalar {
        case "^": return .start
        case "$": return .end
        case "(": return try self.quantified(self.group())
        case "[": return try self.quantified(.set(self.characterClass()))
        case ".": return try self.quantified(.set(.notLineEnd))
        case "\\":
            if self.take("b") { return .wordBoundary(isNegated: false) }
            if self.take("B") { return .wordBoundary(isNegated: true) }
            return try self.quantified(.set(self.escape(inClass: false)))
        case "*", "+", "?": throw self.problem("nothing to repeat")
        default: return try self.quantified(.set(Self.only(scalar)))
        }
    }

    private static func only(_ scalar: Unicode.Scalar) -> CharacterSet {
        CharacterSet(ranges: [scalar.value...scalar.value])
    }

    private mutating func group() throws(Pattern.Malformed) -> PatternTree {
        var look: (isAhead: Bool, isNegated: Bool)?
        if self.take("?:") {
        } else if self.take("?=") {
            look = (true, false)
        } else if self.take("?!") {
            look = (true, true)
        } else if self.take("?<=") {
            look = (false, false)
        } else if self.take("?<!") {
            look = (false, true)
        } else if self.take("?<") || self.take("?P<") {
            while let scalar = self.next(), scalar != ">" {}
        } else if self.peek == "?" {
            throw self.problem("unknown kind of group")
        }
        let tree = try self.alternatives()
        guard self.take(")") else { throw self.problem("a group is not closed") }
        if let look { return .look(tree, isAhead: look.isAhead, isNegated: look.isNegated) }
        return tree
    }

    private mutating func quantified(_ tree: PatternTree) throws(Pattern.Malformed) -> PatternTree {
        var range: (Int, Int?)?
        switch self.peek {
        case "*"?: (range, self.place) = ((0, nil), self.place + 1)
        case "+"?: (range, self.place) = ((1, nil), self.place + 1)
        case "?"?: (range, self.place) = ((0, 1), self.place + 1)
        case "{"?: range = try self.counts()
        default: break
        }
        guard let range else { return tree }
        // A lazy one matches the same texts.
        _ = self.take("?")
        if let next = self.peek, next == "*" || next == "+" || next == "?" { throw self.problem("nothing to repeat") }
        return .repetition(tree, minimum: range.0, maximum: range.1)
    }

    /// `{2}`, `{2,}`, `{2,5}`; other braces are characters.
    private mutating func counts() throws(Pattern.Malformed) -> (Int, Int?)? {
        let start = self.place
        self.place += 1
        guard let minimum = self.number() else {
            self.place = start
            return nil
        }
        var maximum: Int? = minimum
        if self.take(",") { maximum = self.number() }
        guard self.take("}") else {
            self.place = start
            return nil
        }
        if let maximum, maximum < minimum { throw self.problem("a repetition ends before it begins") }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        var value: Int?
        while let scalar = self.peek, let digit = scalar.digit(radix: 10) {
            value = min((value ?? 0) * 10 + digit, 1_000_000)
            self.place += 1
        }
        return value
    }

    private mutating func characterClass() throws(Pattern.Malformed) -> CharacterSet {
        var set = CharacterSet(isNegated: self.take("^"))
        while let scalar = self.next() {
            if scalar == "]" { return set }
            let first = scalar == "\\" ? try self.escape(inClass: true) : Self.only(scalar)
            guard let low = first.single, self.peek == "-", self.place + 1 < self.scalars.count,
                self.scalars[self.place + 1] != "]"
            else {
                set.formUnion(first)
                continue
            }
            self.place += 1
            let end = self.next()
            let last = end == "\\" ? try self.escape(inClass: true) : Self.only(end ?? "-")
            guard let high = last.single else {
                // `[a-\d]`: the hyphen is one.
                set.formUnion(first)
                set.formUnion(Self.only("-"))
                set.formUnion(last)
                continue
            }
            guard low <= high else { throw self.problem("a range ends before it begins") }
            set.ranges.append(low...high)
        }
        throw self.problem("a character class is not closed")
    }

    private mutating func escape(inClass: Bool) throws(Pattern.Malformed) -> CharacterSet {
        guard let scalar = self.next() else { throw self.problem("a backslash at the end") }
        switch scalar {
        case "d": return .digit
        case "D": return .all(but: .digit)
        case "w": return .word
        case "W": return .all(but: .word)
        case "s": return .space
        case "S": return .all(but: .space)
        case "t": return Self.only("\t")
        case "n": return Self.only("\n")
        case "v": return Self.only("\u{0B}")
        case "f": return Self.only("\u{0C}")
        case "r": return Self.only("\r")
        case "b" where inClass: return Self.only("\u{08}")
        case "0" where self.peek?.digit(radix: 10) == nil: return Self.only("\0")
        case "c":
            guard let letter = self.next(), letter.isASCII, letter.properties.isAlphabetic else {
                throw self.problem("\\c needs a letter")
            }
            return CharacterSet(ranges: [letter.value % 32...letter.value % 32])
        case "x": return Self.only(try self.scalar(try self.hexadecimal(digits: 2)))
        case "u": return Self.only(try self.unicodeEscape())
        case "p", "P": return try self.property(isNegated: scalar == "P")
        case "k": throw self.problem("back references are not supported")
        default:
            if scalar.digit(radix: 10) != nil { throw self.problem("back references are not supported") }
            if scalar.isASCII, scalar.properties.isAlphabetic { throw self.problem("unknown escape \\\(scalar)") }
            return Self.only(scalar)
        }
    }

    private mutating func unicodeEscape() throws(Pattern.Malformed) -> Unicode.Scalar {
        if self.take("{") {
            var value: UInt32 = 0
            while let scalar = self.peek, let digit = scalar.digit(radix: 16) {
                value = min(value * 16 + UInt32(digit), 0x11_0000)
                self.place += 1
            }
            guard self.take("}") else { throw self.problem("\\u{ is not closed") }
            return try self.scalar(value)
        }
        let first = try self.hexadecimal(digits: 4)
        if (0xD800..<0xDC00).contains(first), self.take("\\u") {
            let second = try self.hexadecimal(digits: 4)
            guard (0xDC00..<0xE000).contains(second) else { throw self.problem("half a surrogate pair") }
            return try self.scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        }
        return try self.scalar(first)
    }

    private mutating func hexadecimal(digits: Int) throws(Pattern.Malformed) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit = self.next()?.digit(radix: 16) else { throw self.problem("not a hexadecimal digit") }
            value = value * 16 + UInt32(digit)
        }
        return value
    }

    private func scalar(_ value: UInt32) throws(Pattern.Malformed) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(value) else { throw self.problem("not a character") }
        return scalar
    }

    private mutating func property(isNegated: Bool) throws(Pattern.Malformed) -> CharacterSet {
        guard self.take("{") else { throw self.problem("\\p needs {name}") }
        var name = ""
        while let scalar = self.next(), scalar != "}" { name.unicodeScalars.append(scalar) }
        guard UnicodeProperty.matches(name, "a") != nil else {
            throw self.problem("unknown Unicode property \"\(name)\"")
        }
        return isNegated ? CharacterSet(notNamed: [.property(name)]) : CharacterSet(named: [.property(name)])
    }
}

extension CharacterSet {
    /// The one character that it has.
    fileprivate var single: UInt32? {
        guard !self.isNegated, self.named.isEmpty, self.notNamed.isEmpty, self.ranges.count == 1,
            self.ranges[0].count == 1
        else { return nil }
        return self.ranges[0].lowerBound
    }

    fileprivate static func all(but set: CharacterSet) -> CharacterSet {
        CharacterSet(named: [.inverted(set.ranges)])
    }

    fileprivate mutating func formUnion(_ other: CharacterSet) {
        self.ranges += other.ranges
        self.named += other.named
        self.notNamed += other.notNamed
    }
}

extension Unicode.Scalar {
    fileprivate func digit(radix: Int) -> Int? {
        let value: Int
        switch self {
        case "0"..."9": value = Int(self.value) - 0x30
        case "a"..."f": value = Int(self.value) - 0x61 + 10
        case "A"..."F": value = Int(self.value) - 0x41 + 10
        default: return nil
        }
        return value < radix ? value : nil
    }
}
