public import MCPClient
public import MCPJSON
public import MCPTransport
public import MCPTypes

/// The same calls with arguments as programs have them, and what else a session can, for the servers of a host.
extension MCPHost {
    /// Calls a tool by the name under which the host offers it: `["timezone": zone, "hours": 3]`.
    public func callTool(
        _ name: String,
        arguments: [String: any JSONEncodable & Sendable],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try await self.callTool(name, arguments: RawJSON(members: arguments), options: options)
    }

    /// Calls a tool by the name under which the host offers it, with a value of your own.
    /// - Throws: `invalidArguments` if it cannot be encoded, or is no object.
    @_disfavoredOverload  // What is JSON already is Encodable, too.
    public func callTool(
        _ name: String,
        arguments: some Encodable & Sendable,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try await self.callTool(name, arguments: RawJSON(arguments: arguments, of: name), options: options)
    }

    /// Calls a server's tool: `["timezone": zone, "hours": 3]`.
    public func callTool(
        server: String,
        name: String,
        arguments: [String: any JSONEncodable & Sendable],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try await self.callTool(server: server, name: name, arguments: RawJSON(members: arguments), options: options)
    }

    /// Calls a server's tool with a value of your own.
    /// - Throws: `invalidArguments` if it cannot be encoded, or is no object.
    @_disfavoredOverload  // What is JSON already is Encodable, too.
    public func callTool(
        server: String,
        name: String,
        arguments: some Encodable & Sendable,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        let arguments = try RawJSON(arguments: arguments, of: name)
        return try await self.callTool(server: server, name: name, arguments: arguments, options: options)
    }

    // MARK: What else a server can be asked

    /// Asks a legacy server for a sign of life.
    /// - Throws: `notSupported` in the modern era, which has no ping.
    public func ping(server: String, options: RequestOptions = RequestOptions()) async throws(MCPError) {
        try await self.ask(server, for: options.caller) { session throws(MCPError) in
            try await session.ping(options: options)
        }
    }

    /// Asks a server for completions of an argument of a prompt or of a resource template.
    public func complete(
        server: String,
        _ params: CompleteRequestParams,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CompleteResult {
        try await self.ask(server, for: options.caller) { session throws(MCPError) in
            try await session.complete(params, options: options)
        }
    }

    /// From which level on a server is to log; see `ClientSession.setLogLevel(_:)`.
    public func setLogLevel(_ level: LoggingLevel, server: String) async throws(MCPError) {
        try await self.ask(server) { session throws(MCPError) in try await session.setLogLevel(level) }
    }

    /// Tells all servers that run and want to know that the roots have changed. One that cannot be told any more is going.
    public func rootsChanged() async throws(MCPError) {
        for server in self.servers where server.status == .ready {
            try? await server.session().rootsChanged()
        }
    }
}

extension ClientSession {
    /// Calls a tool: `["timezone": zone, "hours": 3]`.
    public func callTool(
        _ name: String,
        arguments: [String: any JSONEncodable & Sendable],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try await self.callTool(name, arguments: RawJSON(members: arguments), options: options)
    }
}

extension RawJSON {
    fileprivate init(members: [String: any JSONEncodable & Sendable]) {
        var writer = JSONWriter()
        writer.beginObject()
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            writer.key(name)
            value.encode(to: &writer)
        }
        writer.endObject()
        self = writer.finish()
    }

    fileprivate init(arguments: some Encodable, of tool: String) throws(MCPError) {
        let value: JSONValue
        do { value = try JSONValue(encodable: arguments) } catch {
            throw MCPError(.invalidArguments, "the arguments of \(tool) cannot be encoded: \(error)")
        }
        guard value.object != nil else {
            throw MCPError(.invalidArguments, "the arguments of \(tool) are no object, but of kind \(value.kind)")
        }
        self = RawJSON(encoding: value)
    }
}
