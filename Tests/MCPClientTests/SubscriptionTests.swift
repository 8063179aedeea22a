import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("Events, subscriptions, logging", .timeLimit(.minutes(5)))
struct SubscriptionTests {
    static let eras: [ProtocolRevision] = [.v2025_11_25, .v2026_07_28]
    private static let everything: JSONValue = [
        "tools": ["listChanged": true], "prompts": ["listChanged": true],
        "resources": ["listChanged": true, "subscribe": true], "logging": [:],
    ]

    private static func server(_ revision: ProtocolRevision, _ handlers: [String: ProtocolServer.Handler] = [:])
        -> ProtocolServer
    {
        ProtocolServer(revision, capabilities: Self.everything, handlers)
    }

    private static func name(_ event: ServerEvent?) -> String {
        switch event {
        case .toolsChanged?: "tools"
        case .promptsChanged?: "prompts"
        case .resourcesChanged?: "resources"
        case .resourceUpdated(let uri)?: uri
        case .log(let message)?: "\(message.level.rawValue) \(message.data)"
        case .elicitationCompleted(let id)?: "page \(id)"
        case .task(let state)?: "task \(state.id)"
        case .other(let other)?: other.method
        case nil: "end"
        }
    }

    @Test("changes reach every listener, in order, in both eras", arguments: eras)
    func events(revision: ProtocolRevision) async throws {
        let server = Self.server(revision)
        try await withSession(server) { session in
            let (one, two) = (session.serverEvents(), session.serverEvents())
            try await session.subscribe(to: "file:///a")
            for method in ["tools", "prompts", "resources"] { server.tell("notifications/\(method)/list_changed") }
            server.tell("notifications/resources/updated", ["uri": "file:///a"])
            for events in [one, two] {
                var iterator = events.makeAsyncIterator()
                for expected in ["tools", "prompts", "resources", "file:///a"] {
                    #expect(Self.name(await iterator.next()) == expected)
                }
                #expect(events.dropped == 0)
            }
        }
    }

    @Test("a slow listener loses the oldest events, and is told how many; others lose none")
    func slow() async throws {
        let server = Self.server(.v2025_11_25)
        try await withSession(server) { session in
            _ = try await session.waitUntilReady()
            let (slow, patient) = (session.serverEvents(buffer: 4), session.serverEvents())
            for i in 0..<100 {
                server.tell("notifications/message", ["level": "info", "data": .number(JSONNumber(Int64(i)))])
            }
            try await session.ping()
            #expect(slow.dropped == 96 && patient.dropped == 0)
            var iterator = slow.makeAsyncIterator()
            #expect(Self.name(await iterator.next()) == "info 96")
        }
    }

    @Test(
        "several callers watch one resource: the server is asked once, and told once when the last one leaves",
        arguments: eras
    )
    func shared(revision: ProtocolRevision) async throws {
        let server = Self.server(revision)
        try await withSession(server) { session in
            try await session.subscribe(to: "x:1")
            try await session.subscribe(to: "x:1")
            session.unsubscribe(from: "x:1")
            try await session.subscribe(to: "x:2")
            session.unsubscribe(from: "x:1")
            try await session.subscribe(to: "x:3")
            if revision.isModern {
                // One subscription at a time, merged from what is wanted.
                await server.wait(for: "a subscription to x:2 and x:3 only") {
                    $0.listening == [["resourceSubscriptions": ["x:2", "x:3"]]]
                }
            } else {
                let asked = ["resources/subscribe", "resources/unsubscribe"].map { method in
                    server.received(method).compactMap { $0["params"]?["uri"]?.string }
                }
                #expect(asked == [["x:1", "x:2", "x:3"], ["x:1"]])
            }
        }
    }

