public import MCPJSON
import MCPSession
public import MCPTransport
public import MCPTypes

/// The protocol's methods. Each may be called from any task; each waits until the conversation is ready.
///
/// They throw `MCPError`: `serverError` with what the server said, `timeout` naming the limit, `cancelled`, `connectionLost`,
/// `hostClosed`, `busy`, or `badResponse` when the answer is not what the protocol says.
extension ClientSession {
    /// All tools, page by page.
    public func listTools(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Tool] {
        try await self.tools.list(options)
    }

    /// All resources, page by page.
    public func listResources(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Resource] {
        try await self.lists.read(
            .resourcesList,
            .resources,
            options,
            ListResourcesResult.self,
            items: { $0.resources },
            page: { ($0.nextCursor, $0.ttlMs) }
        )
    }

    /// All resource templates, page by page.
    public func listResourceTemplates(
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> [ResourceTemplate] {
        try await self.lists.read(
            .resourcesTemplatesList,
            .resources,
            options,
            ListResourceTemplatesResult.self,
            items: { $0.resourceTemplates },
            page: { ($0.nextCursor, $0.ttlMs) }
        )
    }

    /// All prompts, page by page.
    public func listPrompts(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Prompt] {
        try await self.lists.read(
            .promptsList,
            .prompts,
            options,
            ListPromptsResult.self,
            items: { $0.prompts },
            page: { ($0.nextCursor, $0.ttlMs) }
        )
    }

    /// Calls a tool.
    ///
    /// What the server asks for meanwhile is answered by ``SessionRuntime/handlers``, in whichever way its revision asks; a call
    /// that becomes a task is followed to its end.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: a JSON object; nil for none. Checked against the tool's schema, if the tools have been listed.
    ///   - options: time limits and progress of this call.
    /// - Returns: what the tool answered; `isError` tells a failure of the tool itself.
    public func callTool(
        _ name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        let (payload, tool) = try await self.call(name, arguments, options)
        let result: CallToolResult = try self.context.read(payload, of: .toolsCall)
        guard self.context.configuration.checksToolCalls, let tool else { return result }
        do throws(MCPError) { try tool.check(result: result) } catch {
            var error = error
            error.answer = payload
            throw error
        }
        return result
    }

    /// Calls a tool and does not read the result, for whoever passes it on.
    public func callToolRaw(
        _ name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RawJSON {
        try await self.call(name, arguments, options).payload
    }

    private func call(
        _ name: String,
        _ arguments: RawJSON?,
        _ options: RequestOptions
    ) async throws(MCPError) -> (payload: RawJSON, tool: ToolCatalog.Entry?) {
        let negotiated = try await self.channel.readiness.negotiated()
        let budget = CallBudget(self.context, options)
        let tool = try await self.tools.tool(name, taking: arguments, budget)
        if negotiated.takesTasks, tool?.needsTask == true {
            return (try await self.tasks.call(name, arguments, try budget.rest()), tool)
        }
        let resolved = try await self.rounds.resolve(
            RequestHead(.toolsCall, about: name, mirroring: tool?.mirrored(arguments) ?? []),
            budget
        ) {
            $0.toolCall(name, arguments)
        }
        return (resolved.payload, tool)
    }

    /// Schemas of listed tools that cannot be used, by tool, and why: those tools are called unchecked.
    public var toolSchemaProblems: [String: String] { self.tools.catalog.problems }

    /// Makes the schemas of all listed tools ready, which else each first call does.
    /// - Returns: those that cannot be used, as ``toolSchemaProblems`` has them.
    public func compileToolSchemas() -> [String: String] { self.tools.catalog.compile() }

    /// Reads a resource.
    public func readResource(
        _ uri: String,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ReadResourceResult {
        let kind = ResultCache.Kind.resource(WireString(uri))
        if let known: ReadResourceResult = self.lists.known(kind, .resourcesRead, options) { return known }
        let epoch = self.lists.cache.epoch(kind)
        let resolved = try await self.rounds.resolve(RequestHead(.resourcesRead, about: uri), options: options) {
            $0.member("uri", uri)
        }
        let result: ReadResourceResult = try self.context.read(resolved.payload, of: .resourcesRead)
        if !resolved.isOneOff, options.context == nil {
            // A legacy server has no such hints, whatever it writes (V11).
            let ttl = self.channel.readiness.isModern ? result.ttlMs : nil
            self.lists.keep(kind, .resourcesRead, result, expires: self.lists.end(of: ttl), epoch: epoch)
        }
        return result
    }

    /// Fills in a prompt.
    public func getPrompt(
        _ name: String,
        arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> GetPromptResult {
        let resolved = try await self.rounds.resolve(RequestHead(.promptsGet, about: name), options: options) {
            $0.prompt(name, arguments)
        }
        return try self.context.read(resolved.payload, of: .promptsGet)
    }

    /// From which level on the server is to log: for the whole connection in a legacy era, on every further request since 2026-07-28.
    /// ``ServerEvent/log(_:)`` tells.
    /// - Throws: `notSupported` if a legacy server does not log.
    public func setLogLevel(_ level: LoggingLevel) async throws(MCPError) {
        let server = try await self.waitUntilReady()
        if !server.revision.isModern {
            guard server.capabilities.logging != nil else {
                throw MCPError(.notSupported, "the server does not offer logging")
            }
            _ = try await self.channel.request(.loggingSetLevel) { $0.member("level", level.rawValue) }
        }
        self.channel.metadata.setLogLevel(level)
    }

    /// Tells a legacy server that the roots have changed; a modern one asks each time (`ROOT-03`).
    public func rootsChanged() async throws(MCPError) {
        let server = try await self.waitUntilReady()
        let handlers = self.context.runtime.handlers
        guard !server.revision.isModern, handlers.roots != nil, handlers.rootsChange else { return }
        self.channel.post(MessageWriter.notification(.rootsListChanged, revision: server.revision))
    }

    /// What the server tells by itself, from now on. Any number of readers may listen; each has a buffer of its own.
    /// - Parameter buffer: so many events are kept for a reader that is slow; then the oldest are lost and counted.
    public func serverEvents(buffer: Int = 1024) -> ServerEvents<ServerEvent> {
        ServerEvents(self.hub.events, buffer: buffer)
    }

    /// Asks for completions of an argument of a prompt or of a resource template.
    public func complete(
        _ params: CompleteRequestParams,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CompleteResult {
        let revision = try await self.waitUntilReady().revision
        let payload = try await self.channel.request(.completionComplete, options: options) { writer in
            writer.key("ref")
            params.ref.encode(to: &writer)
            writer.key("argument")
            params.argument.encode(to: &writer, for: revision)
            if let context = params.context, revision >= .v2025_06_18 {
                writer.key("context")
                context.encode(to: &writer, for: revision)
            }
        }
        return try self.context.read(payload, of: .completionComplete)
    }

    /// Asks a legacy server for a sign of life.
    /// - Throws: `notSupported` in the modern era, which has no ping.
    public func ping(options: RequestOptions = RequestOptions()) async throws(MCPError) {
        let revision = try await self.waitUntilReady().revision
        guard !revision.isModern else { throw MCPError(.notSupported, "revision \(revision.rawValue) has no ping") }
        _ = try await self.channel.request(.ping, options: options)
    }
}
