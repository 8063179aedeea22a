/// Where the members of a JSON-RPC message lie, found in one pass and without reading them.
///
/// It lives beside the scanner because every message of every server comes through here: no call in its loop leaves the module.
package struct MessageMembers {
    /// Bounds of the values in the message's storage.
    package var version: Range<Int>?
    package var id: Range<Int>?
    package var method: Range<Int>?
    package var params: Range<Int>?
    package var result: Range<Int>?
    package var error: Range<Int>?
    /// There are members that no message has.
    package var hasOthers = false
    /// A member that decides what the message is occurs twice.
    package var hasDuplicate = false
    /// Why the scan stopped early; what was found before stays.
    package var problem: JSONError?

    /// Scans `message`, which must be an object.
    package init(scanning message: RawJSON) {
        let base = UnsafeRawPointer(message.storage.base).assumingMemoryBound(to: UInt8.self)
        let end = message.upperBound
        var i = Self.skipSpace(base, message.lowerBound, end)
        func failed(_ text: String) -> JSONError {
            JSONError(code: .syntax, message: text, offset: i - message.lowerBound)
        }
        guard i < end, base[i] == UInt8(ascii: "{") else {
            self.problem = failed("expected an object")
            return
        }
        i = Self.skipSpace(base, i &+ 1, end)
        if i < end, base[i] == UInt8(ascii: "}") {
            i &+= 1
        } else {
            while true {
                guard i < end, base[i] == UInt8(ascii: "\""), let keyEnd = JSONScanner.stringEnd(base, i &+ 1, end)
                else {
                    self.problem = failed("expected a member name")
                    return
                }
                let key = UnsafeBufferPointer(start: base + i + 1, count: keyEnd &- i &- 2)
                i = Self.skipSpace(base, keyEnd, end)
                guard i < end, base[i] == UInt8(ascii: ":") else {
                    self.problem = failed("expected ':'")
                    return
                }
                i = Self.skipSpace(base, i &+ 1, end)
                // The start of a value that is cut off is worth keeping: it may be the id.
                guard let valueEnd = JSONScanner.valueEnd(base, i, end), valueEnd > i else {
                    self.problem = failed("a value is missing or not closed")
                    return
                }
                self.note(key, i..<valueEnd)
                i = Self.skipSpace(base, valueEnd, end)
                guard i < end else {
                    self.problem = failed("the text ends inside an object")
                    return
                }
                if base[i] == UInt8(ascii: "}") {
                    i &+= 1
                    break
                }
                guard base[i] == UInt8(ascii: ",") else {
                    self.problem = failed("expected ',' or '}'")
                    return
                }
                i = Self.skipSpace(base, i &+ 1, end)
            }
        }
        if Self.skipSpace(base, i, end) < end { self.problem = failed("something follows the message") }
    }

    @inline(__always)
    private static func skipSpace(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var i = start
        while i < end, base[i] == 0x20 || base[i] == 0x0A || base[i] == 0x0D || base[i] == 0x09 { i &+= 1 }
        return i
    }

    @inline(__always)
    private mutating func note(_ bytes: UnsafeBufferPointer<UInt8>, _ value: Range<Int>) {
        let key = JSONKey(bytes: bytes)
        switch key {
        case "jsonrpc": self.version = value
        case "id": self.hasDuplicate = Self.set(&self.id, value) || self.hasDuplicate
        case "method": self.hasDuplicate = Self.set(&self.method, value) || self.hasDuplicate
        case "result": self.hasDuplicate = Self.set(&self.result, value) || self.hasDuplicate
        case "error": self.hasDuplicate = Self.set(&self.error, value) || self.hasDuplicate
        case "params": self.hasDuplicate = Self.set(&self.params, value) || self.hasDuplicate
        default: self.hasOthers = true
        }
    }

    /// - Returns: whether the member was there already.
    @inline(__always)
    private static func set(_ member: inout Range<Int>?, _ value: Range<Int>) -> Bool {
        defer { member = value }
        return member != nil
    }
}

extension RawJSON {
    /// A slice of the same storage.
    package func slice(_ range: Range<Int>) -> RawJSON { RawJSON(storage: self.storage, range: range) }

    /// Whether the bytes of a slice are those of a literal.
    package func bytes(in range: Range<Int>, are literal: StaticString) -> Bool {
        guard range.count == literal.utf8CodeUnitCount else { return false }
        let bytes = UnsafeRawBufferPointer(start: self.storage.base + range.lowerBound, count: range.count)
        return bytes.elementsEqual(UnsafeBufferPointer(start: literal.utf8Start, count: range.count))
    }

    /// The number, if a slice is a plain integer of at most 18 digits; the usual id.
    package func plainInteger(in range: Range<Int>) -> Int64? {
        guard range.count > 0, range.count < 19 else { return nil }
        var value: Int64 = 0
        for i in range {
            let digit = self.storage.base.load(fromByteOffset: i, as: UInt8.self) &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value &* 10 &+ Int64(digit)
        }
        return value
    }
}