    @Test("a resource that cannot be watched is an error, and is not asked for again", arguments: eras)
    func refused(revision: ProtocolRevision) async throws {
        let server = Self.server(
            revision,
            [
                "resources/subscribe": { _ in throw ProtocolServer.Failure(-32002, "no such resource") },
                "subscriptions/listen": { _ in throw ProtocolServer.Failure(-32602, "no such resource") },
            ]
        )
        try await withSession(server) { session in
            let error = await #expect(throws: MCPError.self) { try await session.subscribe(to: "x:none") }
            #expect(error?.code == .serverError && error?.message.contains("no such resource") == true)
        }
        let none = ProtocolServer(revision, capabilities: ["resources": [:]])
        try await withSession(none) { session in
            let error = await #expect(throws: MCPError.self) { try await session.subscribe(to: "x:none") }
            #expect(error?.code == .notSupported)
        }
    }

    @Test("SUB-05 what the server leaves out of its acknowledgment is not promised to anybody")
    func acknowledged() async throws {
        let server = Self.server(
            .v2026_07_28,
            [
                "subscriptions/listen": { call in
                    let meta: JSONValue = ["io.modelcontextprotocol/subscriptionId": call.id]
                    call.notify(
                        "notifications/subscriptions/acknowledged",
                        ["notifications": ["resourceSubscriptions": []], "_meta": meta]
                    )
                    await untilCancelled()
                    return [:]
                }
            ]
        )
        try await withSession(server) { session in
            let error = await #expect(throws: MCPError.self) { try await session.subscribe(to: "x:1") }
            #expect(error?.code == .notSupported)
        }
    }

    @Test("STDIO-08 notifications of a subscription that is not ours, or no longer, change nothing")
    func foreign() async throws {
        let server = Self.server(.v2026_07_28)
        try await withSession(server) { session in
            let events = session.serverEvents()
            try await session.subscribe(to: "x:1")
            let meta: JSONValue = ["io.modelcontextprotocol/subscriptionId": 9999]
            server.send(["jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": ["_meta": meta]])
            server.send(["jsonrpc": "2.0", "method": "notifications/prompts/list_changed"])
            server.tell("notifications/resources/updated", ["uri": "x:1"])
            var iterator = events.makeAsyncIterator()
            #expect(Self.name(await iterator.next()) == "x:1")
        }
    }

    @Test("SUB-07 CAN-02 a subscription that ends is opened again, one that is no longer wanted is cancelled")
    func reopened() async throws {
        let server = Self.server(.v2026_07_28)
        try await withSession(server) {
            $0.listenRetryDelay = .milliseconds(1)
        } _: { session in
            try await session.subscribe(to: "x:1")
            server.endSubscriptions()
            await server.wait(for: "a second subscription in place of the first") {
                $0.received("subscriptions/listen").count == 2 && $0.listening.count == 1
            }
            // And by the other way that the specification knows (A1).
            try #require(server.received("subscriptions/listen").count == 2)
            let id = server.received("subscriptions/listen")[1]["id"] ?? .null
            server.send(["jsonrpc": "2.0", "method": "notifications/cancelled", "params": ["requestId": id]])
            await server.wait(forReceived: "subscriptions/listen", times: 3)
            session.unsubscribe(from: "x:1")
            await server.wait(forReceived: "notifications/cancelled")
            let cancelled = server.received("notifications/cancelled").compactMap { $0["params"]?["requestId"] }
            let listens = server.received("subscriptions/listen")
            try #require(listens.count == 3)
            #expect(cancelled == [listens[2]["id"] ?? .null])
        }
    }

