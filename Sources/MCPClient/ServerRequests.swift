import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// The server's requests that are being worked on: each is answered once, or cancelled and not answered.
final class InboundRequests: Sendable {
    private struct State {
        var running: [JSONRPCRequestID: OneShot<Void>] = [:]
        var isOver = false
    }

    /// So many at once; who asks for more is told to wait.
    private static let limit = 64

    private let state = Locked(State())

    enum Admission {
        /// Work on it until this is completed.
        case begin(OneShot<Void>)
        case refuse(String)
    }

    func admit(_ id: JSONRPCRequestID) -> Admission {
        self.state.withLock { state in
            if state.isOver { return .refuse("the connection is closing") }
            if state.running[id] != nil { return .refuse("this id is in use") }
            if state.running.count >= Self.limit { return .refuse("busy: \(Self.limit) requests are being worked on") }
            let cancelled = OneShot<Void>()
            state.running[id] = cancelled
            return .begin(cancelled)
        }
    }

    func cancel(_ id: JSONRPCRequestID) { self.state.withLock { $0.running[id] }?.complete(()) }

    func left(_ id: JSONRPCRequestID) { self.state.withLock { $0.running[id] = nil } }

    /// Cancels everything and admits no more.
    func end() {
        let running = self.state.withLock { state in
            state.isOver = true
            return Array(state.running.values)
        }
        for cancelled in running { cancelled.complete(()) }
    }
}

/// Why a server does not get what it asks for.
struct ServerRequestRefusal: Error {
    var code: ErrorCode
    var message: String

    init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    static func unknown(_ method: Method) -> Self { Self(.methodNotFound, "Method not found: \(method.rawValue)") }
}

extension ClientSession {
    // MARK: Requests of a legacy server

    /// Answers a request of a legacy server. A modern one must not ask, and must not be answered (`RPC-36`, `STDIO-06`).
    /// - Parameter stream: where it was asked, and is answered.
    func reply(to id: JSONRPCRequestID, _ method: String, _ params: RawJSON?, on stream: MessageStream) {
        if self.isModern { return }
        switch Method(rawValue: method) {
        case .ping: self.answer(Wire.emptyResult(id), on: stream)
        case let asked where self.configuration.handlers.offers(asked):
            switch self.inboundRequests.admit(id) {
            case .refuse(let reason): self.answer(Wire.error(id, .internalError, reason), on: stream)
            case .begin(let cancelled):
                self.state.withLock { $0.serverAsks() }
                self.spawn {
                    await self.serve(id, asked, params, cancelled, stream)
                } left: {
                    self.inboundRequests.left(id)
                }
            }
        default: self.answer(Wire.error(id, .methodNotFound, "Method not found: \(method)"), on: stream)
        }
    }

    /// Answers a request of the server where it was asked.
    func answer(_ response: OutgoingMessage, on stream: MessageStream) {
        var response = response
        response.revision = self.spokenRevision
        response.stream = stream
        self.post(response)
    }

