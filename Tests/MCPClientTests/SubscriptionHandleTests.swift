import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("A subscription of one's own", .timeLimit(.minutes(5)))
struct SubscriptionHandleTests {
    private static func server(_ revision: ProtocolRevision = .v2026_07_28) -> ProtocolServer {
        let list: JSONValue = ["listChanged": true]
        return ProtocolServer(
            revision,
            capabilities: ["tools": list, "resources": ["subscribe": true, "listChanged": true]],
            ["tools/list": { _ in ["tools": [], "ttlMs": 60000, "cacheScope": "private"] }]
        )
    }

    @Test("SUB-05 what the server has agreed to, what it tells, in order, and to nobody else")
    func told() async throws {
        let server = Self.server()
        try await withSession(server) { session in
            let subscription = try await session.listen(
                to: SubscriptionFilter(toolsListChanged: true, resourceSubscriptions: ["file:///a"])
            )
            #expect(subscription.acknowledged.toolsListChanged == true)
            #expect(subscription.acknowledged.resourceSubscriptions == ["file:///a"])
            #expect(server.listening.count == 1)
            let others = session.serverEvents()
            await server.wait(for: "the subscription of the listener") { $0.listening.count == 2 }
            _ = try await session.listTools()
            for place in 0..<3 {
                server.tell(
                    "notifications/resources/updated",
                    ["uri": "file:///a", "n": .number(JSONNumber(Int64(place)))]
                )
            }
            server.tell("notifications/tools/list_changed")
            var methods: [String] = []
            for await notification in subscription {
                methods.append(notification.method)
                if methods.count == 4 { break }
            }
            #expect(
                methods == Array(repeating: "notifications/resources/updated", count: 3) + [
                    "notifications/tools/list_changed"
                ]
            )
            // The listener for all is told of the tools, once, on its own subscription, and of no resource.
            for await event in others {
                if case .toolsChanged = event { break }
                Issue.record("\(event)")
            }
            // What is known is known no more, whoever was told.
            _ = try await session.listTools()
            #expect(server.received("tools/list").count == 2)
        }
    }

    private static func word(_ end: Subscription.End?) -> String? {
        switch end {
        case .completed?: "completed"
        case .cancelled?: "cancelled"
        case .failed(let error)?: error.code.description
        case nil: nil
        }
    }

    @Test("SUB-06 why it is over: cancelled, ended by the server, lost")
    func ends() async throws {
        let server = Self.server()
        try await withSession(server) { session in
            let filter = SubscriptionFilter(toolsListChanged: true)
            let given = try await session.listen(to: filter)
            given.cancel()
            given.cancel()
            let first = await given.end()
            #expect(Self.word(first) == "cancelled")
            await server.wait(forReceived: "notifications/cancelled")
            for await _ in given { Issue.record("told after the end") }

            let ended = try await session.listen(to: filter)
            server.endSubscriptions()
            let second = await ended.end()
            #expect(Self.word(second) == "completed")
            for await _ in ended { Issue.record("told after the end") }
            ended.cancel()

            // Nobody holds it any more.
            do { _ = try await session.listen(to: filter) }
            await server.wait(forReceived: "notifications/cancelled", times: 2)

            let lost = try await session.listen(to: filter)
            server.crash()
            let third = await lost.end()
            #expect(Self.word(third) == "connectionLost")
        }
        #expect(server.received("notifications/cancelled").count == 2)
    }

    @Test("L8 one that nobody agrees to is given up with its caller, and by the end of the session")
    func unanswered() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "subscriptions/listen": { _ in
                    await untilCancelled()
                    return [:]
                }
            ]
        )
        try await withSession(server) { session in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await failure {
                        _ = try await session.listen(to: SubscriptionFilter(toolsListChanged: true))
                    }
                    #expect(error?.code == .cancelled)
                }
                await server.wait(forReceived: "subscriptions/listen")
                group.cancelAll()
            }
            await server.wait(forReceived: "notifications/cancelled")
        }
    }

    @Test("before 2026-07-28 there is none") func legacy() async throws {
        try await withSession(Self.server(.v2025_11_25)) { session in
            let error = await failure { _ = try await session.listen(to: SubscriptionFilter()) }
            #expect(error?.code == .notSupported && error?.message.contains("subscribe(to:)") == true)
        }
    }

    @Test("L8 whoever goes through one holds it") func held() async throws {
        let server = Self.server()
        try await withSession(server) { session in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    do {
                        for await notification in try await session.listen(
                            to: SubscriptionFilter(toolsListChanged: true)
                        ) {
                            #expect(notification.method == "notifications/tools/list_changed")
                            return
                        }
                        Issue.record("ended before anything was told")
                    } catch {
                        Issue.record("\(error)")
                    }
                }
                await server.wait(for: "the subscription") { $0.listening.count == 1 }
                server.tell("notifications/tools/list_changed")
            }
        }
    }

    @Test("A6 subscriptions take nobody's place; so many, and not more")
    func places() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            capabilities: ["tools": ["listChanged": true]],
            ["tools/call": { _ in ["content": []] }]
        )
        try await withSession(server) { configuration in
            configuration.maximumInFlight = 2
            configuration.maximumWaiting = 2
        } _: { session in
            var open: [Subscription] = []
            for _ in 0..<256 { open.append(try await session.listen(to: SubscriptionFilter(toolsListChanged: true))) }
            _ = try await session.callTool("t")
            let error = await failure { _ = try await session.listen(to: SubscriptionFilter(toolsListChanged: true)) }
            #expect(error?.code == .busy && error?.message.contains("256") == true)
            open.removeLast().cancel()
            open.append(try await session.listen(to: SubscriptionFilter(toolsListChanged: true)))
            for subscription in open { #expect(subscription.dropped == 0) }
        }
    }

    @Test("F11 V5 a server that does not agree has the hard limit to do so")
    func late() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            [
                "subscriptions/listen": { _ in
                    await untilCancelled()
                    return [:]
                }
            ]
        )
        let clock = ManualClock()
        try await withSession(server, clock: clock) { session in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let options = RequestOptions(hardTimeout: .seconds(7))
                    let error = await failure {
                        _ = try await session.listen(to: SubscriptionFilter(toolsListChanged: true), options: options)
                    }
                    #expect(error?.code == .timeout && error?.message.contains("7.0 seconds") == true)
                }
                await clock.pass(.seconds(7))
            }
            await server.wait(forReceived: "notifications/cancelled")
        }
    }
}
