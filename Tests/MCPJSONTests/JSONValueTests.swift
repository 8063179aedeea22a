import MCPJSON
import Testing

@Suite("JSON values", .timeLimit(.minutes(5)))
struct JSONValueTests {
    @Test("S30 V3 names that look alike cost no more than others")
    func lookalikes() throws {
        /// All ways to write "é" ten times, each composed or not, of the same length.
        func names(_ one: String, _ other: String) -> [String] {
            (0..<(1 << 14)).filter { $0.nonzeroBitCount == 7 }.map { bits in
                (0..<14).map { bits >> $0 & 1 == 0 ? one : other }.joined()
            }
        }
        func seconds(_ names: [String]) throws -> Duration {
            let text = "{\(names.map { "\"\($0)\":1" }.joined(separator: ","))}"
            let clock = ContinuousClock()
            return try clock.measure {
                let object = JSONObject(names.map { ($0, JSONValue.null) })
                let value = try JSONValue(parsing: Array(text.utf8))
                #expect(object.count == names.count && value.object?.count == names.count)
                #expect(Set(names.map { JSONValue.string($0) }).count == names.count)
            }
        }
        let (alike, plain) = (try seconds(names("\u{E9}", "e\u{301}")), try seconds(names("ab", "abc")))
        #expect(alike < plain * 30 + .seconds(2), "\(alike) against \(plain)")
    }

    @Test(
        "C18 what was written is what is written back",
        arguments: [
            "9007199254740993", "-9223372036854775808", "9223372036854775807", "18446744073709551616", "1e400", "-0",
            "1E5", "1.10",
            "0.1", "-1.5e-300", #""x""#, "true", "null", "[]", "{}", #"{"b":1,"a":[1,2,{"c":null}]}"#,
        ]
    )
    func roundTrip(text: String) throws { #expect(try JSONValue(parsing: text).description == text) }

    @Test("numbers are equal when their values are")
    func numbers() throws {
        #expect(try JSONValue(parsing: "1E5") == 100_000)
        #expect(try JSONValue(parsing: "1.0") == JSONValue(parsing: "1"))
        #expect(try JSONValue(parsing: "9007199254740993") != JSONValue(parsing: "9007199254740992"))
        #expect(try JSONValue(parsing: "1e400") != JSONValue(parsing: "1e401"))
        #expect(try JSONValue(parsing: "-0").int64 == 0)
        #expect(try JSONValue(parsing: "12.5").int64 == nil)
        #expect(JSONNumber(Double.nan) == nil && JSONNumber(Double.infinity) == nil)
        #expect(JSONNumber(1.5)?.description == "1.5")
    }

    @Test(
        "F21 an exponent of any size is a number like any other: read, compared, written back",
        arguments: [
            "1e-9223372036854775808", "1e9223372036854775807", "-0.5e-99999999999999999999", "1E+9223372036854775808",
        ]
    )
    func exponents(text: String) throws {
        let value = try JSONValue(parsing: text)
        #expect(value.description == text && value.int64 == nil && value == value && value != 1)
        #expect(RawJSON(copying: text) != RawJSON(copying: "2"))
    }

    @Test("names and strings that only look the same are not the same")
    func lookAlikes() throws {
        let text = "{\"\u{E9}\":1,\"e\u{301}\":2}"
        #expect(try JSONValue(parsing: text).description == text)
        #expect(JSONValue.string("\u{E9}") != JSONValue.string("e\u{301}"))
        var many = JSONObject((0..<40).map { ("k\($0)", JSONValue.null) })
        many["\u{E9}"] = 1
        many["e\u{301}"] = 2
        #expect(many.count == 42 && many["\u{E9}"] == 1)
    }

    @Test("C19 of equal names the last wins, at the place of the first")
    func duplicates() throws {
        #expect(try JSONValue(parsing: #"{"a":1,"b":2,"a":3}"#).description == #"{"a":3,"b":2}"#)
    }

    @Test("objects are equal in any order, and keep their order; large ones too")
    func objects() throws {
        #expect(try JSONValue(parsing: #"{"a":1,"b":2}"#) == JSONValue(parsing: #"{"b":2,"a":1}"#))
        var object = JSONObject()
        for i in 0..<100 { object["k\(i)"] = .string("\(i)") }
        for i in 0..<100 { #expect(object["k\(i)"] == .string("\(i)")) }
        object["k50"] = nil
        #expect(object.count == 99 && object["k50"] == nil && object["k99"] == "99")
        #expect(Array(object.keys).first == "k0" && Array(object.keys).last == "k99")
        #expect(try JSONValue(parsing: object.description) == .object(object))
    }

    @Test(
        "C11 lone surrogates become U+FFFD, pairs one character",
        arguments: [
            (#""\ud83d""#, "\u{FFFD}"), (#""\ud83dx""#, "\u{FFFD}x"), (#""\ude00""#, "\u{FFFD}"),
            (#""\ud83d\ude00""#, "😀"), (#""\u00e9\n\/""#, "é\n/"),
        ]
    )
    func surrogates(text: String, value: String) throws { #expect(try JSONValue(parsing: text).string == value) }

    @Test("C10 invalid UTF-8 becomes U+FFFD and is counted")
    func invalidUTF8() throws {
        for bytes: [UInt8] in [[0x22, 0xFF, 0xFE, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22]] {
            var reader = try JSONReader(RawJSON(copying: bytes))
            #expect(try reader.readString().contains("\u{FFFD}"))
            #expect(reader.repairs == 1)
        }
    }

    @Test("C12 U+0085, U+2028, U+2029, VT and FF are characters like others")
    func lineSeparators() throws {
        let text = "a\u{85}b\u{2028}c\u{2029}d\u{B}e\u{C}f"
        #expect(try JSONValue(parsing: JSONValue.string(text).description).string == text)
    }

    @Test("C14 a byte-order mark at the start is skipped") func byteOrderMark() throws {
        #expect(try JSONValue(parsing: [0xEF, 0xBB, 0xBF, 0x31]) == 1)
    }

    @Test("C17 deep nesting is refused quickly, and what is allowed works")
    func depth() throws {
        #expect {
            try JSONValue(parsing: String(repeating: "[", count: 100_000))
        } throws: { ($0 as? JSONError)?.code == .tooDeep }
        let allowed = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        #expect(try JSONValue(parsing: allowed).kind == .array)
    }

    @Test("a text over the limit is refused at once")
    func size() {
        #expect { try JSONValue(parsing: "[1,2,3]", limits: JSONLimits(bytes: 3)) } throws: {
            ($0 as? JSONError)?.code == .tooLarge
        }
    }

    @Test(
        "C21 what is not JSON is refused with its place",
        arguments: [
            "", " ", "{", "[1,]", "[1 2]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{1:2}", "tru", "nul", "+1", "01", "1.",
            ".5", "1e", "-", #""a"#,
            #""\x""#, #""\u12""#, "[1]x", "'a'", "NaN",
        ]
    )
    func refused(text: String) { #expect(throws: JSONError.self) { try JSONValue(parsing: text) } }

    @Test("K4 an error tells line and column")
    func position() throws {
        let text = "{\n  \"a\": 1,\n  \"b\" 2\n}"
        let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
        let place = try #require(error).position(in: text.utf8)
        #expect(place.line == 3 && place.column == 7)
    }

    @Test("every cut of a message is refused and never crashes")
    func cuts() throws {
        let text = Array(#"{"a":[1,-2.5e3,"x\ud83d\ude00\n",true,false,null,{"b":{}}]}"#.utf8)
        for end in 0..<text.count { #expect(throws: JSONError.self) { try JSONValue(parsing: text[..<end]) } }
    }

    @Test("random bytes never crash the reader")
    func randomBytes() {
        var generator = SeededGenerator(seed: 7)
        let alphabet = Array(#"{}[]":,\u0123456789eE+-.truefalsn \#u{FF}"#.utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? 0
            }
            if let value = try? JSONValue(parsing: bytes) {
                #expect((try? JSONValue(parsing: value.description)) == value)
            }
        }
    }
}

/// The same numbers every time.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { self.state = seed }
    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite("References within a document", .timeLimit(.minutes(1)))
struct JSONReferenceTests {
    @Test("pointers: names with slashes, tildes, blanks and nothing in them; elements; nowhere")
    func pointers() throws {
        let document = try JSONValue(parsing: #"{"a/b":{"":[10,{"~ é":true}]},"~1":5}"#)
        for (pointer, expected) in [
            ("#", document), ("#/a~1b//0", 10), ("#/a~1b//1/~0%20%C3%A9", true), ("#/~01", 5), ("#/a~1b//2", nil),
            ("#/x", nil),
            ("/a~1b", nil), ("x#/a~1b", nil), ("#a", nil), ("#/a%7E1b//0", 10), ("#/a~1b/%", nil),
        ] as [(String, JSONValue?)] {
            #expect(document.value(at: pointer) == expected, "\(pointer)")
        }
    }

    @Test("references: along a chain, with what stands beside them; circles and the outside are nothing")
    func references() throws {
        let document = try JSONValue(
            parsing: #"""
                {"$defs":{"a":{"$ref":"#/$defs/b","title":"A"},"b":{"type":"string","title":"B"},"c":{"$ref":"#/$defs/c"}}}
                """#
        )
        #expect(document.resolving(["$ref": "#/$defs/a"]) == ["type": "string", "title": "A"])
        #expect(
            document.resolving(["$ref": "#/$defs/b", "default": 1]) == ["type": "string", "title": "B", "default": 1]
        )
        #expect(document.resolving(["type": "null"]) == ["type": "null"])
        for reference in ["#/$defs/c", "#/$defs/d", "https://example.org/a.json"] {
            #expect(document.resolving(["$ref": .string(reference)]) == nil)
        }
    }
}
