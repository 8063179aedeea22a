/// Something in a text of the other side that is not as it has to be, and what was made of it.
///
/// Servers are read leniently: one bad element does not cost a whole answer (U3). Whatever was passed over is told by one of these.
public struct JSONProblem: Sendable, Hashable, CustomStringConvertible {
    /// What was made of it; more may be added.
    public struct Remedy: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String { case absent, leftOut, empty, standard, unchecked, asWritten, first }
        private let kind: Kind
        /// The member counts as absent.
        public static var absent: Self { Self(kind: .absent) }
        /// The element is left out of its list.
        public static var leftOut: Self { Self(kind: .leftOut) }
        /// It counts as an empty list or object.
        public static var empty: Self { Self(kind: .empty) }
        /// The value counts that is right for most who leave it out.
        public static var standard: Self { Self(kind: .standard) }
        /// It is used, and nothing is checked against it.
        public static var unchecked: Self { Self(kind: .unchecked) }
        /// It is taken for what it obviously stands for.
        public static var asWritten: Self { Self(kind: .asWritten) }
        /// The first element of the list counts.
        public static var first: Self { Self(kind: .first) }

        /// The word for it in documents: `absent`, `leftOut`, `empty`, `standard`, `unchecked`, `asWritten`, `first`.
        public var name: String { self.kind.rawValue }
        /// For a person, to stand behind what is wrong.
        public var description: String {
            switch self.kind {
            case .absent: "taken as absent"
            case .leftOut: "left out"
            case .empty: "taken as empty"
            case .standard: "the usual is assumed"
            case .unchecked: "not used for checks"
            case .asWritten: "taken as it stands"
            case .first: "its first element counts"
            }
        }
    }

    /// Where it is, from the outside in; an element of a list with what it is called: `tools[49] "bad"`. Empty for the whole text.
    public var path: String
    /// What is wrong there, for a person: `inputSchema is missing`. It may quote the other side, so it is as little trusted as that.
    public var message: String
    /// What was made of it.
    public var remedy: Remedy

    /// Makes one.
    public init(path: String, message: String, remedy: Remedy) {
        (self.path, self.message, self.remedy) = (path, message, remedy)
    }

    /// `path: message (remedy)`.
    public var description: String { "\(self.path.isEmpty ? "" : self.path + ": ")\(self.message) (\(self.remedy))" }
}

extension RawJSON {
    /// Reads the text leniently as a value of `type`: an optional member of another type counts as absent, `null` for a list is an empty one,
    /// `[]` for an object is `{}` as PHP means it, and an element that cannot be understood is left out.
    /// - Parameters:
    ///   - type: what to read.
    ///   - limits: as for a strict reading.
    ///   - problems: what was passed over is put at its end, at most a hundred of them.
    /// - Throws: ``JSONError`` where that is not enough: the text is not JSON, exceeds a limit, or is nothing of the kind.
    public func decode<T: JSONDecodable>(
        _ type: T.Type = T.self,
        limits: JSONLimits = .default,
        problems: inout [JSONProblem]
    ) throws(JSONError) -> T {
        var reader = try JSONReader(self, limits: limits, isLenient: true)
        let value = try T(from: &reader)
        try reader.expectEnd()
        if !reader.findings.isEmpty { problems += self.located(reader.findings, further: reader.furtherFindings) }
        return value
    }

    /// Where an error is: `serverInfo.name`. Empty for the text itself.
    public func path(of error: JSONError) -> String { JSONPlaces(self, [.init(error)]).paths[0] ?? "" }

    /// An error with its place as a person names it: `serverInfo.name: expected a string, found a number`.
    public func explanation(of error: JSONError) -> String {
        let path = self.path(of: error)
        if error.code == .syntax || error.code == .tooDeep || error.code == .tooLarge { return "\(error)" }
        if error.code == .missingMember { return path.isEmpty ? error.message : "\(path).\(error.message)" }
        return path.isEmpty ? error.message : "\(path): \(error.message)"
    }

