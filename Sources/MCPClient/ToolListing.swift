import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// What a call has to know of its tool, and where it comes from (V4).
extension ClientSession {
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
        if !isCurrent, self.runtime.listsTools, self.server?.capabilities.tools != nil,
            self.catalog.isToBeRead(now: self.clock.now)
        {
            try await self.readTools(try budget.rest())
            entry = self.catalog.lookUp(name).entry
        }
        guard self.configuration.checksToolCalls, let known = entry else { return entry }
        do throws(MCPError) {
            try known.check(arguments: arguments)
            return known
        } catch {
            guard self.runtime.listsTools, self.catalog.mayBeStale(now: self.clock.elapsed) else { throw error }
        }
        // Where it cannot be known better, the server decides.
        guard self.catalog.mayBeReadAgain(now: self.clock.now) else { return known }
        try await self.readTools(try budget.rest())
        guard self.catalog.mayBeReadAgain(now: self.clock.now) else { return known }
        let fresh = self.catalog.lookUp(name).entry
        try fresh?.check(arguments: arguments)
        return fresh
    }

    /// Makes the tools of the server known, if they are not: the catalog has what the server lists, as far as it does.
    package func prepareTools(_ options: RequestOptions = RequestOptions()) async throws(MCPError) {
        guard try await self.waitUntilReady().capabilities.tools != nil else {
            // One without tools has listed all it has.
            self.runtime.onTools?([], 0, true)
            return
        }
        if self.catalog.isToBeRead(now: self.clock.now) { try await self.readTools(options) }
    }

    /// How long calls do without a list after one could not be read.
    private static let pauseAfterFailure: Duration = .seconds(10)

    /// Lists the tools once for all calls that wait for it; the reading belongs to the session and goes on when they go.
    private func readTools(_ options: RequestOptions) async throws(MCPError) {
        let (reading, isFirst) = self.catalog.joinReading()
        if isFirst {
            let changes = self.catalog.changes
            var all = RequestOptions()
            (all.ignoresCache, all.caller) = (true, options.caller)
            let failure = Locked<MCPError?>(nil)
            self.spawn { [all] in
                do throws(MCPError) { _ = try await self.listTools(options: all) } catch {
                    failure.withLock { $0 = error }
                }
            } left: {
                self.readingEnded(reading, changes: changes, failure.withLock { $0 })
            }
        }
        let limit = (options.hardTimeout ?? self.configuration.hardTimeout) - options.timeSpent
        let isTimely = await self.wait(for: reading, atMost: limit)
        if Task.isCancelled { throw MCPError(.cancelled, "the call was cancelled before it was sent") }
        if let error = self.state.withLock({ $0.brokenBy }) { throw error }
        guard isTimely else {
            throw MCPError(
                .timeout,
                "timeout: the tools were not listed within \(limit), what was left of the limit for one request"
            )
        }
    }

    private func readingEnded(_ reading: OneShot<Void>, changes: Int, _ failure: MCPError?) {
        guard let failure, failure.code != .busy else { return self.catalog.endReading(reading, notBefore: nil) }
        if failure.rpcError?.code == .methodNotFound {
            // It has none to list, and will not have any for being asked again.
            _ = self.catalog.update([], changes: changes, expires: nil)
            self.runtime.onTools?([], changes, true)
            return self.catalog.endReading(reading, notBefore: nil)
        }
        self.catalog.endReading(reading, notBefore: self.clock.now + Self.pauseAfterFailure)
    }

    /// - Returns: false if the time, the connection or the calling task was over first.
    private func wait(for reading: OneShot<Void>, atMost limit: Duration) async -> Bool {
        if reading.value == nil { await self.pause(limit, or: reading) }
        return reading.value != nil
    }
}
