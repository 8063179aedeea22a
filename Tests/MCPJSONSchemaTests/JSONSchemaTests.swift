import MCPJSON
import Testing

@testable import MCPJSONSchema

@Suite("JSON Schema: messages and bounds", .timeLimit(.minutes(5)))
struct JSONSchemaTests {
    private func schema(_ text: String, _ change: (inout JSONSchema.Options) -> Void = { _ in }) throws -> JSONSchema {
        var options = JSONSchema.Options()
        change(&options)
        return try JSONSchema(try JSONValue(parsing: text), options: options)
    }

    @Test("a violation names the place in the value, the place in the schema, and what is wrong")
    func messages() throws {
        let schema = try self.schema(
            #"""
            {"type":"object","required":["a"],"additionalProperties":false,
             "properties":{"a":{"type":"integer","maximum":5},"b/c":{"items":{"enum":["x","y"]}},"d":{"anyOf":[{"type":"string"},{"minimum":3}]},
                           "e":{"$ref":"#/$defs/e"}},
             "$defs":{"e":{"pattern":"^x+$"}}}
            """#
        )
        let value = try JSONValue(parsing: #"{"a":7,"b/c":["x","z"],"d":1,"e":"y","f":1}"#)
        #expect(
            schema.violations(in: value).map(\.description) == [
                "/a: 7 is more than 5 (#/properties/a/maximum)",
                #"/b~1c/1: "z" is none of ["x","y"] (#/properties/b~1c/items/enum)"#,
                "/d: fits none of 2 schemas: expected string, found number; 1 is less than 3 (#/properties/d/anyOf)",
                #"/e: "y" does not match "^x+$" (#/$defs/e/pattern)"#,
                "(root): unexpected property \"f\" (#/additionalProperties)",
            ]
        )
        #expect(schema.violations(in: JSONObject().asValue).map(\.message) == ["property \"a\" is missing"])
        #expect(schema.violations(in: value, limit: 2).count == 2)
    }

    @Test(
        "SCH-05 SCH-07 SCH-08 SCH-10 a schema that cannot be right says where and what; nothing is fetched",
        arguments: [
            (#"{"properties":{"a":{"type":"strng"}}}"#, #"#/properties/a/type: unknown type "strng""#),
            (#"{"$ref":"https://example.com/other"}"#, "nothing is fetched"),
            (##"{"$ref":"#/$defs/none"}"##, "is not in this schema"),
            (#"{"items":[{}]}"#, "prefixItems"),
            (#"{"pattern":"(a"}"#, "a group is not closed"),
            (#"{"pattern":"(a)\\1"}"#, "back references are not supported"),
            (#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#, "is not supported"),
            (#"{"minLength":-1}"#, "expected a count"),
            (#"{"allOf":7}"#, "expected a list of schemas"),
            (#"{"properties":{"a":7}}"#, "a schema is an object"),
            ("7", "a schema is an object"),
        ]
    )
    func refused(text: String, reason: String) throws {
        let error = #expect(throws: JSONSchema.SchemaError.self) { try self.schema(text) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test(
        "S30 a pattern made to explode in other engines is decided at once",
        arguments: ["^(a+)+$", "^(a|aa)+$", "^(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "^(?=(a+)+$)a*b$"]
    )
    func explosive(pattern: String) throws {
        let schema = try JSONSchema(["pattern": .string(pattern)])
        let text = String(repeating: "a", count: 5000) + "!"
        let took = ContinuousClock().measure { #expect(!schema.accepts(.string(text))) }
        // What explodes takes longer than the world is old.
        #expect(took < .seconds(120))
    }

    @Test("S30 SCH-11 schemas made to run for ever end with a violation that says so")
    func endless() throws {
        for text in [
            ##"{"$ref":"#"}"##, ##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
            ##"{"anyOf":[{"$ref":"#"},{"not":{"$ref":"#"}}]}"##,
            ##"{"not":{"$ref":"#"}}"##,
        ] {
            let violations = try self.schema(text).violations(in: 1)
            #expect(violations.count == 1 && violations[0].message.contains("given up"), "\(text): \(violations)")
        }
        // Every level looks twice at the next: 2^60 without a bound.
        var doubled = #"{"$defs":{"d0":{"type":"string"}"#
        for i in 1...60 {
            doubled += ##","d\##(i)":{"anyOf":[{"$ref":"#/$defs/d\##(i - 1)"},{"$ref":"#/$defs/d\##(i - 1)"}]}"##
        }
        doubled += ##"},"$ref":"#/$defs/d60"}"##
        let took = try ContinuousClock().measure {
            let violations = try self.schema(doubled).violations(in: 1)
            #expect(violations.first?.message.contains("given up: it takes more than 2000000 steps") == true)
        }
        #expect(took < .seconds(240))
    }

    @Test("S30 a schema of a size or depth beyond all sense is refused")
    func huge() throws {
        let wide = #"{"allOf":[\#(Array(repeating: "{}", count: 60_000).joined(separator: ","))]}"#
        #expect(throws: JSONSchema.SchemaError.self) { try self.schema(wide) }
        #expect(throws: JSONSchema.SchemaError.self) { try self.schema(#"{"pattern":"((a{500}){500}){500}"}"#) }
        let nested = String(repeating: "[", count: 400) + String(repeating: "]", count: 400)
        let recursive = try self.schema(##"{"items":{"$ref":"#"}}"##)
        #expect(
            try recursive.violations(in: JSONValue(parsing: nested)).first?.message.contains("nests deeper") == true
        )
    }

    @Test(
        "S30 numbers with exponents beyond all sense are checked like any other",
        arguments: ["1e-9223372036854775808", "1e9223372036854775807", "-1e-9223372036854775808"]
    )
    func exponents(text: String) throws {
        let schema = try self.schema(#"{"type":"integer","multipleOf":0.01,"minimum":-1,"maximum":5,"enum":[3]}"#)
        #expect(!schema.accepts(try JSONValue(parsing: text)))
        #expect(throws: JSONSchema.SchemaError.self) { try self.schema(#"{"multipleOf":1e-9223372036854775808}"#) }
        #expect(throws: Never.self) { try self.schema(#"{"maximum":\#(text)}"#) }
    }

    @Test("a dialect is what $schema says, or else what the caller says")
    func dialects() throws {
        let text =
            ##"{"items":[{"type":"string"}],"definitions":{"x":{"$id":"#name","type":"null"}},"properties":{"a":{"$ref":"#name"}}}"##
        let schema = try self.schema(text) { $0.dialect = .draft07 }
        #expect(
            !schema.accepts([1]) && schema.accepts(["a", 1]) && !schema.accepts(["a": 1]) && schema.accepts(["a": nil])
        )
    }
}

extension JSONObject {
    fileprivate var asValue: JSONValue { .object(self) }

    @Test("V3 a property is the one of its schema only if the bytes of its name are the same")
    func names() throws {
        let schema = try JSONSchema([
            "properties": ["caf\u{E9}": ["type": "string"]], "additionalProperties": false,
        ])
        #expect(schema.violations(in: ["caf\u{E9}": "x"]).isEmpty)
        #expect(!schema.violations(in: ["cafe\u{301}": "x"]).isEmpty)
        let open = try JSONSchema([
            "properties": ["caf\u{E9}": true], "unevaluatedProperties": false,
        ])
        #expect(!open.violations(in: ["caf\u{E9}": 1, "cafe\u{301}": 1]).isEmpty)
    }
}