    private func serve(
        _ id: JSONRPCRequestID,
        _ method: Method,
        _ params: RawJSON?,
        _ cancelled: OneShot<Void>,
        _ stream: MessageStream
    ) async {
        defer {
            let now = self.clock.now
            let next = self.state.withLock { state in
                state.serverIsAnswered(now: now)
                return state.nextDeadline
            }
            // While it asked, only the hard limits were waited for.
            if let next { self.wake(at: next) }
        }
        guard case .success(let description) = await self.ready.wait() else { return }
        let answer = await withTaskGroup(of: OutgoingMessage?.self) { group in
            group.addTask { await self.answer(id, method, params, description.revision) }
            group.addTask {
                _ = await cancelled.waitUnlessCancelled()
                return nil
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? nil
        }
        // A request that was cancelled gets no answer (`CAN-08`).
        if let answer, cancelled.value == nil { self.answer(answer, on: stream) }
    }

    private func answer(_ id: JSONRPCRequestID, _ method: Method, _ params: RawJSON?, _ revision: ProtocolRevision)
        async -> OutgoingMessage
    {
        do throws(ServerRequestRefusal) {
            let kind = try Self.kind(method, params)
            let result = try await self.fulfil(kind, Self.relatedTask(params), revision)
            return Wire.result(id) { result.encode(to: &$0, for: revision) }
        } catch {
            return Wire.error(id, error.code, error.message)
        }
    }

    private static func relatedTask(_ params: RawJSON?) -> String? {
        (try? params?.decode(EmptyParams.self))?.meta?.relatedTask?.taskId
    }

    private static func kind(_ method: Method, _ params: RawJSON?) throws(ServerRequestRefusal) -> InputRequest.Kind {
        let params = params ?? [:]
        do {
            switch method {
            case .samplingCreateMessage: return .createMessage(try params.decode())
            case .elicitationCreate: return .elicit(try params.decode())
            default: return .listRoots(nil)
            }
        } catch {
            throw ServerRequestRefusal(.invalidParams, "Invalid params: \(error)")
        }
    }

    // MARK: What a modern server needs before it can answer

    /// Gets everything that an `input_required` result asks for, each thing in a task of its own, all of it before the retry
    /// (`MRTR-13`). Runs in the caller's task: cancelled with it, and when the connection ends.
    func fulfil(_ requests: InputRequests, taskID: String? = nil) async throws(MCPError) -> InputResponses {
        let revision = self.server?.revision ?? .latest
        typealias Part = (Int, Result<InputResponse, ServerRequestRefusal>)?
        let parts = await withTaskGroup(of: Part.self) { group in
            for (i, request) in requests.members.enumerated() {
                group.addTask {
                    let outcome = await self.apart { () -> Result<InputResponse, ServerRequestRefusal> in
                        do throws(ServerRequestRefusal) {
                            return .success(Self.response(try await self.fulfil(request.value.kind, taskID, revision)))
                        } catch {
                            return .failure(error)
                        }
                    }
                    return outcome.map { (i, $0) }
                }
            }
            group.addTask {
                _ = await self.broken.waitUnlessCancelled()
                return nil
            }
            var parts: [Int: Result<InputResponse, ServerRequestRefusal>] = [:]
            while parts.count < requests.members.count, let part = await group.next() {
                guard let part else { break }
                parts[part.0] = part.1
            }
            group.cancelAll()
            return parts
        }
        if Task.isCancelled { throw MCPError(.cancelled, "the call was cancelled while the server waited for input") }
        if let error = self.broken.value { throw error }
        var responses = InputResponses()
        for (i, request) in requests.members.enumerated() {
            switch parts[i] {
            case .success(let response): responses.members.append(.init(request.name, response))
            case .failure(let refusal):
                // The server does not wait: there is nobody to tell (`MRTR-24`).
                let code: MCPError.Code =
                    refusal.code == .methodNotFound || refusal.code == .invalidParams ? .notSupported : .rejected
                throw MCPError(
                    code,
                    "the server asked for input (\"\(request.name)\"), and did not get it: \(refusal.message)"
                )
            case nil: throw MCPError(.cancelled, "the server's question was cancelled")
            }
        }
        return responses
    }

    /// Runs a handler apart from the task on whose behalf the server asks. A legacy server's questions come from nowhere; so in both eras a
    /// handler finds the same task locals, those of nobody's call, and no caller has to wait for one that does not end (V17). A session without
    /// a host waits for it at its own end, as for all that it has started.
    /// - Returns: nil if the calling task was cancelled first; then so is the handler.
    private func apart<R: Sendable>(_ handle: @escaping @Sendable () async -> R) async -> R? {
        let (done, gone) = (OneShot<R>(), OneShot<Void>())
        self.spawn {
            let result = await withTaskGroup(of: R?.self) { group in
                group.addTask { await handle() }
                group.addTask {
                    _ = await gone.waitUnlessCancelled()
                    return nil
                }
                let first = await group.next()
                group.cancelAll()
                return first ?? nil
            }
            if let result { done.complete(result) }
        }
        defer { gone.complete(()) }
        return await done.waitUnlessCancelled()
    }

    private static func response(_ result: any ProtocolObject) -> InputResponse { InputResponse(result) }

    // MARK: One request, in whichever way it came

    private func fulfil(
        _ kind: InputRequest.Kind,
        _ taskID: String?,
        _ revision: ProtocolRevision
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        let context = ServerRequestHandlers.Context(
            server: self.configuration.serverName,
            revision: revision,
            taskID: taskID
        )
        switch kind {
        case .createMessage(let params): return try await self.sample(params, context)
        case .elicit(.form(let params)): return try await self.elicit(params, context)
        case .elicit(.url(let params)): return try await self.open(params, context)
        case .listRoots: return try await self.listRoots(context)
        case .unknown(let method, _): throw .unknown(method)
        }
    }

    private func sample(
        _ params: CreateMessageRequestParams,
        _ context: ServerRequestHandlers.Context
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        let handlers = self.configuration.handlers
        guard let handler = handlers.sampling else { throw .unknown(.samplingCreateMessage) }
        if params.tools != nil || params.toolChoice != nil, !handlers.samplingOffersTools {
            throw ServerRequestRefusal(.invalidParams, "Invalid params: sampling with tools was not declared")
        }
        if let problem = SamplingMessages.problem(params.messages) {
            throw ServerRequestRefusal(.invalidParams, "Invalid params: \(problem)")
        }
        do {
            return try await handler(params, context)
        } catch let rejection as ServerRequestHandlers.Rejection {
            throw ServerRequestRefusal(.userRejected, rejection.reason)
        } catch {
            throw ServerRequestRefusal(.internalError, "sampling failed: \(error)")
        }
    }

    private func elicit(
        _ params: ElicitRequestFormParams,
        _ context: ServerRequestHandlers.Context
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.configuration.handlers.elicitationForm else {
            if self.configuration.handlers.elicitationURL == nil { throw .unknown(.elicitationCreate) }
            throw ServerRequestRefusal(.invalidParams, "Invalid params: elicitation by form was not declared")
        }
        let form = ElicitationForm(params.requestedSchema)
        if let problem = form.problem { throw ServerRequestRefusal(.invalidParams, "Invalid params: \(problem)") }
        var result: ElicitResult
        do {
            result = try await handler(params, context)
        } catch is ServerRequestHandlers.Rejection {
            return ElicitResult(action: .decline)
        } catch {
            throw ServerRequestRefusal(.internalError, "elicitation failed: \(error)")
        }
        guard result.action == .accept else {
            result.content = nil
            return result
        }
        let content = form.completed(result.content ?? JSONObject())
        let violations = form.violations(in: content)
        guard violations.isEmpty else {
            let reasons = violations.map(\.description).joined(separator: "; ")
            throw ServerRequestRefusal(.internalError, "the answer does not fit the form: \(reasons)")
        }
        result.content = content
        return result
    }

    private func open(
        _ params: ElicitRequestURLParams,
        _ context: ServerRequestHandlers.Context
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.configuration.handlers.elicitationURL else {
            if self.configuration.handlers.elicitationForm == nil { throw .unknown(.elicitationCreate) }
            throw ServerRequestRefusal(.invalidParams, "Invalid params: elicitation by URL was not declared")
        }
        do {
            var result = try await handler(params, context)
            result.content = nil
            return result
        } catch is ServerRequestHandlers.Rejection {
            return ElicitResult(action: .decline)
        } catch {
            throw ServerRequestRefusal(.internalError, "elicitation failed: \(error)")
        }
    }

    private func listRoots(
        _ context: ServerRequestHandlers.Context
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.configuration.handlers.roots else { throw .unknown(.rootsList) }
        let roots: [Root]
        do { roots = try await handler(context) } catch {
            throw ServerRequestRefusal(.internalError, "roots: \(error)")
        }
        guard roots.allSatisfy({ $0.uri.hasPrefix("file://") }) else {
            throw ServerRequestRefusal(.internalError, "a root is not a file: URL")
        }
        return ListRootsResult(roots: roots)
    }
}

/// What the specification demands of a conversation that a server wants continued.
enum SamplingMessages {
    /// Tool results stand alone, and answer exactly the uses before them (`SAMP-10`, `SAMP-11`).
    static func problem(_ messages: [SamplingMessage]) -> String? {
        var unanswered: Set<WireString>?
        for (i, message) in messages.enumerated() {
            var (uses, results, others): (Set<WireString>, Set<WireString>, Int) = ([], [], 0)
            for block in message.content.blocks {
                switch block {
                case .toolUse(let use): uses.insert(WireString(use.id))
                case .toolResult(let result): results.insert(WireString(result.toolUseId))
                default: others += 1
                }
            }
            if !results.isEmpty, others > 0 || !uses.isEmpty {
                return "message \(i) mixes tool results with something else"
            }
            if let unanswered, message.role != .user || results != unanswered {
                return "message \(i) does not answer each tool use before it"
            }
            if unanswered == nil, !results.isEmpty { return "message \(i) answers a tool use that is not there" }
            unanswered = message.role == .assistant && !uses.isEmpty ? uses : nil
        }
        return unanswered == nil ? nil : "the last tool use is not answered"
    }
}
