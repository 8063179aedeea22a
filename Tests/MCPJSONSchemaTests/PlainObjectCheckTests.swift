import MCPJSON
import TestSupport
import Testing

@testable import MCPJSONSchema

/// A quick yes is a yes.
@Suite("JSON Schema: what is decided from the text alone", .timeLimit(.minutes(5)))
struct PlainObjectCheckTests {
    private func schema(_ text: String) throws -> JSONSchema { try JSONSchema(try JSONValue(parsing: text)) }

    @Test(
        "arguments of a plain tool are accepted without a tree",
        arguments: [
            #"{"a":"x"}"#, #" { "a" : "" , "n":1, "i":-7,"b":true,"z":null,"m":1.5} "#, #"{"a":"x","a":"y"}"#,
            #"{"a":"x","other":1e400,"more":"é"}"#,
        ]
    )
    func accepted(text: String) throws {
        let schema = try self.schema(
            #"""
            {"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","title":"T","required":["a"],
             "properties":{"a":{"type":"string","description":"d"},"n":{"type":"number"},"i":{"type":"integer"},"b":{"type":"boolean"},
                           "z":{"type":["null","string"]},"m":{}}}
            """#
        )
        #expect(schema.certainlyAccepts(RawJSON(copying: text)))
        #expect(schema.accepts(try JSONValue(parsing: text)))
    }

    @Test(
        "what is not certain is left to a proper check: other keywords, escapes, containers",
        arguments: [
            (#"{"type":"object","properties":{"a":{"type":"string","maxLength":3}}}"#, #"{"a":"x"}"#),
            (#"{"type":"object","properties":{"a":{"enum":["x"]}}}"#, #"{"a":"x"}"#),
            (#"{"type":"object","minProperties":1}"#, #"{"a":"x"}"#), (#"{"properties":{}}"#, "{}"),
            (#"{"type":["object"]}"#, "{}"), (#"{"type":"object","additionalProperties":{"type":"string"}}"#, "{}"),
            (#"{"type":"object","properties":{"a":false}}"#, "{}"),
            (#"{"type":"object","properties":{"é":{"type":"string"}}}"#, "{}"),
            (#"{"type":"object","required":["b"]}"#, #"{"b":1}"#),
            (#"{"type":"object"}"#, #"{"a":"\u0041"}"#), (#"{"type":"object"}"#, #"{"a":"\q"}"#),
            (#"{"type":"object"}"#, #"{"a":[]}"#), (#"{"type":"object"}"#, #"{"\u0061":1}"#),
            (#"{"type":"object"}"#, "[]"), (#"{"type":"object"}"#, "{} x"), (#"{"type":"object"}"#, #"{"a":01}"#),
            (#"{"type":"object"}"#, #"{"a":1"#), (#"{"type":"object"}"#, ""),
            (#"{"type":"object","additionalProperties":false,"properties":{"a":{}}}"#, #"{"b":1}"#),
            (#"{"type":"object","properties":{"a":{"type":"integer"}}}"#, #"{"a":1.5}"#),
            (#"{"type":"object","properties":{"a":{"type":"integer"}}}"#, #"{"a":1,"a":"x"}"#),
            (#"{"type":"object","required":["a"],"properties":{"a":{}}}"#, "{}"),
        ]
    )
    func uncertain(schema: String, text: String) throws {
        #expect(try !self.schema(schema).certainlyAccepts(RawJSON(copying: text)))
    }

    @Test("100 000 random arguments: what is accepted from the text is accepted by the schema")
    func random() throws {
        var random = Seeded(state: 7)
        let types = ["string", "number", "integer", "boolean", "null", "array", "object"]
        let values = [#""x""#, "1", "1.5", "true", "null", "[]", "{}", #""\n""#, "-0", "1e2", "9007199254740993"]
        let names = ["a", "b", "c", "d", "\\u0061"]
        var quick = 0
        for _ in 0..<1000 {
            let properties = names.prefix(4).filter { _ in Bool.random(using: &random) }.map { name in
                Bool.random(using: &random)
                    ? "\"\(name)\":{\"type\":\"\(types[Int.random(in: 0..<7, using: &random)])\"}"
                    : "\"\(name)\":{\"type\":[\"\(types[Int.random(in: 0..<7, using: &random)])\",\"string\"]}"
            }
            let required = names.prefix(4).filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
            let schema = try self.schema(
                "{\"type\":\"object\",\"properties\":{\(properties.joined(separator: ","))},"
                    + "\"required\":[\(required.map { "\"\($0)\"" }.joined(separator: ","))],"
                    + "\"additionalProperties\":\(Bool.random(using: &random))}"
            )
            for _ in 0..<100 {
                let members = names.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }.map {
                    "\"\($0)\":\(values[Int.random(in: 0..<values.count, using: &random)])"
                }
                let text = "{\(members.joined(separator: ","))}"
                guard schema.certainlyAccepts(RawJSON(copying: text)) else { continue }
                quick += 1
                #expect(schema.accepts(try JSONValue(parsing: text)), "\(text)")
            }
        }
        #expect(quick > 1000, "\(quick)")
    }
}
