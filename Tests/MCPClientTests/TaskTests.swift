import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// Calls that go on by themselves: the core feature of 2025-11-25, and the extension since 2026-07-28.
@Suite("Tasks", .timeLimit(.minutes(5)))
struct TaskTests {
    static let eras: [ProtocolRevision] = [.v2025_11_25, .v2026_07_28]

    /// A server that makes a task of each call of `slow`: it works for `polls` questions, may need input, and ends as `ending` says.
    private static func server(
        _ revision: ProtocolRevision,
        polls: Int = 2,
        needsInput: Bool = false,
        ending: String = "completed",
        support: String = "required",
        interval: Int64 = 1
    ) -> ProtocolServer {
        let asked = Locked<[String: Int]>([:])
        let isAnswered = Locked(false)
        let isCancelled = Locked(false)
        let result: JSONValue = [
            "content": [["type": "text", "text": "at last"]], "isError": .bool(ending == "toolError"),
        ]
        @Sendable func state(_ id: String, _ status: String) -> JSONObject {
            var state: JSONObject = [
                "taskId": .string(id), "status": .string(status), "createdAt": "2026-08-22T10:00:00Z",
                "lastUpdatedAt": "2026-08-22T10:00:00Z",
            ]
            state[revision.isModern ? "ttlMs" : "ttl"] = 60000
            state[revision.isModern ? "pollIntervalMs" : "pollInterval"] = .number(JSONNumber(interval))
            return state
        }
        let form: JSONValue = [
            "message": "?", "requestedSchema": ["type": "object", "properties": ["a": ["type": "string"]]],
            "_meta": revision.isModern ? [:] : ["io.modelcontextprotocol/related-task": ["taskId": "task-7"]],
        ]
        var handlers: [String: ProtocolServer.Handler] = [
            "tools/list": { _ in
                [
                    "tools": [
                        [
                            "name": "slow", "inputSchema": ["type": "object"],
                            "execution": revision.isModern ? .null : ["taskSupport": .string(support)],
                        ], ["name": "quick", "inputSchema": ["type": "object"]],
                    ], "ttlMs": 60000, "cacheScope": "private",
                ]
            },
            "tools/call": { call in
                let isSlow = call.params["name"] == "slow"
                if isSlow, !revision.isModern, support == "required", call.params["task"] == nil {
                    throw ProtocolServer.Failure(-32601, "slow runs as a task only")
                }
                guard isSlow, revision.isModern || call.params["task"] != nil else { return result }
                var created = state("task-7", "working")
                if !revision.isModern { return ["task": .object(created)] }
                created["resultType"] = "task"
                return .object(created)
            },
            "tasks/get": { call in
                let id = call.params["taskId"]?.string ?? ""
                guard id == "task-7" else { throw ProtocolServer.Failure(-32602, "no such task") }
                let count = asked.withLock { asked in
                    asked[id, default: 0] += 1
                    return asked[id] ?? 0
                }
                if isCancelled.withLock({ $0 }) { return .object(state(id, "cancelled")) }
                if count <= polls { return .object(state(id, "working")) }
                if needsInput, !isAnswered.withLock({ $0 }) {
                    var waiting = state(id, "input_required")
                    if revision.isModern {
                        waiting["inputRequests"] = ["q": ["method": "elicitation/create", "params": form]]
                    }
                    return .object(waiting)
                }
                var done = state(id, ending == "toolError" ? (revision.isModern ? "completed" : "failed") : ending)
                if revision.isModern {
                    if ending == "failed" {
                        done["error"] = ["code": -32603, "message": "broken"]
                    } else {
                        done["result"] = result
                    }
                }
                return .object(done)
            },
            "tasks/result": { call in
                if revision.isModern { throw ProtocolServer.Failure(-32601, "no") }
                if needsInput {
                    let answer = await call.ask("elicitation/create", form)
                    guard answer["result"]?["content"]?["a"] == "x" else {
                        throw ProtocolServer.Failure(-32603, "no input")
                    }
                }
                if ending == "failed" { throw ProtocolServer.Failure(-32603, "broken") }
                return result
            },
            "tasks/cancel": { call in
                isCancelled.withLock { $0 = true }
                return revision.isModern ? [:] : .object(state(call.params["taskId"]?.string ?? "", "cancelled"))
            },
        ]
        handlers["tasks/update"] = { call in
            guard call.params["inputResponses"]?["q"]?["content"]?["a"] == "x" else {
                throw ProtocolServer.Failure(-32602, "no answer")
            }
            isAnswered.withLock { $0 = true }
            return [:]
        }
        let capabilities: JSONValue =
            revision.isModern
            ? ["tools": [:], "extensions": ["io.modelcontextprotocol/tasks": [:]]]
            : ["tools": [:], "tasks": ["cancel": [:], "requests": ["tools": ["call": [:]]]]]
        return ProtocolServer(revision, capabilities: capabilities, handlers)
    }

