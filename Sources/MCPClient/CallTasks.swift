public import MCPJSON
import MCPSession
public import MCPTransport
public import MCPTypes

/// A call that goes on by itself, at the server. It may be asked for, answered and cancelled from anywhere, also after a restart of
/// this program: keep ``id``, and make it anew with ``ClientSession/task(_:)``.
public struct CallTask: Sendable {
    /// Its name, made by the server. Keep it secret: who has it may read the result.
    public let id: String
    let session: ClientSession
    /// What the server said when it began.
    let first: TaskState?

    /// How far it is.
    /// - Throws: `serverError` if the server does not know it (any more).
    public func state(options: RequestOptions = RequestOptions()) async throws(MCPError) -> TaskState {
        try await self.session.taskState(self.id, options)
    }

    /// Waits until it is done: asks as often as the server likes, and answers what the server asks for.
    /// - Throws: what the call would have thrown; `cancelled` if the task or the calling task is. Cancelling the caller leaves the
    ///   task alone.
    public func result(options: RequestOptions = RequestOptions()) async throws(MCPError) -> CallToolResult {
        let payload = try await self.session.follow(self.id, self.first, options)
        return try ClientSession.decode(payload, .toolsCall)
    }

    /// Asks the server to give it up (`CAN-06`, `XTASK-22`). It may be done all the same.
    public func cancel(options: RequestOptions = RequestOptions()) async throws(MCPError) {
        _ = try await self.session.request(.tasksCancel, ofTask: self.id, options)
    }
}

extension ClientSession {
    /// A task of this server, by its name.
    public func task(_ id: String) -> CallTask { CallTask(id: id, session: self, first: nil) }

