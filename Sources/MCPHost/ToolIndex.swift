import MCPJSON
import MCPTransport
import MCPTypes

/// Which name means which tool of which server: filled by what servers list, never by taking names apart. Indexed both ways, so that
/// neither a name nor a server costs a walk over the others.
final class ToolIndex: Sendable {
    /// A tool of a server.
    struct Route: Sendable {
        /// The server's serial number.
        var serial: Int
        /// The server's name in the host.
        var server: String
        var tool: String
        /// It says that calling it twice does no more than calling it once.
        var isIdempotent: Bool
    }

    /// What a name means.
    enum Found {
        case tool(Route)
        /// It is the bare name of tools of several servers: their names in the host.
        case several([String])
        case nothing
    }

    /// What is known of one server.
    private struct Known {
        var server: String
        var tools: [WireString: Route] = [:]
        var names: [WireString] = []
        /// It has listed its tools since it last told of a change.
        var isCurrent = false
    }

    private struct State {
        var servers: [Int: Known] = [:]
        var byName: [WireString: Route] = [:]
        var byBareName: [WireString: Set<Int>] = [:]

        mutating func removeTools(of serial: Int) {
            guard let known = self.servers[serial] else { return }
            for name in known.names { self.byName[name] = nil }
            for tool in known.tools.keys {
                self.byBareName[tool]?.remove(serial)
                if self.byBareName[tool]?.isEmpty == true { self.byBareName[tool] = nil }
            }
            self.servers[serial]?.tools = [:]
            self.servers[serial]?.names = []
        }
    }

    private let state = Locked(State())

    /// A server comes into the host.
    func add(_ serial: Int, name: String) { self.state.withLock { $0.servers[serial] = Known(server: name) } }

    /// A server has left the host.
    func remove(_ serial: Int) {
        self.state.withLock { state in
            state.removeTools(of: serial)
            state.servers[serial] = nil
        }
    }

    /// Replaces what is known of one server. Nothing is learned of a server that has left.
    /// - Returns: names that somebody else has already; those tools can be called by server and tool only.
    func learn(_ serial: Int, tools: [Tool]) -> [String] {
        self.state.withLock { state in
            guard let server = state.servers[serial]?.server else { return [] }
            state.removeTools(of: serial)
            var (known, taken) = (Known(server: server, isCurrent: true), [String]())
            for tool in tools where known.tools[WireString(tool.name)] == nil {
                let hints = tool.annotations
                let route = Route(
                    serial: serial,
                    server: server,
                    tool: tool.name,
                    isIdempotent: hints?.readOnlyHint == true || hints?.idempotentHint == true
                )
                known.tools[WireString(tool.name)] = route
                state.byBareName[WireString(tool.name), default: []].insert(serial)
                let name = WireString(ToolName.qualified(server: server, tool: tool.name))
                if state.byName[name] == nil {
                    state.byName[name] = route
                    known.names.append(name)
                } else {
                    taken.append(name.text)
                }
            }
            state.servers[serial] = known
            return taken
        }
    }

    /// A server has told of a change of its tools, or is another process now. What is known stays known until it lists them again.
    func noteChange(_ serial: Int) { self.state.withLock { $0.servers[serial]?.isCurrent = false } }

    /// Whether the server has listed its tools since it last told of a change.
    func isCurrent(_ serial: Int) -> Bool { self.state.withLock { $0.servers[serial]?.isCurrent == true } }

    func isIdempotent(_ tool: String, of serial: Int) -> Bool {
        self.state.withLock { $0.servers[serial]?.tools[WireString(tool)]?.isIdempotent == true }
    }

    /// What a name means: the one that the host has made, or the tool's own, where only one server has such a tool.
    func find(_ name: String) -> Found {
        self.state.withLock { state in
            let name = WireString(name)
            if let route = state.byName[name] { return .tool(route) }
            guard let serials = state.byBareName[name], !serials.isEmpty else { return .nothing }
            let routes = serials.sorted().compactMap { state.servers[$0]?.tools[name] }
            return routes.count == 1 ? .tool(routes[0]) : .several(routes.map(\.server))
        }
    }
}
