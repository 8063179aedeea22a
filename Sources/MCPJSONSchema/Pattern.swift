/// A regular expression of ECMA-262, in Unicode mode, that answers in time proportional to the text: it follows all possibilities at
/// once and never goes back, so no pattern and no text can stall the host (S30). Back references, which cannot be decided so, are
/// refused.
struct Pattern: Sendable {
    enum Instruction: Sendable {
        case character(Int)
        case split(Int, Int)
        case jump(Int)
        case start
        case end
        case wordBoundary(isNegated: Bool)
        case look(Int, isAhead: Bool, isNegated: Bool)
        case match
    }

    /// What a pattern cannot be, and where.
    struct Malformed: Error { var message: String }

    var instructions: [Instruction] = []
    var sets: [CharacterSet] = []
    /// What is looked for ahead or behind.
    var inner: [Pattern] = []

    /// - Parameter text: the expression, without slashes.
    init(_ text: String) throws(Malformed) {
        var parser = PatternParser(text)
        let tree = try parser.parse()
        try self.init(tree, isBackward: false)
    }

    /// Instructions of a pattern, the copies that `{1000}` makes included.
    private static let maximumSize = 20_000

    private init(_ tree: PatternTree, isBackward: Bool) throws(Malformed) {
        try self.emit(tree, isBackward)
        self.instructions.append(.match)
    }

    private mutating func append(_ instruction: Instruction) throws(Malformed) {
        guard self.instructions.count < Self.maximumSize else {
            throw Malformed(message: "the pattern needs more than \(Self.maximumSize) steps")
        }
        self.instructions.append(instruction)
    }

    private mutating func emit(_ tree: PatternTree, _ isBackward: Bool) throws(Malformed) {
        switch tree {
        case .empty: break
        case .set(let set):
            let place = self.sets.firstIndex(of: set) ?? self.sets.count
            if place == self.sets.count { self.sets.append(set) }
            try self.append(.character(place))
        case .sequence(let parts):
            for part in isBackward ? parts.reversed() : parts { try self.emit(part, isBackward) }
        case .alternatives(let parts):
            var ends: [Int] = []
            for (i, part) in parts.enumerated() {
                let split = self.instructions.count
                let isLast = i == parts.count - 1
                if !isLast { try self.append(.split(split + 1, 0)) }
                try self.emit(part, isBackward)
                if isLast { break }
                ends.append(self.instructions.count)
                try self.append(.jump(0))
                self.instructions[split] = .split(split + 1, self.instructions.count)
            }
            for end in ends { self.instructions[end] = .jump(self.instructions.count) }
        case .repetition(let part, let minimum, let maximum):
            for _ in 0..<minimum {
                try self.emit(part, isBackward)
                // What emits nothing may be asked for a million times.
                if self.instructions.isEmpty { break }
            }
            if let maximum {
                var splits: [Int] = []
                for _ in minimum..<max(minimum, maximum) {
                    splits.append(self.instructions.count)
                    try self.append(.split(self.instructions.count + 1, 0))
                    try self.emit(part, isBackward)
                }
                for split in splits { self.instructions[split] = .split(split + 1, self.instructions.count) }
            } else {
                let split = self.instructions.count
                try self.append(.split(split + 1, 0))
                try self.emit(part, isBackward)
                try self.append(.jump(split))
                self.instructions[split] = .split(split + 1, self.instructions.count)
            }
        case .start: try self.append(.start)
        case .end: try self.append(.end)
        case .wordBoundary(let isNegated): try self.append(.wordBoundary(isNegated: isNegated))
        case .look(let part, let isAhead, let isNegated):
            self.inner.append(try Pattern(part, isBackward: !isAhead))
            try self.append(.look(self.inner.count - 1, isAhead: isAhead, isNegated: isNegated))
        }
    }

    // MARK: Matching

    /// Whether it matches anywhere in a text.
    /// - Parameter steps: lowered by what the search takes; at 0 it gives up and says no.
    func matches(_ text: String, steps: inout Int) -> Bool {
        let scalars = Array(text.unicodeScalars)
        return self.run(scalars, from: 0, isBackward: false, isAnchored: false, &steps)
    }

