import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// Follows calls that have become tasks of the server, to their end.
final class TaskFollower: Sendable {
    private let context: SessionContext
    private let channel: RequestChannel
    private let hub: ServerEventHub
    private let background: BackgroundWork
    private let requests: ServerRequests
    /// Who is told of the progress of tasks, by the token of the request that became one.
    private let progress = Locked<[Int64: RequestChannel.ProgressHandler]>([:])

    init(_ channel: RequestChannel, _ background: BackgroundWork, _ hub: ServerEventHub, _ requests: ServerRequests) {
        self.context = channel.context
        self.channel = channel
        self.background = background
        self.hub = hub
        self.requests = requests
    }

    /// Who wants to know of the progress of a task, after the request that became one has ended.
    func progressHandler(for token: Int64) -> RequestChannel.ProgressHandler? { self.progress.withLock { $0[token] } }

    /// Calls a tool as a task of the core protocol.
    /// - Returns: the task, and the token of its progress.
    func create(
        _ name: String,
        _ arguments: RawJSON?,
        _ timeToLive: Duration?,
        _ options: RequestOptions
    ) async throws(MCPError) -> (state: TaskState, token: Int64) {
        let id = self.channel.takeID()
        let payload = try await self.channel.exchange(
            RequestHead(.toolsCall, about: name),
            revision: self.channel.readiness.revision,
            options: options,
            id: id,
            writeParams: { writer in
                writer.toolCall(name, arguments)
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
        guard let state = TaskState(createdBy: payload) else {
            throw MCPError(.badResponse, "\(name) was called as a task, and the answer is none")
        }
        return (state, id)
    }

    /// A tool that runs only as a task, called like any other (`TASKL-07`).
    func call(_ name: String, _ arguments: RawJSON?, _ options: RequestOptions) async throws(MCPError) -> RawJSON {
        let (task, token) = try await self.create(name, arguments, nil, options)
        // Progress keeps the token of the request for the whole life of the task (`PROG-09`).
        if let handler = RequestChannel.ProgressHandler.of(options) {
            self.progress.withLock { $0[token] = handler }
        }
        defer { self.progress.withLock { _ = $0.removeValue(forKey: token) } }
        do throws(MCPError) {
            return try await self.followOrCancel(task, options)
        } catch {
            throw error.afterBeginning(of: .toolsCall)
        }
    }

    /// Nobody but the caller knows of the task: when the caller goes, or what the task asks for is refused, the task goes. One that is over is not
    /// cancelled again (V8).
    func followOrCancel(_ task: TaskState, _ options: RequestOptions) async throws(MCPError) -> RawJSON {
        let isOver = Locked(false)
        do throws(MCPError) {
            return try await self.follow(task.id, task, options) { isOver.withLock { $0 = true } }
        } catch {
            if !isOver.withLock({ $0 }), self.channel.broken.value == nil { self.giveUp(task.id) }
            throw error
        }
    }

    /// An answer has come that nobody waits for any more: where it tells of a task, that has lost its caller before it had a name (V8).
    func cameLate(_ result: RawJSON) {
        if result.count < 4096, let task = TaskState(createdBy: result), !task.isTerminal { self.giveUp(task.id) }
    }

    /// Asks the server to give it up, and waits for nothing.
    func giveUp(_ id: String) { self.background.begin { try? await self.cancel(id, RequestOptions()) } }

    /// Asks the server to give it up.
    func cancel(_ id: String, _ options: RequestOptions) async throws(MCPError) {
        _ = try await self.request(.tasksCancel, ofTask: id, options)
    }

    /// A request about a task.
    private func request(
        _ method: Method,
        ofTask id: String,
        _ options: RequestOptions
    ) async throws(MCPError) -> RawJSON {
        let head = RequestHead(method, about: id)
        return try await self.channel.request(head, options: options) { $0.member("taskId", id) }
    }

    // MARK: Until it is done

    /// How far a task is.
    func state(of id: String, _ options: RequestOptions) async throws(MCPError) -> TaskState {
        let payload = try await self.request(.tasksGet, ofTask: id, options)
        guard let members = try? payload.decode(JSONObject.self), let state = TaskState(members) else {
            throw MCPError(.badResponse, "the state of task \(id) is unusable")
        }
        return state
    }

    /// The same, as what the call has answered.
    func result(
        of id: String,
        _ first: TaskState?,
        _ options: RequestOptions
    ) async throws(MCPError) -> CallToolResult {
        try self.context.read(try await self.follow(id, first, options), of: .toolsCall)
    }

    /// Waits until a task is done: asks as often as the server likes, and answers what the server asks for.
    /// - Parameter over: told when it is, before its result is asked for.
    func follow(
        _ id: String,
        _ first: TaskState?,
        _ options: RequestOptions,
        over: () -> Void = {}
    ) async throws(MCPError) -> RawJSON {
        let isModern = try await self.channel.readiness.negotiated().revision.isModern
        let hard = options.hardTimeout ?? self.context.configuration.taskTimeout
        let deadline = (options.startedAt ?? self.context.clock.now) + hard
        // What was spent before counts once, and not for each question about the task.
        var options = options
        options.startedAt = nil
        var answered: Set<WireString> = []
        var state = first
        // A task that changes is told of, if the server does so at all; nobody relies on it (`TASKL-13`). One reader for the whole time: a
        // sequence that one wait has given up is over for the next.
        let changed = ChangeSignal()
        let changes = ServerEvents(self.hub.events, buffer: 16, isCounted: false)
        async let _ = Self.ring(changed, for: id, changes)
        self.channel.hold()
        defer { self.channel.release() }
        while true {
            if let state, isModern ? state.isTerminal : state.isTerminal || state.status == .inputRequired {
                if state.isTerminal { over() }
                return try await self.outcome(state, isModern, options)
            }
            if isModern, let state, state.status == .inputRequired {
                try await self.answer(state, &answered, options)
            }
            if state != nil { await self.waitForChange(state?.pollInterval, changed) }
            if Task.isCancelled { throw MCPError(.cancelled, "waiting for task \(id) was cancelled") }
            if let error = self.channel.broken.value { throw error }
            guard self.context.clock.now < deadline else {
                throw MCPError(.timeout, "timeout: task \(id) was not done within \(hard)")
            }
            state = try await self.state(of: id, options)
        }
    }

    private static func ring(_ bell: ChangeSignal, for id: String, _ changes: ServerEvents<ServerEvent>) async {
        for await event in changes {
            if case .task(let state) = event, WireString(state.id) == WireString(id) { bell.ring() }
        }
    }

    /// The pause that the server wants (`TASKL-10`, `XTASK-10`), or until it tells of a change.
    private func waitForChange(_ interval: Int64?, _ changed: ChangeSignal) async {
        let bounds = self.context.configuration.pollInterval
        let pause = min(
            max(interval.map { .milliseconds($0) } ?? bounds.lowerBound, bounds.lowerBound),
            bounds.upperBound
        )
        let next = changed.next()
        await self.background.pause(pause, or: next)
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
        let responses = try await self.requests.fulfil(
            InputRequests(open),
            with: self.context.handlers(for: options),
            taskID: state.id
        )
        answered.formUnion(open.map { WireString($0.name) })
        _ = try await self.channel.request(RequestHead(.tasksUpdate, about: state.id), options: options) { writer in
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