    private static func offer(_ configuration: inout SessionSetup) {
        configuration.usesTasks = true
        configuration.pollInterval = .milliseconds(1) ... .milliseconds(20)
        configuration.handlers.elicitationForm = { _, context in
            ElicitResult(action: .accept, content: ["a": context.taskID == "task-7" ? "x" : "no task"])
        }
    }

    @Test(
        "TASKL-07 TASKL-11 TASKL-12 TASKL-14 TASKL-36 TASKL-37 XTASK-02 XTASK-11 a call that becomes a task looks like any other",
        arguments: eras
    )
    func followed(revision: ProtocolRevision) async throws {
        let server = Self.server(revision)
        try await withSession(server, Self.offer) { session in
            _ = try await session.listTools()
            let result = try await session.callTool("slow")
            #expect(result.content.first?.text == "at last" && result.isError != true)
            #expect(server.received("tasks/get").count == 3)
            #expect(server.received("tasks/get").allSatisfy { $0["params"]?["taskId"] == "task-7" })
            let related = "io.modelcontextprotocol/related-task"
            #expect(server.received("tasks/get").allSatisfy { $0["params"]?["_meta"]?[related] == nil })
            #expect(server.received("tools/call").first?["params"]?["task"] == (revision.isModern ? nil : [:]))
            let quick = try await session.callTool("quick")
            #expect(quick.content.first?.text == "at last")
            #expect(server.received("tools/call").last?["params"]?["task"] == nil)
            #expect(server.received("subscriptions/listen").isEmpty, "nobody has asked for events")
        }
    }

    @Test(
        "TASKL-10 XTASK-10 V1 V19 a task is asked for as often as the server wants, and no more often",
        arguments: eras
    )
    func pollInterval(revision: ProtocolRevision) async throws {
        let clock = ManualClock()
        let server = Self.server(revision, polls: 8, interval: 500)
        try await withSession(server, clock: clock) { configuration in
            Self.offer(&configuration)
            configuration.pollInterval = .milliseconds(1) ... .seconds(60)
        } _: { session in
            _ = try await session.listTools()
            let call = Task { try await session.callTool("slow") }
            // Eight times "working", then "completed": nine questions, each half a second after the one before.
            for count in 0..<9 {
                await server.wait(for: "question \(count)") { $0.received("tasks/get").count >= count }
                #expect(server.received("tasks/get").count == count)
                await clock.pass(.milliseconds(500))
            }
            let result = try await call.value
            #expect(result.content.first?.text == "at last")
            #expect(server.received("tasks/get").count == 9)
        }
    }

    @Test("TASKL-07 V19 a tool that runs as a task only is called as one; a tool that may is not, unless asked to")
    func required() async throws {
        for (support, isTask) in [("required", true), ("optional", false), ("forbidden", false)] {
            let server = Self.server(.v2025_11_25, support: support)
            try await withSession(server, Self.offer) { session in
                _ = try await session.listTools()
                let result = try await session.callTool("slow")
                #expect(result.content.first?.text == "at last")
                #expect((server.received("tools/call").first?["params"]?["task"] != nil) == isTask, "\(support)")
            }
        }
    }

