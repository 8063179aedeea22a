import MCPJSON
import MCPJSONSchema

/// Any schema and any value, `[schema, value]`: an answer within bounds, the same answer twice, and no crash (S30).
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSchema(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = try? JSONValue(parsing: UnsafeBufferPointer(start: start, count: count)).array, input.count == 2
    else { return 0 }
    var options = JSONSchema.Options()
    options.assertsFormat = true
    options.steps = 100_000
    guard let schema = try? JSONSchema(input[0], options: options) else { return 0 }
    precondition(schema.violations(in: input[1]).isEmpty == schema.accepts(input[1]), "two answers")
    precondition(
        !schema.certainlyAccepts(RawJSON(encoding: input[1])) || schema.accepts(input[1]),
        "a text is accepted and its value is not"
    )
    return 0
}
