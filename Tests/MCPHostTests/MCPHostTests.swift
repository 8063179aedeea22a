import Logging
import MCPHost
import ServiceLifecycle
import TestSupport
import Testing

@Suite("The host", .timeLimit(.minutes(5)))
struct MCPHostTests {
    @Test("tools of all servers under their names; calls by name, and by server and tool")
    func tools() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [
                ScriptedServer.configuration("a"), ScriptedServer.configuration("b.c"),
                ScriptedServer.configuration("x", ["--exit", "1"]),
            ])
        )
        let found = try await host.tools()
        #expect(found.items.map(\.qualifiedName).first == "a__echo" && found.items.count == 2)
        #expect(found.failures.map(\.server) == ["x"])
        for tool in found.items {
            let result = try await host.callTool(tool.qualifiedName, arguments: ["text": .string(tool.server)])
            #expect(result.content.first?.text == tool.server)
        }
        await #expect { try await host.callTool("a__nothing") } throws: { ($0 as? MCPError)?.code == .notFound }
        await #expect { try await host.callTool(server: "zzz", name: "echo") } throws: {
            "\($0)".contains("there are: a, b.c, x")
        }
        expectClean(await host.shutdown(), servers: 3)
    }

    @Test("J5 a call by name works without a listing before it")
    func callFirst() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
        #expect(try await host.callTool("a__echo", arguments: ["text": "t"]).content.first?.text == "t")
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("a server that exits when probed is opened again in the older way")
    func exitOnProbe() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ScriptedServer.configuration("rude", ["--exit-on-probe", "--era", "legacy"])])
        )
        let connection = try host.server("rude")
        #expect(connection.server?.revision == .v2025_11_25 && connection.failure == nil && connection.status == .ready)
        #expect(host.journal.entries(for: "rude").contains { $0.event == "restarting" })
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("B10 a server that is silent when probed is spoken to in the older way, same process")
    func silentProbe() async throws {
        var server = ScriptedServer.configuration("silent", ["--silent-probe", "--era", "legacy"])
        server.client.probeTimeout = .milliseconds(100)
        let host = try await MCPHost.start(HostConfiguration(servers: [server]))
        #expect(try host.server("silent").server?.revision == .v2025_11_25)
        #expect(!host.journal.entries(for: "silent").contains { $0.event == "restarting" })
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("legacy servers of every revision", arguments: ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    func revisions(revision: String) async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [
                ScriptedServer.configuration("old", ["--era", "legacy", "--revision", "\"\(revision)\""])
            ])
        )
        #expect(try host.server("old").server?.revision.rawValue == revision)
        #expect(
            try await host.callTool(server: "old", name: "echo", arguments: ["text": "x"]).content.first?.text == "x"
        )
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("C6 a result of fifteen megabytes arrives, one of seventeen fails by name, and the connection goes on")
    func large() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
        let fifteen = try await host.callTool(server: "a", name: "big", arguments: ["n": 15_000_000])
        #expect(fifteen.content.first?.text?.utf8.count == 15_000_000)
        await #expect {
            try await host.callTool(server: "a", name: "big", arguments: ["n": 17_000_000])
        } throws: { ($0 as? MCPError)?.code == .messageTooLarge }
        #expect(try await host.callTool(server: "a", name: "echo", arguments: ["text": "x"]).content.first?.text == "x")
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("names are unique; a removed one is free again; a failed one may be replaced")
    func names() async throws {
        let host = try await MCPHost.start(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
        await #expect { try await host.addServer(ScriptedServer.configuration("a")) } throws: {
            "\($0)".contains("is there already")
        }
        #expect(await host.removeServer("a") != nil)
        #expect(await host.removeServer("a") == nil)
        try await host.addServer(ScriptedServer.configuration("a"))
        await #expect(throws: MCPError.self) {
            try await host.addServer(ScriptedServer.configuration("bad", ["--exit", "1"]))
        }
        #expect(host.servers.map(\.name) == ["a"])
        expectClean(await host.shutdown(), servers: 3)
        let two = HostConfiguration(servers: [ScriptedServer.configuration("a"), ScriptedServer.configuration("a")])
        await #expect { try await MCPHost.start(two) } throws: { ($0 as? MCPError)?.code == .invalidConfiguration }
    }

    @Test("a host that was never run shuts down at once, and opens nothing afterwards")
    func neverRun() async throws {
        let host = MCPHost(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
        let report = await host.shutdown()
        expectClean(report, servers: 1)
        #expect(report.servers.first?.processID == nil)
        try await host.run()
        await #expect(throws: MCPError.self) { try await host.addServer(ScriptedServer.configuration("b")) }
    }

    #if ServiceLifecycle
        @Test("a host is a service: graceful shutdown closes it")
        func service() async throws {
            let host = MCPHost(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
            let group = ServiceGroup(services: [host], logger: Logger(label: "test"))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                #expect(await host.ready())
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
            expectClean(await host.shutdown(), servers: 1)
        }
    #endif

    @Test("a host whose running task is cancelled closes everything")
    func cancelled() async throws {
        let host = MCPHost(HostConfiguration(servers: [ScriptedServer.configuration("a")]))
        let running = Task { try await host.run() }
        #expect(await host.ready())
        running.cancel()
        try await running.value
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("the report tells every step, and reads as JSON")
    func report() async throws {
        let host = try await MCPHost.start(
            HostConfiguration(servers: [ScriptedServer.configuration("a", ["--ignore-eof", "--ignore-term"])])
        )
        let report = await host.shutdown()
        expectClean(report, servers: 1)
        #expect(report.description == "1 server closed, 0 processes left")
        let json = try RawJSON(encoding: report).decode(JSONValue.self)
        #expect(json["clean"] == true && json["servers"]?.array?.first?["step"] == "kill")
        #expect(
            json["servers"]?.array?.first?["steps"]?.array?.compactMap { $0["step"]?.string } == [
                "endOfInput", "terminate", "kill",
            ]
        )
    }

    @Test("the journal tells who opened and who closed, and keeps the newest entries")
    func journal() async throws {
        var configuration = HostConfiguration()
        configuration.journalCapacity = 10
        let host = try await MCPHost.start(configuration)
        for i in 0..<10 {
            _ = try await Task(name: "opener \(i)") {
                try await host.addServer(ProtocolServer.echo("s", isModern: true))
            }.value
            _ = await Task(name: "closer \(i)") { await host.removeServer("s") }.value
        }
        let entries = host.journal.entries
        #expect(entries.count == 10 && entries.map(\.number) == Array(entries[0].number..<entries[0].number + 10))
        #expect(entries.contains { $0.event == "closing" && $0.task == "task \"closer 9\"" })
        #expect(entries.contains { $0.event == "added" && $0.task == "task \"opener 9\"" })
        expectClean(await host.shutdown(), servers: 10)
    }

    @Test("D1 a host is told which server wrote what, and what it wrote last")
    func standardError() async throws {
        let told = Watched<[String]>([])
        var configuration = HostSetup(servers: [
            ScriptedServer.configuration("a"),
            ServerDefinition(name: "b", command: "/bin/sh", arguments: ["-c", "echo one >&2; printf two >&2; exit 3"]),
        ])
        configuration.onStandardError = { server, line in told.withLock { $0.append("\(server): \(line)") } }
        let host = try await MCPHost.start(configuration)
        await told.wait(for: "the last word") { $0.contains("b: two") }
        let b = told.value.filter { $0.hasPrefix("b") }
        #expect(b.starts(with: ["b: one", "b: two"]))
        _ = await host.shutdown()
    }
}
