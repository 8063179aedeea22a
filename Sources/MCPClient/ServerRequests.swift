import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// What the server asks for, in either era: requests of its own, or what it needs before it can answer one of ours.
final class ServerRequests: Sendable {
    private let context: SessionContext
    private let channel: RequestChannel
    private let background: BackgroundWork
    private let inbound = InboundRequests()
    /// Answers that wait until it is known how the server is spoken to.
    private let waiting = Locked(0)
    private static let waitingLimit = 64

    init(_ channel: RequestChannel, _ background: BackgroundWork) {
        self.context = channel.context
        self.channel = channel
        self.background = background
    }

    // MARK: Requests of a legacy server

    /// A request has come. A modern server must not ask, and must not be answered (`RPC-36`, `STDIO-06`).
    /// - Parameter stream: where it was asked, and is answered.
    func received(_ id: JSONRPCRequestID, _ method: String, _ params: RawJSON?, on stream: MessageStream) {
        if self.channel.readiness.isModern { return }
        switch Method(rawValue: method) {
        case .ping: self.answerLegacy(MessageWriter.emptyResult(id), on: stream)
        case let asked where self.context.runtime.handlers.offers(asked):
            switch self.inbound.admit(id) {
            case .refuse(let reason): self.answerLegacy(MessageWriter.error(id, .internalError, reason), on: stream)
            case .begin(let cancelled):
                self.channel.serverAsks()
                self.background.begin {
                    await self.serve(id, asked, params, cancelled, stream)
                } left: {
                    self.inbound.left(id)
                }
            }
        default:
            let name = method.prefix(200)
            self.answerLegacy(MessageWriter.error(id, .methodNotFound, "Method not found: \(name)"), on: stream)
            self.context.runtime.handlers.refused?(method, self.asker(nil, self.channel.readiness.revision ?? .latest))
        }
    }

    /// A legacy server is answered at once, and one of which it is not known yet whether it is one when it is: a modern one must not be (V14).
    private func answerLegacy(_ response: OutgoingMessage, on stream: MessageStream) {
        if self.channel.isLegacy.value == true { return self.answer(response, on: stream) }
        let mayWait = self.waiting.withLock { waiting in
            waiting += 1
            return waiting <= Self.waitingLimit
        }
        guard mayWait else { return }
        self.channel.isLegacy.whenComplete {
            if self.channel.isLegacy.value == true { self.answer(response, on: stream) }
        }
    }

    /// A request has come that cannot be read.
    func refuse(_ id: JSONRPCRequestID, _ problem: String, on stream: MessageStream) {
        if self.channel.readiness.isModern { return }
        self.answerLegacy(MessageWriter.error(id, .invalidRequest, problem), on: stream)
    }

    /// The server wants no answer any more.
    func cancelled(_ id: JSONRPCRequestID) { self.inbound.cancel(id) }

    /// Cancels everything and admits no more.
    func end() { self.inbound.end() }

    /// Answers a request of the server where it was asked.
    private func answer(_ response: OutgoingMessage, on stream: MessageStream) {
        var response = response
        response.revision = self.channel.readiness.revision
        response.stream = stream
        self.channel.post(response)
    }

    private func serve(
        _ id: JSONRPCRequestID,
        _ method: Method,
        _ params: RawJSON?,
        _ cancelled: OneShot<Void>,
        _ stream: MessageStream
    ) async {
        defer { self.channel.serverIsAnswered() }
        guard case .success(let server) = await self.channel.readiness.outcome.wait(), !server.revision.isModern else {
            return
        }
        let answer = await withTaskGroup(of: OutgoingMessage?.self) { group in
            group.addTask { await self.answer(id, method, params, server.revision) }
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
            let kind = try self.kind(method, params)
            let responder = self.responder(self.context.runtime.handlers, Self.relatedTask(params), revision)
            let result = try await responder.fulfil(kind)
            return MessageWriter.result(id) { result.encode(to: &$0, for: revision) }
        } catch {
            if error.isNotOffered {
                self.context.runtime.handlers.refused?(method.rawValue, self.asker(nil, revision))
            }
            return MessageWriter.error(id, error.code, error.message, data: error.data)
        }
    }

    private static func relatedTask(_ params: RawJSON?) -> String? {
        (try? params?.decode(EmptyParams.self))?.meta?.relatedTask?.taskId
    }

    private func responder(
        _ handlers: ServerRequestHandlers,
        _ taskID: String?,
        _ revision: ProtocolRevision
    ) -> ServerRequestResponder {
        ServerRequestResponder(handlers: handlers, context: self.asker(taskID, revision))
    }

    private func asker(_ taskID: String?, _ revision: ProtocolRevision) -> ServerRequestHandlers.Context {
        ServerRequestHandlers.Context(
            server: self.context.runtime.serverName,
            revision: revision,
            taskID: taskID,
            caller: self.context.runtime.caller
        )
    }

    private func kind(_ method: Method, _ params: RawJSON?) throws(ServerRequestRefusal) -> InputRequest.Kind {
        let params = params ?? [:]
        do throws(JSONError) {
            switch method {
            case .samplingCreateMessage: return .createMessage(try self.context.read(params, method.rawValue))
            case .elicitationCreate: return .elicit(try self.context.read(params, method.rawValue))
            case .rootsList: return .listRoots(nil)
            default: return .unknown(method, try params.decode())
            }
        } catch {
            throw ServerRequestRefusal(.invalidParams, "Invalid params: \(params.explanation(of: error))")
        }
    }

    // MARK: What a modern server needs before it can answer

    /// Gets everything that an `input_required` result asks for, each thing in a task of its own, all of it before the retry
    /// (`MRTR-13`). Runs in the caller's task: cancelled with it, and when the connection ends.
    /// - Parameters:
    ///   - requests: what it asks for.
    ///   - handlers: who answers.
    ///   - taskID: the task on whose behalf it asks.
    func fulfil(
        _ requests: InputRequests,
        with handlers: ServerRequestHandlers,
        taskID: String? = nil
    ) async throws(MCPError) -> InputResponses {
        let responder = self.responder(handlers, taskID, self.channel.readiness.revision ?? .latest)
        let broken = self.channel.broken
        typealias Part = (Int, Result<InputResponse, ServerRequestRefusal>)?
        let parts = await withTaskGroup(of: Part.self) { group in
            for (i, request) in requests.members.enumerated() {
                group.addTask {
                    let outcome = await self.apart { () -> Result<InputResponse, ServerRequestRefusal> in
                        do throws(ServerRequestRefusal) {
                            return .success(Self.response(try await responder.fulfil(request.value.kind)))
                        } catch {
                            return .failure(error)
                        }
                    }
                    return outcome.map { (i, $0) }
                }
            }
            group.addTask {
                _ = await broken.waitUnlessCancelled()
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
        if let error = broken.value { throw error }
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
        self.background.begin {
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
}
