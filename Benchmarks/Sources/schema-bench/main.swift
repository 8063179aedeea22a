import Foundation
import MCPHost
import MCPJSONSchema

/// How long a check of a value against its schema takes. Cases come on standard input, from schema-inputs.py.
let cases = try JSONValue(parsing: FileHandle.standardInput.readDataToEndOfFile()).array ?? []
for item in cases {
    let schema = try JSONSchema(item["schema"] ?? .null)
    let value = item["value"] ?? .null
    precondition(schema.accepts(value))
    let clock = ContinuousClock()
    let start = clock.now
    var count = 0
    while clock.now - start < .seconds(1) {
        _ = schema.accepts(value)
        count += 1
    }
    let time = (clock.now - start) / count
    let microseconds = Double(time.components.attoseconds) / 1e12
    print("JSONSchema: \(item["name"]?.string ?? ""): \(String(format: "%.1f", microseconds)) us")
}
