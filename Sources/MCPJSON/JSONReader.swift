/// Reads one JSON text from front to back.
///
/// Typed decoders pull what they need: `beginObject()`, then `nextKey()` until nil, reading exactly one value after each key. The
/// reader checks the grammar of RFC 8259 as it goes, with three leniences for real servers: a byte-order mark at the start, control
/// characters inside strings, and broken text (lone surrogates, invalid UTF-8), which becomes U+FFFD and is counted in ``repairs``.
public struct JSONReader {
    @usableFromInline let storage: ByteStorage
    @usableFromInline let base: UnsafePointer<UInt8>
    let start: Int
    let end: Int
    var position: Int
    var depth = 0
    let maximumDepth: Int
    /// The last token opened a container, so the next element comes without a comma.
    private var justOpened = false
    /// An object was begun that is not written as one, and has no members.
    var oddObject: OddObject?
    /// How many strings had to be mended because they were not Unicode.
    public private(set) var repairs = 0

    /// What does not keep a text from being understood is passed over, and noted here.
    var isLenient: Bool
    var findings: [Finding] = []
    var furtherFindings = 0

    /// A reader at the start of `text`.
    /// - Throws: ``JSONError/Code/tooLarge`` at once if the text is longer than the limits allow.
    public init(_ text: RawJSON, limits: JSONLimits = .default) throws(JSONError) {
        try self.init(text, limits: limits, isLenient: false)
    }

    /// - Parameter isLenient: see ``RawJSON/decode(_:limits:problems:)``.
    init(_ text: RawJSON, limits: JSONLimits, isLenient: Bool) throws(JSONError) {
        self.isLenient = isLenient
        self.storage = text.storage
        self.base = UnsafeRawPointer(text.storage.base).assumingMemoryBound(to: UInt8.self)
        self.start = text.lowerBound
        self.end = text.upperBound
        self.position = text.lowerBound
        self.maximumDepth = limits.depth
        if text.count > limits.bytes {
            throw JSONError(
                code: .tooLarge,
                message: "JSON text of \(text.count) bytes exceeds the limit of \(limits.bytes)",
                offset: 0
            )
        }
        if text.count >= 3, self.base[self.start] == 0xEF, self.base[self.start + 1] == 0xBB,
            self.base[self.start + 2] == 0xBF
        {
            self.position += 3
        }
    }

    // MARK: Errors

    /// A syntax or type error at the current place.
    public func error(_ message: String) -> JSONError { self.error(.typeMismatch, message) }

    /// The error for a required member that is absent.
    public func missing(_ key: StaticString) -> JSONError {
        self.error(.missingMember, "\(key) is missing")
    }

    func error(_ code: JSONError.Code, _ message: String) -> JSONError {
        JSONError(code: code, message: message, offset: self.position - self.start)
    }

    @inline(never)
    func unexpected(_ wanted: String) -> JSONError {
        guard self.position < self.end else { return self.error(.syntax, "the text ends where \(wanted) should be") }
        let found = self.base[self.position]
        let shown = found > 0x20 && found < 0x7F ? "'\(Character(UnicodeScalar(found)))'" : "byte \(found)"
        return self.error(.syntax, "expected \(wanted), found \(shown)")
    }

    // MARK: Tokens

    @inline(__always)
    mutating func skipWhitespace() {
        while self.position < self.end {
            let byte = self.base[self.position]
            if byte > 0x20 { return }
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            self.position &+= 1
        }
    }

    @inline(__always)
    mutating func peekByte() -> UInt8 {
        self.skipWhitespace()
        return self.position < self.end ? self.base[self.position] : 0
    }

    /// What kind of value comes next.
    public mutating func peekKind() throws(JSONError) -> JSONKind {
        switch self.peekByte() {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw self.unexpected("a value")
        }
    }

    private mutating func open(_ byte: UInt8, _ wanted: String) throws(JSONError) {
        guard self.peekByte() == byte else { throw try self.mismatch(wanted) }
        guard self.depth < self.maximumDepth else {
            throw self.error(.tooDeep, "containers are nested deeper than \(self.maximumDepth) levels")
        }
        self.position &+= 1
        self.depth &+= 1
        self.justOpened = true
    }

    @inline(never)
    private mutating func mismatch(_ wanted: String) throws(JSONError) -> JSONError {
        let kind = try self.peekKind()
        return self.error(
            .typeMismatch,
            "expected \(wanted), found \(kind == .array || kind == .object ? "an" : "a") \(kind)"
        )
    }

