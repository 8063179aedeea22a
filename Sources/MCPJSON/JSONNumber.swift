/// A JSON number that keeps what was written.
///
/// An integer of 64 bits is kept as such; every other spelling (`1e400`, `-0`, `1.10`, 2^64) is kept as text, so that relaying a
/// message never changes a digit (C18). Two numbers are equal when they have the same value.
public struct JSONNumber: Sendable, CustomStringConvertible {
    enum Storage: Sendable {
        case integer(Int64)
        case literal(String)
    }

    let storage: Storage

    /// An integer.
    public init(_ value: Int64) { self.storage = .integer(value) }

    /// A binary floating-point number in its shortest spelling.
    /// - Returns: nil for infinities and NaN, which JSON cannot write.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        if let integer = Int64(exactly: value), value.sign == .plus || value != 0, abs(value) < 1e15 {
            self.storage = .integer(integer)
        } else {
            self.storage = .literal(value.description)
        }
    }

    /// `literal` must have passed the grammar of RFC 8259 section 6.
    init(validated literal: String) { self.storage = .literal(literal) }

    /// The value as an integer when it is one and fits, whatever its spelling (`1E5` is 100000).
    public var int64: Int64? {
        switch self.storage {
        case .integer(let value): value
        case .literal(let text): Self.exactInteger(text)
        }
    }

    /// The nearest binary floating-point number; infinite for `1e400`.
    public var double: Double {
        switch self.storage {
        case .integer(let value): Double(value)
        case .literal(let text): Double(text) ?? .nan
        }
    }

    /// The number as it is written in JSON.
    public var description: String {
        switch self.storage {
        case .integer(let value): String(value)
        case .literal(let text): text
        }
    }

    private static func exactInteger(_ text: String) -> Int64? {
        var digits: [UInt8] = []
        var exponent = 0
        var negative = false
        var bytes = text.utf8[...]
        if bytes.first == UInt8(ascii: "-") { (negative, bytes) = (true, bytes.dropFirst()) }
        var inFraction = false
        while let byte = bytes.popFirst() {
            if byte == UInt8(ascii: ".") {
                inFraction = true
            } else if byte | 0x20 == UInt8(ascii: "e") {
                guard let written = Int(Substring(bytes)), written.magnitude < 10_000 else { return nil }
                exponent += written
                break
            } else {
                digits.append(byte - UInt8(ascii: "0"))
                if inFraction { exponent -= 1 }
            }
        }
        while exponent < 0, digits.last == 0 { (_, exponent) = (digits.popLast(), exponent + 1) }
        if digits.allSatisfy({ $0 == 0 }) { return 0 }
        guard exponent >= 0, exponent < 20 else { return nil }
        var value: Int64 = 0
        for digit in digits + [UInt8](repeating: 0, count: exponent) {
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (next, overflowed) = scaled.subtractingReportingOverflow(Int64(digit))
            if overflow || overflowed { return nil }
            value = next  // kept negative: the most negative integer has no positive twin
        }
        if negative { return value }
        return value == .min ? nil : -value
    }
}

extension JSONNumber: Hashable {
    /// Equal when the values are equal: `1`, `1.0` and `1e0` are.
    public static func == (a: Self, b: Self) -> Bool {
        switch (a.int64, b.int64) {
        case (let x?, let y?): return x == y
        case (nil, nil):
            if a.double == b.double, a.double.isFinite { return true }
            return a.description == b.description
        default: return false
        }
    }

    /// Hashes the value, not the spelling.
    public func hash(into hasher: inout Hasher) {
        if let integer = self.int64 {
            hasher.combine(integer)
        } else if self.double.isFinite {
            hasher.combine(self.double)
        } else {
            hasher.combine(self.description)
        }
    }
}
