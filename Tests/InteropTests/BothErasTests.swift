import MCPHost
import TestSupport
import Testing

/// What servers ask and tell, against servers that are not ours, in each era with the same expectations.
@Suite(
    "Real servers that ask and tell",
    .serialized,
    .enabled(if: PythonServers.areInstalled, "\(PythonServers.absence)"),
    .timeLimit(.minutes(2))
)
struct BothErasTests {
    enum Era: CaseIterable { case legacy, modern }

    private static func configuration(_ script: String, _ era: Era) throws -> HostSetup {
        var server = PythonServers.server("peer", try PythonServers.script(script))
        server.client.era = era == .legacy ? .legacyOnly : .modernOnly
        server.client.logLevel = .info
        server.client.usesTasks = true
        server.client.pollInterval = .milliseconds(1) ... .seconds(1)
        return HostSetup(servers: [server])
    }

    private static func text(_ host: MCPHost, _ tool: String) async throws -> String? {
        let result = try await host.callTool(server: "peer", name: tool)
        #expect(result.isError != true, "\(result.content)")
        return result.content.first?.text
    }

    @Test("mcp 2.3.0 asks the user, the model and for roots; the answers arrive", arguments: Era.allCases)
    func questions(era: Era) async throws {
        var configuration = try Self.configuration(PythonServers.everything, era)
        let asked = Locked<[String]>([])
        configuration.handlers.elicitationForm = { params, context in
            asked.withLock { $0.append(params.message) }
            #expect(
                params.requestedSchema.properties.members.map(\.name) == ["size", "count"] && context.server == "peer"
            )
            return ElicitResult(action: .accept, content: ["size": "M"])
        }
        configuration.handlers.sampling = { params, _ in
            asked.withLock { $0.append("model") }
            #expect(params.maxTokens == 10)
            return CreateMessageResult(
                role: .assistant,
                content: .single(.content(.text(TextContent(text: "Paris")))),
                model: "m"
            )
        }
        configuration.handlers.roots = { _ in [Root(uri: "file:///srv/a"), Root(uri: "file:///srv/b")] }
        let host = try await MCPHost.start(configuration)
        // The form's default fills what the user left out.
        #expect(try await Self.text(host, "order") == "3 of M")
        #expect(try await Self.text(host, "think") == "m says Paris")
        #expect(try await Self.text(host, "roots") == "file:///srv/a file:///srv/b")
        #expect(asked.withLock { $0 } == ["Which size?", "model"])
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("mcp 2.3.0 is told no, and nobody hangs", arguments: Era.allCases)
    func refusals(era: Era) async throws {
        var configuration = try Self.configuration(PythonServers.everything, era)
        configuration.handlers.elicitationForm = { _, _ in throw ServerRequestHandlers.Rejection() }
        let host = try await MCPHost.start(configuration)
        let declined = try await host.callTool(server: "peer", name: "order")
        #expect(declined.isError == true)
        // Not offered: the server finds out by itself, or by our answer.
        let unoffered: Bool
        do { unoffered = try await host.callTool(server: "peer", name: "think").isError == true } catch {
            unoffered = true
        }
        #expect(unoffered)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("mcp 2.3.0 reports progress, logs, and tells of changes", arguments: Era.allCases)
    func tells(era: Era) async throws {
        let host = try await MCPHost.start(try Self.configuration(PythonServers.everything, era))
        let events = host.serverEvents()
        let reports = Locked<[String]>([])
        let result = try await host.callTool(
            server: "peer",
            name: "work",
            options: RequestOptions(onProgress: { report in
                reports.withLock { $0.append("\(report.progress)/\(report.total ?? 0) \(report.message ?? "")") }
            })
        )
        #expect(result.content.first?.text == "worked")
        #expect(reports.withLock { $0 } == ["1.0/3.0 step 1", "2.0/3.0 step 2", "3.0/3.0 step 3"])
        let before = try await host.tools().items.count
        if era == .modern { try await host.subscribe(server: "peer", to: "note://today") }
        #expect(try await Self.text(host, "touch") == "touched")
        var wanted: Set<String> = era == .modern ? ["log", "tools", "note://today"] : ["log", "tools"]
        for await event in events {
            switch event.event {
            case .log(let message): if message.data["step"] == "last" || message.level == .info { wanted.remove("log") }
            case .toolsChanged: wanted.remove("tools")
            case .resourceUpdated(let uri): wanted.remove(uri)
            default: break
            }
            if wanted.isEmpty { break }
        }
        #expect(wanted.isEmpty)
        #expect(try await host.tools().items.count == before + 1)
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("mcp 2.3.0 makes a task of a call; it is followed to its end, and can be started and awaited apart")
    func tasks() async throws {
        let host = try await MCPHost.start(try Self.configuration(PythonServers.everything, .modern))
        #expect(try await Self.text(host, "slow") == "done after 3 questions")
        guard case .task(let task) = try await host.startTool(server: "peer", name: "slow") else {
            Issue.record("no task")
            return
        }
        #expect(try await task.state().status == .working)
        #expect(
            try await host.task(server: "peer", id: task.id).result().content.first?.text?.hasPrefix("done after")
                == true
        )
        expectClean(await host.shutdown(), servers: 1)
    }

    @Test("FastMCP 4 in pages of two, with progress, logs and a question", arguments: Era.allCases)
    func fastMCP(era: Era) async throws {
        var configuration = try Self.configuration(PythonServers.paged, era)
        configuration.handlers.elicitationForm = { params, _ in
            #expect(params.message == "Your name?")
            return ElicitResult(action: .accept, content: ["value": "Ada"])
        }
        let host = try await MCPHost.start(configuration)
        let names = try await host.tools().items.map(\.item.name)
        #expect(Set(names) == ["tool_0", "tool_1", "tool_2", "tool_3", "tool_4", "work", "name"] && names.count == 7)
        #expect(try await Self.text(host, "name") == "hello Ada")
        let events = host.serverEvents()
        let count = Locked(0)
        _ = try await host.callTool(
            server: "peer",
            name: "work",
            options: RequestOptions(onProgress: { _ in count.withLock { $0 += 1 } })
        )
        #expect(count.withLock { $0 } == 3)
        for await event in events {
            if case .log(let message) = event.event, message.level == .warning { break }
        }
        expectClean(await host.shutdown(), servers: 1)
    }
}
