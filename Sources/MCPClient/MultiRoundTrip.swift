import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// Requests that a server may answer with a question, a task, or at last a result (`MRTR-13`, `MRTR-15`, `XTASK-02`).
final class MultiRoundTrip: Sendable {
    private let context: SessionContext
    private let channel: RequestChannel
    private let hub: ServerEventHub
    private let background: BackgroundWork
    private let requests: ServerRequests
    private let tasks: TaskFollower

    init(
        _ channel: RequestChannel,
        _ background: BackgroundWork,
        _ hub: ServerEventHub,
        _ requests: ServerRequests,
        _ tasks: TaskFollower
    ) {
        self.context = channel.context
        self.channel = channel
        self.background = background
        self.hub = hub
        self.requests = requests
        self.tasks = tasks
    }

    /// The kind of a result, without reading the rest of it.
    private struct ResultKind: JSONDecodable {
        var type: ResultType?

        init(from reader: inout JSONReader) throws(JSONError) {
            self.type = try reader.peekMember("resultType").map(ResultType.init(rawValue:))
            try reader.skipValue()
        }
    }

    /// An `input_required` result; what is to be given back stays as it came (`MRTR-15`, `MRTR-16`).
    private struct InputRequired: JSONDecodable {
        var requests: InputRequests?
        var state: RawJSON?

        init(from reader: inout JSONReader) throws(JSONError) {
            try reader.beginObject()
            while let key = try reader.nextKey() {
                switch key {
                case "inputRequests": self.requests = try reader.readStrictlyIfPresent()
                // `null` is none, and not one to be given back (V10).
                case "requestState": self.state = try reader.readIfPresent()
                default: try reader.skipValue()
                }
            }
        }
    }

    /// What came of a request in the end.
    struct Resolved {
        var payload: RawJSON
        /// Whether it took questions or a task: then it is nobody else's answer (`CACHE-04`).
        var isOneOff = false
        /// The task that the request has become, where the caller follows it.
        var task: TaskState?
    }

    /// The same, from now on: its limit begins when the conversation is ready.
    func resolve(
        _ head: RequestHead,
        options: RequestOptions,
        writeParams: @Sendable (inout JSONWriter) -> Void
    ) async throws(MCPError) -> Resolved {
        _ = try await self.channel.readiness.negotiated()
        return try await self.resolve(head, CallBudget(self.context, options), writeParams: writeParams)
    }

    /// Sends a request, answers what the server asks for, and sends it again with the answers, under a new id each time
    /// (`MRTR-18`), until there is a result.
    /// - Parameters:
    ///   - budget: the limits of all its rounds.
    ///   - leavesTask: a task is not followed.
    ///   - writeParams: writes the members of `params`, the same every time.
    func resolve(
        _ head: RequestHead,
        _ budget: CallBudget,
        leavesTask: Bool = false,
        writeParams: @Sendable (inout JSONWriter) -> Void
    ) async throws(MCPError) -> Resolved {
        let revision = try await self.channel.readiness.negotiated().revision
        if !revision.isModern { return Resolved(payload: try await self.ask(head, budget, writeParams)) }
        let payload = try await self.channel.request(head, options: budget.options, writeParams: writeParams)
        do throws(MCPError) {
            return try await self.resolve(head, payload, budget, leavesTask, writeParams)
        } catch {
            throw error.afterBeginning(of: head.method)
        }
    }

    /// What follows the first answer.
    private func resolve(
        _ head: RequestHead,
        _ first: RawJSON,
        _ budget: CallBudget,
        _ leavesTask: Bool,
        _ writeParams: @Sendable (inout JSONWriter) -> Void
    ) async throws(MCPError) -> Resolved {
        let (method, revision) = (head.method, try await self.channel.readiness.negotiated().revision)
        var payload = first
        var isOneOff = false
        var round = 0
        // The user may take hours for an answer.
        defer { if isOneOff { self.channel.release() } }
        while true {
            round += 1
            let type: ResultType?
            do { type = try payload.decode(ResultKind.self).type } catch {
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(error)")
            }
            switch type {
            case nil, .complete?: return Resolved(payload: payload, isOneOff: isOneOff)
            case .task? where method == .toolsCall && self.context.configuration.usesTasks:
                guard let task = TaskState(createdBy: payload) else {
                    throw MCPError(.badResponse, "the server made a task of the call, and does not say which")
                }
                if leavesTask { return Resolved(payload: payload, isOneOff: true, task: task) }
                return Resolved(
                    payload: try await self.tasks.followOrCancel(task, try budget.rest()),
                    isOneOff: true
                )
            case .inputRequired?:
                guard round <= self.context.configuration.inputRounds else {
                    throw MCPError(
                        .badResponse,
                        "\(method.rawValue): the server asked for input in \(round) rounds, which is the limit"
                    )
                }
                if !isOneOff { self.channel.hold() }
                isOneOff = true
                let (responses, state) = try await self.answers(
                    payload,
                    method,
                    round,
                    self.context.handlers(for: budget.options)
                )
                payload = try await self.channel.request(head, options: try budget.rest()) { writer in
                    writeParams(&writer)
                    if let responses {
                        writer.key("inputResponses")
                        responses.encode(to: &writer, for: revision)
                    }
                    if let state {
                        writer.key("requestState")
                        writer.write(raw: state)
                    }
                }
            case let type?:
                throw MCPError(.badResponse, "the result of \(method.rawValue) is of an unknown kind: \(type.rawValue)")
            }
        }
    }