    private struct Threads {
        var order: [Int] = []
        var isIn: [Bool]

        init(_ count: Int) { self.isIn = [Bool](repeating: false, count: count) }

        mutating func clear() {
            for thread in self.order { self.isIn[thread] = false }
            self.order.removeAll(keepingCapacity: true)
        }
    }

    private func run(
        _ text: [Unicode.Scalar],
        from start: Int,
        isBackward: Bool,
        isAnchored: Bool,
        _ steps: inout Int
    ) -> Bool {
        var now = Threads(self.instructions.count)
        var next = Threads(self.instructions.count)
        var position = start
        if self.add(0, &now, text, position, &steps) { return true }
        while steps > 0 {
            let isAtEnd = isBackward ? position == 0 : position == text.count
            if isAtEnd || (isAnchored && now.order.isEmpty) { return false }
            let scalar = text[isBackward ? position - 1 : position]
            position += isBackward ? -1 : 1
            for thread in now.order {
                guard case .character(let set) = self.instructions[thread] else { continue }
                steps -= 1
                if self.sets[set].contains(scalar), self.add(thread + 1, &next, text, position, &steps) { return true }
            }
            if !isAnchored, self.add(0, &next, text, position, &steps) { return true }
            now.clear()
            swap(&now, &next)
        }
        return false
    }

    /// Follows everything that reads no character.
    /// - Returns: whether the end of the pattern was reached.
    private func add(
        _ first: Int,
        _ threads: inout Threads,
        _ text: [Unicode.Scalar],
        _ position: Int,
        _ steps: inout Int
    ) -> Bool {
        var stack = [first]
        while let thread = stack.popLast(), steps > 0 {
            if threads.isIn[thread] { continue }
            threads.isIn[thread] = true
            threads.order.append(thread)
            steps -= 1
            switch self.instructions[thread] {
            case .match: return true
            case .character: break
            case .jump(let target): stack.append(target)
            case .split(let a, let b): stack += [b, a]
            case .start: if position == 0 { stack.append(thread + 1) }
            case .end: if position == text.count { stack.append(thread + 1) }
            case .wordBoundary(let isNegated):
                let before = position > 0 && CharacterSet.word.contains(text[position - 1])
                let after = position < text.count && CharacterSet.word.contains(text[position])
                if (before != after) != isNegated { stack.append(thread + 1) }
            case .look(let place, let isAhead, let isNegated):
                let found = self.inner[place]
                    .run(text, from: position, isBackward: !isAhead, isAnchored: true, &steps)
                if found != isNegated { stack.append(thread + 1) }
            }
        }
        return false
    }
}

/// A pattern as it is read.
indirect enum PatternTree {
    case empty
    case set(CharacterSet)
    case sequence([PatternTree])
    case alternatives([PatternTree])
    case repetition(PatternTree, minimum: Int, maximum: Int?)
    case start
    case end
    case wordBoundary(isNegated: Bool)
    case look(PatternTree, isAhead: Bool, isNegated: Bool)
}

/// Some characters.
struct CharacterSet: Sendable, Hashable {
    /// A named set.
    enum Named: Sendable, Hashable {
        case property(String)
        case inverted([ClosedRange<UInt32>])
    }

    var ranges: [ClosedRange<UInt32>] = []
    var named: [Named] = []
    /// Properties that characters must not have.
    var notNamed: [Named] = []
    var isNegated = false

    static let digit = CharacterSet(ranges: [0x30...0x39])
    static let word = CharacterSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    /// ECMA-262: WhiteSpace and LineTerminator.
    static let space = CharacterSet(ranges: [
        0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
        0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
    ])
    /// What `.` stands for.
    static let notLineEnd = CharacterSet(ranges: [0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029], isNegated: true)

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        let value = scalar.value
        let isIn =
            self.ranges.contains { $0.contains(value) } || self.named.contains { Self.matches($0, scalar) }
            || self.notNamed.contains { !Self.matches($0, scalar) }
        return isIn != self.isNegated
    }

    private static func matches(_ named: Named, _ scalar: Unicode.Scalar) -> Bool {
        switch named {
        case .property(let name): UnicodeProperty.matches(name, scalar) ?? false
        case .inverted(let ranges): !ranges.contains { $0.contains(scalar.value) }
        }
    }
}

