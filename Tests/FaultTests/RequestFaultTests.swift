import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section F: requests, against real processes.
@Suite("Faults F: requests", .timeLimit(.minutes(5)))
struct RequestFaultTests {
    @Test(
        "F1 F2 F5 answers to nobody, twice, and with the number as text",
        arguments: ["--unknown-id", "--double-reply", "--string-id"]
    )
    func oddAnswers(animal: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd", animal, "--era", "legacy"))
            for i in 0..<20 { #expect(try await text(host, "odd", "echo", ["text": .string("\(i)")]) == "\(i)") }
        }
    }

    @Test(
        "F2 V19 two results for one call: the first is its answer, the second is nobody's",
        arguments: ["legacy", "modern"]
    )
    func twice(era: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one", "--era", era))
            for i in 0..<50 {
                #expect(try await text(host, "one", "twice") == "first")
                #expect(try await text(host, "one", "echo", ["text": .string("\(i)")]) == "\(i)")
            }
        }
    }

    @Test("F5 a server that answers everything with id 0: an error within the budget, no hang")
    func zeroID() async throws {
        try await withZoo { zoo in
            var server = zoo.server("zero", "--zero-id", "--era", "legacy")
            server.client.connectTimeout = .milliseconds(300)
            server.client.probeTimeout = .milliseconds(100)
            let host = try await zoo.host(server)
            #expect(host.servers.first?.failure?.code == .timeout)
        }
    }

    @Test("F4 fifty calls answered in reverse: everybody gets his own")
    func reverse() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("reverse", "--reverse", "50"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for i in 0..<50 {
                    group.addTask {
                        let answer = try await text(host, "reverse", "echo", ["text": .string("\(i)")])
                        #expect(answer == "\(i)")
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("F6 RPC-03 no number is used twice on a connection, and a restarted one ignores the old")
    func ids() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one")
            server.restart.initialDelay = .milliseconds(10)
            let host = try await zoo.host(server)
            for _ in 0..<10 { _ = try await text(host, "one", "echo") }
            _ = await failure { try await host.callTool(server: "one", name: "kill") }
            for _ in 0..<10 { _ = try await text(host, "one", "echo") }
            let byProcess = Dictionary(grouping: zoo.events("one").filter { $0.event == "frame" }, by: \.pid)
            #expect(byProcess.count == 2)
            for frames in byProcess.values {
                let ids = frames.compactMap { try? JSONValue(parsing: Array($0.detail.utf8))["id"]?.description }
                #expect(Set(ids).count == ids.count)
            }
        }
    }

    @Test("F7 F9 E24 CAN-11 CAN-12 a cancelled call ends at once, its late answer is nobody's, the server goes on")
    func late() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("late"))
            let call = Task { try await text(host, "late", "later") }
            await zoo.wait(forFrame: "later", of: "late")
            call.cancel()
            let error1 = await failure { try await call.value }
            #expect(error1?.code == .cancelled)
            #expect(try await text(host, "late", "echo", ["text": "mine"]) == "mine", "not the late answer")
        }
    }

    @Test("F8 CAN-01 exactly one cancelled notification for a timeout and for a cancellation")
    func cancelledOnce() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let error = await failure {
                try await host.callTool(server: "one", name: "hang", options: .init(idleTimeout: .milliseconds(50)))
            }
            #expect(error?.code == .timeout)
            let call = Task { try await text(host, "one", "hang") }
            await zoo.wait(forFrame: "hang", of: "one", times: 2)
            call.cancel()
            _ = await failure { try await call.value }
            _ = try await text(host, "one", "echo")
            #expect(zoo.events("one").count { $0.detail.contains("notifications/cancelled") } == 2)
        }
    }

    @Test("F12 CAN-22 a flood of progress does not keep a call alive beyond its hard limit")
    func progress() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one")
            server.stdio.endOfInputGrace = .milliseconds(150)  // it is too busy to read
            let host = try await zoo.host(server)
            let error = await failure {
                try await host.callTool(
                    server: "one",
                    name: "flood",
                    arguments: ["n": 100_000_000],
                    options: .init(idleTimeout: .seconds(5), hardTimeout: .milliseconds(300))
                )
            }
            #expect(error?.code == .timeout && error?.message.contains("0.3 seconds") == true)
        }
    }

    @Test("F15 executed, then the link drops: run once, outcomeUnknown, and the next call works")
    func atMostOnce() async throws {
        try await withZoo { zoo in
            var server = zoo.server("shop")
            server.restart.initialDelay = .milliseconds(10)
            let host = try await zoo.host(server)
            let error = await failure { try await text(host, "shop", "order", ["text": "book"]) }
            #expect(error?.code == .outcomeUnknown && error?.message.contains("exit status 9") == true)
            #expect(try await text(host, "shop", "echo", ["text": "x"]) == "x")
            #expect(zoo.count("executed", "shop") == 1)
        }
    }

    @Test(
        "F15 a lost answer of a read-only tool is asked for again, where the configuration allows it",
        arguments: [false, true]
    )
    func repeated(isAllowed: Bool) async throws {
        try await withZoo { zoo in
            var server = zoo.server("shop", "--read-only", "--state", zoo.folder + "/done")
            server.restart.initialDelay = .milliseconds(10)
            server.repeatsIdempotentCalls = isAllowed
            let host = try await zoo.host(server)
            _ = try await host.tools()
            if isAllowed {
                #expect(try await text(host, "shop", "once") == "second time")
                #expect(zoo.count("executed", "shop") == 2)
            } else {
                let error2 = await failure { try await text(host, "shop", "once") }
                #expect(error2?.code == .outcomeUnknown)
                #expect(zoo.count("executed", "shop") == 1)
            }
        }
    }

    @Test("F18 a call that hangs does not hold up others of the same server")
    func hung() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let hung = Task { try await text(host, "one", "hang") }
            await host.wait(forRequests: 1)
            for i in 0..<20 { #expect(try await text(host, "one", "echo", ["text": .string("\(i)")]) == "\(i)") }
            hung.cancel()
            _ = await failure { try await hung.value }
        }
    }

    @Test(
        "F19 requests of the server during a call: ping is answered, what is not offered is refused",
        arguments: [("ping", "result"), ("sampling/createMessage", "-32601"), ("no/such", "-32601")]
    )
    func asked(method: String, expected: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one", "--era", "legacy"))
            let answer = try await text(host, "one", "ask", ["text": .string(method)])
            #expect(answer.contains(expected), "\(answer)")
        }
    }

    @Test("F20 RPC-36 a modern server that asks gets no answer, and its calls go on")
    func modernAsks() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one", "--era", "modern"))
            let error = await failure {
                try await host.callTool(
                    server: "one",
                    name: "ask",
                    arguments: ["text": "ping"],
                    options: .init(idleTimeout: .milliseconds(100))
                )
            }
            #expect(error?.code == .timeout)
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            #expect(!zoo.events("one").contains { $0.detail.contains("\"asked\"") })
        }
    }

    @Test("F22 odd names are listed, and called by the name the host gives them")
    func names() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd", "--odd-names"))
            let tools = try await host.tools().items
            #expect(tools.contains { $0.item.name == "__proto__" } && tools.contains { $0.item.name == "🦓" })
            #expect(tools.allSatisfy { $0.qualifiedName.utf8.count <= 64 })
            let error = await failure { try await host.callTool(server: "odd", name: "constructor") }
            #expect(error?.code == .serverError)
        }
    }

    @Test("J1 lists without end are walked to a limit, and the error names it", arguments: ["loop", "new"])
    func cursors(kind: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("pages", "--cursor", kind))
            let failures = try await host.tools().failures
            #expect(failures.count == 1 && failures.first?.error.code == .badResponse, "\(failures)")
        }
    }
}
