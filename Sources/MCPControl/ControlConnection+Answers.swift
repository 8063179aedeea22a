import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes

/// What servers ask for, handed on to the client.
extension ControlConnection {
    /// Handlers for what a client says that it answers; nothing else is offered to servers.
    func handlers(for kinds: [String]) throws(ControlError) -> ServerRequestHandlers {
        var handlers = ServerRequestHandlers()
        for kind in kinds {
            switch kind {
            case "form":
                handlers.elicitationForm = { params, context in
                    try await self.ask("elicitation/create", ElicitRequestParams.form(params), context)
                }
            case "url":
                handlers.elicitationURL = { params, context in
                    try await self.ask("elicitation/create", ElicitRequestParams.url(params), context)
                }
            case "sampling":
                handlers.sampling = { params, context in
                    try await self.ask("sampling/createMessage", params, context)
                }
            case "roots":
                handlers.roots = { context in
                    let result: ListRootsResult = try await self.ask("roots/list", JSONObject(), context)
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
        _ context: ServerRequestHandlers.Context
    ) async throws -> Result {
        let answer: RawJSON
        do {
            answer = try await self.ask(
                method,
                ["server": context.server.map { .string($0) } ?? .null, "params": ControlDocument.value(params)]
            )
        } catch let error as MCPError where error.code == .rejected {
            throw ServerRequestHandlers.Rejection(error.message)
        }
        return try answer.decode(Result.self)
    }
}