    /// Calls a tool as a task, and comes back when the server has taken it on.
    ///
    /// Revision 2025-11-25: where server and tool allow it. Since 2026-07-28 the server decides, if ``ClientConfiguration/usesTasks``.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: a JSON object; nil for none.
    ///   - timeToLive: how long the result is to be kept, if the client may say so (2025-11-25).
    ///   - options: time limits of the request that starts it.
    /// - Returns: the task, or the result if the server has answered at once.
    /// - Throws: `notSupported` where server or tool has no tasks.
    public func startTool(
        _ name: String,
        arguments: RawJSON? = nil,
        timeToLive: Duration? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> StartedCall {
        let server = try await self.waitUntilReady()
        let budget = CallBudget(self, options)
        let tool = try await self.tool(name, taking: arguments, budget)
        let options = try budget.rest()
        if server.revision.isModern {
            guard self.configuration.usesTasks else {
                throw MCPError(
                    .notSupported,
                    "tasks are an extension that this connection does not use (ClientConfiguration.usesTasks)"
                )
            }
            let resolved = try await self.resolve(
                RequestHead(.toolsCall, about: name, mirroring: tool?.mirrored(arguments) ?? []),
                options: options,
                leavesTask: true
            ) {
                Self.writeCall(&$0, name, arguments)
            }
            if let state = resolved.task { return .task(CallTask(id: state.id, session: self, first: state)) }
            return .result(try Self.decode(resolved.payload, .toolsCall))
        }
        let support = tool?.tool.execution?.taskSupport
        guard Self.takesTasks(server), support == .optional || support == .required else {
            throw MCPError(.notSupported, "\(name) cannot be called as a task")
        }
        return .task(try await self.createTask(name, arguments, timeToLive, options).task)
    }

    /// Tasks of the core protocol: for `tools/call` only where the server says so (`TASKL-02` to `TASKL-05`).
    static func takesTasks(_ server: ServerDescription) -> Bool {
        server.revision == .v2025_11_25
            && server.capabilities.tasks?.requests?["tools"]?["call"] != nil
    }

    static func writeCall(_ writer: inout JSONWriter, _ name: String, _ arguments: RawJSON?) {
        writer.member("name", name)
        if let arguments {
            writer.key("arguments")
            writer.write(raw: arguments)
        }
    }

    /// The task that a result tells of: in its member `task` before 2026-07-28, itself since.
    static func createdTask(_ payload: RawJSON) -> TaskState? {
        guard let members = try? payload.decode(JSONObject.self) else { return nil }
        if let task = members["task"]?.object { return TaskState(task) }
        return members["resultType"]?.string == ResultType.task.rawValue ? TaskState(members) : nil
    }

    private func createTask(
        _ name: String,
        _ arguments: RawJSON?,
        _ timeToLive: Duration?,
        _ options: RequestOptions
    ) async throws(MCPError) -> (task: CallTask, token: Int64) {
        let id = self.takeID()
        let payload = try await self.exchange(
            RequestHead(.toolsCall, about: name),
            revision: self.server?.revision,
            options: options,
            id: id,
            writeParams: { writer in
                Self.writeCall(&writer, name, arguments)
                writer.key("task")
                writer.beginObject()
                if let timeToLive {
                    writer.key("ttl")
                    writer.write(
                        timeToLive.components.seconds * 1000 + timeToLive.components.attoseconds / 1_000_000_000_000_000
                    )
                }
                writer.endObject()
            }
        )
        guard let state = Self.createdTask(payload) else {
            throw MCPError(.badResponse, "\(name) was called as a task, and the answer is none")
        }
        return (CallTask(id: state.id, session: self, first: state), id)
    }

    /// A tool that runs only as a task, called like any other (`TASKL-07`).
    func callAsTask(_ name: String, _ arguments: RawJSON?, _ options: RequestOptions) async throws(MCPError) -> RawJSON
    {
        let (task, token) = try await self.createTask(name, arguments, nil, options)
        // Progress keeps the token of the request for the whole life of the task (`PROG-09`).
        if let handler = ProgressHandler.of(options) {
            self.taskProgress.withLock { $0[token] = handler }
        }
        defer { self.taskProgress.withLock { _ = $0.removeValue(forKey: token) } }
        do throws(MCPError) {
            return try await self.followOrCancel(task.id, task.first, options)
        } catch {
            throw error.afterBeginning(of: .toolsCall)
        }
    }

    /// Nobody but the caller knows of the task: when the caller goes, the task goes.
    func followOrCancel(
        _ id: String,
        _ first: TaskState?,
        _ options: RequestOptions
    ) async throws(MCPError) -> RawJSON {
        do throws(MCPError) {
            return try await self.follow(id, first, options)
        } catch {
            if error.code == .cancelled || error.code == .timeout, self.broken.value == nil {
                self.spawn { try? await CallTask(id: id, session: self, first: nil).cancel() }
            }
            throw error
        }
    }

    /// A request about a task.
    fileprivate func request(
        _ method: Method,
        ofTask id: String,
        _ options: RequestOptions
    ) async throws(MCPError) -> RawJSON {
        let head = RequestHead(method, about: id)
        return try await self.request(head, options: options) { $0.member("taskId", id) }
    }

    // MARK: Until it is done

    func taskState(_ id: String, _ options: RequestOptions) async throws(MCPError) -> TaskState {
        let payload = try await self.request(.tasksGet, ofTask: id, options)
        guard let members = try? payload.decode(JSONObject.self), let state = TaskState(members) else {
            throw MCPError(.badResponse, "the state of task \(id) is unusable")
        }
        return state
    }

    func follow(_ id: String, _ first: TaskState?, _ options: RequestOptions) async throws(MCPError) -> RawJSON {
        let isModern = try await self.negotiated().revision.isModern
        let hard = options.hardTimeout ?? self.configuration.taskTimeout
        let deadline = self.clock.now + hard - options.timeSpent
        // What was spent before counts once, and not for each question about the task.
        var options = options
        options.timeSpent = .zero
        var answered: Set<WireString> = []
        var state = first
        // A task that changes is told of, if the server does so at all; nobody relies on it (`TASKL-13`). One reader for the whole time: a
        // sequence that one wait has given up is over for the next.
        let changed = ChangeSignal()
        let changes = ServerEvents(self.events, buffer: 16, isCounted: false)
        async let _ = Self.ring(changed, for: id, changes)
        self.hold()
        defer { self.release() }
        while true {
            if let state, isModern ? state.isTerminal : state.isTerminal || state.status == .inputRequired {
                return try await self.outcome(state, isModern, options)
            }
            if isModern, let state, state.status == .inputRequired {
                try await self.answer(state, &answered, options)
            }
            if state != nil { await self.waitForChange(state?.pollInterval, changed) }
            if Task.isCancelled { throw MCPError(.cancelled, "waiting for task \(id) was cancelled") }
            if let error = self.broken.value { throw error }
            guard self.clock.now < deadline else {
                throw MCPError(.timeout, "timeout: task \(id) was not done within \(hard)")
            }
            state = try await self.taskState(id, options)
        }
    }

    private static func ring(_ bell: ChangeSignal, for id: String, _ changes: ServerEvents<ServerEvent>) async {
        for await event in changes {
            if case .task(let state) = event, WireString(state.id) == WireString(id) { bell.ring() }
        }
    }

    /// The pause that the server wants (`TASKL-10`, `XTASK-10`), or until it tells of a change.
    private func waitForChange(_ interval: Int64?, _ changed: ChangeSignal) async {
        let bounds = self.configuration.pollInterval
        let pause = min(
            max(interval.map { .milliseconds($0) } ?? bounds.lowerBound, bounds.lowerBound),
            bounds.upperBound
        )
        let next = changed.next()
        await self.pause(pause, or: next)
        changed.leave(next)
    }

    /// Answers what a task asks for, each thing once (`XTASK-15`, `XTASK-17`, `XTASK-19`).
    private func answer(
        _ state: TaskState,
        _ answered: inout Set<WireString>,
        _ options: RequestOptions
    ) async throws(MCPError) {
        let open = (state.inputRequests ?? InputRequests()).members.filter { !answered.contains(WireString($0.name)) }
        guard !open.isEmpty else { return }
        let responses = try await self.fulfil(
            InputRequests(open),
            with: self.responders(options),
            taskID: state.id
        )
        answered.formUnion(open.map { WireString($0.name) })
        _ = try await self.request(RequestHead(.tasksUpdate, about: state.id), options: options) { writer in
            writer.member("taskId", state.id)
            writer.key("inputResponses")
            responses.encode(to: &writer, for: .latest)
        }
    }

    private func outcome(
        _ state: TaskState,
        _ isModern: Bool,
        _ options: RequestOptions
    ) async throws(MCPError) -> RawJSON {
        if !isModern {
            if state.status == .cancelled { throw MCPError(.cancelled, "task \(state.id) was cancelled") }
            // Waits, where the task needs input: the server asks for it meanwhile (`TASKL-26`).
            return try await self.request(.tasksResult, ofTask: state.id, options)
        }
        switch state.status {
        case .completed:
            guard let result = state.result else {
                throw MCPError(.badResponse, "task \(state.id) is completed, and has no result")
            }
            return result
        case .failed:
            let reason = state.error?.message ?? state.statusMessage ?? "no reason given"
            throw MCPError(.serverError, "task \(state.id) failed: \(reason)", rpcError: state.error)
        default:
            throw MCPError(.cancelled, "task \(state.id) was cancelled: \(state.statusMessage ?? "no reason given")")
        }
    }
}

/// What came of calling a tool as a task.
public enum StartedCall: Sendable {
    /// The server has answered at once.
    case result(CallToolResult)
    /// The server works on it.
    case task(CallTask)
}
