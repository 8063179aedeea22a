import MCPJSON

/// A JSON number as digits and a power of ten, so that 0.3 is a multiple of 0.1.
struct DecimalNumber {
    private var digits: UInt128
    private var exponent: Int

    /// - Returns: nil for more than 38 digits or an exponent beyond all sense; callers fall back to `Double`.
    init?(_ number: JSONNumber) {
        if let integer = number.int64 {
            self.digits = UInt128(integer.magnitude)
            self.exponent = 0
        } else {
            self.digits = 0
            self.exponent = 0
            var count = 0
            var inFraction = false
            var text = number.description.utf8[...]
            while let byte = text.popFirst() {
                switch byte {
                case UInt8(ascii: "-"): break
                case UInt8(ascii: "."): inFraction = true
                case UInt8(ascii: "e"), UInt8(ascii: "E"):
                    guard let written = Int(Substring(text)), written.magnitude < 100_000 else { return nil }
                    self.exponent += written
                    text = text[text.endIndex...]
                default:
                    if self.digits > 0 { count += 1 }
                    guard count < 38 else { return nil }
                    self.digits = self.digits * 10 + UInt128(byte - UInt8(ascii: "0"))
                    if inFraction { self.exponent -= 1 }
                }
            }
        }
        if self.digits == 0 { self.exponent = 0 }
        while self.digits != 0, self.digits % 10 == 0 {
            (self.digits, self.exponent) = (self.digits / 10, self.exponent + 1)
        }
    }

    /// Whether it has no fraction, whatever its size.
    var isInteger: Bool { self.exponent >= 0 }

    /// - Returns: nil where it cannot be said exactly.
    func isMultiple(of divisor: DecimalNumber) -> Bool? {
        if self.digits == 0 { return true }
        guard divisor.digits > 0, divisor.digits <= UInt128(UInt64.max) else { return nil }
        var power = self.exponent - divisor.exponent
        // No trailing zeros are left, so no power of ten divides the digits.
        if power < 0 { return false }
        var (remainder, base) = (self.digits % divisor.digits, UInt128(10) % divisor.digits)
        while power > 0 {
            if power & 1 == 1 { remainder = remainder * base % divisor.digits }
            base = base * base % divisor.digits
            power >>= 1
        }
        return remainder == 0
    }
}

extension JSONNumber {
    /// Whether it is a number without a fraction: `1.0` and `1e400` are (JSON Schema's `integer`).
    var isInteger: Bool {
        self.int64 != nil || DecimalNumber(self)?.isInteger ?? (self.double.rounded() == self.double)
    }

    func isMultiple(of divisor: JSONNumber) -> Bool {
        if let a = DecimalNumber(self), let b = DecimalNumber(divisor), let exact = a.isMultiple(of: b) { return exact }
        let quotient = self.double / divisor.double
        return quotient.isFinite && quotient.rounded() == quotient
    }

    func isLess(than other: JSONNumber) -> Bool {
        if let a = self.int64, let b = other.int64 { return a < b }
        return self.double < other.double
    }
}
