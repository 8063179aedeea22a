public import MCPClient
public import MCPJSON
public import MCPTransport
public import MCPTypes

/// One thing that a server offers, with the server's name.
public struct ServerItem<Item: Sendable>: Sendable {
    /// The server's name in the host.
    public var server: String
    /// What it offers.
    public var item: Item

    /// Names the server of something.
    public init(server: String, item: Item) { (self.server, self.item) = (server, item) }
}

/// A server that could not be asked.
public struct ServerFailure: Sendable {
    /// The server's name in the host.
    public var server: String
    /// Why.
    public var error: MCPError

    /// Says which server, and why.
    public init(server: String, error: MCPError) { (self.server, self.error) = (server, error) }
}

/// What a walk over all servers brought.
public struct HostListing<Item: Sendable>: Sendable {
    /// Everything, server by server in the order in which they were added.
    public var items: [ServerItem<Item>] = []
    /// Servers that could not be asked, and why.
    public var failures: [ServerFailure] = []
    /// What servers have listed that is not as the protocol has it, and what was made of it.
    public var problems: [ServerProblem] = []

    /// Makes one, of a program's own tools for example.
    public init(items: [ServerItem<Item>] = [], failures: [ServerFailure] = [], problems: [ServerProblem] = []) {
        (self.items, self.failures, self.problems) = (items, failures, problems)
    }
}

extension ServerItem where Item == Tool {
    /// The name under which the host offers the tool; see ``ToolName``.
    public var qualifiedName: String { ToolName.qualified(server: self.server, tool: self.item.name) }
}

/// The protocol's methods over all servers. From any task.
extension MCPHost {
    /// The tools of all servers that can be reached, as the host offers them (``ServerDefinition/tools``).
    /// - Parameter server: only this one's; nil for all.
    /// - Throws: `notFound` if there is no such server. Why a server cannot list is in the listing's failures.
    public func tools(of server: String? = nil) async throws(MCPError) -> HostListing<Tool> {
        let servers = self.servers
        var listing = try await self.collect([.toolsList], of: server, { $0.tools != nil }) {
            session throws(MCPError) in
            try await session.listTools()
        }
        let selections = servers.map { (WireString($0.name), $0.definition.tools) }.filter { !$0.1.isEverything }
        let byServer = Dictionary(selections, uniquingKeysWith: { first, _ in first })
        if byServer.isEmpty { return listing }
        listing.items = listing.items.compactMap { item in
            guard let selection = byServer[WireString(item.server)] else { return item }
            return selection.offered(item.item).map { ServerItem(server: item.server, item: $0) }
        }
        return listing
    }

    /// The resources of all servers that can be reached; see ``tools(of:)``.
    public func resources(of server: String? = nil) async throws(MCPError) -> HostListing<Resource> {
        try await self.collect([.resourcesList], of: server, { $0.resources != nil }) { session throws(MCPError) in
            try await session.listResources()
        }
    }

    /// The resource templates of all servers that can be reached; see ``tools(of:)``.
    public func resourceTemplates(of server: String? = nil) async throws(MCPError) -> HostListing<ResourceTemplate> {
        try await self.collect([.resourcesTemplatesList], of: server, { $0.resources != nil }) {
            session throws(MCPError) in
            try await session.listResourceTemplates()
        }
    }

    /// The prompts of all servers that can be reached; see ``tools(of:)``.
    public func prompts(of server: String? = nil) async throws(MCPError) -> HostListing<Prompt> {
        try await self.collect([.promptsList], of: server, { $0.prompts != nil }) { session throws(MCPError) in
            try await session.listPrompts()
        }
    }

