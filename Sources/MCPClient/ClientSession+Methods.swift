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
        let changes = self.catalog.changes
        return try await self.walk(
            .toolsList,
            .tools,
            options,
            ListToolsResult.self,
            items: { $0.tools },
            page: { ($0.nextCursor, $0.ttlMs) },
            whenRead: { tools, expires in
                guard let isCurrent = self.catalog.update(tools, changes: changes, expires: expires) else { return }
                self.runtime.onTools?(tools, changes, isCurrent)
                // A change that came between the two lines above was told to those who are told of it before they had this list.
                if isCurrent, self.catalog.changes != changes { self.runtime.onTools?(tools, changes, false) }
            }
        )
    }

    /// All resources, page by page.
    public func listResources(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Resource] {
        try await self.walk(
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
        try await self.walk(
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
        try await self.walk(
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
        let result: CallToolResult = try Self.decode(payload, .toolsCall)
        guard self.configuration.checksToolCalls, let tool else { return result }
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
        let negotiated = try await self.negotiated()
        let budget = CallBudget(self, options)
        let tool = try await self.tool(name, taking: arguments, budget)
        if negotiated.takesTasks, tool?.needsTask == true {
            return (try await self.callAsTask(name, arguments, try budget.rest()), tool)
        }
        let resolved = try await self.resolve(
            RequestHead(.toolsCall, about: name, mirroring: tool?.mirrored(arguments) ?? []),
            options: try budget.rest()
        ) {
            Self.writeCall(&$0, name, arguments)
        }
        return (resolved.payload, tool)
    }

    /// Schemas of listed tools that cannot be used, by tool, and why: those tools are called unchecked.
    public var toolSchemaProblems: [String: String] { self.catalog.problems }

    /// Reads a resource.
    public func readResource(
        _ uri: String,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ReadResourceResult {
        let kind = ResultCache.Kind.resource(WireString(uri))
        if let known: ReadResourceResult = self.known(kind, .resourcesRead, options) { return known }
        let epoch = self.cache.epoch(kind)
        let resolved = try await self.resolve(RequestHead(.resourcesRead, about: uri), options: options) {
            $0.member("uri", uri)
        }
        let result: ReadResourceResult = try Self.decode(resolved.payload, .resourcesRead)
        if !resolved.isOneOff, options.context == nil {
            self.keep(kind, .resourcesRead, result, expires: self.end(of: result.ttlMs), epoch: epoch)
        }
        return result
    }

    /// Fills in a prompt.
    public func getPrompt(
        _ name: String,
        arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> GetPromptResult {
        let resolved = try await self.resolve(RequestHead(.promptsGet, about: name), options: options) {
            Self.writePrompt(&$0, name, arguments)
        }
        return try Self.decode(resolved.payload, .promptsGet)
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
            _ = try await self.request(.loggingSetLevel) { $0.member("level", level.rawValue) }
        }
        self.setStandardLogLevel(level)
    }

    /// Tells a legacy server that the roots have changed; a modern one asks each time (`ROOT-03`).
    public func rootsChanged() async throws(MCPError) {
        let server = try await self.waitUntilReady()
        let handlers = self.runtime.handlers
        guard !server.revision.isModern, handlers.roots != nil, handlers.rootsChange else { return }
        self.post(MessageWriter.notification(.rootsListChanged, revision: server.revision))
    }

    /// What the server tells by itself, from now on. Any number of readers may listen; each has a buffer of its own.
    /// - Parameter buffer: so many events are kept for a reader that is slow; then the oldest are lost and counted.
    public func serverEvents(buffer: Int = 1024) -> ServerEvents<ServerEvent> {
        ServerEvents(self.events, buffer: buffer)
    }

    /// Asks for completions of an argument of a prompt or of a resource template.
    public func complete(
        _ params: CompleteRequestParams,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CompleteResult {
        let revision = try await self.waitUntilReady().revision
        let payload = try await self.request(.completionComplete, options: options) { writer in
            writer.key("ref")
            params.ref.encode(to: &writer)
            writer.key("argument")
            params.argument.encode(to: &writer, for: revision)
            if let context = params.context, revision >= .v2025_06_18 {
                writer.key("context")
                context.encode(to: &writer, for: revision)
            }
        }
        return try Self.decode(payload, .completionComplete)
    }

    /// Asks a legacy server for a sign of life.
    /// - Throws: `notSupported` in the modern era, which has no ping.
    public func ping(options: RequestOptions = RequestOptions()) async throws(MCPError) {
        let revision = try await self.waitUntilReady().revision
        guard !revision.isModern else { throw MCPError(.notSupported, "revision \(revision.rawValue) has no ping") }
        _ = try await self.request(.ping, options: options)
    }

    // MARK: -

    /// A result of the kind that was asked for. One of a kind that is not known is an invalid one (`RPC-23`).
    static func decode<Result: ResultObject>(_ payload: RawJSON, _ method: Method) throws(MCPError) -> Result {
        let type: ResultType?
        do {
            let result = try payload.decode(Result.self)
            type = result.resultType
            if type == nil || type == .complete { return result }
        } catch {
            type = (try? payload.decode(ResultHead.self))?.resultType
            if type == nil || type == .complete {
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(error)")
            }
        }
        if type == .inputRequired {
            throw MCPError(.badResponse, "\(method.rawValue): the server asks for input, where it must not")
        }
        throw MCPError(.badResponse, "the result of \(method.rawValue) is of an unknown kind: \(type?.rawValue ?? "")")
    }

    // MARK: Answers that are still good

    private func known<Value: Sendable>(_ kind: ResultCache.Kind, _ method: Method, _ options: RequestOptions) -> Value?
    {
        // What somebody else was given is not for everybody (`CACHE-12`).
        guard self.configuration.caches, !options.ignoresCache, options.context == nil else { return nil }
        return self.cache.value(kind, method.rawValue, as: Value.self, now: self.clock.elapsed)
    }

    private func keep(
        _ kind: ResultCache.Kind,
        _ method: Method,
        _ value: some Sendable,
        expires: Duration?,
        epoch: Int
    ) {
        guard self.configuration.caches, expires.map({ $0 > self.clock.elapsed }) ?? true else { return }
        self.cache.keep(kind, method.rawValue, value, expires: expires, epoch: epoch)
    }

    /// Until when something is good that came now (`CACHE-05` to `CACHE-08`).
    private func end(of timeToLive: Int64?) -> Duration {
        self.clock.elapsed + .milliseconds(max(0, timeToLive ?? 0))
    }

    /// Goes through a paginated list, within bounds and never in circles (J1, J2). An empty cursor is a cursor like any other.
    private func walk<Page: ResultObject, Item: Sendable>(
        _ method: Method,
        _ kind: ResultCache.Kind,
        _ options: RequestOptions,
        _ type: Page.Type,
        items: (Page) -> [Item],
        page: (Page) -> (next: String?, ttl: Int64?),
        whenRead: ([Item], _ expires: Duration?) -> Void = { _, _ in }
    ) async throws(MCPError) -> [Item] {
        let server = try await self.waitUntilReady()
        if let known: [Item] = self.known(kind, method, options) { return known }
        let epoch = self.cache.epoch(kind)
        // A legacy list is good until the server tells of a change, if it does; a modern one for as long as its shortest-lived page.
        var expires: Duration? = server.revision.isModern || !server.capabilities.tells(kind) ? .zero : nil
        let limits = self.configuration.listLimits
        let deadline = self.clock.now + limits.time
        var all: [Item] = []
        var cursor: String?
        var seen: Set<WireString> = []
        for _ in 0..<limits.pages {
            var bounded = options
            bounded.hardTimeout = min(
                options.hardTimeout ?? self.configuration.hardTimeout,
                max(.milliseconds(1), deadline - self.clock.now)
            )
            let result: Page = try await self.page(method, cursor, bounded)
            all += items(result)
            guard all.count <= limits.items else {
                throw MCPError(
                    .badResponse,
                    "\(method.rawValue) lists more than \(limits.items) items, which is the limit"
                )
            }
            let (next, ttl) = page(result)
            if server.revision.isModern {
                let end = self.end(of: ttl)
                expires = cursor == nil ? end : min(expires ?? end, end)
            }
            guard let following = next else {
                if options.context != nil { return all }
                whenRead(all, expires)
                self.keep(kind, method, all, expires: expires, epoch: epoch)
                return all
            }
            guard seen.insert(WireString(following)).inserted else {
                throw MCPError(.badResponse, "\(method.rawValue) goes in circles: cursor \"\(following)\" came twice")
            }
            cursor = following
        }
        throw MCPError(.badResponse, "\(method.rawValue) has more than \(limits.pages) pages, which is the limit")
    }
}

extension ServerCapabilities {
    /// Whether the server says when a list changes.
    fileprivate func tells(_ kind: ResultCache.Kind) -> Bool {
        switch kind {
        case .tools: self.tools?.listChanged == true
        case .prompts: self.prompts?.listChanged == true
        case .resources: self.resources?.listChanged == true
        case .resource: false
        }
    }
}
