import Testing

@testable import MCPJSON

/// What a lenient reader passes over, and how it tells of that.
@Suite("A lenient reader", .timeLimit(.minutes(5)))
struct LenienceTests {
    private struct Thing: JSONDecodable, Equatable {
        var name: String
        var size: Int?
        var parts: [Thing]?

        init(_ name: String, size: Int? = nil, parts: [Thing]? = nil) {
            (self.name, self.size, self.parts) = (name, size, parts)
        }

        init(from reader: inout JSONReader) throws(JSONError) {
            var (name, size, parts): (String?, Int?, [Thing]?)
            try reader.beginObject()
            while let key = try reader.nextKey() {
                switch key {
                case "name": name = try reader.read()
                case "size": size = try reader.readIfPresent()
                case "parts": parts = try reader.readIfPresent()
                default: try reader.skipValue()
                }
            }
            guard let name else { throw reader.missing("name") }
            self.init(name, size: size, parts: parts)
        }
    }

    private func read<T: JSONDecodable>(_ text: RawJSON, as type: T.Type = T.self) throws -> (T, [String]) {
        var problems: [JSONProblem] = []
        let value = try text.decode(T.self, problems: &problems)
        return (value, problems.map(\.description))
    }

    @Test(
        "U3 an optional member of another type counts as absent",
        arguments: [
            #""big""#, "true", "[1,2]", #"{"a":{"b":[]}}"#, "1.5", "99999999999999999999", #""\u0041""#, #"["]"]"#,
        ]
    )
    func absent(value: String) throws {
        let (thing, problems) = try self.read(RawJSON(copying: #"{"size": \#(value) , "name":"a"}"#), as: Thing.self)
        #expect(thing == Thing("a"))
        #expect(problems.count == 1 && problems[0].hasPrefix("size: expected a"), "\(problems)")
        #expect(problems[0].hasSuffix("(taken as absent)"))
    }

    @Test("U3 null for an optional member is no problem")
    func null() throws {
        let (thing, problems) = try self.read(#"{"size":null,"name":"a","parts":null}"#, as: Thing.self)
        #expect(thing == Thing("a") && problems.isEmpty)
    }

    @Test("U3 an element that cannot be understood is left out, and told with its place and its name")
    func element() throws {
        let text: RawJSON =
            #"[{"name":"good"},{"size":3},null,5,{"name":"odd","parts":[{"name":"x"},{"name":7},{}]},{"name":true}]"#
        let (things, problems) = try self.read(text, as: [Thing].self)
        #expect(things == [Thing("good"), Thing("odd", parts: [Thing("x")])])
        #expect(
            problems == [
                "[1]: name is missing (left out)",
                "[2]: expected an object, found a null (left out)",
                "[3]: expected an object, found a number (left out)",
                #"[4] "odd".parts[1]: name: expected a string, found a number (left out)"#,
                #"[4] "odd".parts[2]: name is missing (left out)"#,
                "[5]: name: expected a string, found a bool (left out)",
            ]
        )
    }

    @Test("U3 what is wrong inside of what is left out anyway is told once, with the cause")
    func cause() throws {
        let text: RawJSON = #"{"name":"a","parts":[{"name":"b","size":"x","parts":[1,{"name":[]}],"name":4}]}"#
        let (thing, problems) = try self.read(text, as: Thing.self)
        #expect(thing == Thing("a", parts: []))
        #expect(problems == [#"parts[0] "b": name: expected a string, found a number (left out)"#])
    }

    @Test("U3 an empty list stands for an empty object, as PHP writes it, and no other list does")
    func php() throws {
        let (object, problems) = try self.read(#"[ ]"#, as: JSONObject.self)
        #expect(object.isEmpty && problems == ["expected an object, found a list (taken as empty)"])
        let (objects, nested) = try self.read(#"[[],{"a":1},[1],[[]]]"#, as: [JSONObject].self)
        #expect(objects.count == 2 && objects[0].isEmpty && objects[1]["a"] == 1)
        #expect(nested.count == 3 && nested[1].hasPrefix("[2]: expected an object, found an array"))
        #expect(throws: JSONError.self) { try RawJSON("[]").decode(JSONObject.self) }
    }

    @Test(
        "C13 what is no JSON is refused as ever, and so is what is too deep",
        arguments: [
            #"{"size":tru,"name":"a"}"#, #"{"size":"x,"name":"a"}"#, #"{"size":[1,"name":"a"}"#, #"{"name":"a"} x"#,
            #"{"size":1 "name":"a"}"#, "", "{", #"{"name":"a","parts":["#,
        ]
    )
    func syntax(text: String) {
        #expect(throws: JSONError.self) { try self.read(RawJSON(copying: text), as: Thing.self) }
    }

    @Test("U3 what is wrong at the top has no place to be left out of")
    func top() {
        var problems: [JSONProblem] = []
        let text: RawJSON = #"{"size":3}"#
        do throws(JSONError) {
            _ = try text.decode(Thing.self, problems: &problems)
            Issue.record("read")
        } catch {
            #expect(error.code == .missingMember && text.explanation(of: error) == "name is missing")
        }
        let deep: RawJSON = #"{"a":[{"name":"x"},{"name":"y","b":{}}]}"#
        let error = JSONError(code: .typeMismatch, message: "m", offset: 35)
        #expect(deep.explanation(of: error) == #"a[1] "y".b: m"#)
    }

    @Test("U3 a hundred problems are told, the others counted; a strict reader passes over nothing")
    func many() throws {
        let text = RawJSON(copying: "[" + Array(repeating: "1", count: 1000).joined(separator: ",") + "]")
        let (things, problems) = try self.read(text, as: [Thing].self)
        #expect(things.isEmpty && problems.count == 101 && problems[100].contains("900 more"))
        #expect(throws: JSONError.self) { try text.decode([Thing].self) }
    }

    @Test("C17 places are found in texts as deep as may be read, and beyond no stack is used up")
    func deep() throws {
        let depth = 500
        let text =
            String(repeating: #"{"name":"a","parts":["#, count: depth / 2) + "1"
            + String(repeating: "]}", count: depth / 2)
        let (_, problems) = try self.read(RawJSON(copying: text), as: Thing.self)
        #expect(problems.count == 1 && problems[0].hasPrefix(#"parts[0] "a".parts[0] "a".parts"#))
        #expect(problems[0].hasSuffix("…: expected an object, found a number (left out)"))
    }

    @Test("U3 what is no JSON is found once, however deep it stands; of too many findings nothing is read")
    func bounded() throws {
        // Reading a part again for each level it stands in would take 2^60 steps.
        let depth = 60
        let wrong =
            String(repeating: #"{"name":"a","parts":["#, count: depth) + "01" + String(repeating: "]}", count: depth)
        #expect(throws: JSONError.self) { try self.read(RawJSON(copying: wrong), as: Thing.self) }
        let many = "[" + Array(repeating: "1", count: 3000).joined(separator: ",") + "]"
        let error = #expect(throws: JSONError.self) { try self.read(RawJSON(copying: many), as: [Thing].self) }
        #expect(error?.code == .tooLarge)
    }
}
