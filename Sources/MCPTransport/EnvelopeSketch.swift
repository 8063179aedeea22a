import MCPJSON

/// What can be known of a message that is too large to be kept: the id and the method of its envelope, wherever they stand (T8); of a
/// batch, those of each element (C20).
///
/// Sees every byte once, in pieces cut anywhere, and keeps a few hundred of them a message. Nothing is checked beyond what it needs to find
/// its way. Where it is lost, it looks no further, and what it had found before counts.
struct EnvelopeSketch {
    private enum Place {
        /// Before the first byte.
        case start
        /// At the end, or past the place where it ceases to be JSON: nothing more will be found.
        case hopeless
        /// Between members of the envelope, or before a value.
        case beforeKey, inKey, beforeColon, beforeValue
        /// In a value of the envelope: a string, a number or word, or something with an inside.
        case inString, inScalar, inside
    }

    private static let longestKey = 16
    private static let longest = 512
    /// Of a batch so many bytes of envelopes are kept.
    private static let longestBatch = 64 << 10

    private var place: Place = .start
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var key: [UInt8] = []
    private var value: [UInt8] = []
    private var id: [UInt8]?
    private var method: [UInt8]?
    private var isAmbiguous = false
    private var isBatch = false
    /// The envelopes of the elements before this one, separated by commas.
    private var elements: [UInt8] = []
    /// Whether it starts as a message does, as far as is known.
    private(set) var isMessage = true

    /// Takes the next bytes of the message.
    mutating func scan(_ bytes: UnsafeRawBufferPointer) {
        bytes.withMemoryRebound(to: UInt8.self) { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count, self.place != .hopeless {
                if self.passesText {
                    index = JSONScanner.quoteOrBackslash(base, index, bytes.count)
                    guard index < bytes.count else { return }
                }
                self.scan(bytes[index])
                index += 1
            }
        }
    }

    /// Text of which nothing is kept, which is most of what makes a message large, is passed over.
    private var passesText: Bool {
        guard !self.isEscaped else { return false }
        switch self.place {
        case .inside: return self.isInString
        case .inString: return self.value.count > Self.longest
        case .inKey: return self.key.count == Self.longestKey
        default: return false
        }
    }

    private mutating func scan(_ byte: UInt8) {
        switch self.place {
        case .inside: self.scanInside(byte)
        case .inString:
            self.keep(byte)
            if self.isEscaped {
                self.isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                self.isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                self.endValue()
            }
        case .inKey:
            if self.isEscaped {
                self.isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                self.isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                self.place = .beforeColon
                return
            }
            if self.key.count < Self.longestKey { self.key.append(byte) }
        case .inScalar:
            if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte <= 0x20 {
                self.endValue()
                if byte == UInt8(ascii: "}") { self.endEnvelope() }
            } else {
                self.keep(byte)
            }
        case .hopeless: break
        case .start:
            if byte == UInt8(ascii: "{") {
                self.place = .beforeKey
            } else if byte == UInt8(ascii: "["), !self.isBatch {
                self.isBatch = true
            } else if byte > 0x20, byte < 0x80, byte != UInt8(ascii: ",") || !self.isBatch {
                self.isMessage = self.isBatch  // a byte order mark is passed over
                self.giveUp()
            }
        case .beforeKey:
            if byte == UInt8(ascii: "}") { return self.endEnvelope() }
            if byte == UInt8(ascii: "\"") {
                self.key = []
                self.place = .inKey
            } else if byte > 0x20, byte != UInt8(ascii: ",") {
                self.giveUp()
            }
        case .beforeColon:
            if byte == UInt8(ascii: ":") { self.place = .beforeValue } else if byte > 0x20 { self.giveUp() }
        case .beforeValue: self.beginValue(byte)
        }
    }

    private mutating func beginValue(_ byte: UInt8) {
        guard byte > 0x20 else { return }
        self.value = []
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            self.depth = 1
            self.place = .inside
        case UInt8(ascii: "\""):
            self.keep(byte)
            self.place = .inString
        default:
            self.keep(byte)
            self.place = .inScalar
        }
    }

    private mutating func scanInside(_ byte: UInt8) {
        if self.isInString {
            if self.isEscaped {
                self.isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                self.isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                self.isInString = false
            }
            return
        }
        switch byte {
        case UInt8(ascii: "\""): self.isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): self.depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            self.depth -= 1
            if self.depth == 0 { self.place = .beforeKey }
        default: break
        }
    }

    private mutating func keep(_ byte: UInt8) {
        if self.value.count <= Self.longest { self.value.append(byte) }
    }

    private mutating func endValue() {
        self.place = .beforeKey
        guard self.value.count <= Self.longest else { return }
        switch String(decoding: self.key, as: UTF8.self) {
        case "id":
            self.isAmbiguous = self.isAmbiguous || self.id != nil
            self.id = self.value
        case "method":
            self.isAmbiguous = self.isAmbiguous || self.method != nil
            self.method = self.value
        default: break
        }
    }

    /// It is not JSON from here on.
    private mutating func giveUp() {
        if self.id != nil || self.method != nil { self.endEnvelope() }
        self.place = .hopeless
    }

    /// The element of a batch is over; what follows a message that is none does not count.
    private mutating func endEnvelope() {
        guard self.isBatch else {
            self.place = .hopeless
            return
        }
        let element = self.element
        if self.elements.count + element.count < Self.longestBatch {
            self.elements += (self.elements.isEmpty ? [] : [UInt8(ascii: ",")]) + element
        }
        (self.id, self.method, self.isAmbiguous, self.place) = (nil, nil, false, .start)
    }

    /// A message with the id and the method that were found, and nothing else; without an id where two were found (C19). An array of
    /// such for a batch.
    var envelope: RawJSON {
        guard self.isBatch else { return RawJSON(copying: self.element) }
        return RawJSON(copying: [UInt8(ascii: "[")] + self.elements + [UInt8(ascii: "]")])
    }

    private var element: [UInt8] {
        var text = Array(#"{"jsonrpc":"2.0""#.utf8)
        if !self.isAmbiguous {
            if let id = self.id { text += Array(#","id":"#.utf8) + id }
            if let method = self.method { text += Array(#","method":"#.utf8) + method }
        }
        return text + [UInt8(ascii: "}")]
    }
}