/// Names in `\p{...}`.
enum UnicodeProperty {
    /// - Returns: nil for a name that is not known.
    static func matches(_ name: String, _ scalar: Unicode.Scalar) -> Bool? {
        let properties = scalar.properties
        switch name {
        case "Any": return true
        case "ASCII": return scalar.isASCII
        case "Alphabetic", "Alpha": return properties.isAlphabetic
        case "Uppercase", "Upper": return properties.isUppercase
        case "Lowercase", "Lower": return properties.isLowercase
        case "White_Space", "space": return properties.isWhitespace
        case "Emoji": return properties.isEmoji
        case "ID_Start", "IDS": return properties.isIDStart
        case "ID_Continue", "IDC": return properties.isIDContinue
        default:
            let value = name.split(separator: "=", maxSplits: 1)
            if value.count == 2, value[0] != "General_Category", value[0] != "gc" { return nil }
            guard let wanted = self.categories[String(value.last ?? "")] else { return nil }
            return wanted.contains(properties.generalCategory)
        }
    }

    private static let categories: [String: Set<Unicode.GeneralCategory>] = {
        let groups: [(String, String, [(String, String, Unicode.GeneralCategory)])] = [
            (
                "L", "Letter",
                [
                    ("Lu", "Uppercase_Letter", .uppercaseLetter), ("Ll", "Lowercase_Letter", .lowercaseLetter),
                    ("Lt", "Titlecase_Letter", .titlecaseLetter), ("Lm", "Modifier_Letter", .modifierLetter),
                    ("Lo", "Other_Letter", .otherLetter),
                ]
            ),
            (
                "M", "Mark",
                [
                    ("Mn", "Nonspacing_Mark", .nonspacingMark), ("Mc", "Spacing_Mark", .spacingMark),
                    ("Me", "Enclosing_Mark", .enclosingMark),
                ]
            ),
            (
                "N", "Number",
                [
                    ("Nd", "Decimal_Number", .decimalNumber), ("Nl", "Letter_Number", .letterNumber),
                    ("No", "Other_Number", .otherNumber),
                ]
            ),
            (
                "P", "Punctuation",
                [
                    ("Pc", "Connector_Punctuation", .connectorPunctuation),
                    ("Pd", "Dash_Punctuation", .dashPunctuation), ("Ps", "Open_Punctuation", .openPunctuation),
                    ("Pe", "Close_Punctuation", .closePunctuation),
                    ("Pi", "Initial_Punctuation", .initialPunctuation),
                    ("Pf", "Final_Punctuation", .finalPunctuation), ("Po", "Other_Punctuation", .otherPunctuation),
                ]
            ),
            (
                "S", "Symbol",
                [
                    ("Sm", "Math_Symbol", .mathSymbol), ("Sc", "Currency_Symbol", .currencySymbol),
                    ("Sk", "Modifier_Symbol", .modifierSymbol), ("So", "Other_Symbol", .otherSymbol),
                ]
            ),
            (
                "Z", "Separator",
                [
                    ("Zs", "Space_Separator", .spaceSeparator), ("Zl", "Line_Separator", .lineSeparator),
                    ("Zp", "Paragraph_Separator", .paragraphSeparator),
                ]
            ),
            (
                "C", "Other",
                [
                    ("Cc", "Control", .control), ("Cf", "Format", .format), ("Cs", "Surrogate", .surrogate),
                    ("Co", "Private_Use", .privateUse), ("Cn", "Unassigned", .unassigned),
                ]
            ),
        ]
        var result: [String: Set<Unicode.GeneralCategory>] = [:]
        for (short, long, members) in groups {
            result[short] = Set(members.map(\.2))
            result[long] = result[short]
            for (short, long, category) in members {
                result[short] = [category]
                result[long] = [category]
            }
        }
        result["digit"] = [.decimalNumber]
        result["punct"] = result["P"]
        return result
    }()
}