    private func located(_ findings: [JSONReader.Finding], further: Int) -> [JSONProblem] {
        let places = findings.flatMap { [JSONPlaces.Place(start: $0.offset), JSONPlaces.Place($0.error)] }
        let paths = JSONPlaces(self, places).paths
        var problems = findings.enumerated().map { index, finding in
            let path = paths[2 * index] ?? paths[2 * index + 1] ?? ""
            // The cause may lie deeper than what is passed over for it.
            var inner = (paths[2 * index + 1] ?? path).dropFirst(path.count)
            if inner.first == "." { inner = inner.dropFirst() }
            let message =
                finding.error.code == .missingMember
                ? (inner.isEmpty ? "" : inner + ".") + finding.error.message
                : (inner.isEmpty ? "" : inner + ": ") + finding.error.message
            return JSONProblem(path: path, message: message, remedy: finding.remedy)
        }
        if further > 0 {
            problems.append(JSONProblem(path: "", message: "\(further) more of the kind", remedy: .leftOut))
        }
        return problems
    }
}

/// Finds what stands at certain bytes of a text, by walking through it once more. Only what goes wrong pays for that.
private struct JSONPlaces {
    /// What is looked for.
    struct Place {
        /// A value that begins there,
        var start: Int?
        /// or an object that ends there: which lacks something is known only at its end.
        var end: Int?

        init(start: Int) { self.start = start }
        init(_ error: JSONError) {
            if error.code == .missingMember { self.end = error.offset } else { self.start = error.offset }
        }

        var offset: Int { self.start ?? self.end ?? 0 }

        func isWithin(_ range: Range<Int>) -> Bool {
            self.start.map { range.contains($0) } ?? self.end.map { $0 > range.lowerBound && $0 <= range.upperBound }
                ?? false
        }
        func isAt(_ range: Range<Int>) -> Bool { self.start == range.lowerBound || self.end == range.upperBound }
    }

    private let text: RawJSON
    private let places: [Place]
    /// One for each place; nil where nothing was found.
    private(set) var paths: [String?]

    init(_ text: RawJSON, _ places: [Place]) {
        self.text = text
        self.places = places
        self.paths = Array(repeating: nil, count: places.count)
        self.visit(text, "", Array(places.indices), depth: 0)
    }

    private mutating func visit(_ value: RawJSON, _ path: String, _ wanted: [Int], depth: Int) {
        let range = self.range(of: value)
        for index in wanted where self.places[index].isAt(range) {
            self.paths[index] = path.utf8.count > 500 ? path.prefix(400) + "…" : path
        }
        guard depth < JSONLimits.default.depth, var reader = try? JSONReader(value) else { return }
        switch try? reader.peekKind() {
        case .object:
            try? reader.beginObject()
            while let key = try? reader.nextKey(), let member = try? reader.readRaw() {
                guard let inside = self.inside(member, wanted) else { break }
                if inside.isEmpty { continue }
                let name = key.string.cut(to: 80)
                self.visit(member, path.isEmpty ? name : "\(path).\(name)", inside, depth: depth + 1)
            }
        case .array:
            try? reader.beginArray()
            var index = -1
            while (try? reader.nextElement()) == true, let element = try? reader.readRaw() {
                index += 1
                guard let inside = self.inside(element, wanted) else { break }
                if inside.isEmpty { continue }
                self.visit(element, "\(path)[\(index)]\(Self.name(of: element))", inside, depth: depth + 1)
            }
        default: break
        }
    }

    private func range(of value: RawJSON) -> Range<Int> {
        let offset = value.lowerBound - self.text.lowerBound
        return offset..<offset + value.count
    }

    /// Which of some places are in a value; nil where all of them are before it.
    private func inside(_ value: RawJSON, _ wanted: [Int]) -> [Int]? {
        let range = self.range(of: value)
        let inside = wanted.filter { self.places[$0].isWithin(range) }
        return inside.isEmpty && wanted.allSatisfy({ self.places[$0].offset < range.lowerBound }) ? nil : inside
    }

    /// What an element is called, to stand behind its number; empty where it has no name.
    private static func name(of element: RawJSON) -> String {
        guard var reader = try? JSONReader(element), (try? reader.beginObject()) != nil else { return "" }
        while let key = try? reader.nextKey() {
            if "name" ~= key || "uri" ~= key || "uriTemplate" ~= key, let name = try? reader.readString() {
                return " \"\(name.cut(to: 80))\""
            }
            guard (try? reader.skipValue()) != nil else { break }
        }
        return ""
    }
}

extension String {
    /// Its beginning, for an error. Where something is missing that is marked, so that a mask knows what may be left of a secret.
    /// - Parameter count: letters.
    package func cut(to count: Int) -> String {
        let start = self.prefix(count)
        return start.endIndex == self.endIndex ? self : start + "…"
    }
}