    /// Consumes `{`.
    public mutating func beginObject() throws(JSONError) {
        if self.isLenient, self.peekByte() == UInt8(ascii: "["), self.beginEmptyArray() { return }
        try self.open(UInt8(ascii: "{"), "an object")
    }

    /// The next member's name, or nil after consuming `}`.
    ///
    /// After a name exactly one value must be read or skipped.
    public mutating func nextKey() throws(JSONError) -> JSONKey? {
        if self.oddObject != nil { return try self.endOddObject() }
        guard try self.next(UInt8(ascii: "}")) else { return nil }
        guard self.peekByte() == UInt8(ascii: "\"") else { throw self.unexpected("a member name") }
        let first = self.position &+ 1
        guard let behind = JSONScanner.stringEnd(self.base, first, self.end) else {
            throw self.error(.syntax, "a string is not closed")
        }
        let key = JSONKey(bytes: UnsafeBufferPointer(start: self.base + first, count: behind &- 1 &- first))
        self.position = behind
        guard self.peekByte() == UInt8(ascii: ":") else { throw self.unexpected("':'") }
        self.position &+= 1
        return key
    }

    /// Consumes `[`.
    public mutating func beginArray() throws(JSONError) { try self.open(UInt8(ascii: "["), "an array") }

    /// Whether another element follows; false after consuming `]`.
    public mutating func nextElement() throws(JSONError) -> Bool { try self.next(UInt8(ascii: "]")) }

    @inline(__always)
    mutating func next(_ close: UInt8) throws(JSONError) -> Bool {
        let byte = self.peekByte()
        if byte == close {
            self.position &+= 1
            self.depth &-= 1
            self.justOpened = false
            return false
        }
        if self.justOpened {
            self.justOpened = false
        } else {
            guard byte == UInt8(ascii: ",") else {
                throw self.unexpected("',' or '\(Character(UnicodeScalar(close)))'")
            }
            self.position &+= 1
            if self.peekByte() == close { throw self.unexpected("a value after ','") }
        }
        return true
    }

    // MARK: Values

    /// Reads a value of `type`.
    public mutating func read<T: JSONDecodable>(_ type: T.Type = T.self) throws(JSONError) -> T { try T(from: &self) }

    /// Reads a value of `type`, or nil for `null`; and, where this reader is lenient, for what is of another type.
    public mutating func readIfPresent<T: JSONDecodable>(_ type: T.Type = T.self) throws(JSONError) -> T? {
        if self.peekByte() == UInt8(ascii: "n") {
            try self.readNull()
            return nil
        }
        return try self.read(T.self, otherwise: .absent)
    }

    /// Reads `null`.
    public mutating func readNull() throws(JSONError) { try self.literal("null") }

    /// Reads `true` or `false`.
    public mutating func readBool() throws(JSONError) -> Bool {
        switch self.peekByte() {
        case UInt8(ascii: "t"):
            try self.literal("true")
            return true
        case UInt8(ascii: "f"):
            try self.literal("false")
            return false
        default: throw try self.mismatch("true or false")
        }
    }

    private mutating func literal(_ text: StaticString) throws(JSONError) {
        _ = self.peekByte()
        let count = text.utf8CodeUnitCount
        guard self.end - self.position >= count,
            UnsafeBufferPointer(start: self.base + self.position, count: count).elementsEqual(
                UnsafeBufferPointer(start: text.utf8Start, count: count)
            )
        else { throw self.unexpected("\(text)") }
        self.position &+= count
    }

    /// Reads a number with nothing lost.
    public mutating func readNumber() throws(JSONError) -> JSONNumber {
        _ = self.peekByte()
        let first = self.position
        var i = first
        let negative = i < self.end && self.base[i] == UInt8(ascii: "-")
        if negative { i &+= 1 }
        var value: Int64 = 0
        let digits = i
        while i < self.end, case let digit = self.base[i] &- UInt8(ascii: "0"), digit < 10 {
            value = value &* 10 &+ Int64(digit)
            i &+= 1
        }
        let count = i &- digits
        let next = i < self.end ? self.base[i] : 0
        let plain = next != UInt8(ascii: ".") && next | 0x20 != UInt8(ascii: "e")
        let leadingZero = count > 1 && self.base[digits] == UInt8(ascii: "0")
        if plain, count > 0, count < 19, !leadingZero, !(negative && value == 0) {
            self.position = i
            return JSONNumber(negative ? -value : value)
        }
        if count > 0, leadingZero { throw self.error(.syntax, "a number begins with a zero too many") }
        guard count > 0 else { throw negative ? self.unexpected("a number") : try self.mismatch("a number") }
        return try self.finishNumber(first, i)
    }

