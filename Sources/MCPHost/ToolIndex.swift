import MCPJSON
import MCPTransport
import MCPTypes

/// Which name means which tool of which server: filled by what servers list, never by taking names apart. Indexed both ways, so that
/// neither a name nor a server costs a walk over the others.
final class ToolIndex: Sendable {
    /// A tool of a server. Shared, since every call takes one along.
    final class Route: Sendable {
        /// The server's serial number.
        let serial: Int
        /// The server's name in the host.
        let server: String
        /// The server's name of it.
        let tool: String
        /// It says that calling it twice does no more than calling it once.
        let isIdempotent: Bool

        init(serial: Int, server: String, tool: String, isIdempotent: Bool) {
            (self.serial, self.server, self.tool, self.isIdempotent) = (serial, server, tool, isIdempotent)
        }
    }

    /// What is known of one server.
    private struct Known {
        var server: String
        var tools: [WireString: Route] = [:]
        var names: [WireString] = []
        /// Which connection of the server the tools are of.
        var generation = 0
        /// How many changes the server had told of when the list was asked for.
        var changes = 0
        /// It has listed its tools, in this connection or an earlier one.
        var isKnown = false
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

    /// Replaces what is known of one server. Nothing is learned of a server that has left, or of a connection that is over.
    /// - Parameters:
    ///   - serial: the server.
    ///   - generation: of which connection the list is.
    ///   - tools: all of them, as the server lists them.
    ///   - selection: which of them are offered, and under which names.
    ///   - changes: how many changes the server had told of before; what was read earlier does not replace what was read later.
    ///   - isCurrent: the server has not told of a change while it was read.
    /// - Returns: names that somebody else has already; those tools can be called by server and tool only.
    func learn(
        _ serial: Int,
        _ generation: Int,
        tools: [Tool],
        selection: ToolSelection = ToolSelection(),
        changes: Int,
        isCurrent: Bool
    ) -> [String] {
        self.state.withLock { state in
            guard let before = state.servers[serial], before.generation == generation, before.changes <= changes else {
                return []
            }
            state.removeTools(of: serial)
            let server = before.server
            var taken: [String] = []
            var known = Known(
                server: server,
                generation: generation,
                changes: changes,
                isKnown: true,
                isCurrent: isCurrent
            )
            for listed in tools {
                guard let tool = selection.offered(listed), known.tools[WireString(tool.name)] == nil else { continue }
                let hints = tool.annotations
                let route = Route(
                    serial: serial,
                    server: server,
                    tool: listed.name,
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

    /// A server has told of a change of its tools. What is known stays known until it lists them again.
    func noteChange(_ serial: Int) { self.state.withLock { $0.servers[serial]?.isCurrent = false } }

    /// A server is another process now, which may have other tools.
    func noteConnection(_ serial: Int, _ generation: Int) {
        self.state.withLock { state in
            state.servers[serial]?.generation = generation
            state.servers[serial]?.changes = 0
            state.servers[serial]?.isCurrent = false
        }
    }

    /// Whether the server has listed its tools since it last told of a change.
    func isCurrent(_ serial: Int) -> Bool { self.state.withLock { $0.servers[serial]?.isCurrent == true } }

    /// Whether the server has ever listed its tools.
    func isKnown(_ serial: Int) -> Bool { self.state.withLock { $0.servers[serial]?.isKnown == true } }

    func isIdempotent(_ tool: String, of serial: Int) -> Bool {
        self.state.withLock { $0.servers[serial]?.tools[WireString(tool)]?.isIdempotent == true }
    }

    /// The tool that the host has given this name.
    func route(_ name: String) -> Route? { self.state.withLock { $0.byName[WireString(name)] } }

    /// All tools of this name, by whatever server; those of the servers that were added first come first.
    func routes(bareName name: String) -> [Route] {
        self.state.withLock { state in
            let name = WireString(name)
            return (state.byBareName[name] ?? []).sorted().compactMap { state.servers[$0]?.tools[name] }
        }
    }
}
