public import JSON
public import MCPTransport
public import MCPTypes

/// The protocol's methods. Each may be called from any task; each waits until the conversation is ready.
///
/// They throw `MCPError`: `serverError` with what the server said, `timeout` naming the limit, `cancelled`, `connectionLost`,
/// `hostClosed`, `busy`, or `badResponse` when the answer is not what the protocol says.
extension ClientSession {
    /// All tools, page by page.
    public func listTools(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Tool] {
        try await self.walk(.toolsList, options, ListToolsResult.self, items: { $0.tools }, next: { $0.nextCursor })
    }

    /// All resources, page by page.
    public func listResources(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Resource] {
        try await self.walk(
            .resourcesList,
            options,
            ListResourcesResult.self,
            items: { $0.resources },
            next: { $0.nextCursor }
        )
    }

    /// All resource templates, page by page.
    public func listResourceTemplates(
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> [ResourceTemplate] {
        try await self.walk(
            .resourcesTemplatesList,
            options,
            ListResourceTemplatesResult.self,
            items: { $0.resourceTemplates },
            next: { $0.nextCursor }
        )
    }

    /// All prompts, page by page.
    public func listPrompts(options: RequestOptions = RequestOptions()) async throws(MCPError) -> [Prompt] {
        try await self.walk(
            .promptsList,
            options,
            ListPromptsResult.self,
            items: { $0.prompts },
            next: { $0.nextCursor }
        )
    }

    /// Calls a tool.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: a JSON object; nil for none.
    ///   - options: time limits and progress of this call.
    /// - Returns: what the tool answered; `isError` tells a failure of the tool itself.
    public func callTool(
        _ name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try Self.decode(try await self.callToolRaw(name, arguments: arguments, options: options), .toolsCall)
    }

    /// Calls a tool and does not read the result, for whoever passes it on.
    public func callToolRaw(
        _ name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RawJSON {
        try await self.request(.toolsCall, options: options) { writer in
            writer.key("name")
            writer.write(name)
            if let arguments {
                writer.key("arguments")
                writer.write(raw: arguments)
            }
        }
    }

    /// Reads a resource.
    public func readResource(
        _ uri: String,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ReadResourceResult {
        let payload = try await self.request(.resourcesRead, options: options) { writer in
            writer.key("uri")
            writer.write(uri)
        }
        return try Self.decode(payload, .resourcesRead)
    }

    /// Fills in a prompt.
    public func getPrompt(
        _ name: String,
        arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> GetPromptResult {
        let payload = try await self.request(.promptsGet, options: options) { writer in
            writer.key("name")
            writer.write(name)
            if !arguments.isEmpty {
                writer.key("arguments")
                writer.write(arguments)
            }
        }
        return try Self.decode(payload, .promptsGet)
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

    /// Results are `complete` or ask for something; what they may ask for is not offered to servers yet, so the latter is an error.
    /// A kind of result that is not known is an invalid one (`RPC-23`).
    static func decode<Result: ResultObject>(_ payload: RawJSON, _ method: Method) throws(MCPError) -> Result {
        let type: ResultType?
        do {
            let result = try payload.decode(Result.self)
            type = result.resultType
            if type == nil || type == .complete { return result }
        } catch {
            type = (try? payload.decode(ResultHead.self))?.resultType
            if type != .inputRequired {
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(error)")
            }
        }
        if type == .inputRequired {
            throw MCPError(.notSupported, "\(method.rawValue): the server wants input that this host does not offer")
        }
        throw MCPError(.badResponse, "the result of \(method.rawValue) is of an unknown kind: \(type?.rawValue ?? "")")
    }

    /// Goes through a paginated list, within bounds and never in circles (J1, J2). An empty cursor is a cursor like any other.
    private func walk<Page: ResultObject, Item>(
        _ method: Method,
        _ options: RequestOptions,
        _ page: Page.Type,
        items: (Page) -> [Item],
        next: (Page) -> String?
    ) async throws(MCPError) -> [Item] {
        let limits = self.configuration.listLimits
        let deadline = self.timekeeper.now + limits.time
        var all: [Item] = []
        var cursor: String?
        var seen: Set<String> = []
        for _ in 0..<limits.pages {
            var bounded = options
            bounded.hardTimeout = min(
                options.hardTimeout ?? self.configuration.hardTimeout,
                max(.milliseconds(1), deadline - self.timekeeper.now)
            )
            let payload = try await self.request(method, options: bounded) { writer in
                if let cursor {
                    writer.key("cursor")
                    writer.write(cursor)
                }
            }
            let result: Page = try Self.decode(payload, method)
            all += items(result)
            guard all.count <= limits.items else {
                throw MCPError(
                    .badResponse,
                    "\(method.rawValue) lists more than \(limits.items) items, which is the limit"
                )
            }
            guard let following = next(result) else { return all }
            guard seen.insert(following).inserted else {
                throw MCPError(.badResponse, "\(method.rawValue) goes in circles: cursor \"\(following)\" came twice")
            }
            cursor = following
        }
        throw MCPError(.badResponse, "\(method.rawValue) has more than \(limits.pages) pages, which is the limit")
    }
}