    /// A legacy request; once more, if the server wants the user to open URLs first, and the user did (-32042, revision 2025-11-25). It was
    /// refused, so nothing is done twice.
    private func ask(
        _ head: RequestHead,
        _ budget: CallBudget,
        _ writeParams: (inout JSONWriter) -> Void
    ) async throws(MCPError) -> RawJSON {
        let refusal: MCPError
        do throws(MCPError) {
            return try await self.channel.request(head, options: budget.options, writeParams: writeParams)
        } catch {
            refusal = error
        }
        let handlers = self.context.handlers(for: budget.options)
        guard refusal.rpcError?.code == .urlElicitationRequired, let pages = refusal.rpcError?.elicitations,
            !pages.isEmpty, handlers.elicitationURL != nil
        else { throw refusal }
        self.channel.hold()
        defer { self.channel.release() }
        // Whoever is quick is done before all pages have been shown.
        let events = ServerEvents(self.hub.events, buffer: 64, isCounted: false)
        for page in pages {
            guard try await self.visit(page, handlers) else { throw refusal }
        }
        let open = Set(pages.compactMap(\.elicitationId).map { WireString($0) })
        guard await self.waitForPages(open, events, try budget.left()) else {
            throw Task.isCancelled ? MCPError(.cancelled, "the call was cancelled while the user was away") : refusal
        }
        return try await self.channel.request(head, options: try budget.rest(), writeParams: writeParams)
    }

    private func visit(
        _ page: ElicitRequestURLParams,
        _ handlers: ServerRequestHandlers
    ) async throws(MCPError) -> Bool {
        let requests = InputRequests([.init("page", InputRequest(.elicit(.url(page))))])
        let response = try await self.requests.fulfil(requests, with: handlers).members.first?.value.result
        return (try? response?.decode(ElicitResult.self))?.action == .accept
    }

    /// - Returns: whether the server has told that all of them are done.
    private func waitForPages(
        _ pages: Set<WireString>,
        _ events: ServerEvents<ServerEvent>,
        _ limit: Duration
    ) async -> Bool {
        let open = Locked(pages)
        return await self.background.wait(limit, for: events) { event in
            open.withLock { open in
                if case .elicitationCompleted(let id) = event { open.remove(WireString(id)) }
                return open.isEmpty
            }
        }
    }

    private func answers(
        _ payload: RawJSON,
        _ method: Method,
        _ round: Int,
        _ handlers: ServerRequestHandlers
    ) async throws(MCPError) -> (InputResponses?, RawJSON?) {
        let wanted: InputRequired
        do throws(JSONError) { wanted = try self.context.read(payload, method.rawValue) } catch {
            let reason = payload.explanation(of: error)
            throw MCPError(.badResponse, "\(method.rawValue): what the server asks for is unusable: \(reason)")
        }
        if let requests = wanted.requests, !requests.members.isEmpty {
            return (try await self.requests.fulfil(requests, with: handlers), wanted.state)
        }
        guard wanted.state != nil else {
            throw MCPError(.badResponse, "\(method.rawValue): the server needs input, and does not say which")
        }
        // "Try again": at once the first time, then slower and slower.
        if round > 1 { await self.background.pause(self.context.configuration.roundDelay * (round - 1)) }
        return (nil, wanted.state)
    }
}

extension MCPError {
    /// The server has begun to work on the request: a loss from here on is one of a request that was sent, whatever was on its way when it
    /// came (F15). So a call is not made again by itself.
    func afterBeginning(of method: Method) -> MCPError {
        guard self.code == .connectionLost else { return self }
        var error = self
        error.wasSent = true
        // Something has happened to it.
        error.isOfIdleStop = false
        if method == .toolsCall {
            error.code = .outcomeUnknown
            error.message +=
                "; the server had begun with the call, and may have executed it (it is not repeated by itself)"
        }
        return error
    }
}
