/// What a lenient reader passes over, see ``RawJSON/decode(_:limits:problems:)``.
extension JSONReader {
    /// Something that was passed over.
    struct Finding {
        /// Where the value begins that was passed over, or that should be there, in bytes from the start of the text.
        var offset: Int
        /// What is wrong with it.
        var error: JSONError
        var remedy: JSONProblem.Remedy
    }

    /// So many are told; the rest is counted.
    private static let findingsLimit = 100
    /// Of so many more a text is nothing that could be understood.
    private static let furtherLimit = 2000

    /// Reads the next element of a list; nil for one that cannot be understood, where this reader is lenient.
    mutating func readElement<T: JSONDecodable>(_ type: T.Type = T.self) throws(JSONError) -> T? {
        try self.read(T.self, otherwise: .leftOut)
    }

    /// Reads a value of `type`; nil for another one, which is passed over, where this reader is lenient.
    package mutating func read<T: JSONDecodable>(
        _ type: T.Type = T.self,
        otherwise remedy: JSONProblem.Remedy
    ) throws(JSONError) -> T? {
        guard self.isLenient else { return try T(from: &self) }
        let start = self.checkpoint
        do throws(JSONError) { return try T(from: &self) } catch {
            try self.passOver(start, error, remedy)
            return nil
        }
    }

    /// Steps over what is not as it has to be, if it is at least JSON.
    @inline(never)
    private mutating func passOver(
        _ start: Checkpoint,
        _ error: JSONError,
        _ remedy: JSONProblem.Remedy
    ) throws(JSONError) {
        guard error.code == .typeMismatch || error.code == .missingMember else { throw error }
        self.rewind(to: start)
        self.skipWhitespace()
        self.note(error, remedy)
        guard self.furtherFindings < Self.furtherLimit else {
            throw self.error(.tooLarge, "more than \(Self.furtherLimit) parts of the text are not as they have to be")
        }
        // Every letter of it, once: what is no JSON is no element that could be left out.
        _ = try self.readStrictly() as JSONValue
    }

    mutating func note(_ error: JSONError, _ remedy: JSONProblem.Remedy) {
        guard self.findings.count < Self.findingsLimit else {
            self.furtherFindings += 1
            return
        }
        var error = error
        // It quotes the other side, which may have much to say.
        if error.message.utf8.count > 300 { error.message = error.message.prefix(200) + "…" }
        self.findings.append(Finding(offset: self.position - self.start, error: error, remedy: remedy))
    }

    /// Something is missing from the object that has just ended, and is done without.
    /// - Throws: that it is missing, unless this reader is lenient.
    @inline(never)
    package mutating func doWithout(_ key: StaticString, _ remedy: JSONProblem.Remedy) throws(JSONError) {
        let error = self.missing(key)
        guard self.isLenient else { throw error }
        self.note(error, remedy)
    }

    // MARK: Objects that are not written as such

    /// What stands for an object without members.
    enum OddObject { case emptyArray, word }

    /// PHP writes an empty object as it writes an empty list: `[]`. Consumes its `[`; ``nextKey()`` consumes the rest.
    @inline(never)
    mutating func beginEmptyArray() -> Bool {
        let start = self.position
        self.position &+= 1
        let isEmpty = self.peekByte() == UInt8(ascii: "]") && self.depth < self.maximumDepth
        self.position = start
        guard isEmpty else { return false }
        self.note(self.error(.typeMismatch, "expected an object, found a list"), .empty)
        self.position &+= 1
        self.depth &+= 1
        self.oddObject = .emptyArray
        return true
    }

    /// Consumes `{`, or `true` where that says that there is something and no more about it.
    package mutating func beginObjectOrTrue() throws(JSONError) {
        guard self.isLenient, self.peekByte() == UInt8(ascii: "t") else { return try self.beginObject() }
        let error = self.error(.typeMismatch, "expected an object, found true")
        self.note(error, .empty)
        _ = try self.readBool()
        self.oddObject = .word
    }

    mutating func endOddObject() throws(JSONError) -> JSONKey? {
        let isArray = self.oddObject == .emptyArray
        self.oddObject = nil
        if isArray { _ = try self.next(UInt8(ascii: "]")) }
        return nil
    }

    // MARK: Other shapes that are clear

    /// Reads a string in the place of something else, where this reader is lenient; nil where it is not.
    package mutating func readInstead(_ wanted: String) throws(JSONError) -> String? {
        guard self.isLenient else { return nil }
        self.note(self.error(.typeMismatch, "expected \(wanted), found a string"), .asWritten)
        return try self.readString()
    }

    /// Reads the first element of a list in the place of the one value that belongs there, where this reader is lenient and there is one.
    package mutating func readFirstInstead<T: JSONDecodable>(_ wanted: String) throws(JSONError) -> T? {
        guard self.isLenient else { return nil }
        let start = self.checkpoint
        let error = self.error(.typeMismatch, "expected \(wanted), found a list")
        try self.beginArray()
        guard try self.nextElement() else {
            self.rewind(to: start)
            return nil
        }
        self.note(error, .first)
        let first: T = try self.read()
        while try self.nextElement() { try self.skipValue() }
        return first
    }

    // MARK: What the generated code calls

    /// Reads a list; `null` is an empty one, where this reader is lenient.
    package mutating func readList<T: JSONDecodable>() throws(JSONError) -> [T] {
        guard self.isLenient, self.peekByte() == UInt8(ascii: "n") else { return try self.read() }
        self.note(self.error(.typeMismatch, "expected a list, found null"), .empty)
        try self.readNull()
        return []
    }

    /// Takes an object unread; nil for another value, which is passed over, where this reader is lenient.
    package mutating func readRawObject(otherwise remedy: JSONProblem.Remedy) throws(JSONError) -> RawJSON? {
        guard self.isLenient else { return try self.readRaw() }
        let kind = try self.peekKind()
        if kind == .object { return try self.readRaw() }
        if kind != .null || remedy != .absent {
            self.note(self.error(.typeMismatch, "expected an object, found \(kind)"), remedy)
        }
        try self.skipValue()
        return nil
    }

    /// Reads a value on whose every letter the meaning of the rest depends.
    package mutating func readStrictly<T: JSONDecodable>() throws(JSONError) -> T {
        let isLenient = self.isLenient
        self.isLenient = false
        defer { self.isLenient = isLenient }
        return try self.read()
    }

    /// The same, or nil for `null`.
    package mutating func readStrictlyIfPresent<T: JSONDecodable>() throws(JSONError) -> T? {
        let isLenient = self.isLenient
        self.isLenient = false
        defer { self.isLenient = isLenient }
        return try self.readIfPresent()
    }
}
