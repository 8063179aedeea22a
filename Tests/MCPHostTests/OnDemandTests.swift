import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Servers that are started when somebody needs them, and stopped when nobody does.
@Suite("Servers on demand", .timeLimit(.minutes(5)))
struct OnDemandTests {
    private static let limit: Duration = .seconds(300)

    private static func echo(
        _ revision: ProtocolRevision = .latest,
        _ handlers: [String: ProtocolServer.Handler] = [:]
    ) -> ProtocolServer {
        var all: [String: ProtocolServer.Handler] = [
            "tools/list": { _ in ["tools": [["name": "echo", "inputSchema": ["type": "object"]]]] },
            "tools/call": { call in ["content": [["type": "text", "text": call.arguments["text"] ?? ""]]] },
        ]
        all.merge(handlers) { $1 }
        return ProtocolServer(
            revision,
            capabilities: ["tools": ["listChanged": true], "resources": ["subscribe": true]],
            all
        )
    }

    /// It has time for everything: the hands of its clock are turned far.
    private static func definition(_ name: String, _ server: ProtocolServer) -> ServerSetup {
        var definition = server.configuration(name)
        definition.policy = .onDemand(idleStop: self.limit)
        let long: Duration = .seconds(1 << 30)
        (definition.client.idleTimeout, definition.client.hardTimeout) = (long, long)
        (definition.client.connectTimeout, definition.client.probeTimeout) = (long, long)
        definition.client.taskTimeout = long
        return definition
    }

    /// Turns the hands until nobody needs the server any more: it is stopped at a look after which it was used by nobody until the next.
    private static func idle(_ server: ManagedServer, _ clock: ManualClock) async {
        while server.status == .ready { await clock.pass(self.limit) }
    }

    private static func host(_ servers: [any HostedServer], _ clock: ManualClock) async throws -> MCPHost {
        var configuration = HostSetup(servers: servers)
        configuration.clock = clock
        return try await MCPHost.start(configuration)
    }