    @Test(
        "STDIO-17 a restarted server is told again what is wanted; listeners of host and connection stay",
        arguments: eras
    )
    func restarted(revision: ProtocolRevision) async throws {
        let server = Self.server(revision)
        var configuration = server.configuration("one")
        if !revision.isModern { configuration.client.era = .legacyOnly }
        configuration.restart.initialDelay = .milliseconds(1)
        let host = try await MCPHost.start(HostSetup(servers: [configuration]))
        let (all, own) = (host.serverEvents(), try host.server("one").serverEvents())
        try await host.subscribe(server: "one", to: "x:1")
        server.crash()
        await server.wait(for: "a second connection") { $0.connections == 2 }
        _ = try await host.server("one").session()
        if revision.isModern {
            await server.wait(for: "a subscription to x:1") {
                $0.listening.contains { $0["resourceSubscriptions"] == ["x:1"] }
            }
        } else {
            await server.wait(forReceived: "resources/subscribe", times: 2)
        }
        server.tell("notifications/resources/updated", ["uri": "x:1"])
        var events = all.makeAsyncIterator()
        var seen: [String] = []
        while let event = await events.next() {
            #expect(event.server == "one")
            seen.append(Self.name(event.event))
            if seen.last == "x:1" { break }
        }
        #expect(seen.last == "x:1")
        expectClean(await host.shutdown(), servers: 1)
        #expect(await events.next() == nil)
        for await _ in own {}
    }

    @Test("J6 a burst of changes is one new snapshot", arguments: eras)
    func snapshots(revision: ProtocolRevision) async throws {
        let count = Locked(0)
        let server = Self.server(
            revision,
            [
                "tools/list": { _ in
                    let number = count.withLock { count in
                        count += 1
                        return count
                    }
                    return [
                        "tools": [["name": .string("t\(number)"), "inputSchema": ["type": "object"]]], "ttlMs": 0,
                        "cacheScope": "private",
                    ]
                }
            ]
        )
        let clock = ManualClock()
        try await withSession(server, clock: clock) {
            $0.listDebounce = .milliseconds(20)
        } _: { session in
            var snapshots = session.toolSnapshots.makeAsyncIterator()
            let first = try await snapshots.next()
            #expect(first?.map(\.name) == ["t1"])
            if revision.isModern { await server.wait(for: "a subscription") { !$0.listening.isEmpty } }
            for _ in 0..<50 { server.tell("notifications/tools/list_changed") }
            // Its answer comes after all of them.
            _ = await failure { try await session.callTool("nothing") }
            async let passed: Void = clock.pass(.milliseconds(20))
            let second = try await snapshots.next()
            await passed
            #expect(second?.map(\.name) == ["t2"])
            #expect(count.withLock { $0 } == 2)
        }
    }

    @Test("the log level: for the session in a legacy era, on every request in the modern one", arguments: eras)
    func logLevel(revision: ProtocolRevision) async throws {
        let server = Self.server(
            revision,
            [
                "tools/call": { call in
                    call.log("warning", ["text": "careful"])
                    return ["content": []]
                }
            ]
        )
        try await withSession(server) {
            $0.logLevel = .warning
        } _: { session in
            let events = session.serverEvents()
            _ = try await session.callTool("a")
            var iterator = events.makeAsyncIterator()
            #expect(Self.name(await iterator.next()) == #"warning {"text":"careful"}"#)
            try await session.setLogLevel(.debug)
            _ = try await session.callTool("b")
            _ = try await session.callTool(
                "c",
                options: {
                    var o = RequestOptions(); o.logLevel = .error; return o
                }()
            )
            let key = "io.modelcontextprotocol/logLevel"
            let onRequests = server.received("tools/call").map { $0["params"]?["_meta"]?[key]?.string }
            let onSession = server.received("logging/setLevel").map { $0["params"]?["level"]?.string }
            if revision.isModern {
                #expect(onRequests == ["warning", "debug", "error"] && onSession.isEmpty)
            } else {
                #expect(onRequests == [nil, nil, nil] && onSession == ["warning", "debug"])
            }
        }
        let quiet = ProtocolServer(.v2025_11_25)
        try await withSession(quiet) { session in
            let error = await #expect(throws: MCPError.self) { try await session.setLogLevel(.info) }
            #expect(error?.code == .notSupported)
        }
    }
}
