import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// Why a server does not get what it asks for.
struct ServerRequestRefusal: Error {
    var code: ErrorCode
    var message: String
    var data: JSONValue?
    /// It was asked for what is not offered.
    var isNotOffered: Bool

    init(_ code: ErrorCode, _ message: String, data: JSONValue? = nil, isNotOffered: Bool = false) {
        self.isNotOffered = isNotOffered
        self.code = code
        self.message = message
        self.data = data
    }

    static func unknown(_ method: Method) -> Self {
        Self(.methodNotFound, "Method not found: \(method.rawValue)", isNotOffered: true)
    }

    static func undeclared(_ what: String) -> Self {
        Self(.invalidParams, "Invalid params: \(what) was not declared", isNotOffered: true)
    }
}

/// Gets one thing that a server asks for, in whichever way it came: asks the handler, and holds it to the protocol.
struct ServerRequestResponder: Sendable {
    var handlers: ServerRequestHandlers
    var context: ServerRequestHandlers.Context

    func fulfil(_ kind: InputRequest.Kind) async throws(ServerRequestRefusal) -> any ProtocolObject {
        switch kind {
        case .createMessage(let params): return try await self.sample(params)
        case .elicit(.form(let params)): return try await self.elicit(params)
        case .elicit(.url(let params)): return try await self.open(params)
        case .listRoots: return try await self.listRoots()
        case .unknown(let method, let params): return try await self.other(method, params)
        }
    }

    private func other(
        _ method: Method,
        _ params: JSONValue?
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.handlers.other else { throw .unknown(method) }
        do {
            let result = try await handler(method.rawValue, params.map { RawJSON(encoding: $0) }, self.context)
            guard (try? result.decode(JSONValue.self))?.object != nil else {
                throw ServerRequestRefusal(.internalError, "\(method.rawValue): its handler gave no JSON object")
            }
            return RawResult(result)
        } catch let refusal as ServerRequestRefusal {
            throw refusal
        } catch let rejection as ServerRequestHandlers.Rejection {
            throw ServerRequestRefusal(.userRejected, rejection.reason)
        } catch let error as MCPError {
            // Whoever passes on what another server wants passes on what the other side says.
            if let refusal = error.rpcError {
                throw ServerRequestRefusal(refusal.code, refusal.message, data: refusal.data)
            }
            throw ServerRequestRefusal(.internalError, "\(method.rawValue) failed: \(error)")
        } catch {
            throw ServerRequestRefusal(.internalError, "\(method.rawValue) failed: \(error)")
        }
    }

    private func sample(
        _ params: CreateMessageRequestParams
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.handlers.sampling else { throw .unknown(.samplingCreateMessage) }
        if params.tools != nil || params.toolChoice != nil, !self.handlers.samplingOffersTools {
            throw .undeclared("sampling with tools")
        }
        if let problem = SamplingMessages.problem(params.messages) {
            throw ServerRequestRefusal(.invalidParams, "Invalid params: \(problem)")
        }
        do {
            return try await handler(params, self.context)
        } catch let rejection as ServerRequestHandlers.Rejection {
            throw ServerRequestRefusal(.userRejected, rejection.reason)
        } catch {
            throw ServerRequestRefusal(.internalError, "sampling failed: \(error)")
        }
    }

    private func elicit(
        _ params: ElicitRequestFormParams
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.handlers.elicitationForm else {
            if self.handlers.elicitationURL == nil { throw .unknown(.elicitationCreate) }
            throw .undeclared("elicitation by form")
        }
        let form = ElicitationForm(params.requestedSchema)
        var result: ElicitResult
        do {
            result = try await handler(params, self.context)
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
        _ params: ElicitRequestURLParams
    ) async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.handlers.elicitationURL else {
            if self.handlers.elicitationForm == nil { throw .unknown(.elicitationCreate) }
            throw .undeclared("elicitation by URL")
        }
        do {
            var result = try await handler(params, self.context)
            result.content = nil
            return result
        } catch is ServerRequestHandlers.Rejection {
            return ElicitResult(action: .decline)
        } catch {
            throw ServerRequestRefusal(.internalError, "elicitation failed: \(error)")
        }
    }

    private func listRoots() async throws(ServerRequestRefusal) -> any ProtocolObject {
        guard let handler = self.handlers.roots else { throw .unknown(.rootsList) }
        let roots: [Root]
        do { roots = try await handler(self.context) } catch {
            throw ServerRequestRefusal(.internalError, "roots: \(error)")
        }
        guard roots.allSatisfy({ $0.uri.hasPrefix("file://") }) else {
            throw ServerRequestRefusal(.internalError, "a root is not a file: URL")
        }
        return ListRootsResult(roots: roots)
    }
}

/// The answer to a method that this library does not know, as its handler gave it.
private struct RawResult: ProtocolObject {
    private let text: RawJSON

    init(_ text: RawJSON) { self.text = text }
    init(from reader: inout JSONReader) throws(JSONError) { self.text = try reader.readRaw() }
    func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) { writer.write(raw: self.text) }
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