    @Test("XTASK-17 V19 a question that stays in the answers is put to the user once; a new one beside it too")
    func questionStays() async throws {
        let form: JSONValue = [
            "method": "elicitation/create",
            "params": [
                "message": "?", "requestedSchema": ["type": "object", "properties": ["a": ["type": "string"]]],
            ],
        ]
        let polls = Locked(0)
        let server = ProtocolServer(
            .v2026_07_28,
            capabilities: ["tools": [:], "extensions": ["io.modelcontextprotocol/tasks": [:]]],
            [
                "tools/call": { _ in ["resultType": "task", "taskId": "7", "status": "working", "pollIntervalMs": 1] },
                "tasks/get": { _ in
                    let count = polls.withLock { polls in
                        polls += 1
                        return polls
                    }
                    // The server is slow to take note of what it was told.
                    var state: JSONObject = ["taskId": "7", "status": "input_required", "pollIntervalMs": 1]
                    if count <= 3 { state["inputRequests"] = ["first": form] }
                    if count == 4 { state["inputRequests"] = ["first": form, "second": form] }
                    if count > 4 {
                        state["status"] = "completed"
                        state["result"] = ["content": [["type": "text", "text": "done"]]]
                    }
                    return .object(state)
                },
                "tasks/update": { _ in [:] },
            ]
        )
        let asked = Locked(0)
        try await withSession(server) { configuration in
            configuration.usesTasks = true
            configuration.pollInterval = .milliseconds(1) ... .milliseconds(20)
            configuration.handlers.elicitationForm = { _, _ in
                asked.withLock { $0 += 1 }
                return ElicitResult(action: .accept, content: ["a": "x"])
            }
        } _: { session in
            let result = try await session.callTool("t")
            #expect(result.content.first?.text == "done")
        }
        #expect(asked.withLock { $0 } == 2)
        let answered = server.received("tasks/update").map { update in
            (update["params"]?["inputResponses"]?.object ?? [:]).map(\.0)
        }
        #expect(answered == [["first"], ["second"]])
    }

    @Test("TASKL-26 XTASK-15 XTASK-19 a task that needs input gets it, once", arguments: eras)
    func input(revision: ProtocolRevision) async throws {
        let server = Self.server(revision, needsInput: true)
        try await withSession(server, Self.offer) { session in
            _ = try await session.listTools()
            let result = try await session.callTool("slow")
            #expect(result.content.first?.text == "at last")
            #expect(server.received("tasks/update").count == (revision.isModern ? 1 : 0))
            #expect(server.received("tasks/result").count == (revision.isModern ? 0 : 1))
        }
    }

    @Test("TASKL-34 a task fails as its call would have", arguments: eras)
    func failed(revision: ProtocolRevision) async throws {
        try await withSession(Self.server(revision, ending: "failed"), Self.offer) { session in
            _ = try await session.listTools()
            let error = await #expect(throws: MCPError.self) { try await session.callTool("slow") }
            #expect(error?.code == .serverError && error?.rpcError?.code == .internalError)
            #expect(error?.message.contains("broken") == true)
        }
        try await withSession(Self.server(revision, ending: "toolError"), Self.offer) { session in
            _ = try await session.listTools()
            let result = try await session.callTool("slow")
            #expect(result.isError == true)
        }
    }

    @Test(
        "CAN-06 XTASK-22 a caller who goes takes his task with him, by tasks/cancel and nothing else",
        arguments: eras
    )
    func cancelled(revision: ProtocolRevision) async throws {
        let server = Self.server(revision, polls: .max)
        try await withSession(server, Self.offer) { session in
            _ = try await session.listTools()
            let call = Task { () -> MCPError? in
                do throws(MCPError) {
                    _ = try await session.callTool("slow")
                    return nil
                } catch { return error }
            }
            await server.wait(forReceived: "tasks/get", times: 3)
            call.cancel()
            let code = await call.value?.code
            #expect(code == .cancelled)
            await server.wait(forReceived: "tasks/cancel")
            #expect(server.received("tasks/cancel").first?["params"]?["taskId"] == "task-7")
            let calls = Set(server.received("tools/call").compactMap { $0["id"] })
            let cancelled = server.received("notifications/cancelled").compactMap { $0["params"]?["requestId"] }
            #expect(calls.isDisjoint(with: cancelled))
        }
    }

    @Test("V8 a task that the server has cancelled is not cancelled again", arguments: eras)
    func cancelledByServer(revision: ProtocolRevision) async throws {
        let server = Self.server(revision, polls: 1, ending: "cancelled")
        try await withSession(server, Self.offer) { session in
            _ = try await session.listTools()
            let error = await #expect(throws: MCPError.self) { try await session.callTool("slow") }
            #expect(error?.code == .cancelled)
            // What would have been sent beside it is sent by now.
            _ = try? await session.complete(
                .init(ref: .prompt(.init(name: "p")), argument: .init(name: "a", value: ""))
            )
            #expect(server.received("tasks/cancel").isEmpty)
        }
    }

