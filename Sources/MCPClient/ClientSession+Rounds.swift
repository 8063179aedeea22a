public import MCPJSON
public import MCPTransport
public import MCPTypes

/// What came of one round of a request, where the caller answers the server by himself.
public enum RoundOutcome<Result: Sendable>: Sendable {
    /// It is done.
    case complete(Result)
    /// The server needs something: ask again, with the answers and its state.
    case inputRequired(InputRequiredResult)
}

/// What the next round of a request gives the server.
public struct RoundInput: Sendable {
    /// The answers, by the names of what was asked for.
    public var responses: InputResponses
    /// The state that came with the questions, unchanged.
    public var requestState: String?

    /// Answers what a server asked for.
    /// - Parameters:
    ///   - required: what it asked for; its state is given back.
    ///   - responses: the answers.
    public init(to required: InputRequiredResult, _ responses: InputResponses = InputResponses()) {
        self.responses = responses
        self.requestState = required.requestState
    }
}

/// Multi round trips by hand: the server's questions are given to the caller, and no handler is asked. A server of an earlier revision asks
/// in requests of its own, which the handlers of the connection answer, and is done after one round.
extension ClientSession {
    /// One round of a tool call. Arguments are checked as in ``callTool(_:arguments:options:)``. The server is not offered to make a task of it;
    /// one that does so all the same is told to give it up.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: the same in each round.
    ///   - input: nil in the first round.
    ///   - options: time limits of this round.
    public func callToolRound(
        _ name: String,
        arguments: RawJSON? = nil,
        input: RoundInput? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RoundOutcome<CallToolResult> {
        _ = try await self.channel.readiness.negotiated()
        let budget = CallBudget(self.context, options)
        let tool = try await self.tools.tool(name, taking: arguments, budget)
        let head = RequestHead(.toolsCall, about: name, mirroring: tool?.mirrored(arguments) ?? [])
        return try await self.round(head, input, try budget.rest()) { $0.toolCall(name, arguments) }
    }

    /// One round of reading a resource.
    /// - Parameters:
    ///   - uri: the resource.
    ///   - input: nil in the first round.
    ///   - options: time limits of this round.
    public func readResourceRound(
        _ uri: String,
        input: RoundInput? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RoundOutcome<ReadResourceResult> {
        try await self.round(RequestHead(.resourcesRead, about: uri), input, options) { $0.member("uri", uri) }
    }

    /// One round of filling in a prompt.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: the same in each round.
    ///   - input: nil in the first round.
    ///   - options: time limits of this round.
    public func getPromptRound(
        _ name: String,
        arguments: [String: String] = [:],
        input: RoundInput? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RoundOutcome<GetPromptResult> {
        try await self.round(RequestHead(.promptsGet, about: name), input, options) {
            $0.prompt(name, arguments)
        }
    }

    private func round<Result: ResultObject>(
        _ head: RequestHead,
        _ input: RoundInput?,
        _ options: RequestOptions,
        _ writeParams: (inout JSONWriter) -> Void
    ) async throws(MCPError) -> RoundOutcome<Result> {
        let revision = try await self.channel.readiness.negotiated().revision
        if input != nil, !revision.isModern {
            throw MCPError(
                .notSupported,
                "revision \(revision.rawValue) has no rounds: the server's own requests are answered"
            )
        }
        var options = options
        if revision.isModern, head.method == .toolsCall {
            let configuration = self.context.configuration
            var context = options.context ?? CallerContext()
            var offered = context.offered(configuration) ?? configuration.offered(self.context.runtime.handlers)
            if offered.extensions?[ExtensionName.tasks] != nil {
                offered.extensions?[ExtensionName.tasks] = nil
                if offered.extensions?.isEmpty == true { offered.extensions = nil }
                context.capabilities = offered
                options.context = context
            }
        }
        let payload = try await self.channel.request(head, options: options) { writer in
            writeParams(&writer)
            guard let input else { return }
            if !input.responses.members.isEmpty {
                writer.key("inputResponses")
                input.responses.encode(to: &writer, for: revision)
            }
            if let state = input.requestState { writer.member("requestState", state) }
        }
        let type = revision.isModern ? (try? payload.decode(ResultHead.self))?.resultType : nil
        if type == .inputRequired {
            do { return .inputRequired(try payload.decode()) } catch {
                throw MCPError(.badResponse, "\(head.method.rawValue): what the server asks for is unusable: \(error)")
            }
        }
        if type == .task, head.method == .toolsCall, let task = TaskState(createdBy: payload) {
            self.tasks.giveUp(task.id)
            throw MCPError(.badResponse, "the server made a task of one round of a call; task \(task.id) is given up")
        }
        return .complete(try self.context.read(payload, of: head.method))
    }
}
