import MCPHost
import MCPTransport
import TestSupport
import Testing

/// Rows of docs/faults.md, sections 0b and A, that need a server with faults.
@Suite("LifecycleLaw: bad servers", .timeLimit(.minutes(5)))
struct LifecycleLawBadServerTests {
    @Test("A5 good, bad and hanging servers together: the good ones work, the bad ones say why")
    func mixed() async throws {
        var mute = ScriptedServer.configuration("mute", ["--mute"])
        mute.client.connectTimeout = .milliseconds(300)
        mute.client.probeTimeout = .milliseconds(100)
        let host = try await MCPHost.start(
            HostConfiguration(servers: [
                ScriptedServer.configuration("good"), ScriptedServer.configuration("bad", ["--exit", "7"]), mute,
                ServerDefinition(name: "missing", command: "no-such-command-anywhere"),
            ])
        )
        try await Task.detached { _ = try await host.callTool(server: "good", name: "echo") }.value
        let reasons = Dictionary(uniqueKeysWithValues: host.servers.map { ($0.name, $0.failure?.message) })
        #expect(reasons["good"] == .some(nil))
        #expect(reasons["bad"]??.contains("exit status 7") == true)
        #expect(reasons["bad"]??.contains("third line") == true, "with the last lines of standard error (B2)")
        #expect(reasons["mute"]??.contains("0.3 seconds") == true, "with the limit that passed (B1)")
        #expect(reasons["missing"]??.contains("PATH searched") == true)
        expectClean(await host.shutdown(), servers: 4)
    }

