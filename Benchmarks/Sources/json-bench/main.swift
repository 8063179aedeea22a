// Reads and scans protocol messages, beside Foundation's JSONDecoder, in one run. Prints ratios.
import Foundation
import MCPHost

// MARK: Messages

func toolsList(count: Int) -> String {
    let tools = (0..<count).map { i in
        """
        {"name":"tool_\(i)","title":"Tool number \(i)","description":"Looks something up in the register of things, number \(i), and \
        returns what it finds there. Use it when the user asks for \\"things\\" by name or by number; do not use it for people.",\
        "inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"What to look for, in plain words"},\
        "limit":{"type":"integer","minimum":1,"maximum":100,"default":10,"description":"How many results to return at most"},\
        "tags":{"type":"array","items":{"type":"string","enum":["red","green","blue"]},"uniqueItems":true},\
        "exact":{"type":"boolean","default":false}},"required":["query"],"additionalProperties":false},\
        "annotations":{"readOnlyHint":true,"openWorldHint":false},"_meta":{"version":\(i)}}
        """
    }
    return
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"resultType\":\"complete\",\"tools\":[\(tools.joined(separator: ","))],\"ttlMs\":0}}"
}

let list = toolsList(count: 55)
// MARK: The same types for Foundation

struct FoundationResponse: Decodable {
    var id: Int
    var result: FoundationList
}
struct FoundationList: Decodable {
    var resultType: String?
    var tools: [FoundationTool]
    var nextCursor: String?
    var ttlMs: Int?
}
struct FoundationTool: Decodable {
    struct Annotations: Decodable {
        var title: String?; var readOnlyHint, destructiveHint, idempotentHint, openWorldHint: Bool?
    }
    var name: String
    var title: String?
    var description: String?
    var inputSchema: [String: FoundationValue]
    var outputSchema: [String: FoundationValue]?
    var annotations: Annotations?
    var _meta: [String: FoundationValue]?
}
enum FoundationValue: Decodable {
    case null, bool(Bool), integer(Int), double(Double), string(String), array([FoundationValue]), object(
        [String: FoundationValue]
    )
    init(from decoder: any Decoder) throws {
        let single = try decoder.singleValueContainer()
        if single.decodeNil() {
            self = .null
        } else if let value = try? single.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? single.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? single.decode(Double.self) {
            self = .double(value)
        } else if let value = try? single.decode(String.self) {
            self = .string(value)
        } else if let value = try? single.decode([FoundationValue].self) {
            self = .array(value)
        } else {
            self = .object(try single.decode([String: FoundationValue].self))
        }
    }
}

/// The same, but with every schema read into a tree as Foundation's types above do, to compare like with like.
struct EagerTools: JSONDecodable {
    var count = 0
    init(from reader: inout JSONReader) throws(JSONError) {
        let list = try reader.read(ListToolsResult.self)
        for tool in list.tools { if case .object = try tool.inputSchema.decode(JSONValue.self) { self.count += 1 } }
    }
}

// MARK: Measuring

/// Median of seven rounds of at least 0.1 s, in bytes a second.
func rate(_ bytes: Int, _ work: () -> Int) -> Double {
    var rates: [Double] = []
    var sink = 0
    for _ in 0..<7 {
        var repeats = 0
        let start = ContinuousClock.now
        repeat {
            for _ in 0..<8 { sink &+= work() }
            repeats += 8
        } while ContinuousClock.now - start < .milliseconds(100)
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        rates.append(Double(bytes * repeats) / (Double(seconds) + Double(attoseconds) / 1e18))
    }
    precondition(sink != 0, "the work must not be optimised away")
    return rates.sorted()[3]
}

func show(_ name: String, _ ours: Double, against other: Double? = nil) {
    let label = name.padding(toLength: 52, withPad: " ", startingAt: 0)
    let own = String(format: "%9.1f MB/s", ours / 1e6)
    let ratio = other.map { String(format: "   Foundation %7.1f MB/s   ratio %5.1f", $0 / 1e6, ours / $0) } ?? ""
    print("\(label) \(own)\(ratio)")
}

let raw = RawJSON(copying: list)
if CommandLine.arguments.dropFirst().first == "tree" {
    // For a profiler, with nothing else in the picture.
    show("tools/list, into a tree", rate(raw.count) { (try? raw.decode(JSONValue.self)).map { _ in 1 } ?? 0 })
    exit(0)
}
print("JSON, one run, medians of 7")
guard let typed = try? raw.decode(JSONRPCResultResponse<ListToolsResult>.self).result else {
    fatalError("the benchmark's own message is malformed")
}
let payload = RawJSON(encoding: typed)
let data = Data(list.utf8)
let foundation = rate(data.count) {
    (try? JSONDecoder().decode(FoundationResponse.self, from: data).result.tools.count) ?? 0
}
show(
    "tools/list, typed",
    rate(payload.count) { (try? payload.decode(ListToolsResult.self).tools.count) ?? 0 },
    against: foundation
)
show(
    "tools/list, typed, every schema read into a tree",
    rate(payload.count) { (try? payload.decode(EagerTools.self).count) ?? 0 },
    against: foundation
)
let foundationTree = rate(data.count) {
    (try? JSONDecoder().decode(FoundationValue.self, from: data)).map { _ in 1 } ?? 0
}
show(
    "tools/list, into a tree",
    rate(raw.count) { (try? raw.decode(JSONValue.self)).map { _ in 1 } ?? 0 },
    against: foundationTree
)
guard let tree = try? raw.decode(JSONValue.self) else { fatalError("the benchmark's own message is malformed") }
show("tools/list, a tree, written", rate(raw.count) { RawJSON(encoding: tree).count })
show("tools/list, written", rate(payload.count) { RawJSON(encoding: typed).count })
