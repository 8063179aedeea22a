import MCPJSON
import MCPTransport
import MCPTypes

/// Requests that a server may answer with a question, a task, or at last a result (`MRTR-13`, `MRTR-15`, `XTASK-02`).
extension ClientSession {
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
                case "inputRequests": self.requests = try reader.read()
                case "requestState": self.state = try reader.readRaw()
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

    /// Sends a request, answers what the server asks for, and sends it again with the answers, under a new id each time
    /// (`MRTR-18`), until there is a result.
    /// - Parameters:
    ///   - leavesTask: a task is not followed.
    ///   - writeParams: writes the members of `params`, the same every time.
    func resolve(
        _ head: RequestHead,
        options: RequestOptions,
        leavesTask: Bool = false,
        writeParams: @Sendable (inout JSONWriter) -> Void
    ) async throws(MCPError) -> Resolved {
        let revision = try await self.negotiated().revision
        let budget = CallBudget(self, options)
        if !revision.isModern { return Resolved(payload: try await self.ask(head, budget, writeParams)) }
        let payload = try await self.request(head, options: options, writeParams: writeParams)
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
        let (method, revision) = (head.method, try await self.negotiated().revision)
        var payload = first
        var isOneOff = false
        var round = 0
        // The user may take hours for an answer.
        defer { if isOneOff { self.release() } }
        while true {
            round += 1
            let type: ResultType?
            do { type = try payload.decode(ResultKind.self).type } catch {
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(error)")
            }
            switch type {
            case nil, .complete?: return Resolved(payload: payload, isOneOff: isOneOff)
            case .task? where method == .toolsCall && self.configuration.usesTasks:
                guard let task = Self.createdTask(payload) else {
                    throw MCPError(.badResponse, "the server made a task of the call, and does not say which")
                }
                if leavesTask { return Resolved(payload: payload, isOneOff: true, task: task) }
                return Resolved(
                    payload: try await self.followOrCancel(task.id, task, try budget.rest()),
                    isOneOff: true
                )
            case .inputRequired?:
                guard round <= self.configuration.inputRounds else {
                    throw MCPError(
                        .badResponse,
                        "\(method.rawValue): the server asked for input in \(round) rounds, which is the limit"
                    )
                }
                if !isOneOff { self.hold() }
                isOneOff = true
                let (responses, state) = try await self.answers(
                    payload,
                    method,
                    round,
                    self.responders(budget.options)
                )
                payload = try await self.request(head, options: try budget.rest()) { writer in
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
            return try await self.request(head, options: budget.options, writeParams: writeParams)
        } catch {
            refusal = error
        }
        let handlers = self.responders(budget.options)
        guard refusal.rpcError?.code == .urlElicitationRequired, let pages = refusal.rpcError?.elicitations,
            !pages.isEmpty, handlers.elicitationURL != nil
        else { throw refusal }
        self.hold()
        defer { self.release() }
        // Whoever is quick is done before all pages have been shown.
        let events = ServerEvents(self.events, buffer: 64, isCounted: false)
        for page in pages {
            guard try await self.visit(page, handlers) else { throw refusal }
        }
        let open = Set(pages.compactMap(\.elicitationId).map { WireString($0) })
        guard await self.waitForPages(open, events, try budget.left()) else {
            throw Task.isCancelled ? MCPError(.cancelled, "the call was cancelled while the user was away") : refusal
        }
        return try await self.request(head, options: try budget.rest(), writeParams: writeParams)
    }

    private func visit(
        _ page: ElicitRequestURLParams,
        _ handlers: ServerRequestHandlers
    ) async throws(MCPError) -> Bool {
        let requests = InputRequests([.init("page", InputRequest(.elicit(.url(page))))])
        let response = try await self.fulfil(requests, with: handlers).members.first?.value.result
        return (try? response?.decode(ElicitResult.self))?.action == .accept
    }

    /// - Returns: whether the server has told that all of them are done.
    private func waitForPages(
        _ pages: Set<WireString>,
        _ events: ServerEvents<ServerEvent>,
        _ limit: Duration
    ) async -> Bool {
        let open = Locked(pages)
        return await self.wait(limit, for: events) { event in
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
        do { wanted = try payload.decode() } catch {
            throw MCPError(.badResponse, "\(method.rawValue): what the server asks for is unusable: \(error)")
        }
        if let requests = wanted.requests, !requests.members.isEmpty {
            return (try await self.fulfil(requests, with: handlers), wanted.state)
        }
        guard wanted.state != nil else {
            throw MCPError(.badResponse, "\(method.rawValue): the server needs input, and does not say which")
        }
        // "Try again": at once the first time, then slower and slower.
        if round > 1 { await self.pause(self.configuration.roundDelay * (round - 1)) }
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

/// The hard limit of a call, which is that of all its rounds together and not of each (V6).
struct CallBudget {
    let options: RequestOptions
    private let clock: any MonotonicClock
    private let start: Duration
    private let spentBefore: Duration
    private let limit: Duration

    /// From now on.
    init(_ session: ClientSession, _ options: RequestOptions) {
        self.options = options
        self.clock = session.clock
        self.start = session.clock.now
        self.spentBefore = options.timeSpent
        self.limit = options.hardTimeout ?? session.configuration.hardTimeout
    }

    /// How the next round is to be asked: with what the earlier ones have taken.
    /// - Throws: `timeout` if there is nothing left.
    func rest() throws(MCPError) -> RequestOptions {
        var options = self.options
        options.timeSpent = self.spentBefore + (self.clock.now - self.start)
        guard options.timeSpent < self.limit else {
            throw MCPError(
                .timeout,
                "timeout: no result within \(self.limit), the limit for one request, in all its rounds"
            )
        }
        return options
    }

    /// What is left of the limit.
    func left() throws(MCPError) -> Duration { self.limit - (try self.rest().timeSpent) }
}