    @Test("0b initialize names every server that failed, and leaves nothing behind")
    func initializeFails() async throws {
        let manager = HostManager(
            configuration: try ScriptedServer.file([
                ("good", []), ("bad", ["--exit", "7"]), ("worse", ["--exit", "8"]),
            ])
        )
        await #expect {
            try await manager.initialize()
        } throws: { error in
            let message = (error as? MCPError)?.message ?? ""
            return message.contains("2 of 3") && message.contains("bad: ") && message.contains("worse: ")
                && message.contains("exit status 8")
        }
        #expect(throws: MCPError.self) { try manager.host }
        #expect(await manager.shutdown().servers.isEmpty)
    }

    @Test("0b four servers that ignore end of input and SIGTERM end in parallel, within the steps' times")
    func stubborn() async throws {
        let servers = (0..<4).map { ScriptedServer.configuration("s\($0)", ["--ignore-eof", "--ignore-term"]) }
        let host = try await MCPHost.start(HostConfiguration(servers: servers))
        let report = await host.shutdown()
        expectClean(report, servers: 4)
        #expect(report.servers.allSatisfy { $0.step == .kill && $0.exitStatus == .signalled(9) })
        // At once and not one after the other: all were told before the first had gone.
        let events = host.journal.entries.filter { $0.server != nil }.map(\.event)
        let firstClosed = try #require(events.firstIndex(of: "closed"))
        #expect(events[..<firstClosed].count { $0 == "closing" } == 4)
        #expect(report.servers.allSatisfy { $0.stepTimes.map(\.step) == [.endOfInput, .terminate, .kill] })
    }

    @Test("0b a polite server's helper is gone too", arguments: ["inherit", "null"])
    func helper(how: String) async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ScriptedServer.configuration("one", ["--helper", how])])
        )
        let report = await host.shutdown()
        expectClean(report, servers: 1)
        #expect(report.servers.first?.descendantsEnded.count == 1)
        #expect(report.servers.first?.step == .endOfInput)
    }

    @Test("E4 a wrapper and its worker that ignores the end of input are both gone")
    func wrapper() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ScriptedServer.configuration("one", ["--ignore-eof", "--wrapper"])])
        )
        try await useAll(host)
        let worker = try await host.callTool(server: "one", name: "pid").content.first?.text.flatMap(Int32.init)
        let seen = ContinuousClock.now
        expectClean(await host.shutdown(), servers: 1)
        #expect(!ProcessCounts.isAlive(try #require(worker), since: seen))
    }

    @Test("A10 a server that exits during a call: the error names the exit status and its last words")
    func exitDuringCall() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("one")]))
        await #expect {
            _ = try await host.callTool(server: "one", name: "exit", arguments: ["n": 3])
        } throws: { error in
            let message = (error as? MCPError)?.message ?? ""
            return message.contains("exit status 3") && message.contains("asked to exit")
        }
        let report = await host.shutdown()
        expectClean(report, servers: 1)
    }

    @Test("A7 two users of one connection: the first one leaves, the server dies, the second one is told once")
    func sharedConnection() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let first = Task { try await host.callTool(server: "one", name: "hang") }
            let second = Task { try await host.callTool(server: "one", name: "hang") }
            await zoo.wait(forFrame: "\"hang\"", of: "one", times: 2)
            first.cancel()
            await #expect { try await first.value } throws: { ($0 as? MCPError)?.code == .cancelled }
            try await useAll(host)
            _ = try? await host.callTool(server: "one", name: "exit", arguments: ["n": 1])
            await #expect { try await second.value } throws: { ($0 as? MCPError)?.code == .outcomeUnknown }
            expectClean(await host.shutdown(), servers: 1)
        }
    }

    @Test("A9 one close is enough for a server that answers nothing any more")
    func closeOnce() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ScriptedServer.configuration("one", ["--ignore-eof"])])
        )
        expectClean(await host.shutdown(), servers: 1)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test(
        "A12 V19 handles kept over close and reopen: names work on the new connection, sessions and connections say so"
    )
    func handleKept() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("one")]))
        let name = try #require(try await host.tools().items.first).qualifiedName
        let connection = try host.server("one")
        let session = try await connection.session()
        await host.removeServer("one")
        for isReopened in [false, true] {
            if isReopened { try await host.addServer(ScriptedServer.configuration("one")) }
            let calls: [@Sendable () async throws -> Void] = [
                { _ = try await session.callTool("echo") }, { _ = try await connection.session() },
            ]
            for call in calls {
                let error = await wait(for: "an error of an old handle") { await failure { try await call() } }
                #expect([.hostClosed, .connectionLost].contains(error?.code), "\(String(describing: error))")
            }
            #expect(connection.status == .closed)
        }
        let result = try await host.callTool(name, arguments: ["text": "new"])
        #expect(result.content.first?.text == "new")
        expectClean(await host.shutdown(), servers: 2)
    }

    @Test("A6 twenty servers, two hundred calls each in parallel, no error")
    func many() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: (0..<20).map { ScriptedServer.configuration("s\($0)") })
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in 0..<20 {
                for i in 0..<200 {
                    group.addTask {
                        let text = try await host.callTool(
                            server: "s\(server)",
                            name: "echo",
                            arguments: ["text": .string("\(i)")]
                        )
                        #expect(text.content.first?.text == "\(i)")
                    }
                }
            }
            try await group.waitForAll()
        }
        expectClean(await host.shutdown(), servers: 20)
    }

    @Test("A15 a notification's reader calls the same server")
    func reentrant() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("one")]))
        let session = try await host.server("one").session()
        let result = try await session.callTool(
            "progress",
            options: .init(onProgress: { _ in #expect(session.server != nil) })
        )
        #expect(result.content.first?.text == "done")
        try await useAll(host)
        // The reader is not held up by a task that sits in a handler.
        async let list = session.listTools()
        #expect(try await list.count == 1)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("B20 V19 fifty tasks initialize at once: one host, and each server's process once")
    func initializeAtOnce() async throws {
        try await withZoo { zoo in
            let manager = HostManager(
                HostConfiguration(servers: (0..<3).map { zoo.server("s\($0)") })
            )
            let hosts = try await withThrowingTaskGroup(of: MCPHost.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await manager.initialize()
                        return try manager.host
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(hosts.count == 50 && hosts.allSatisfy { $0 === hosts[0] })
            expectClean(await manager.shutdown(), servers: 3)
            for i in 0..<3 { #expect(zoo.count("start", "s\(i)") == 1) }
        }
    }
}