    @inline(never)
    private mutating func finishNumber(_ first: Int, _ integerEnd: Int) throws(JSONError) -> JSONNumber {
        var i = integerEnd
        func digits() -> Int {
            let from = i
            while i < self.end, self.base[i] &- UInt8(ascii: "0") < 10 { i &+= 1 }
            return i - from
        }
        if i < self.end, self.base[i] == UInt8(ascii: ".") {
            i &+= 1
            if digits() == 0 { throw self.error(.syntax, "a number has no digits after its point") }
        }
        if i < self.end, self.base[i] | 0x20 == UInt8(ascii: "e") {
            i &+= 1
            if i < self.end, self.base[i] == UInt8(ascii: "+") || self.base[i] == UInt8(ascii: "-") { i &+= 1 }
            if digits() == 0 { throw self.error(.syntax, "a number has no digits in its exponent") }
        }
        self.position = i
        let text = String(decoding: UnsafeBufferPointer(start: self.base + first, count: i - first), as: UTF8.self)
        if let value = Int64(text), text != "-0" { return JSONNumber(value) }
        return JSONNumber(validated: text)
    }

    /// Reads a string, mending what is not Unicode (C10, C11).
    public mutating func readString() throws(JSONError) -> String {
        guard self.peekByte() == UInt8(ascii: "\"") else { throw try self.mismatch("a string") }
        let first = self.position &+ 1
        guard let behind = JSONScanner.stringEnd(self.base, first, self.end) else {
            throw self.error(.syntax, "a string is not closed")
        }
        let bytes = UnsafeBufferPointer(start: self.base + first, count: behind &- 1 &- first)
        let (text, repaired) = try JSONString.decode(bytes) { (message, at) in
            JSONError(code: .syntax, message: message, offset: first - self.start + at)
        }
        self.position = behind
        if repaired { self.repairs += 1 }
        return text
    }

    /// Steps over a string.
    /// - Returns: false if it has escapes, which may be wrong ones.
    package mutating func skipPlainString() throws(JSONError) -> Bool {
        guard self.peekByte() == UInt8(ascii: "\"") else { throw try self.mismatch("a string") }
        let first = self.position &+ 1
        guard let behind = JSONScanner.stringEnd(self.base, first, self.end) else {
            throw self.error(.syntax, "a string is not closed")
        }
        self.position = behind
        return !UnsafeBufferPointer(start: self.base + first, count: behind &- 1 &- first).contains(UInt8(ascii: "\\"))
    }

    /// Steps over the next value without looking into it.
    public mutating func skipValue() throws(JSONError) { _ = try self.readRaw() }

    /// Takes the next value as a slice of the message, unread.
    public mutating func readRaw() throws(JSONError) -> RawJSON {
        _ = try self.peekKind()
        guard let behind = JSONScanner.valueEnd(self.base, self.position, self.end) else {
            throw self.error(.syntax, "a value is not closed")
        }
        defer { self.position = behind }
        return RawJSON(storage: self.storage, range: self.position..<behind)
    }

    /// Checks that nothing but white space follows.
    public mutating func expectEnd() throws(JSONError) {
        self.skipWhitespace()
        if self.position < self.end { throw self.unexpected("the end of the text") }
    }

    // MARK: Looking twice

    /// A place to come back to, for types whose shape is known only after a look.
    public struct Checkpoint {
        fileprivate let position: Int
        fileprivate let depth: Int
        fileprivate let justOpened: Bool
        fileprivate let findings: Int
        fileprivate let furtherFindings: Int
    }

    /// The current place.
    public var checkpoint: Checkpoint {
        Checkpoint(
            position: self.position,
            depth: self.depth,
            justOpened: self.justOpened,
            findings: self.findings.count,
            furtherFindings: self.furtherFindings
        )
    }

    /// Goes back to a place of this reader.
    public mutating func rewind(to checkpoint: Checkpoint) {
        self.position = checkpoint.position
        self.depth = checkpoint.depth
        self.justOpened = checkpoint.justOpened
        self.oddObject = nil
        self.findings.removeLast(self.findings.count - checkpoint.findings)
        self.furtherFindings = checkpoint.furtherFindings
    }
}
