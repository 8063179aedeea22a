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
}

extension ServerItem where Item == Tool {
    /// The name under which the host offers the tool; see ``ToolName``.
    public var qualifiedName: String { ToolName.qualified(server: self.server, tool: self.item.name) }
}

/// The protocol's methods over all servers. From any task.
extension MCPHost {
    /// The tools of all servers that can be reached, as the host offers them (``ServerDefinition/tools``).
    public func tools() async throws(MCPError) -> HostListing<Tool> {
        let servers = self.servers
        var listing = try await self.collect({ $0.tools != nil }) { session throws(MCPError) in
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

    /// The resources of all servers that can be reached.
    public func resources() async throws(MCPError) -> HostListing<Resource> {
        try await self.collect({ $0.resources != nil }) { session throws(MCPError) in try await session.listResources()
        }
    }

    /// The resource templates of all servers that can be reached.
    public func resourceTemplates() async throws(MCPError) -> HostListing<ResourceTemplate> {
        try await self.collect({ $0.resources != nil }) { session throws(MCPError) in
            try await session.listResourceTemplates()
        }
    }

    /// The prompts of all servers that can be reached.
    public func prompts() async throws(MCPError) -> HostListing<Prompt> {
        try await self.collect({ $0.prompts != nil }) { session throws(MCPError) in try await session.listPrompts() }
    }

    /// Calls a tool by the name under which the host offers it, or by its own where only one server has such a tool.
    ///
    /// Servers that have not listed their tools yet are asked to before a name counts as unknown; after that an unknown name costs no
    /// traffic. What servers that do not tell of changes have added since is found by ``tools()``.
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
        let found = try self.root.beginCall(to: listed?.server)
        defer { self.root.endCall() }
        let (route, rest) = try await self.route(name, listed, options)
        do throws(MCPError) {
            return try await self.ask(
                try self.server(route.server, unless: found),
                for: options.caller,
                mayRepeat: route.isIdempotent,
                atMost: options.hardTimeout
            ) { [rest] session throws(MCPError) in
                try await session.callTool(route.tool, arguments: arguments, options: rest)
            }
        } catch {
            throw error.naming(route.server)
        }
    }

    /// What a name means, and what of the call's time is left then.
    private func route(
        _ name: String,
        _ listed: ToolIndex.Route?,
        _ options: RequestOptions
    ) async throws(MCPError) -> (ToolIndex.Route, RequestOptions) {
        if let listed { return (listed, options) }
        let start = self.root.context.clock.now
        let route = try await self.route(name, options)
        var rest = options
        rest.timeSpent += self.root.context.clock.now - start
        return (route, rest)
    }

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

    private func server(_ name: String, unless found: ManagedServer?) throws(MCPError) -> ManagedServer {
        if let found { return found }
        return try self.server(name)
    }

    /// One call to one server, counted so that a shutdown can wait for it.
    /// - Parameters:
    ///   - name: the server's.
    ///   - caller: on whose behalf.
    func ask<R: Sendable>(
        _ name: String,
        for caller: String? = nil,
        _ body: (ClientSession) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        let found = try self.root.beginCall(to: name)
        defer { self.root.endCall() }
        do throws(MCPError) {
            return try await self.ask(try self.server(name, unless: found), for: caller, body)
        } catch {
            throw error.naming(name)
        }
    }

    /// One call of a tool of one server, counted so that a shutdown can wait for it.
    /// - Parameters:
    ///   - name: the server's.
    ///   - caller: on whose behalf.
    ///   - tool: the host's name of the tool, apart from the server's.
    ///   - mayRepeat: it may be made twice where the tool says that this does no more than once.
    ///   - limit: how long it may be tried again after losses; nil: as long as one request may take at this server.
    ///   - body: gets the server's own name of the tool.
    /// - Throws: `notFound` for a tool that the host does not offer.
    func ask<R: Sendable>(
        _ name: String,
        for caller: String?,
        tool: String,
        mayRepeat: Bool = false,
        atMost limit: Duration? = nil,
        _ body: (ClientSession, _ tool: String) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        let found = try self.root.beginCall(to: name)
        defer { self.root.endCall() }
        do throws(MCPError) {
            let server = try self.server(name, unless: found)
            guard let original = server.definition.tools.original(of: tool) else {
                throw MCPError(
                    .notFound,
                    "this host does not offer a tool \"\(tool)\" of this server; ServerDefinition.tools says which it does"
                )
            }
            return try await self.ask(server, for: caller, repeating: mayRepeat ? tool : nil, atMost: limit) {
                session throws(MCPError) in
                try await body(session, original)
            }
        } catch {
            throw error.naming(name)
        }
    }

    /// Asks, and again when the connection was lost and nothing can have been done twice: as often as that happens to a request that had
    /// not been sent, within its time, and once for one that had, or that failed alone.
    private func ask<R: Sendable>(
        _ server: ManagedServer,
        for caller: String? = nil,
        mayRepeat: Bool = false,
        repeating tool: String? = nil,
        atMost limit: Duration? = nil,
        _ body: (ClientSession) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        var loss: MCPError?
        var maySendAgain = true
        let clock = self.root.context.clock
        let deadline = clock.now + (limit ?? server.definition.client.hardTimeout)
        while true {
            let (one, session): (ManagedServer, ClientSession)
            do throws(MCPError) { (one, session) = try await self.session(of: server, for: caller) } catch {
                // What happened to the call says more than why there will be no other.
                throw error.code == .cancelled ? error : loss ?? error
            }
            do throws(MCPError) {
                return try await body(session)
            } catch {
                guard error.code == .connectionLost || error.code == .outcomeUnknown else { throw error }
                if error.isOfIdleStop, clock.now < deadline { continue }
                if error.code == .outcomeUnknown {
                    let isIdempotent = mayRepeat || tool.map { server.isIdempotent($0) } ?? false
                    guard isIdempotent, server.definition.repeatsIdempotentCalls else { throw error }
                }
                if error.wasSent || error.isOfOneRequest {
                    guard maySendAgain else { throw error }
                    maySendAgain = false
                }
                guard clock.now < deadline else { throw error }
                // A connection that goes on is asked again, and not waited for to end.
                if !error.isOfOneRequest {
                    guard await one.waitForLoss(of: session) else { throw error }
                }
                loss = error
            }
        }
    }

    /// The conversation with a server, also with one of the caller's own (``ServerPolicy/perCaller(idleStop:maximum:)``): for what the host has
    /// no method for. It is over when the server is restarted, or stopped because nobody uses it.
    /// - Parameters:
    ///   - server: the server's name in the host.
    ///   - caller: on whose behalf, as in `RequestOptions.caller`; nil is the program itself.
    /// - Throws: why the server cannot be used; `busy` if too many callers have one of their own.
    public func session(of server: String, for caller: String? = nil) async throws(MCPError) -> ClientSession {
        try await self.session(of: try self.server(server), for: caller).session
    }

    private func session(
        of server: ManagedServer,
        for caller: String?
    ) async throws(MCPError) -> (server: ManagedServer, session: ClientSession) {
        while true {
            let one = try self.root.server(server, for: caller)
            do throws(MCPError) {
                return (one, try await one.session())
            } catch {
                // It has left because its caller did not use it: there will be another one.
                guard one !== server, one.isOver, error.code == .hostClosed else { throw error }
            }
        }
    }

    /// Asks all servers that offer something, in parallel.
    private func collect<Item: Sendable>(
        _ offers: @escaping @Sendable (ServerCapabilities) -> Bool,
        _ list: @escaping @Sendable (ClientSession) async throws(MCPError) -> [Item]
    ) async throws(MCPError) -> HostListing<Item> {
        try self.root.beginCall()
        defer { self.root.endCall() }
        let servers = self.servers
        let results = await withTaskGroup(of: (Int, Result<[Item], MCPError>).self) { group in
            for (place, server) in servers.enumerated() {
                group.addTask {
                    if server.isAsleep, let items = server.lists.items(of: Item.self) {
                        return (place, .success(items))
                    }
                    do throws(MCPError) {
                        let items = try await self.ask(server) { session throws(MCPError) -> [Item] in
                            let changes = server.lists.changes
                            let hasAny = session.server.map { offers($0.capabilities) } ?? false
                            let items = hasAny ? try await list(session) : []
                            if server.definition.policy.idleStop != nil { server.lists.keep(items, changes: changes) }
                            return items
                        }
                        return (place, .success(items))
                    } catch {
                        return (place, .failure(error.naming(server.name)))
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
            case .success(let items)?: listing.items += items.map { ServerItem(server: server.name, item: $0) }
            case .failure(let error)?: listing.failures.append(ServerFailure(server: server.name, error: error))
            case nil: break
            }
        }
        return listing
    }
}
