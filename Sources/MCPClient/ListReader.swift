import MCPJSON
import MCPTransport
import MCPTypes

/// Lists of the server, page by page, and answers of it that are still good.
final class ListReader: Sendable {
    let cache: ResultCache
    private let context: SessionContext
    private let channel: RequestChannel

    init(_ channel: RequestChannel, _ cache: ResultCache) {
        self.context = channel.context
        self.channel = channel
        self.cache = cache
    }

    /// One page of a list: nothing is kept, and nothing is counted.
    func page<Page: ResultObject>(
        _ method: Method,
        _ cursor: String?,
        _ options: RequestOptions,
        number: Int = 1
    ) async throws(MCPError) -> Page {
        let payload = try await self.channel.request(method, options: options) { writer in
            if let cursor {
                writer.key("cursor")
                writer.write(cursor)
            }
        }
        return try self.context.read(payload, of: method, page: number)
    }

    /// Goes through a paginated list, within bounds and never in circles (J1, J2). An empty cursor is a cursor like any other.
    func read<Page: ResultObject, Item: Sendable>(
        _ method: Method,
        _ kind: ResultCache.Kind,
        _ options: RequestOptions,
        _ type: Page.Type,
        items: (Page) -> [Item],
        page: (Page) -> (next: String?, ttl: Int64?),
        whenRead: ([Item], _ expires: Duration?) -> Void = { _, _ in }
    ) async throws(MCPError) -> [Item] {
        let server = try await self.channel.readiness.wait()
        if let known: [Item] = self.known(kind, method, options) { return known }
        let epoch = self.cache.epoch(kind)
        // A legacy list is good until the server tells of a change, if it does; a modern one for as long as its shortest-lived page.
        var expires: Duration? = server.revision.isModern || !server.capabilities.tells(kind) ? .zero : nil
        let limits = self.context.configuration.listLimits
        let deadline = self.context.clock.now + limits.time
        let reading = self.context.problems.beginReading()
        var all: [Item] = []
        var cursor: String?
        var seen: Set<WireString> = []
        for number in 1...max(1, limits.pages) {
            var bounded = options
            bounded.hardTimeout = min(
                options.hardTimeout ?? self.context.configuration.hardTimeout,
                max(.milliseconds(1), deadline - self.context.clock.now)
            )
            let result: Page = try await self.page(method, cursor, bounded, number: number)
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
                self.context.problems.forget(method, before: reading)
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

    // MARK: Answers that are still good

    /// What is known already, if this caller may have it.
    func known<Value: Sendable>(_ kind: ResultCache.Kind, _ method: Method, _ options: RequestOptions) -> Value? {
        // What somebody else was given is not for everybody (`CACHE-12`).
        guard self.context.configuration.caches, !options.ignoresCache, options.context == nil else { return nil }
        return self.cache.value(kind, method.rawValue, as: Value.self, now: self.context.clock.elapsed)
    }

    /// Keeps an answer.
    /// - Parameter epoch: of the cache, from before the request.
    func keep(
        _ kind: ResultCache.Kind,
        _ method: Method,
        _ value: some Sendable,
        expires: Duration?,
        epoch: Int
    ) {
        guard self.context.configuration.caches, expires.map({ $0 > self.context.clock.elapsed }) ?? true else {
            return
        }
        self.cache.keep(kind, method.rawValue, value, expires: expires, epoch: epoch)
    }

    /// Until when something is good that came now (`CACHE-05` to `CACHE-08`).
    func end(of timeToLive: Int64?) -> Duration {
        self.context.clock.elapsed + .milliseconds(max(0, timeToLive ?? 0))
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
