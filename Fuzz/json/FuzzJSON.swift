import MCPJSON

/// Any bytes: parsed to a value, written, parsed again: the same value, and no crash.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSON(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    guard let value = try? JSONValue(parsing: bytes) else { return 0 }
    let text = Array("\(RawJSON(encoding: value))".utf8)
    guard let again = try? JSONValue(parsing: text) else { fatalError("what was written cannot be read") }
    precondition(again == value, "what was read is not what was written")
    precondition(Array("\(RawJSON(encoding: again))".utf8) == text, "written twice, it differs")
    return 0
}
