import CMCPProcess
import Dispatch
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Looks for what servers have left, all that have just ended together in one pass over the process table: a pass for each of a thousand
/// servers that end at once would take ten seconds (T21). On a queue of its own, so that no pipe waits for it.
final class ProcessSearch: Sendable {
    static let shared = ProcessSearch()

    /// What belongs to one server.
    struct Query: Sendable {
        /// The mark of its launch.
        var mark: String
        /// The server's process; its number is still its own, because nobody has reaped it, or because a guard lives that will.
        var process: Int32
        /// Whether members of its process group in this session belong to it: only while the group's leader is not reaped (E18).
        var includesGroup: Bool
        /// What is in another session than this program's is a daemon that shall stay (E6), however it was found.
        var keepsDaemons: Bool
        /// Everything that descends from these belongs to it, they themselves included where they live.
        var roots: [ProcessIdentity] = []
        /// Who does not count: the guard.
        var except: Int32 = 0
    }

    private struct Request: Sendable {
        var query: Query
        var told: @Sendable ([ProcessIdentity]?) -> Void
    }

    let queue = DispatchQueue(label: "mcp.search")
    private let waiting = Locked<[Request]>([])
    private let count = Locked(0)

    /// How often the process table was read.
    var passes: Int { self.count.withLock { $0 } }

    /// Finds living processes of one server.
    /// - Parameter told: called once, on the queue of the search, with what was found; with nil when the system did not tell of all
    ///   processes, which proves nothing.
    func find(_ query: Query, told: @escaping @Sendable ([ProcessIdentity]?) -> Void) {
        let isFirst = self.waiting.withLock { waiting in
            waiting.append(Request(query: query, told: told))
            return waiting.count == 1
        }
        if isFirst { self.queue.async { self.search() } }
    }

    /// One pass for all that wait now. Who comes during the pass waits for the next, because the pass may be past what it looks for.
    private func search() {
        let requests = self.waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        self.count.withLock { $0 += 1 }
        let results = Self.find(requests.map(\.query))
        for (i, request) in requests.enumerated() { request.told(results?[i]) }
    }

    /// - Returns: for each query what was found; nil when the system did not tell of all processes.
    static func find(_ queries: [Query]) -> [[ProcessIdentity]]? {
        guard let all = ProcessIdentity.table() else { return nil }
        let (own, session) = (getpid(), getsid(0))
        var found = [[Int32: mcp_process]](repeating: [:], count: queries.count)
        var byGroup: [Int32: [Int]] = [:]
        var byMark: [String: [Int]] = [:]
        for (i, query) in queries.enumerated() {
            if query.includesGroup { byGroup[query.process, default: []].append(i) }
            byMark[query.mark, default: []].append(i)
        }
        for process in all where process.pid != own {
            if process.session == session {
                for i in byGroup[process.group] ?? [] { found[i][process.pid] = process }
            }
            guard let marks = LaunchMark.marks(of: process) else { return nil }
            for mark in marks {
                for i in byMark[mark] ?? [] { found[i][process.pid] = process }
            }
        }
        var children: [Int32: [mcp_process]]?
        for (i, query) in queries.enumerated() where !query.roots.isEmpty {
            let tree = children ?? Dictionary(grouping: all, by: \.parent)
            children = tree
            for process in Self.descent(of: query.roots, all, tree) { found[i][process.pid] = process }
        }
        return zip(queries, found).map { query, found in
            found.values.filter { process in
                process.pid != query.except && !(query.includesGroup && process.pid == query.process)
                    && (!query.keepsDaemons || process.session == session)
            }.map { ProcessIdentity(pid: $0.pid, start: $0.start) }.sorted { $0.pid < $1.pid }
        }
    }

    private static func descent(
        of roots: [ProcessIdentity],
        _ all: [mcp_process],
        _ children: [Int32: [mcp_process]]
    ) -> [mcp_process] {
        let starts = Dictionary(roots.map { ($0.pid, $0.start) }) { first, _ in first }
        var found = all.filter { starts[$0.pid] == $0.start }
        var seen = Set(found.map(\.pid))
        var next = 0
        while next < found.count {
            for child in children[found[next].pid] ?? [] where seen.insert(child.pid).inserted { found.append(child) }
            next += 1
        }
        return found
    }
}
