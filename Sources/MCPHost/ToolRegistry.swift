import MCPTransport
import MCPTypes

/// Which name means which tool: filled by listing, never by taking names apart.
final class ToolRegistry: Sendable {
    struct Route: Sendable, Hashable {
        var server: String
        var tool: String
    }

    private let routes = Locked<[String: Route]>([:])
    /// Tools that say that calling them twice does no more than calling them once.
    private let idempotent = Locked<Set<Route>>([])

    /// Replaces what is known of one server.
    /// - Returns: names that somebody else has already; those tools can be called by server and tool only.
    func learn(_ server: String, tools: [Tool]) -> [String] {
        self.idempotent.withLock { idempotent in
            idempotent = idempotent.filter { $0.server != server }
            for tool in tools where tool.annotations?.readOnlyHint == true || tool.annotations?.idempotentHint == true {
                idempotent.insert(Route(server: server, tool: tool.name))
            }
        }
        return self.routes.withLock { routes in
            routes = routes.filter { $0.value.server != server }
            var taken: [String] = []
            for tool in tools {
                let route = Route(server: server, tool: tool.name)
                let name = ToolName.qualified(server: server, tool: tool.name)
                if let other = routes[name], other != route { taken.append(name) } else { routes[name] = route }
            }
            return taken
        }
    }

    func forget(_ server: String) { self.routes.withLock { $0 = $0.filter { $0.value.server != server } } }

    func isIdempotent(_ tool: String, of server: String) -> Bool {
        self.idempotent.withLock { $0.contains(Route(server: server, tool: tool)) }
    }

    func route(_ name: String) -> Route? { self.routes.withLock { $0[name] } }
}
