import MCPJSON
import MCPTransport
import MCPTypes

/// What a call has to know of its tool, and where it comes from (V4).
final class ToolReader: Sendable {
    let catalog: ToolCatalog
    private let context: SessionContext
    private let channel: RequestChannel
    private let background: BackgroundWork
    private let lists: ListReader

    init(_ channel: RequestChannel, _ background: BackgroundWork, _ lists: ListReader, _ catalog: ToolCatalog) {
        self.context = channel.context
        self.channel = channel
        self.background = background
        self.lists = lists
        self.catalog = catalog
    }

    /// All tools, page by page.
    func list(_ options: RequestOptions) async throws(MCPError) -> [Tool] {
        let changes = self.catalog.changes
        return try await self.lists.read(
            .toolsList,
            .tools,
            options,
            ListToolsResult.self,
            items: { $0.tools },
            page: { ($0.nextCursor, $0.ttlMs) },
            whenRead: { tools, expires in
                guard let isCurrent = self.catalog.update(tools, changes: changes, expires: expires) else { return }
                self.context.runtime.onTools?(tools, changes, isCurrent)
                // A change that came between the two lines above was told to those who are told of it before they had this list.
                if isCurrent, self.catalog.changes != changes { self.context.runtime.onTools?(tools, changes, false) }
            }
        )
    }

    /// The tool that is to be called, its arguments checked.
    ///
    /// In a host the tools are listed once per connection, before the first call, and again after the server has told of a change: a tool
    /// that runs only as a task is one from the first call on. Arguments are never refused for a schema that may be out of date.
    /// - Returns: nil where the server has not listed it.
    func tool(
        _ name: String,
        taking arguments: RawJSON?,
        _ budget: CallBudget
    ) async throws(MCPError) -> ToolCatalog.Entry? {
        var (entry, isCurrent) = self.catalog.lookUp(name)
        if !isCurrent, self.context.runtime.listsTools, self.channel.readiness.server?.capabilities.tools != nil,
            self.catalog.isToBeRead(now: self.context.clock.now)
        {
            try await self.read(try budget.rest())
            entry = self.catalog.lookUp(name).entry
        }
        guard self.context.configuration.checksToolCalls, let known = entry else { return entry }
        do throws(MCPError) {
            try known.check(arguments: arguments)
            return known
        } catch {
            guard self.context.runtime.listsTools, self.catalog.mayBeStale(now: self.context.clock.elapsed) else {
                throw error
            }
        }
        // Where it cannot be known better, the server decides.
        guard self.catalog.mayBeReadAgain(now: self.context.clock.now) else { return known }
        try await self.read(try budget.rest())
        guard self.catalog.mayBeReadAgain(now: self.context.clock.now) else { return known }
        let fresh = self.catalog.lookUp(name).entry
        try fresh?.check(arguments: arguments)
        return fresh
    }

    /// Makes the tools of the server known, if they are not: the catalog has what the server lists, as far as it does.
    func prepare(_ options: RequestOptions) async throws(MCPError) {
        guard try await self.channel.readiness.wait().capabilities.tools != nil else {
            // One without tools has listed all it has.
            self.context.runtime.onTools?([], 0, true)
            return
        }
        if self.catalog.isToBeRead(now: self.context.clock.now) { try await self.read(options) }
    }

    /// How long calls do without a list after one could not be read.
    private static let pauseAfterFailure: Duration = .seconds(10)

    /// Lists the tools once for all calls that wait for it; the reading belongs to the session and goes on when they go.
    private func read(_ options: RequestOptions) async throws(MCPError) {
        let (reading, isFirst) = self.catalog.joinReading()
        if isFirst {
            let changes = self.catalog.changes
            var all = RequestOptions()
            (all.ignoresCache, all.caller) = (true, options.caller)
            let failure = Locked<MCPError?>(nil)
            self.background.begin { [all] in
                do throws(MCPError) { _ = try await self.list(all) } catch {
                    failure.withLock { $0 = error }
                }
            } left: {
                self.readingEnded(reading, changes: changes, failure.withLock { $0 })
            }
        }
        let spent = options.startedAt.map { self.context.clock.now - $0 } ?? .zero
        let limit = (options.hardTimeout ?? self.context.configuration.hardTimeout) - spent
        let isTimely = await self.wait(for: reading, atMost: limit)
        if Task.isCancelled { throw MCPError(.cancelled, "the call was cancelled before it was sent") }
        if let error = self.channel.brokenBy { throw error }
        guard isTimely else {
            throw MCPError(
                .timeout,
                "timeout: the tools were not listed within \(limit.inMilliseconds), what was left of the limit for one request"
            )
        }
    }

    private func readingEnded(_ reading: OneShot<Void>, changes: Int, _ failure: MCPError?) {
        guard let failure, failure.code != .busy else { return self.catalog.endReading(reading, notBefore: nil) }
        if failure.rpcError?.code == .methodNotFound {
            // It has none to list, and will not have any for being asked again.
            _ = self.catalog.update([], changes: changes, expires: nil)
            self.context.runtime.onTools?([], changes, true)
            return self.catalog.endReading(reading, notBefore: nil)
        }
        self.catalog.endReading(reading, notBefore: self.context.clock.now + Self.pauseAfterFailure)
    }

    /// - Returns: false if the time, the connection or the calling task was over first.
    private func wait(for reading: OneShot<Void>, atMost limit: Duration) async -> Bool {
        if reading.value == nil { await self.background.pause(limit, or: reading) }
        return reading.value != nil
    }
}
