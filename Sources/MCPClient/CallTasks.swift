public import MCPJSON
public import MCPTransport
public import MCPTypes

/// A call that goes on by itself, at the server. It may be asked for, answered and cancelled from anywhere, also after a restart of
/// this program: keep ``id``, and make it anew with ``ClientSession/task(_:)``.
public struct CallTask: Sendable {
    /// Its name, made by the server. Keep it secret: who has it may read the result.
    public let id: String
    let follower: TaskFollower
    /// What the server said when it began.
    let first: TaskState?

    /// How far it is.
    /// - Throws: `serverError` if the server does not know it (any more).
    public func state(options: RequestOptions = RequestOptions()) async throws(MCPError) -> TaskState {
        try await self.follower.state(of: self.id, options)
    }

    /// Waits until it is done: asks as often as the server likes, and answers what the server asks for.
    /// - Throws: what the call would have thrown; `cancelled` if the task or the calling task is. Cancelling the caller leaves the
    ///   task alone.
    public func result(options: RequestOptions = RequestOptions()) async throws(MCPError) -> CallToolResult {
        try await self.follower.result(of: self.id, self.first, options)
    }

    /// Asks the server to give it up (`CAN-06`, `XTASK-22`). It may be done all the same.
    public func cancel(options: RequestOptions = RequestOptions()) async throws(MCPError) {
        try await self.follower.cancel(self.id, options)
    }
}

extension ClientSession {
    /// A task of this server, by its name.
    public func task(_ id: String) -> CallTask { CallTask(id: id, follower: self.tasks, first: nil) }

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
        let budget = CallBudget(self.context, options)
        let tool = try await self.tools.tool(name, taking: arguments, budget)
        if server.revision.isModern {
            guard self.context.configuration.usesTasks else {
                throw MCPError(
                    .notSupported,
                    "tasks are an extension that this connection does not use (ClientConfiguration.usesTasks)"
                )
            }
            let resolved = try await self.rounds.resolve(
                RequestHead(.toolsCall, about: name, mirroring: tool?.mirrored(arguments) ?? []),
                budget,
                leavesTask: true
            ) {
                $0.toolCall(name, arguments)
            }
            if let state = resolved.task { return .task(CallTask(id: state.id, follower: self.tasks, first: state)) }
            return .result(try self.context.read(resolved.payload, of: .toolsCall))
        }
        let support = tool?.tool.execution?.taskSupport
        guard server.takesTasks, support == .optional || support == .required else {
            throw MCPError(.notSupported, "\(name) cannot be called as a task")
        }
        let created = try await self.tasks.create(name, arguments, timeToLive, budget.options).state
        return .task(CallTask(id: created.id, follower: self.tasks, first: created))
    }
}

/// What came of calling a tool as a task.
public enum StartedCall: Sendable {
    /// The server has answered at once.
    case result(CallToolResult)
    /// The server works on it.
    case task(CallTask)
}