    @Test("V8 a task whose question is refused is cancelled")
    func refusedQuestion() async throws {
        let server = Self.server(.v2026_07_28, polls: 1, needsInput: true)
        try await withSession(server) {
            Self.offer(&$0)
            $0.handlers.elicitationForm = { _, _ in throw MCPError(.init("broken"), "no") }
        } _: { session in
            _ = try await session.listTools()
            await #expect(throws: MCPError.self) { try await session.callTool("slow") }
            await server.wait(forReceived: "tasks/cancel")
        }
    }

    @Test("V8 a task whose caller goes before it has a name is cancelled when it has one")
    func callerGoesEarly() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            switch method {
            case "initialize":
                transport.reply(
                    id,
                    result:
                        #"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}},"serverInfo":{"name":"s","version":"1"}}"#
                )
            case "tools/list":
                transport.reply(
                    id,
                    result: #"{"tools":[{"name":"slow","inputSchema":{},"execution":{"taskSupport":"required"}}]}"#
                )
            case "server/discover": transport.refuse(id, code: -32601)
            default: break
            }
        }
        try await withSession(transport) { session in
            _ = try await session.listTools()
            let call = Task { try await session.callTool("slow") }
            await transport.wait(forSent: "tools/call")
            call.cancel()
            await #expect(throws: MCPError.self) { try await call.value }
            await transport.wait(forSent: "notifications/cancelled")
            let asked = try #require(transport.sent.first { $0["method"] == "tools/call" }?["id"]?.int64)
            let task = #"{"task":{"taskId":"late","status":"working","createdAt":"","lastUpdatedAt":"","ttl":null}}"#
            transport.reply(.integer(asked), result: task)
            await transport.wait(forSent: "tasks/cancel")
            #expect(transport.sent.last?["params"]?["taskId"] == "late")
        }
    }

    @Test("V8 an answer that comes twice cancels nothing: its task has a caller")
    func answeredTwice() async throws {
        let transport = ScriptedTransport { transport, id, method, _ in
            if ScriptedTransport.shakeHands(transport, id, method, isModern: false) { return }
            let task = #"{"task":{"taskId":"t","status":"working","createdAt":"","lastUpdatedAt":"","ttl":null}}"#
            for _ in 0..<2 { transport.reply(id, result: method == "tools/call" ? task : "{}") }
        }
        try await withSession(transport) { session in
            _ = try? await session.callTool("slow")
            try await session.ping()
            #expect(!transport.methods().contains("tasks/cancel"))
        }
    }

    @Test(
        "XTASK-12 the handle of a task outlives the call and the connection; it can be asked, awaited and cancelled",
        arguments: eras
    )
    func handle(revision: ProtocolRevision) async throws {
        let server = Self.server(revision, polls: 3, support: "optional")
        let id = try await withSession(server, Self.offer) { session in
            _ = try await session.listTools()
            guard case .task(let task) = try await session.startTool("slow", timeToLive: .seconds(5)) else {
                return "none"
            }
            let state = try await task.state()
            #expect(state.status == .working && state.timeToLive == 60000 && !state.isTerminal)
            if !revision.isModern { #expect(server.received("tools/call").first?["params"]?["task"] == ["ttl": 5000]) }
            return task.id
        }
        #expect(id == "task-7")
        try await withSession(server, Self.offer) { session in
            let result = try await session.task(id).result()
            #expect(result.content.first?.text == "at last")
            try await session.task(id).cancel()
            let error = await #expect(throws: MCPError.self) { try await session.task(id).result() }
            #expect(error?.code == .cancelled)
            let unknown = await #expect(throws: MCPError.self) { try await session.task("other").state() }
            #expect(unknown?.rpcError?.code == .invalidParams)
        }
    }

    @Test("TASKL-02 TASKL-03 TASKL-04 TASKL-05 a tool is called as a task only where server and tool take tasks")
    func notOffered() async throws {
        for (support, declares) in [("forbidden", true), ("required", false), ("optional", true)] {
            let base = Self.server(.v2025_11_25, support: support)
            let server =
                declares
                ? base
                : ProtocolServer(
                    .v2025_11_25,
                    [
                        "tools/list": { _ in
                            [
                                "tools": [
                                    [
                                        "name": "slow", "inputSchema": ["type": "object"],
                                        "execution": ["taskSupport": "required"],
                                    ]
                                ]
                            ]
                        },
                        "tools/call": { _ in ["content": [["type": "text", "text": "at last"]]] },
                    ]
                )
            try await withSession(server, Self.offer) { session in
                _ = try await session.listTools()
                _ = try await session.callTool("slow")
                #expect(server.received("tools/call").first?["params"]?["task"] == nil)
                if support != "optional" {
                    let error = await #expect(throws: MCPError.self) { try await session.startTool("slow") }
                    #expect(error?.code == .notSupported)
                }
            }
        }
    }

    @Test(
        "EXTN-01 EXTN-02 EXTN-04 XTASK-03 the extension is off until it is wanted, and then declared on every request"
    )
    func extensionDeclared() async throws {
        for isWanted in [false, true] {
            let server = Self.server(.v2026_07_28)
            try await withSession(server) {
                Self.offer(&$0)
                $0.usesTasks = isWanted
            } _: { session in
                _ = try await session.listTools()
                if isWanted {
                    _ = try await session.callTool("slow")
                } else {
                    let error = await #expect(throws: MCPError.self) { try await session.callTool("slow") }
                    #expect(error?.code == .badResponse)
                }
                let declared = server.received.filter { $0["id"] != nil }.map {
                    $0["params"]?["_meta"]?["io.modelcontextprotocol/clientCapabilities"]?["extensions"]
                }
                let wanted: JSONValue? = isWanted ? ["io.modelcontextprotocol/tasks": [:]] : Optional.none
                #expect(declared.allSatisfy { $0 == wanted } && declared.count >= 3)
            }
        }
        // A task where the specification knows none is no result.
        let server = ProtocolServer(
            .v2026_07_28,
            capabilities: ["prompts": [:]],
            ["prompts/get": { _ in ["resultType": "task", "taskId": "1", "status": "working"] }]
        )
        try await withSession(server, Self.offer) { session in
            let error = await #expect(throws: MCPError.self) { try await session.getPrompt("p") }
            #expect(error?.code == .badResponse)
        }
    }

    @Test("TASKL-13 PROG-09 a change that is told ends the pause; progress keeps its token for the whole task")
    func told() async throws {
        let token = Locked<JSONValue?>(nil)
        let isDone = Locked(false)
        let reports = Watched<[Double]>([])
        let server = ProtocolServer(
            .v2025_11_25,
            capabilities: ["tools": [:], "tasks": ["requests": ["tools": ["call": [:]]]]],
            [
                "tools/list": { _ in
                    [
                        "tools": [
                            ["name": "t", "inputSchema": ["type": "object"], "execution": ["taskSupport": "required"]]
                        ]
                    ]
                },
                "tools/call": { call in
                    token.withLock { $0 = call.params["_meta"]?["progressToken"] }
                    return ["task": ["taskId": "1", "status": "working", "ttl": nil, "pollInterval": 1]]
                },
                "tasks/get": { _ in
                    [
                        "taskId": "1", "status": .string(isDone.withLock { $0 } ? "completed" : "working"), "ttl": nil,
                        "pollInterval": 3_600_000,
                    ]
                },
                "tasks/result": { _ in ["content": []] },
            ]
        )
        try await withSession(server) {
            $0.pollInterval = .milliseconds(1) ... .seconds(3600)
        } _: { session in
            _ = try await session.listTools()
            async let result = session.callTool(
                "t",
                options: RequestOptions(onProgress: { report in reports.withLock { $0.append(report.progress) } })
            )
            // It has asked once, so it listens; it would not ask again for an hour.
            await server.wait(forReceived: "tasks/get")
            server.tell("notifications/progress", ["progressToken": token.withLock { $0 } ?? .null, "progress": 1])
            isDone.withLock { $0 = true }
            server.tell("notifications/tasks/status", ["taskId": "1", "status": "completed"])
            _ = try await result
            await reports.wait(for: "a report of progress") { !$0.isEmpty }
        }
    }
}