    /// Calls a tool by the name under which the host offers it, or by its own where only one server has such a tool.
    ///
    /// Servers that have not listed their tools yet are asked to before a name counts as unknown; after that an unknown name costs no
    /// traffic. What servers that do not tell of changes have added since is found by ``tools(of:)``.
    /// - Parameters:
    ///   - name: as ``ToolName`` makes it, or the tool's own.
    ///   - arguments: a JSON object.
    ///   - options: time limits and progress of this call.
    /// - Throws: `notFound` if no server offers that name, or several do.
    public func callTool(
        _ name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        let listed = self.root.context.tools.route(name)
        // Counted from here on, so that a shutdown that comes while servers list their tools waits for the call too.
        let found = try self.root.beginCall(to: listed?.serial)
        defer { self.root.endCall() }
        guard let listed else {
            let start = self.root.context.clock.now
            let route = try await self.route(name, options)
            return try await self.callTool(route, arguments, options, spent: self.root.context.clock.now - start)
        }
        // Nearly always the server is there, and answers: what stands between is paid by every call.
        guard let found, let live = try self.liveSession(of: found, for: options.caller) else {
            // Whoever has its name by now is asked in its place.
            return try await self.callTool(listed, on: found?.isOver == true ? nil : found, arguments, options)
        }
        let loss: MCPError
        do throws(MCPError) {
            return try await live.session.callTool(listed.tool, arguments: arguments, options: options)
        } catch {
            loss = error
        }
        return try await self.callTool(listed, on: found, arguments, options, after: Loss(error: loss, live))
    }

    /// The same, where it takes more than asking once.
    /// - Parameters:
    ///   - route: what the name means.
    ///   - found: its server, if that has been looked up.
    ///   - spent: what of the call's time it took to find that out.
    ///   - loss: what has become of it so far.
    private func callTool(
        _ route: ToolIndex.Route,
        on found: ManagedServer? = nil,
        _ arguments: RawJSON?,
        _ options: RequestOptions,
        spent: Duration = .zero,
        after loss: Loss? = nil
    ) async throws(MCPError) -> CallToolResult {
        let retry = Retry(limit: options.hardTimeout, isIdempotent: route.isIdempotent)
        do throws(MCPError) {
            let server = try self.server(route.server, unless: found)
            return try await self.ask(server, for: options.caller, retry, after: loss) { session throws(MCPError) in
                var rest = options
                if spent > .zero { rest.startedAt = self.root.context.clock.now - spent }
                return try await session.callTool(route.tool, arguments: arguments, options: rest)
            }
        } catch {
            throw found?.shown(error) ?? error.naming(route.server)
        }
    }

    /// What a name means that no server has listed so far.
    private func route(_ name: String, _ options: RequestOptions) async throws(MCPError) -> ToolIndex.Route {
        let tools = self.root.context.tools
        // Only what can answer now, or comes up for the first time or on demand, is asked: an unknown name does not wait for what is being
        // restarted. A name that the host has made says which server it may be of.
        let isQualified = name.contains("__")
        let unknown = self.servers.filter { server in
            server.canBeHeard
                && !(server.isAsleep ? server.lists.items(of: Tool.self) != nil : tools.isCurrent(server.serial))
                && (!isQualified || name.hasPrefix(ToolName.prefix(of: server.name)))
        }
        if !unknown.isEmpty {
            await self.hear(unknown, atMost: options.hardTimeout ?? .seconds(60), options)
            if Task.isCancelled { throw MCPError(.cancelled, "the call was cancelled before it was sent") }
        }
        // Somebody else's question may have been answered since it was looked up.
        if let route = tools.route(name) { return route }
        // A tool's own name says nothing that another server could not say too: it counts only where no server may have another of that
        // name, and never where it has the form of a name that the host makes.
        let silent = self.servers.filter { !tools.isKnown($0.serial) && !$0.status.isDown }.map(\.name)
        let routes = isQualified ? [] : tools.routes(bareName: name)
        if routes.count == 1, silent.isEmpty { return routes[0] }
        let unheard = silent.isEmpty ? "" : "; not heard yet: \(silent.joined(separator: ", "))"
        guard routes.isEmpty else {
            let choices = routes.map { ToolName.qualified(server: $0.server, tool: name) }.joined(separator: ", ")
            let what = routes.count == 1 ? "one server, and perhaps others, offer" : "several servers offer"
            throw MCPError(.notFound, "\(what) a tool \"\(name)\"; say which: \(choices)\(unheard)")
        }
        throw MCPError(.notFound, "no server offers a tool \"\(name)\"; tools() lists what there is\(unheard)")
    }

