import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

@Suite("The control channel", .timeLimit(.minutes(5)))
struct ControlTests {
    private static func zoo(_ arguments: String...) -> JSONValue {
        ["command": .string(ScriptedServer.path), "args": .array(arguments.map { .string($0) })]
    }

    @Test("every method that is documented is there, and no other is documented")
    func methods() async throws {
        #expect(ControlClient.methods.count == 24)
        _ = try await ControlClient.with { client in
            for method in ControlClient.methods {
                client.send("{\"jsonrpc\":\"2.0\",\"id\":\"\(method)\",\"method\":\"\(method)\"}\n")
                let message = await client.message("the answer to \(method)") { $0["id"]?.string == method }
                #expect(message["error"]?["code"] != -32601, "\(method): \(message)")
            }
            for method in ["", "shutdown", "tools", "initialize"] {
                #expect(await client.kind(method) == "notSupported")
            }
        }
    }

    @Test("hosts and servers: started, added, removed, restarted, killed, waited for, told of, closed")
    func lifetimes() async throws {
        let reports = try await ControlClient.with { client in
            #expect(try await client.call("hello", ["protocol": 1])["protocol"] == 1)
            #expect(await client.kind("hello", ["protocol": 2]) == "notSupported")
            #expect(await client.kind("servers/list") == "notFound")
            let started = try await client.call(
                "hosts/start",
                ["configuration": ["good": Self.zoo(), "dead": Self.zoo("--exit", "7")]]
            )
            let servers = started["servers"]?.array ?? []
            #expect(servers.map { $0["status"] } == ["ready", "failed"])
            #expect(servers.last?["failure"]?["exitStatus"] == "exit status 7", "\(servers)")
            let added = try await client.call("servers/add", ["server": "more", "definition": Self.zoo()])
            #expect(added["status"] == "ready" && added["pid"]?.int64 != nil)
            #expect(
                await client.kind("servers/add", ["server": "more", "definition": Self.zoo()]) == "invalidConfiguration"
            )
            #expect(
                await client.kind("servers/add", ["server": "x", "definition": ["url": "https://x"]]) == "notSupported"
            )
            #expect(
                await client.kind("servers/add", ["server": "x", "definition": ["comand": "y"]])
                    == "invalidConfiguration"
            )
            #expect(
                await client.kind("servers/add", ["server": "x", "definition": Self.zoo("--exit", "3")])
                    == "connectionLost"
            )
            let removed = try await client.call("servers/remove", ["server": "more"])
            #expect(removed["server"]?["processesLeft"] == [])
            #expect(await client.kind("servers/remove", ["server": "more"]) == "notFound")
            let again = try await client.call("servers/restart", ["server": "good"])
            try await client.call("servers/kill", ["server": "good"])
            let back = try await client.call("servers/wait", ["server": "good", "status": "ready", "timeout": 60])
            #expect(Set([servers.first?["pid"], again["pid"], back["pid"]]).count == 3)
            #expect(await client.kind("servers/kill", ["server": "dead"]) == "notFound")
            #expect(
                await client.kind("servers/wait", ["server": "dead", "status": "ready", "timeout": 0]) == "timeout"
            )
            let happy: JSONObject = ["server": "dead", "status": "happy"]
            #expect(await client.kind("servers/wait", happy, isValid: false) == "invalidArguments")
            let processes = try await client.call("processes")
            let running = processes["servers"]?.array?.first?["processes"]?.array ?? []
            #expect(running.map { $0["pid"] } == [back["pid"]])
            #expect(running.first?["command"]?.string?.hasPrefix(ScriptedServer.path) == true, "\(running)")
            let events = try await client.call("events")["events"]?.array ?? []
            #expect(events.contains { $0["event"] == "restarting" && $0["server"] == "good" })
            let since = events.last?["number"]?.int64 ?? 0
            #expect(try await client.call("events", ["since": .number(JSONNumber(since))])["events"] == [])
            let why = try await client.call("why", ["server": "dead"])
            #expect(why["events"]?.array?.contains { $0["server"] == "good" } == false)
            #expect(await client.kind("why", ["server": "nobody"]) == "notFound")
            #expect(try await client.call("accounts")["processes"] == 1)
            // Two ways to write one name.
            let twins: JSONObject = ["configuration": ["\u{E9}": Self.zoo(), "e\u{301}": Self.zoo()]]
            #expect(await client.kind("hosts/start", twins) == "invalidConfiguration")
            let second = try await client.call("hosts/start")
            #expect(await client.kind("servers/list") == "invalidArguments", "which of the two")
            #expect(try await client.call("hosts/list")["hosts"]?.array?.count == 2)
            let report = try await client.call("hosts/shutdown", ["host": second["host"] ?? .null])
            #expect(report["clean"] == true)
            #expect(try await client.call("hosts/shutdown", ["host": second["host"] ?? .null]) == report)
            #expect(await client.kind("accounts", ["host": second["host"] ?? .null]) == "notFound")
        }
        #expect(reports.isEmpty, "nothing is left of any host: \(reports)")
    }

    @Test(
        "tools, resources and prompts: results as the protocol has them, errors with their kind, progress, cancellation"
    )
    func calls() async throws {
        let demo: JSONValue = ["command": .string(HostProgram.path), "args": ["demo-server"]]
        _ = try await ControlClient.with { client in
            try await client.call("hosts/start", ["configuration": ["demo": demo, "zoo": Self.zoo()]])
            let result = try await client.call(
                "tools/call",
                ["server": "demo", "name": "add", "arguments": ["a": 1, "b": 2]]
            )
            #expect(result["isError"] == false && result["content"]?.array?.first?["text"] == "3", "\(result)")
            let named = try await client.call("tools/call", ["name": "demo__echo", "arguments": ["text": "x"]])
            #expect(named["content"]?.array?.first?["text"] == "x")
            #expect(
                await client.kind("tools/call", ["server": "demo", "name": "add", "arguments": ["a": "x"]])
                    == "invalidArguments"
            )
            #expect(await client.kind("tools/call", ["server": "demo", "name": "none"]) == "serverError")
            let tools = try await client.call("tools/list", ["server": "demo"])["tools"]?.array ?? []
            #expect(tools.contains { $0["name"] == "demo__echo" } && !tools.contains { $0["server"] == "zoo" })
            #expect(try await client.call("resources/list")["failures"] == [])
            let about = try await client.call("resources/read", ["server": "demo", "uri": "demo://about"])
            #expect(about["contents"]?.array?.first?["text"]?.string?.contains("demo server") == true)
            #expect(await client.kind("resources/read", ["server": "demo", "uri": "demo://no"]) == "serverError")
            let prompt = try await client.call(
                "prompts/get",
                ["server": "demo", "name": "summarise", "arguments": ["text": "abc"]]
            )
            #expect(prompt["messages"]?.array?.isEmpty == false)
            let slow = client.begin("tools/call", ["server": "zoo", "name": "hang"])
            client.send("{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\(slow)}}\n")
            let cancelled = await client.answer(slow, "tools/call")
            #expect(cancelled["error"]?["data"]?["kind"] == "cancelled")
            #expect(await client.kind("tools/call", ["server": "zoo", "name": "hang", "timeout": 0.05]) == "timeout")
        }
    }

    @Test("what servers ask is asked of the client; what it does not answer is offered to none")
    func questions() async throws {
        let demo: JSONValue = ["command": .string(HostProgram.path), "args": ["demo-server"]]
        _ = try await ControlClient.with { client in
            let host = try await client.call(
                "hosts/start",
                ["configuration": ["demo": demo], "answers": ["form", "url", "sampling", "roots"]]
            )
            let call = client.begin("tools/call", ["server": "demo", "name": "greet"])
            let question = await client.message("the question") { $0["method"] == "elicitation/create" }
            ControlClient.check(question["params"] ?? .null, "elicitation/create.question")
            #expect(question["params"]?["host"] == host["host"] && question["params"]?["server"] == "demo")
            let id = question["id"]?.description ?? ""
            client.send(#"{"jsonrpc":"2.0","id":\#(id),"result":{"action":"accept","content":{"name":"Ann"}}}"# + "\n")
            let greeted = await client.answer(call, "tools/call")
            #expect(greeted["result"]?["content"]?.array?.first?["text"] == "Hello, Ann!", "\(greeted)")
            // A question of a call that is taken back needs no answer any more.
            let other = client.begin("tools/call", ["server": "demo", "name": "greet"])
            let second = await client.message("another question") {
                $0["method"] == "elicitation/create" && $0["id"] != question["id"]
            }
            client.send("{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\(other)}}\n")
            let taken = await client.message("its cancellation") { $0["method"] == "cancel" }
            #expect(taken["params"]?["id"] == second["id"])
            #expect(await client.answer(other, "tools/call")["error"]?["data"]?["kind"] == "cancelled")
            #expect(await client.kind("hosts/start", ["configuration": [:], "answers": []]) == nil)
        }
        _ = try await ControlClient.with { client in
            try await client.call("hosts/start", ["configuration": ["demo": demo]])
            #expect(try await client.call("tools/call", ["server": "demo", "name": "greet"])["isError"] != nil)
            #expect(!client.received.contains { $0["method"] == "elicitation/create" })
        }
    }

    @Test("events come as they happen, until the request is taken back")
    func follow() async throws {
        _ = try await ControlClient.with { client in
            try await client.call("hosts/start")
            let following = client.begin("events", ["follow": true])
            #expect(await client.kind("events", ["since": -1], isValid: false) == "invalidArguments")
            try await client.call("servers/add", ["server": "one", "definition": Self.zoo()])
            let event = await client.message("the server's start") {
                $0["method"] == "event" && $0["params"]?["event"]?["event"] == "ready"
            }
            ControlClient.check(event["params"] ?? .null, "event.notification")
            #expect(event["params"]?["id"]?.int64 == following && event["params"]?["dropped"] == 0)
            client.send("{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\(following)}}\n")
            _ = await client.answer(following, "events")
        }
    }

    @Test("lines that are no requests are answered, and nothing else happens")
    func odd() async throws {
        _ = try await ControlClient.with { client in
            for (line, code, id) in [
                ("nonsense", -32700, JSONValue.null), ("[]", -32600, .null), ("{}", -32600, .null),
                (#"{"jsonrpc":"1.0","id":"a","method":"hello"}"#, -32600, "a"),
                (#"{"id":"b","method":"hello"}"#, -32600, "b"),
                (#"{"jsonrpc":"2.0","id":"c","method":"hello","params":[]}"#, -32602, "c"),
                (#"{"jsonrpc":"2.0","id":"d","method":"hosts/start","params":{"configuration":3}}"#, -32602, "d"),
                (#"{"jsonrpc":"2.0","id":"e","method":"hello","params":{"protocol":"x"}}"#, -32602, "e"),
                (#"{"jsonrpc":"2.0","id":"f","method":"servers/add","params":{"server":"x"}}"#, -32000, "f"),
            ] as [(String, Int64, JSONValue)] {
                let isIt: @Sendable (JSONValue) -> Bool = { $0["id"] == id && $0["error"]?["code"]?.int64 == code }
                let before = client.received.count(where: isIt)
                client.send(line + "\n")
                let answers = await client.messages("an answer to \(line)") { $0.count(where: isIt) > before }
                ControlClient.check(answers.last(where: isIt)?["error"] ?? .null, "error")
            }
            client.send(
                "\n{\"jsonrpc\":\"2.0\",\"method\":\"whatever\"}\n{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":{}}\n"
            )
            client.send(#"{"jsonrpc":"2.0","id":"n","method":"hello","params":null}"# + "\n")
            #expect(await client.message("parameters that are null") { $0["id"] == "n" }["result"]?["protocol"] == 1)
            client.send(#"{"jsonrpc":"2.0","id":"é\u0000","method":"hello"}"# + "\n")
            #expect(await client.message("a strange id") { $0["id"] == "é\u{0}" }["result"]?["protocol"] == 1)
            try await client.call("hosts/start", ["configuration": ["zoo": Self.zoo()]])
            client.send(
                #"{"jsonrpc":"2.0","id":"s","method":"tools/call","params":{"server":"zoo","name":"hang"}}"# + "\n"
            )
            client.send(#"{"jsonrpc":"2.0","id":"s","method":"accounts"}"# + "\n")
            let twice = await client.message("the refusal of an id that is in use") {
                $0["error"]?["data"]?["id"] == "s"
            }
            #expect(twice["id"] == .null && twice["error"]?["data"]?["kind"] == "busy")
        }
    }

    @Test("a client that ends in the middle of a line has said nothing with it; what it had opened is closed")
    func halfLine() async throws {
        let reports = try await ControlClient.with { client in
            try await client.call(
                "hosts/start",
                ["configuration": ["one": Self.zoo(), "deaf": Self.zoo("--ignore-eof")]]
            )
            client.begin("tools/call", ["server": "one", "name": "hang"])
            client.send(#"{"jsonrpc":"2.0","id":99,"method":"hosts/st"#)
        }
        #expect(reports.isEmpty, "\(reports)")
    }

    @Test("a client that floods and never reads is bounded, and nothing of it is left")
    func neverReads() async throws {
        let reports = try await ControlClient.with(isDeaf: true) { client in
            client.send(
                #"{"jsonrpc":"2.0","id":1,"method":"hosts/start","params":{"configuration":{"one":{"command":"\#(ScriptedServer.path)"}}}}"#
                    + "\n"
            )
            // Until nobody takes any more of it: its answers fill the pipe, and what may wait behind that.
            client.setNonblocking()
            var sent = 0
            let line = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"\(String(repeating: "x", count: 90))\"}\n"
            while sent < 64 << 20, await client.offer(line) { sent += line.utf8.count }
            #expect(sent < 64 << 20, "all of it was taken")
        }
        #expect(reports.isEmpty, "\(reports)")
    }
}
