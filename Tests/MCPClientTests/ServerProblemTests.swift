import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient

/// What servers say that is not as the protocol has it: used as far as it can be understood, and told.
@Suite("Answers that are not as they have to be", .timeLimit(.minutes(5)))
struct ServerProblemTests {
    /// A legacy server that answers one method so.
    private static func server(_ method: String, _ result: String) -> ScriptedTransport {
        ScriptedTransport { transport, id, asked, _ in
            if ScriptedTransport.shakeHands(transport, id, asked, isModern: false) { return }
            if asked == method { transport.reply(id, result: result) } else { transport.refuse(id, code: -32601) }
        }
    }

    @Test("U3 one bad tool of fifty: the others are there, and it is told by its place and its name")
    func tools() async throws {
        let good = (0..<49).map { #"{"name":"t\#($0)","inputSchema":{"type":"object"}}"# }.joined(separator: ",")
        for (bad, isThere, problem) in [
            (#"{"name":"bad"}"#, true, #"tools[49] "bad": inputSchema is missing (the usual is assumed)"#),
            (
                #"{"name":"bad","inputSchema":null}"#, true,
                #"tools[49] "bad".inputSchema: expected an object, found null (the usual is assumed)"#
            ),
            (#"{"inputSchema":{}}"#, false, "tools[49]: name is missing (left out)"),
            ("null", false, "tools[49]: expected an object, found a null (left out)"),
            (
                #"{"name":"bad","inputSchema":{},"description":5}"#, true,
                #"tools[49] "bad".description: expected a string, found a number (taken as absent)"#
            ),
            (
                #"{"name":"bad","inputSchema":{},"annotations":{"readOnlyHint":"yes"}}"#, true,
                #"tools[49] "bad".annotations.readOnlyHint: expected true or false, found a string (taken as absent)"#
            ),
            (
                #"{"name":"bad","inputSchema":{},"icons":"x.png"}"#, true,
                #"tools[49] "bad".icons: expected an array, found a string (taken as absent)"#
            ),
        ] {
            try await withSession(Self.server("tools/list", #"{"tools":[\#(good),\#(bad)]}"#)) { session in
                for _ in 0..<2 {
                    let names = try await session.listTools(options: .fresh).map(\.name)
                    #expect(names == (0..<49).map { "t\($0)" } + (isThere ? ["bad"] : []))
                    #expect(session.problems.map(\.description) == ["tools/list: " + problem])
                }
            }
        }
    }

    @Test("U3 a list that is null, or missing, is an empty one", arguments: ["null", nil, "[]"])
    func lists(value: String?) async throws {
        for (method, member) in [
            ("tools/list", "tools"), ("resources/list", "resources"), ("prompts/list", "prompts"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            let text = value.map { #"{"\#(member)":\#($0),"nextCursor":null}"# } ?? "{}"
            try await withSession(Self.server(method, text)) { session in
                let count =
                    switch member {
                    case "tools": try await session.listTools().count
                    case "resources": try await session.listResources().count
                    case "prompts": try await session.listPrompts().count
                    default: try await session.listResourceTemplates().count
                    }
                #expect(count == 0)
                #expect(session.problems.map(\.problem.remedy) == (value == "[]" ? [] : [.empty]))
            }
        }
    }

    @Test("U3 what a call answers: a missing list, blocks without their data, members of other types")
    func results() async throws {
        let text = #"""
            {"structuredContent":{"answer":42},"_meta":[],"content":[{"type":"text"},{"type":"text","text":"hi"},7,
            {"type":"image","data":5,"mimeType":"image/png"},{"type":"of tomorrow","x":1},
            {"type":"text","text":"b","annotations":{"priority":"high","audience":"user"}}]}
            """#
        try await withSession(Self.server("tools/call", text)) { session in
            let result = try await session.callTool("t")
            #expect(result.content.count == 3 && result.content[0].text == "hi" && result.content[2].text == "b")
            #expect(
                result.problems.map(\.description) == [
                    "_meta: expected an object, found a list (taken as empty)",
                    "content[0]: text is missing (left out)",
                    "content[2]: expected an object, found a number (left out)",
                    "content[3]: data: expected a string, found a number (left out)",
                    "content[5].annotations.priority: expected a number, found a string (taken as absent)",
                    "content[5].annotations.audience: expected an array, found a string (taken as absent)",
                ]
            )
            #expect(session.problems.map(\.problem) == result.problems && session.problems[0].method == "tools/call")
        }
        try await withSession(Self.server("tools/call", #"{"structuredContent":{"answer":42}}"#)) { session in
            let result = try await session.callTool("t")
            #expect(result.content.isEmpty && result.structuredContent == ["answer": 42])
        }
    }

    @Test("U3 what decides how it goes on is not passed over: where the next page begins")
    func decisive() async throws {
        try await withSession(Self.server("tools/list", #"{"tools":[],"nextCursor":5}"#)) { session in
            await #expect {
                try await session.listTools()
            } throws: {
                "\($0)".contains("nextCursor") && "\($0)".contains("expected a string, found a number")
            }
        }
    }

    @Test("U3 problems of a later page say which")
    func pages() async throws {
        let transport = ScriptedTransport { transport, id, method, params in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
            let isFirst = params["cursor"] == nil
            transport.reply(id, result: isFirst ? #"{"tools":[],"nextCursor":"2"}"# : #"{"tools":[7]}"#)
        }
        try await withSession(transport) { session in
            let tools = try await session.listTools()
            #expect(tools.isEmpty)
            #expect(session.problems.map(\.problem.path) == ["page 2: tools[0]"])
        }
    }

    @Test("U3 problems of a list count until it has been read anew")
    func readAnew() async throws {
        let asked = Watched([JSONRPCRequestID]())
        let transport = ScriptedTransport { transport, id, method, _ in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
            if let id { asked.withLock { $0.append(id) } }
        }
        var configuration = ClientConfiguration()
        configuration.caches = false
        try await withSession(transport, configuration) { session in
            for (answer, expected) in [(#"{"tools":[7]}"#, 1), (#"{"tools":[7]}"#, 1), (#"{"tools":[]}"#, 0)] {
                let before = session.problems
                let count = asked.value.count
                async let tools = session.listTools()
                await asked.wait(for: "the list to be asked for") { $0.count > count }
                #expect(session.problems == before, "somebody else asks, and nobody knows the answer yet")
                transport.reply(asked.value.last, result: answer)
                let found = try await tools
                #expect(found.isEmpty && session.problems.count == expected)
            }
        }
    }

    @Test("U3 who reads strictly is told instead")
    func strict() async throws {
        var configuration = ClientConfiguration()
        configuration.readsStrictly = true
        let text = #"{"tools":[{"name":"a","inputSchema":{}},{"name":"b","inputSchema":{},"title":1}]}"#
        try await withSession(Self.server("tools/list", text), configuration) { session in
            await #expect {
                try await session.listTools()
            } throws: {
                "\($0)".contains(#"tools[1] "b".title: expected a string, found a number"#)
            }
            #expect(session.problems.isEmpty)
        }
    }

    @Test(
        "U3 V13 a server whose meaning is clear is spoken to, whatever it has left out",
        arguments: [
            #"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s"}}"#,
            #"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}"#,
            #"{"protocolVersion":"2025-06-18","capabilities":{"tools":[]},"serverInfo":[]}"#,
            #"{"protocolVersion":"2025-06-18","capabilities":{"tools":true},"serverInfo":"me"}"#,
            #"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":"no"},"prompts":7},"serverInfo":null}"#,
        ]
    )
    func initialize(result: String) async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "initialize" { return transport.reply(id, result: result) }
            if method == "server/discover" { transport.refuse(id, code: -32601) }
        }
        try await withSession(transport) { session in
            let server = try await session.waitUntilReady()
            #expect(server.capabilities.tools != nil && server.capabilities.prompts == nil)
            #expect(!session.problems.isEmpty && session.problems.allSatisfy { $0.method == "initialize" })
        }
    }

    @Test("V13 a bad optional member of a discovery is ignored; supported versions that say nothing mean the older way")
    func discovery() async throws {
        let discover =
            #"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":true,"instructions":[],"_meta":7}"#
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" { transport.reply(id, result: discover) }
        }
        try await withSession(transport) { session in
            let server = try await session.waitUntilReady()
            #expect(server.revision == .v2026_07_28)
            #expect(session.problems.map(\.problem.path) == ["ttlMs", "instructions", "_meta"])
        }
        for supported in ["[]", "[1,2]", #""2026-07-28""#, "{}"] {
            let transport = ScriptedTransport { transport, id, method, _ in
                if method == "server/discover" {
                    return transport.refuse(id, code: -32022, data: #"{"supported":\#(supported)}"#)
                }
                _ = ScriptedTransport.shakeHands(transport, id, method, isModern: false)
            }
            try await withSession(transport) { session in
                let server = try await session.waitUntilReady()
                #expect(server.revision == .v2025_06_18)
            }
        }
    }

    @Test("V9 progress whose token comes back as a string of the same digits is progress")
    func progressToken() async throws {
        let transport = ScriptedTransport { transport, id, method, params in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
            let token = params["_meta"]?["progressToken"]?.int64 ?? 0
            for (spelling, progress) in [("\(token)", 1), ("0\(token)", 2), ("+\(token)", 3), ("probe-\(token)", 4)] {
                transport.deliver(
                    #"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"\#(spelling)","progress":\#(progress)}}"#
                )
            }
            transport.reply(id, result: #"{"content":[]}"#)
        }
        let told = Locked<[Double]>([])
        try await withSession(transport) { session in
            let options = RequestOptions { progress in told.withLock { $0.append(progress.progress) } }
            _ = try await session.callTool("t", options: options)
        }
        #expect(told.withLock { $0 } == [1])
    }

    @Test("V11 a legacy server's hints how long a resource stays good are none", arguments: [true, false])
    func legacyHints(isModern: Bool) async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: isModern) { return }
            transport.reply(
                id,
                result: #"{"contents":[{"uri":"a:b","text":"x"}],"ttlMs":3600000,"cacheScope":"private"}"#
            )
        }
        try await withSession(transport) { session in
            for _ in 0..<3 { _ = try await session.readResource("a:b") }
        }
        #expect(transport.methods().count { $0 == "resources/read" } == (isModern ? 1 : 3))
    }

    @Test(
        "V12 what a subscription was not opened for is dropped and counted; what is inside of what it watches is told"
    )
    func strayEvents() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" {
                return transport.reply(
                    id,
                    result: #"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}"#
                )
            }
            guard method == "subscriptions/listen", let id else { return }
            let meta = #""_meta":{"io.modelcontextprotocol/subscriptionId":\#(id)}"#
            let agreed = #""notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}"#
            transport.deliver(
                #"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{\#(meta),\#(agreed)}}"#
            )
            for (method, uri) in [
                ("prompts/list_changed", ""), ("resources/updated", "file:///b"), ("resources/list_changed", ""),
                ("resources/updated", "file:///a"), ("resources/updated", "file:///a/c"), ("tools/list_changed", ""),
            ] {
                transport.deliver(
                    #"{"jsonrpc":"2.0","method":"notifications/\#(method)","params":{\#(meta),"uri":"\#(uri)"}}"#
                )
            }
        }
        try await withSession(transport) { session in
            let subscription = try await session.listen(
                to: SubscriptionFilter(toolsListChanged: true, resourceSubscriptions: ["file:///a"])
            )
            var told: [String] = []
            for await notification in subscription {
                told.append(notification.method)
                if notification.method == "notifications/tools/list_changed" { break }
            }
            let updated = "notifications/resources/updated"
            #expect(told == [updated, updated, "notifications/tools/list_changed"])
            #expect(session.droppedNotifications == 3)
        }
    }

    @Test(
        "V14 a ping during the probe waits until the era is known: a modern server is not answered",
        arguments: [true, false]
    )
    func pingDuringProbe(isModern: Bool) async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" { transport.deliver(#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#) }
            if method == "initialize" {
                // It waits for the answer to its own question first: so it must come before ours is answered.
                #expect(transport.sent.contains { $0["id"]?.string == "p" && $0["result"] != nil })
            }
            _ = ScriptedTransport.shakeHands(transport, id, method, isModern: isModern)
        }
        try await withSession(transport) { session in _ = try await session.waitUntilReady() }
        #expect(transport.sent.count { $0["id"]?.string == "p" } == (isModern ? 0 : 1))
    }

    @Test("V14 pings without end before the era is known are not all kept")
    func manyPings() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if method == "server/discover" {
                for number in 0..<1000 { transport.deliver(#"{"jsonrpc":"2.0","id":"p\#(number)","method":"ping"}"#) }
            }
            _ = ScriptedTransport.shakeHands(transport, id, method, isModern: false)
        }
        try await withSession(transport) { session in _ = try await session.waitUntilReady() }
        #expect(transport.sent.count { $0["method"] == nil } == 64)
    }

    @Test(
        "V15 an error that does not say to what, while only the probe is out, is the probe's answer",
        arguments: [#""id":null,"#, ""]
    )
    func namelessError(id: String) async throws {
        let clock = ManualClock()
        let transport = ScriptedTransport { transport, asked, method, _ in
            if method == "server/discover" {
                return transport.deliver(#"{"jsonrpc":"2.0",\#(id)"error":{"code":-32700,"message":"what?"}}"#)
            }
            _ = ScriptedTransport.shakeHands(transport, asked, method, isModern: false)
        }
        // No time passes here.
        try await withSession(transport, clock: clock) { session in
            let server = try await session.waitUntilReady()
            #expect(server.revision == .v2025_06_18)
            // Later it belongs to nobody.
            transport.deliver(#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"}}"#)
            #expect(session.broken.value == nil)
        }
    }
}

extension RequestOptions {
    /// Asks the server, whatever is known.
    fileprivate static var fresh: Self {
        var options = RequestOptions()
        options.ignoresCache = true
        return options
    }
}
