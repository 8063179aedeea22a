import Foundation
import MCPJSON
import Testing

@Suite("Raw slices, reader and writer", .timeLimit(.minutes(5)))
struct RawJSONTests {
    @Test("skipping finds the end of every value, whatever is in its strings")
    func skipping() throws {
        let tricky = [
            #""""#, #""a\"b""#, #""\\""#, #""\\\"""#, #"{"a":"}"}"#, #"["]","[",{"x":"\"]"}]"#, "-12.5e3", "true",
            "\"" + String(repeating: "long ", count: 100) + #"\"quoted\" \\"# + "\"",
            "\"" + String(repeating: "\\\\", count: 60) + "\"",
        ]
        for value in tricky {
            var reader = try JSONReader(RawJSON(copying: "[\(value) ,7]"))
            try reader.beginArray()
            #expect(try reader.nextElement())
            #expect(try reader.readRaw().description == value)
            #expect(try reader.nextElement())
            #expect(try reader.read(Int.self) == 7)
            #expect(try !reader.nextElement())
            try reader.expectEnd()
        }
    }

    @Test("a slice outlives its message and is written back byte for byte")
    func slice() throws {
        func slice() throws -> RawJSON {
            try RawJSON(copying: #"{"result":{"b" : 1.10, "a":[ ]}}"#).decode([String: RawJSON].self)["result"]
                ?? "null"
        }
        #expect(try slice().description == #"{"b" : 1.10, "a":[ ]}"#)
        #expect(RawJSON(encoding: ["x": try slice()]).description == #"{"x":{"b" : 1.10, "a":[ ]}}"#)
        #expect(try slice() == RawJSON(copying: #"{"a":[],"b":1.1}"#))
    }

    @Test("STDIO-01 a message stays on one line even where a slice had line breaks")
    func oneLine() throws {
        let pretty = RawJSON(copying: "{\n  \"a\": \"x\\ny\",\r\n  \"b\": [1,\n2]\n}")
        let written = RawJSON(encoding: [pretty])
        #expect(!written.bytes.contains(0x0A) && !written.bytes.contains(0x0D))
        #expect(try written.decode([JSONValue].self) == [pretty.decode(JSONValue.self)])
    }

    @Test("strings are escaped as they must be")
    func escapes() throws {
        let text = String((0...0x9F).compactMap { UnicodeScalar($0).map(Character.init) }) + "\"\\/é😀"
        #expect(try RawJSON(encoding: text).decode(String.self) == text)
        #expect(RawJSON(encoding: "\u{1}\n\"").description == #""\u0001\n\"""#)
    }

    @Test("what has to be escaped is found wherever it stands among eight bytes, and nothing else is")
    func escapesAnywhere() throws {
        let odd =
            (0..<0x20).map { UnicodeScalar(UInt8($0)) } + [
                "\"", "\\", " ", "!", "#", "[", "]", "\u{7F}", "é", "\u{A0}",
            ]
        for length in 0..<20 {
            for place in 0...length {
                for scalar in odd {
                    var text = String(repeating: "a", count: length)
                    text.insert(Character(scalar), at: text.index(text.startIndex, offsetBy: place))
                    let written = RawJSON(encoding: text)
                    #expect(try written.decode(String.self) == text)
                    let isEscaped = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
                    #expect((written.count > text.utf8.count + 2) == isEscaped)
                }
            }
        }
    }

    @Test("Codable types go both ways, and keep 64-bit integers")
    func codable() throws {
        struct Inner: Codable, Equatable { var list: [Int64?]; var any: JSONValue }
        struct Outer: Codable, Equatable {
            var name: String
            var inner: Inner
            var map: [String: Double]
            var missing: Int?
            var big: UInt64
        }
        let value = Outer(
            name: "n",
            inner: Inner(list: [9_007_199_254_740_993, nil], any: ["k": [1, true, nil]]),
            map: ["pi": 3.14],
            missing: nil,
            big: .max
        )
        let tree = try JSONValue(encodable: value)
        #expect(tree["big"]?.description == "18446744073709551615")
        #expect(try tree.decode(Outer.self) == value)
        #expect(try RawJSON(encoding: tree).decode(Outer.self) == value)
        let data = try JSONEncoder().encode(value.inner.any)
        #expect(try JSONDecoder().decode(JSONValue.self, from: data) == value.inner.any)
    }

    @Test("Codable errors name the place")
    func codableErrors() throws {
        struct Point: Decodable { var x: Int }
        let tree: JSONValue = ["points": [["x": 1], ["x": "one"]]]
        #expect {
            try tree.decode([String: [Point]].self)
        } throws: { error in
            guard case DecodingError.typeMismatch(_, let context)? = error as? DecodingError else { return false }
            return context.codingPath.map(\.stringValue) == ["points", "index 1", "x"]
        }
        #expect(throws: DecodingError.self) { try JSONValue.object([:]).decode(Point.self) }
        #expect(throws: DecodingError.self) { try JSONValue(parsing: "1e400").decode(Int.self) }
    }

    @Test("ten megabytes of text arrive whole")
    func large() throws {
        let text = String(repeating: "0123456789\n", count: 1_000_000)
        #expect(try RawJSON(encoding: text).decode(String.self) == text)
    }
}