    /// Has servers list their tools, each once, for so long at most: one that does not answer, or dies of it, holds up nobody for ever.
    private func hear(_ servers: [ManagedServer], atMost limit: Duration, _ options: RequestOptions) async {
        await withTaskGroup(of: Bool.self) { group in
            for server in servers {
                group.addTask {
                    await self.prepareTools(of: server, options)
                    return true
                }
            }
            group.addTask {
                _ = await OneShot<Void>().waitUnlessCancelled(atMost: limit, by: self.root.context.clock, late: ())
                return false
            }
            var left = servers.count
            while left > 0, await group.next() == true { left -= 1 }
            group.cancelAll()
        }
    }

    /// Has a server list its tools once; once more only where it was just being stopped because nobody used it.
    private func prepareTools(of server: ManagedServer, _ options: RequestOptions) async {
        while !Task.isCancelled {
            do throws(MCPError) {
                return try await server.session().prepareTools(options)
            } catch {
                guard error.isOfIdleStop else { return }
            }
        }
    }

    /// Calls a server's tool.
    ///
    /// A call is made at most once: when the connection is lost after it was sent, it ends with `outcomeUnknown`
    /// (``ServerDefinition/repeatsIdempotentCalls`` is the exception). A call that was not sent yet waits for the restarted server.
    /// - Throws: `notFound` for a tool that the host does not offer (``ServerDefinition/tools``).
    public func callTool(
        server: String,
        name: String,
        arguments: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> CallToolResult {
        try await self.ask(server, for: options.caller, tool: name, mayRepeat: true, atMost: options.hardTimeout) {
            session,
            tool throws(MCPError) in
            try await session.callTool(tool, arguments: arguments, options: options)
        }
    }

    /// Reads a server's resource.
    public func readResource(
        server: String,
        uri: String,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ReadResourceResult {
        try await self.ask(server, for: options.caller) { session throws(MCPError) in
            try await session.readResource(uri, options: options)
        }
    }

    /// Fills in a server's prompt.
    public func getPrompt(
        server: String,
        name: String,
        arguments: [String: String] = [:],
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> GetPromptResult {
        try await self.ask(server, for: options.caller) { session throws(MCPError) in
            try await session.getPrompt(name, arguments: arguments, options: options)
        }
    }

    /// Asks all servers that offer something, or one of them, in parallel.
    private func collect<Item: Sendable>(
        _ methods: [Method],
        of server: String?,
        _ offers: @escaping @Sendable (ServerCapabilities) -> Bool,
        _ list: @escaping @Sendable (ClientSession) async throws(MCPError) -> [Item]
    ) async throws(MCPError) -> HostListing<Item> {
        try self.root.beginCall()
        defer { self.root.endCall() }
        let servers = try server.map { name throws(MCPError) in [try self.server(name)] } ?? self.servers
        let results = await withTaskGroup(of: (Int, Result<[Item], MCPError>).self) { group in
            for (place, server) in servers.enumerated() {
                group.addTask {
                    if server.isAsleep, let items = server.lists.items(of: Item.self) {
                        return (place, .success(items))
                    }
                    do throws(MCPError) {
                        let items = try await self.ask(server, Retry()) { session throws(MCPError) -> [Item] in
                            let changes = server.lists.changes
                            let hasAny = session.server.map { offers($0.capabilities) } ?? false
                            let items = hasAny ? try await list(session) : []
                            if server.definition.policy.idleStop != nil { server.lists.keep(items, changes: changes) }
                            return items
                        }
                        return (place, .success(items))
                    } catch {
                        return (place, .failure(server.shown(error)))
                    }
                }
            }
            var results: [Int: Result<[Item], MCPError>] = [:]
            for await (place, result) in group { results[place] = result }
            return results
        }
        var listing = HostListing<Item>()
        for (place, server) in servers.enumerated() {
            switch results[place] {
            case .success(let items)?:
                listing.items += items.map { ServerItem(server: server.name, item: $0) }
                listing.problems += server.problemBook.of(methods)
            case .failure(let error)?: listing.failures.append(ServerFailure(server: server.name, error: error))
            case nil: break
            }
        }
        return listing
    }
}
