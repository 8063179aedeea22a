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
        /// Bearers of the mark in other sessions are daemons that shall stay (E6).
        var keepsDaemons: Bool
        /// Everything that descends from these belongs to it, they themselves included where they live.
        var roots: [ProcessIdentity] = []
        /// Who does not count: the guard.
        var except: Int32 = 0
    }

    private struct Request: Sendable {
        var query: Query
        var told: @Sendable ([ProcessIdentity]) -> Void
    }

    let queue = DispatchQueue(label: "mcp.search")
    private let waiting = Locked<[Request]>([])
    private let count = Locked(0)

    /// How often the process table was read.
    var passes: Int { self.count.withLock { $0 } }

    /// Finds living processes of one server.
    /// - Parameter told: called once with what was found, on the queue of the search.
    func find(_ query: Query, told: @escaping @Sendable ([ProcessIdentity]) -> Void) {
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
        for (request, result) in zip(requests, results) { request.told(result) }
    }

    static func find(_ queries: [Query]) -> [[ProcessIdentity]] {
        let all = ProcessIdentity.table()
        let (own, session) = (getpid(), getsid(0))
        var found = [Set<ProcessIdentity>](repeating: [], count: queries.count)
        var byGroup: [Int32: [Int]] = [:]
        var byMark: [String: [Int]] = [:]
        for (i, query) in queries.enumerated() {
            if query.includesGroup { byGroup[query.process, default: []].append(i) }
            if !query.keepsDaemons { byMark[query.mark, default: []].append(i) }
        }
        for process in all where process.pid != own {
            let identity = ProcessIdentity(pid: process.pid, start: process.start)
            if process.session == session {
                for i in byGroup[process.group] ?? [] where process.pid != queries[i].process {
                    found[i].insert(identity)
                }
            }
            if !byMark.isEmpty {
                for mark in LaunchMark.marks(of: process) {
                    for i in byMark[mark] ?? [] { found[i].insert(identity) }
                }
            }
        }
        var children: [Int32: [mcp_process]]?
        for (i, query) in queries.enumerated() {
            if !query.roots.isEmpty {
                let tree = children ?? Dictionary(grouping: all, by: \.parent)
                children = tree
                found[i].formUnion(Self.descent(of: query.roots, all, tree))
            }
            found[i] = found[i].filter { $0.pid != query.except && !(query.includesGroup && $0.pid == query.process) }
        }
        return found.map { $0.sorted { $0.pid < $1.pid } }
    }

    private static func descent(
        of roots: [ProcessIdentity],
        _ all: [mcp_process],
        _ children: [Int32: [mcp_process]]
    ) -> Set<ProcessIdentity> {
        let living = Dictionary(all.map { ($0.pid, $0.start) }) { first, _ in first }
        var open = roots.filter { living[$0.pid] == $0.start }
        var found = Set(open)
        while let next = open.popLast() {
            for child in children[next.pid] ?? [] {
                let identity = ProcessIdentity(pid: child.pid, start: child.start)
                if found.insert(identity).inserted { open.append(identity) }
            }
        }
        return found
    }
}
