import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes

/// What servers ask for, handed on to the client.
extension ControlConnection {
    /// Handlers for what a client says that it answers; nothing else is offered to servers.
    /// - Parameter host: its id, once it has one.
    func handlers(for kinds: [String], of host: Locked<String>) throws(ControlError) -> ServerRequestHandlers {
        var handlers = ServerRequestHandlers()
        for kind in kinds {
            switch kind {
            case "form":
                handlers.elicitationForm = { params, context in
                    try await self.ask("elicitation/create", ElicitRequestParams.form(params), context, host)
                }
            case "url":
                handlers.elicitationURL = { params, context in
                    try await self.ask("elicitation/create", ElicitRequestParams.url(params), context, host)
                }
            case "sampling":
                handlers.sampling = { params, context in
                    try await self.ask("sampling/createMessage", params, context, host)
                }
            case "roots":
                handlers.roots = { context in
                    let result: ListRootsResult = try await self.ask("roots/list", JSONObject(), context, host)
                    return result.roots
                }
            default:
                throw .invalidParams("answers may have form, url, sampling and roots, and not \"\(kind.prefix(40))\"")
            }
        }
        return handlers
    }

    private func ask<Result: JSONDecodable>(
        _ method: String,
        _ params: some JSONEncodable,
        _ context: ServerRequestHandlers.Context,
        _ host: Locked<String>
    ) async throws -> Result {
        let answer: RawJSON
        do {
            answer = try await self.ask(
                method,
                [
                    "host": .string(host.withLock { $0 }), "server": context.server.map { .string($0) } ?? .null,
                    "params": ControlDocument.value(params),
                ]
            )
        } catch let error as MCPError where error.code == .rejected {
            throw ServerRequestHandlers.Rejection(error.message)
        }
        return try answer.decode(Result.self)
    }
}
