import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// Messages that a careless or a hostile client may send: those of docs/control.md, with something of each changed.
@Suite("The control channel: fuzzed", .timeLimit(.minutes(60)))
struct ControlFuzzTests {
    /// One of each, as it should be.
    private static let messages: [JSONValue] = [
        ["method": "hello", "params": ["protocol": 1]],
        [
            "method": "hosts/start",
            "params": [
                "configuration": [
                    "a": ["command": "x", "args": ["y", "${HOME}"], "env": ["A": "b"], "era": "legacy"]
                ],
                "directory": "/tmp", "answers": ["form", "url", "sampling", "roots"],
            ],
        ],
        ["method": "hosts/start", "params": ["file": "/nowhere/mcp.json"]],
        ["method": "hosts/shutdown", "params": ["host": "run", "now": true]], ["method": "hosts/list"],
        ["method": "servers/list", "params": ["host": "run"]],
        ["method": "servers/add", "params": ["server": "b", "definition": ["command": "x"], "answers": ["form"]]],
        ["method": "servers/remove", "params": ["server": "zoo"]],
        ["method": "servers/restart", "params": ["server": "zoo"]],
        ["method": "servers/kill", "params": ["server": "zoo"]],
        ["method": "servers/wait", "params": ["server": "zoo", "status": "failed", "timeout": 1e-3]],
        ["method": "tools/list", "params": ["server": "zoo"]], ["method": "resources/list"],
        ["method": "resources/templates/list"], ["method": "prompts/list"],
        [
            "method": "tools/call",
            "params": [
                "server": "zoo", "name": "hang", "arguments": ["a": [1, 2.5, "x"]], "timeout": 2, "progress": true,
                "caller": "c",
            ],
        ],
        ["method": "resources/read", "params": ["server": "zoo", "uri": "zoo://a", "timeout": 2]],
        ["method": "prompts/get", "params": ["server": "zoo", "name": "p", "arguments": ["a": "b"]]],
        [
            "method": "complete",
            "params": [
                "server": "zoo",
                "params": ["ref": ["type": "ref/prompt", "name": "p"], "argument": ["name": "a", "value": "b"]],
            ],
        ],
        ["method": "forward", "params": ["server": "zoo", "method": "ping", "params": [:]]],
        ["method": "events", "params": ["since": 2, "follow": true]], ["method": "why", "params": ["server": "zoo"]],
        ["method": "stderr", "params": ["server": "zoo"]], ["method": "accounts"], ["method": "processes"],
    ]

    /// What nobody expects anywhere.
    private static let odd: [JSONValue] = [
        .null, true, false, 0, -1, 1e300, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808, "", "zoo", "run",
        "\u{0}", "\u{FEFF}é\u{301}",
        .string(String(repeating: "x", count: 70_000)), [], [:], [[[[[[[["deep"]]]]]]]], ["a": ["a": ["a": [:]]]],
        [.null],
    ]

    private static func odd(_ random: inout Seeded) -> JSONValue {
        self.odd[Int.random(in: 0..<self.odd.count, using: &random)]
    }

    /// Something of it is something else, is missing, or is more.
    private static func changed(_ value: JSONValue, _ random: inout Seeded) -> JSONValue {
        if Int.random(in: 0..<4, using: &random) == 0 { return self.odd(&random) }
        if var members = value.object, !members.isEmpty {
            let keys = Array(members.keys)
            let key = keys[Int.random(in: 0..<keys.count, using: &random)]
            switch Int.random(in: 0..<6, using: &random) {
            case 0: members[key] = nil
            case 1: members["more"] = self.odd(&random)
            default: members[key] = members[key].map { self.changed($0, &random) }
            }
            return .object(members)
        }
        if var elements = value.array, !elements.isEmpty {
            let place = Int.random(in: 0..<elements.count, using: &random)
            elements[place] = self.changed(elements[place], &random)
            return .array(elements)
        }
        return self.odd(&random)
    }

    private struct Line: Sendable {
        var id: Int64
        var bytes: [UInt8]
        /// It is a request, whatever is wrong with it: it has to be answered.
        var isRequest: Bool

        var text: String { String(String(decoding: self.bytes, as: UTF8.self).prefix(300)) }
    }

    private static func line(_ id: Int64, _ random: inout Seeded) -> Line {
        var message = self.messages[Int.random(in: 0..<self.messages.count, using: &random)].object ?? JSONObject()
        message["jsonrpc"] = "2.0"
        let params = message["params"] ?? [:]
        let isRequest = Int.random(in: 0..<4, using: &random) > 0
        guard !isRequest else {
            message["id"] = .number(JSONNumber(id))
            if case .object(let changed) = self.changed(params, &random) { message["params"] = .object(changed) }
            if Int.random(in: 0..<10, using: &random) == 0 { message["method"] = "tools/\u{1F600}" }
            return Line(id: id, bytes: Array(JSONValue.object(message).description.utf8), isRequest: true)
        }
        // Anything about it may be wrong, also that it is JSON.
        message["id"] = .string("b\(id)")
        var bytes = Array(self.changed(.object(message), &random).description.utf8)
        for _ in 0..<Int.random(in: 0..<3, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes.remove(at: place)
            case 1: bytes[place] = UInt8.random(in: 11...255, using: &random)
            default: bytes.insert(contentsOf: bytes[..<place].suffix(20), at: place)
            }
        }
        return Line(id: id, bytes: bytes, isRequest: false)
    }

    @Test("whatever comes, each request has one answer, and the next is read")
    func anything() async throws {
        // Scripts/prove.sh wants more of them.
        let environment = ProcessInfo.processInfo.environment
        let count = environment["MCP_FUZZ_MESSAGES"].flatMap { Int($0) } ?? 2000
        let seed = environment["MCP_SEED"].flatMap { UInt64($0) } ?? 20_261_201
        var random = Seeded(state: seed)
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ServerDefinition(name: "zoo", command: ScriptedServer.path)])
        )
        for first in stride(from: 0, to: count, by: 100) {
            let lines = (0..<min(100, count - first)).map { Self.line(7_000_000_000 + Int64($0), &random) }
            let received = Locked<ControlClient?>(nil)
            // Nothing is started here: who knows what a changed command is.
            let reports = try await ControlClient.with(shared: ["run": host], maximumHosts: 0) { client in
                for line in lines {
                    client.send(line.bytes + [0x0A])
                    let id: JSONValue = line.isRequest ? .number(JSONNumber(line.id)) : .string("b\(line.id)")
                    client.send("{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\(id)}}\n")
                }
                for line in lines where line.isRequest {
                    _ = await client.message("the answer to \(line.text), seed \(seed)") {
                        $0["id"]?.int64 == line.id && $0["method"] == nil
                    }
                }
                // Under an id that no changed message comes to by accident.
                client.send(#"{"jsonrpc":"2.0","id":"the last of all","method":"hello"}"# + "\n")
                let hello = await client.message("the answer to hello, seed \(seed)") { $0["id"] == "the last of all" }
                #expect(hello["result"]?["protocol"] == 1)
                received.withLock { $0 = client }
            }
            // At the end, when nothing more can come.
            let answers = (received.withLock { $0 }?.received ?? []).filter { $0["method"] == nil }
            for line in lines where line.isRequest {
                #expect(answers.count { $0["id"]?.int64 == line.id } == 1, "\(line.text)")
            }
            #expect(answers.compactMap { $0["error"] }.allSatisfy { $0["data"]?["kind"]?.string != nil })
            #expect(reports.isEmpty)
        }
        let report = await host.shutdown()
        #expect(report.isClean, "seed \(seed): \(report)")
    }
}