    @Test("a process is started for the first who needs it, stopped when nobody does, and started for the next")
    func wholeLife() async throws {
        try await withZoo { zoo in
            let clock = ManualClock()
            var definition = zoo.server("one")
            definition.policy = .onDemand(idleStop: Self.limit)
            let host = try await zoo.host([definition], clock: clock)
            let one = try host.server("one")
            #expect(one.status == .dormant && one.server == nil && zoo.count("start", "one") == 0)
            let names = try await host.tools().items.map(\.qualifiedName)
            #expect(names.contains("one__echo") && one.status == .ready && zoo.count("start", "one") == 1)
            await Self.idle(one, clock)
            await host.wait(for: "dormant", of: "one", times: 2)
            #expect(one.status == .dormant && one.failure == nil && zoo.count("exit", "one") == 1)
            #expect(host.openResources.timers == 0 && host.openResources.descriptors == 0)
            #expect(try await host.tools().items.map(\.qualifiedName) == names, "remembered")
            #expect(await failure { try await host.callTool("nothing") }?.code == .notFound)
            #expect(one.status == .dormant && zoo.count("start", "one") == 1, "a name that is not there costs nothing")
            #expect(try await host.callTool("one__echo", arguments: ["text": "x"]).content.first?.text == "x")
            #expect(one.status == .ready && zoo.count("start", "one") == 2)
            let events = host.journal.entries(for: "one").map(\.event)
            #expect(
                events == [
                    "added", "dormant", "needed", "opening", "ready", "stopping", "ended", "dormant", "needed",
                    "opening", "ready",
                ],
                "\(events)"
            )
        }
    }

    /// What somebody does with a server for a long time.
    enum Use: CaseIterable { case call, question, task, subscription, handle }

    @Test(
        "a server that somebody uses is not stopped, however long that takes; afterwards it is",
        arguments: Use.allCases
    )
    func inUse(use: Use) async throws {
        let (clock, over, begun) = (ManualClock(), OneShot<Void>(), OneShot<Void>())
        var runtime = HostRuntime()
        runtime.clock = clock
        runtime.handlers.elicitationForm = { _, _ in
            begun.complete(())
            await over.wait()
            return ElicitResult(action: .decline)
        }
        let question: JSONObject = [
            "q": [
                "method": "elicitation/create",
                "params": ["message": "?", "requestedSchema": ["type": "object", "properties": [:]]],
            ]
        ]
        let task: JSONObject = [
            "taskId": "t", "status": "working", "createdAt": "2026-08-22T10:00:00Z",
            "lastUpdatedAt": "2026-08-22T10:00:00Z", "ttlMs": 60_000_000, "resultType": "task",
        ]
        let server = Self.echo(
            .latest,
            [
                "tasks/get": { _ in
                    begun.complete(())
                    return .object(task)
                },
                "tasks/cancel": { _ in [:] },
                "tools/call": { call in
                    if use == .question { _ = try await call.input(question) }
                    if use == .call {
                        begun.complete(())
                        await over.wait()
                    }
                    return use == .task ? .object(task) : ["content": []]
                },
            ]
        )
        var definition = Self.definition("one", server)
        definition.client.usesTasks = true
        definition.client.pollInterval = .seconds(5000) ... .seconds(5000)
        runtime.servers["one"] = definition.added
        let configuration = HostConfiguration(servers: [definition.definition])
        let host = try await MCPHost.start(configuration, runtime: runtime)
        let one = try host.server("one")
        await withTaskGroup(of: MCPError?.self) { group in
            switch use {
            case .call, .question, .task:
                group.addTask { await failure { try await host.callTool(server: "one", name: "echo") } }
            case .subscription:
                group.addTask { await failure { try await host.subscribe(server: "one", to: "a://b") } }
            case .handle:
                group.addTask {
                    await failure {
                        let subscription = try await one.session().listen(
                            to: SubscriptionFilter(toolsListChanged: true)
                        )
                        begun.complete(())
                        await over.wait()
                        subscription.cancel()
                    }
                }
            }
            if use == .task { await clock.pass(.seconds(5000)) }
            if use == .subscription {
                for await error in group { #expect(error == nil) }
            } else {
                await begun.wait()
            }
            for _ in 0..<5 { await clock.pass(Self.limit) }
            await clock.wait(dueIn: Self.limit)
            #expect(one.status == .ready && server.connections == 1)
            over.complete(())
            if use == .subscription {
                #expect(await failure { try await host.unsubscribe(server: "one", from: "a://b") } == nil)
            }
            if use == .task { group.cancelAll() }
            for await error in group { #expect(error?.code == (use == .task ? .cancelled : nil)) }
            await Self.idle(one, clock)
            await host.wait(for: "dormant", of: "one", times: 2)
        }
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test(
        "a call that comes in the moment in which its server is stopped is made by the next one, and once",
        arguments: [ProtocolRevision.v2025_11_25, .v2026_07_28]
    )
    func sameMoment(revision: ProtocolRevision) async throws {
        let (clock, rounds) = (ManualClock(), 300)
        let server = Self.echo(revision)
        let host = try await Self.host([Self.definition("one", server)], clock)
        for round in 0..<rounds {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let said = try? await text(host, "one", "echo", ["text": .string("\(round)")])
                    #expect(said == "\(round)")
                }
                // The first look is after the call of this round, or before, or at the same time.
                for _ in 0..<2 { group.addTask { clock.advance(by: Self.limit) } }
            }
        }
        #expect(server.received("tools/call").count == rounds)
        // On a busy machine it may have been in use at every look.
        if server.connections == 1 { await Self.idle(try host.server("one"), clock) }
        _ = try await text(host, "one", "echo", ["text": "x"])
        #expect(server.connections > 1)
        let journal = host.journal.entries(for: "one")
        #expect(!journal.contains { ["lost", "restarting", "failed"].contains($0.event) })
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("what is dormant has no process, is closed, removed and restarted at once, and keeps its place")
    func dormant() async throws {
        try await withZoo { zoo in
            let definitions = (0..<20).map { number in
                var definition = zoo.server("s\(number)")
                definition.policy = .onDemand()
                return definition
            }
            let manager = HostManager(HostSetup(servers: definitions))
            try await manager.initialize()
            let host = try manager.host
            #expect(host.servers.allSatisfy { $0.status == .dormant && $0.failure == nil })
            #expect(host.openResources.processes == 0)
            var late = zoo.server("late")
            late.policy = .onDemand()
            #expect(try await host.addServer(late).status == .dormant)
            #expect(await host.removeServer("s3")?.step == TeardownStep.none)
            #expect(try await host.restartServer("s5").status == .ready)
            #expect(host.servers.map(\.name) == (0..<20).filter { $0 != 3 }.map { "s\($0)" } + ["late"])
            #expect(host.openResources.processes == 1 || host.openResources.processes == 2, "with or without its guard")
            let report = await manager.shutdown()
            expectClean(report, servers: 21)
            #expect(report.servers.count { $0.processID != nil } == 1)
        }
    }

    @Test("twenty who need it at once start it once; whoever goes before it is ready does not take it along")
    func together() async throws {
        let server = Self.echo()
        let host = try await Self.host([Self.definition("one", server)], ManualClock())
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                group.addTask {
                    let said = try? await text(host, "one", "echo", ["text": .string("\(number)")])
                    #expect(said == "\(number)")
                }
            }
        }
        #expect(server.connections == 1)
        #expect(host.journal.entries(for: "one").count { $0.event == "needed" } == 1)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("a server that cannot be started says so to who needs it, and is tried again by hand")
    func cannotStart() async throws {
        var definition = ServerDefinition(name: "one", command: "/no/such/program")
        definition.policy = .onDemand()
        let host = try await MCPHost.start(HostSetup(servers: [definition]))
        for _ in 0..<2 {
            let error = await failure { try await host.callTool(server: "one", name: "echo") }
            #expect(error?.code == .launchFailed && error?.server == "one")
            #expect(try host.server("one").status == .failed)
        }
        #expect(await failure { try await host.restartServer("one") }?.code == .launchFailed)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("one that dies while it is needed is supervised as any other")
    func dies() async throws {
        let server = Self.echo()
        var definition = Self.definition("one", server)
        definition.restart.initialDelay = .seconds(1)
        definition.restart.jitter = 0
        let clock = ManualClock()
        let host = try await Self.host([definition], clock)
        _ = try await host.tools()
        server.crash()
        await host.wait(for: "restarting", of: "one")
        await clock.pass(.seconds(1))
        await host.wait(for: "ready", of: "one", times: 2)
        // Nobody has used the second connection: it is stopped at the first look.
        await clock.pass(Self.limit)
        await host.wait(for: "dormant", of: "one", times: 2)
        // What had happened before does not make the next start a restart.
        let again = Task { try await host.tools() }
        await host.wait(for: "needed", of: "one", times: 2)
        #expect(try host.server("one").status != .restarting)
        _ = try await again.value
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("an unknown name starts only servers that may have it and were never heard")
    func unknownNames() async throws {
        let servers = ["a", "b", "c"].map { ($0, Self.echo()) }
        let host = try await Self.host(servers.map { Self.definition($0, $1) }, ManualClock())
        func connections() -> [Int] { servers.map { $0.1.connections } }
        #expect(try await host.callTool("b__echo", arguments: ["text": "x"]).content.first?.text == "x")
        #expect(connections() == [0, 1, 0])
        #expect(await failure { try await host.callTool("c__nothing") }?.code == .notFound)
        #expect(connections() == [0, 1, 1])
        #expect(await failure { try await host.callTool("echo") }?.message.contains("several servers") == true)
        #expect(connections() == [1, 1, 1])
        expectClean(await host.shutdown(), servers: 3)
    }

    @Test("a list that a dormant server has never given starts it; one that it has given does not")
    func lists() async throws {
        let server = Self.echo(.latest, ["resources/list": { _ in ["resources": [["uri": "a://b", "name": "b"]]] }])
        let clock = ManualClock()
        let host = try await Self.host([Self.definition("one", server)], clock)
        #expect(try await host.resources().items.map(\.item.uri) == ["a://b"])
        await Self.idle(try host.server("one"), clock)
        await host.wait(for: "dormant", of: "one", times: 2)
        for _ in 0..<2 { #expect(try await host.resources().items.map(\.item.uri) == ["a://b"]) }
        #expect(server.connections == 1)
        #expect(try await host.tools().items.map(\.qualifiedName) == ["one__echo"])
        #expect(server.connections == 2)
        // It may be another program by now: what it had listed before it was started last is forgotten.
        await Self.idle(try host.server("one"), clock)
        await host.wait(for: "dormant", of: "one", times: 3)
        #expect(try await host.tools().items.count == 1 && server.connections == 2)
        #expect(try await host.resources().items.count == 1)
        #expect(server.connections == 3)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("what a server does not offer does not start it again and again")
    func nothingOffered() async throws {
        let server = Self.echo()
        let clock = ManualClock()
        let host = try await Self.host([Self.definition("one", server)], clock)
        for round in 1...3 {
            #expect(try await host.prompts().items.isEmpty)
            await Self.idle(try host.server("one"), clock)
            if round == 1 { await host.wait(for: "dormant", of: "one", times: 2) }
        }
        #expect(server.connections == 1)
        // A name that it may have by now is asked for, once.
        #expect(await failure { try await host.callTool("one__nothing") }?.code == .notFound)
        await Self.idle(try host.server("one"), clock)
        await host.wait(for: "dormant", of: "one", times: 3)
        #expect(await failure { try await host.callTool("one__nothing") }?.code == .notFound)
        #expect(server.connections == 2)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("what a server told to have changed before it was stopped is not remembered; what a call has listed is")
    func changed() async throws {
        let tools = Watched<[JSONValue]>([["name": "echo", "inputSchema": ["type": "object"]]])
        let server = Self.echo(.v2025_11_25, ["tools/list": { _ in ["tools": .array(tools.value)] }])
        let clock = ManualClock()
        let host = try await Self.host([Self.definition("one", server)], clock)
        let one = try host.server("one")
        // Listed by the call.
        #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
        await Self.idle(one, clock)
        await host.wait(for: "dormant", of: "one", times: 2)
        #expect(try await host.tools().items.map(\.item.name) == ["echo"])
        #expect(server.connections == 1)
        _ = try await one.session()
        #expect(try await host.tools().items.count == 1)
        var events = host.serverEvents().makeAsyncIterator()
        tools.withLock { $0.append(["name": "more", "inputSchema": ["type": "object"]]) }
        server.tell("notifications/tools/list_changed")
        _ = await events.next()
        await Self.idle(one, clock)
        await host.wait(for: "dormant", of: "one", times: 3)
        #expect(try await host.tools().items.map(\.item.name) == ["echo", "more"])
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test(
        "while it is being stopped, its lists are given as if it were dormant, and whoever needs it waits for the next"
    )
    func whileStopping() async throws {
        try await withZoo { zoo in
            let clock = ManualClock()
            var definition = zoo.server("one", "--ignore-eof")
            definition.policy = .onDemand(idleStop: Self.limit)
            (definition.stdio.endOfInputGrace, definition.stdio.terminateGrace) = (.seconds(2), .seconds(2))
            let host = try await zoo.host([definition], clock: clock)
            let one = try host.server("one")
            // A name that it has never been asked about is no unknown one meanwhile.
            _ = try await one.session()
            await Self.idle(one, clock)
            async let first = host.callTool("one__echo", arguments: ["text": "x"]).content.first?.text
            await clock.pass(.seconds(2))
            #expect(try await first == "x" && zoo.count("start", "one") == 2)
            let names = try await host.tools().items.map(\.qualifiedName)
            await Self.idle(one, clock)
            #expect(one.status == .closing)
            #expect(try await host.tools().items.map(\.qualifiedName) == names && one.status == .closing)
            #expect(await failure { try await host.callTool("one__nothing") }?.code == .notFound)
            #expect(one.status == .closing && zoo.count("start", "one") == 2)
            async let said = host.callTool("one__echo", arguments: ["text": "x"]).content.first?.text
            await clock.pass(.seconds(2))
            #expect(try await said == "x" && zoo.count("start", "one") == 3)
            let events = host.journal.entries(for: "one").map(\.event)
            #expect(!events.contains("restarting") && !events.contains("lost"), "\(events)")
            async let report = host.shutdown()
            await clock.pass(.seconds(2))
            expectClean(await report, servers: 1)
        }
    }
}

@Suite("A server for each caller", .timeLimit(.minutes(5)))
struct PerCallerTests {
    private static let limit: Duration = .seconds(300)

    /// Servers that count: each says how many calls it has had, and which one it is.
    private static func definition(
        _ made: Locked<[ProtocolServer]>,
        _ revision: ProtocolRevision = .latest,
        maximum: Int = 64
    ) -> ServerSetup {
        var definition = ServerSetup(
            "one",
            Endpoint("in memory") { _ in
                let number = made.withLock { $0.count }
                let calls = Locked(0)
                let server = ProtocolServer(
                    revision,
                    [
                        "tools/list": { _ in ["tools": [["name": "count", "inputSchema": ["type": "object"]]]] },
                        "tools/call": { _ in
                            let count = calls.withLock { calls in
                                calls += 1
                                return calls
                            }
                            return ["content": [["type": "text", "text": .string("\(number): \(count)")]]]
                        },
                    ]
                )
                made.withLock { $0.append(server) }
                return server.transport()
            }
        )
        definition.policy = .perCaller(idleStop: Self.limit, maximum: maximum)
        let long: Duration = .seconds(1 << 30)
        (definition.client.idleTimeout, definition.client.hardTimeout) = (long, long)
        (definition.client.connectTimeout, definition.client.probeTimeout) = (long, long)
        definition.restart.initialDelay = .milliseconds(1)
        definition.remembersEra = false
        return definition
    }

    private static func host(_ definition: ServerSetup, _ clock: any MonotonicClock) async throws -> MCPHost {
        var configuration = HostSetup(servers: [definition])
        configuration.clock = clock
        return try await MCPHost.start(configuration)
    }

    private static func call(_ host: MCPHost, _ caller: String?) async throws -> String? {
        try await host.callTool(server: "one", name: "count", options: self.options(caller)).content.first?.text
    }

    private static func options(_ caller: String?) -> RequestOptions {
        var options = RequestOptions()
        options.caller = caller
        return options
    }

    @Test("what one caller does is nobody else's; the program itself has one too, which gives the lists")
    func apart() async throws {
        let made = Locked<[ProtocolServer]>([])
        let host = try await Self.host(Self.definition(made), ManualClock())
        #expect(made.withLock { $0.count } == 0)
        for round in 1...3 {
            #expect(try await Self.call(host, "a") == "0: \(round)")
            #expect(try await Self.call(host, "b") == "1: \(round)")
        }
        let options = Self.options("b")
        // By the host's name for it, which the program itself has to learn first.
        #expect(try await host.callTool("one__count", options: options).content.first?.text == "1: 4")
        #expect(try await Self.call(host, nil) == "2: 1")
        #expect(try await host.tools().items.count == 1)
        let (first, second) = (try await host.session(of: "one", for: "a"), try await host.session(of: "one", for: "b"))
        #expect(first !== second)
        #expect(made.withLock { $0.count } == 3 && host.servers.count == 1)
        let report = await host.shutdown()
        expectClean(report, servers: 3)
        #expect(Set(report.servers.map(\.name)) == ["one", "one/1", "one/2"])
    }

    @Test("a caller that does not come back leaves nothing; one that does gets another; too many are busy until then")
    func leaves() async throws {
        let (made, clock) = (Locked<[ProtocolServer]>([]), ManualClock())
        let host = try await Self.host(Self.definition(made, maximum: 2), clock)
        _ = try await Self.call(host, "a")
        _ = try await Self.call(host, "b")
        let busy = await failure { try await Self.call(host, "c") }
        #expect(busy?.code == .busy && busy?.message.contains("2 callers") == true && busy?.server == "one")
        #expect(try await Self.call(host, nil) == "2: 1", "the program itself is no caller")
        for _ in 0..<2 { await clock.pass(Self.limit, timers: 3) }
        for name in ["one/1", "one/2"] { await host.wait(for: "closed", of: name) }
        await host.wait(for: "dormant", of: "one", times: 2)
        #expect(host.openResources.requests == 0 && host.openResources.timers == 0)
        #expect(try await Self.call(host, "c") == "3: 1")
        #expect(try await Self.call(host, "a") == "4: 1")
        expectClean(await host.shutdown(), servers: 5)
    }

    @Test(
        "a call that comes in the moment in which its caller's server leaves is made by the next one, and once",
        arguments: [ProtocolRevision.v2025_11_25, .v2026_07_28]
    )
    func sameMoment(revision: ProtocolRevision) async throws {
        let (made, clock, rounds) = (Locked<[ProtocolServer]>([]), ManualClock(), 200)
        let host = try await Self.host(Self.definition(made, revision, maximum: 2), clock)
        for _ in 0..<rounds {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await failure { try await Self.call(host, "a") }
                    #expect(error == nil, "\(String(describing: error))")
                }
                for _ in 0..<2 { group.addTask { clock.advance(by: Self.limit) } }
            }
        }
        let calls = made.withLock { $0 }.reduce(0) { $0 + $1.received("tools/call").count }
        #expect(calls == rounds)
        // On a busy machine it may have been in use at every look.
        if made.withLock({ $0.count }) == 1 {
            while !host.journal.entries(for: "one/1").contains(where: { $0.event == "stopping" }) {
                await clock.pass(Self.limit)
            }
        }
        _ = try await Self.call(host, "a")
        #expect(made.withLock { $0.count } > 1)
        expectClean(await host.shutdown())
    }

    @Test("a restart and a removal concern all of them; one that dies is started again for its caller")
    func together() async throws {
        let made = Locked<[ProtocolServer]>([])
        let host = try await Self.host(Self.definition(made), SystemMonotonicClock())
        _ = try await Self.call(host, "a")
        _ = try await Self.call(host, "b")
        made.withLock { $0[0] }.crash()
        await host.wait(for: "ready", of: "one/1", times: 2)
        #expect(try await Self.call(host, "a") == "2: 1")
        #expect(try await Self.call(host, "b") == "1: 2")
        try await host.restartServer("one")
        for caller in ["a", "b"] { #expect(try await Self.call(host, caller)?.hasSuffix(": 1") == true) }
        #expect(made.withLock { $0.count } == 6)
        #expect(await host.removeServer("one")?.callsFailed == 0)
        #expect(await failure { try await Self.call(host, "a") }?.code == .notFound)
        expectClean(await host.shutdown(), servers: 3)
    }

    @Test(
        "a caller's server that cannot be started stays down for that caller, and makes room for another; a restart helps"
    )
    func fails() async throws {
        let (made, isBroken, attempts) = (Locked<[ProtocolServer]>([]), Locked(true), Locked(0))
        var definition = Self.definition(made, maximum: 2)
        definition.restart = .never
        let make = try #require(definition.endpoint)
        definition.endpoint = Endpoint("in memory") { context in
            attempts.withLock { $0 += 1 }
            return isBroken.withLock { $0 } ? Refusing(.launchFailed) : make.makeTransport(context)
        }
        let host = try await Self.host(definition, ManualClock())
        for caller in ["a", "a", "b", "b", "a"] {
            #expect(await failure { try await Self.call(host, caller) }?.code == .launchFailed)
        }
        #expect(attempts.withLock { $0 } == 2, "nobody starts it again by asking")
        isBroken.withLock { $0 = false }
        #expect(try await Self.call(host, "c") == "0: 1", "one that has failed keeps nobody's place")
        try await host.restartServer("one")
        // One of the two that had failed had to go for the third caller; the other one was restarted.
        let failed = host.journal.entries.filter { $0.event == "restart asked for" }.compactMap(\.server)
        #expect(Set(failed).count == 3, "\(failed)")
        expectClean(await host.shutdown())
    }

    @Test("an end that looks like a closed host is told as it is, and asked for once")
    func oddEnd() async throws {
        var definition = Self.definition(Locked([]))
        definition.restart = .never
        let attempts = Locked(0)
        definition.endpoint = Endpoint("odd") { _ in
            attempts.withLock { $0 += 1 }
            return Refusing(.hostClosed)
        }
        let host = try await Self.host(definition, ManualClock())
        for _ in 0..<2 { #expect(await failure { try await Self.call(host, "a") }?.code == .hostClosed) }
        #expect(attempts.withLock { $0 } == 1)
        expectClean(await host.shutdown(), servers: 1 + 1)
    }

    @Test("V3 callers whose names only look the same are two; one alone is restarted")
    func bytes() async throws {
        let made = Locked<[ProtocolServer]>([])
        let host = try await Self.host(Self.definition(made), ManualClock())
        #expect(try await Self.call(host, "Am\u{E9}lie") == "0: 1")
        #expect(try await Self.call(host, "Ame\u{301}lie") == "1: 1")
        try await host.restartServer("one", for: "Am\u{E9}lie")
        #expect(try await Self.call(host, "Am\u{E9}lie") == "2: 1")
        #expect(try await Self.call(host, "Ame\u{301}lie") == "1: 2")
        #expect(made.withLock { $0.count } == 3 && host.servers.map(\.status) == [.dormant])
        expectClean(await host.shutdown(), servers: 3)
    }

    @Test("a call of a caller's that draining waits for gets the server that it needs")
    func drains() async throws {
        let listing = OneShot<Void>()
        let begun = OneShot<Void>()
        let server = ProtocolServer(
            .latest,
            [
                "tools/list": { _ in
                    begun.complete(())
                    await listing.wait()
                    return ["tools": [["name": "echo", "inputSchema": ["type": "object"]]]]
                },
                "tools/call": { _ in ["content": [["type": "text", "text": "done"]]] },
            ]
        )
        var definition = server.configuration("one")
        definition.policy = .perCaller()
        var configuration = HostSetup(servers: [definition])
        configuration.drainTimeout = patience
        let host = try await MCPHost.start(configuration)
        let options = Self.options("a")
        async let said = host.callTool("one__echo", options: options).content.first?.text
        await begun.wait()
        host.beginShutdown(.graceful)
        listing.complete(())
        #expect(try await said == "done")
        expectClean(await host.shutdown(), servers: 2)
    }

    @Test("a watched resource is the caller's own, and so are its events")
    func subscriptions() async throws {
        let made = Locked<[ProtocolServer]>([])
        var definition = ServerSetup(
            "one",
            Endpoint("in memory") { _ in
                let server = ProtocolServer(
                    .v2025_11_25,
                    capabilities: ["resources": ["subscribe": true]],
                    ["resources/subscribe": { _ in [:] }, "resources/unsubscribe": { _ in [:] }]
                )
                made.withLock { $0.append(server) }
                return server.transport()
            }
        )
        definition.policy = .perCaller()
        definition.client.era = .legacyOnly
        let host = try await Self.host(definition, SystemMonotonicClock())
        var events = host.serverEvents().makeAsyncIterator()
        try await host.subscribe(server: "one", to: "a://b", caller: "a")
        made.withLock { $0[0] }.tell("notifications/resources/updated", ["uri": "a://b"])
        let event = await events.next()
        #expect(event?.server == "one" && event?.caller == "a")
        try await host.unsubscribe(server: "one", from: "a://b", caller: "nobody")
        try await host.unsubscribe(server: "one", from: "a://b", caller: "a")
        await made.withLock { $0[0] }.wait(forReceived: "resources/unsubscribe")
        #expect(made.withLock { $0.count } == 1, "nobody else was started for it")
        expectClean(await host.shutdown(), servers: 2)
    }

    @Test("thirty callers at once, real processes, closed in the middle of it: nothing is left")
    func processes() async throws {
        try await withZoo { zoo in
            var definition = zoo.server("one")
            definition.policy = .perCaller()
            let host = try await zoo.host(definition)
            await withTaskGroup(of: MCPError?.self) { group in
                for number in 0..<30 {
                    group.addTask {
                        let options = Self.options("caller \(number)")
                        return await failure {
                            try await host.callTool(
                                server: "one",
                                name: "echo",
                                arguments: ["text": "x"],
                                options: options
                            )
                        }
                    }
                }
                let first = await group.next()
                #expect(first.map { $0 == nil } == true, "the first is served before anything is closed")
                host.beginShutdown(.immediate)
                for await error in group {
                    let isExpected = error.map { [.hostClosed, .outcomeUnknown].contains($0.code) } ?? true
                    #expect(isExpected, "\(String(describing: error))")
                }
            }
            let report = await host.shutdown()
            #expect(report.servers.count <= 31 && report.isClean, "\(report)")
        }
    }
}

@Suite("Servers that want to know who is there", .timeLimit(.minutes(5)))
struct NeedsAuthorizationTests {
    @Test("one that wants a sign-in is not failed, says what to do, is not tried again by itself, and is by hand")
    func signIn() async throws {
        let (server, isSignedIn, attempts) = (ProtocolServer(.latest), Locked(false), Locked(0))
        var definition = server.configuration("one")
        definition.restart.initialDelay = .milliseconds(1)
        definition.endpoint = Endpoint("behind a door") { _ in
            attempts.withLock { $0 += 1 }
            return isSignedIn.withLock { $0 } ? Expiring(server.transport()) : Refusing(.needsAuthorization)
        }
        let manager = HostManager(HostSetup(servers: [definition]))
        try await manager.initialize()
        let host = try manager.host
        let one = try host.server("one")
        _ = await one.waitUntilGone()
        definition.name = "two"
        #expect(try await host.addServer(definition).status == .needsAuthorization)
        _ = await host.removeServer("two")
        attempts.withLock { $0 = 1 }
        #expect(one.status == .needsAuthorization && one.status.description == "needsAuthorization")
        #expect(one.failure?.code == .needsAuthorization && one.failure?.message.contains("as it says") == true)
        #expect(await failure { try await host.callTool(server: "one", name: "x") }?.code == .needsAuthorization)
        #expect(attempts.withLock { $0 } == 1, "asking again, or in the older way, changes nothing")
        isSignedIn.withLock { $0 = true }
        #expect(try await host.restartServer("one").status == .ready)
        // It may want that again in the middle of everything.
        server.crash()
        _ = await one.waitUntilGone()
        #expect(one.status == .needsAuthorization && attempts.withLock { $0 } == 2)
        #expect(try await host.restartServer("one").status == .ready)
        expectClean(await host.shutdown(), servers: 2)
    }
}

/// Says at its end that somebody has to sign in.
private final class Expiring: Transport {
    private let base: any Transport

    init(_ base: any Transport) { self.base = base }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        var end = await self.base.run(receiver)
        end.launchError = MCPError(.needsAuthorization, "the token has expired: somebody has to sign in")
        return end
    }

    func send(_ message: OutgoingMessage) throws(MCPError) { try self.base.send(message) }
    func setReceiving(_ enabled: Bool) { self.base.setReceiving(enabled) }
    func close(_ mode: TeardownMode) { self.base.close(mode) }
}

/// Ends at once, and says why.
private final class Refusing: Transport {
    private let error: MCPError

    init(_ code: MCPError.Code) { self.error = MCPError(code, "it does not work, as it says") }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        receiver.transportDidBreak(self.error)
        return TransportEnd(launchError: self.error)
    }

    func send(_ message: OutgoingMessage) throws(MCPError) { throw MCPError(.connectionLost, "not open") }
    func setReceiving(_ enabled: Bool) {}
    func close(_ mode: TeardownMode) {}
}
