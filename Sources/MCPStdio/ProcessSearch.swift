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
        /// The token of its launch.
        var launchToken: String
        /// The server's process; its number is still its own, because nobody has reaped it, or because a guard lives that will.
        var process: Int32 = 0
        /// Whether members of its process group in this session belong to it: only while the group's leader is not reaped (E18).
        var includesGroup = false
        /// What is in another session than the host's is a daemon that shall stay (E6), however it was found.
        var keepsDaemons = false
        /// The host's session; nil: this program is the host.
        var session: Int32?
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
        var zombies: [mcp_process] = []
        guard let all = ProcessTable.look(.system, &zombies) else { return nil }
        let (own, session) = (getpid(), getsid(0))
        var found = [[Int32: mcp_process]](repeating: [:], count: queries.count)
        var byGroup: [Int32: [Int]] = [:]
        var byToken: [String: [Int]] = [:]
        for (i, query) in queries.enumerated() {
            if query.includesGroup { byGroup[query.process, default: []].append(i) }
            byToken[query.launchToken, default: []].append(i)
        }
        // While the leader is not reaped, its group is its own, and what has ended in it and is our child is nobody else's to reap.
        for zombie in zombies where zombie.parent == own && byGroup[zombie.group] != nil && zombie.pid != zombie.group {
            ProcessIdentity(pid: zombie.pid, start: zombie.start).reap()
        }
        for (process, launchTokens) in all where process.pid != own {
            if process.session == session {
                for i in byGroup[process.group] ?? [] { found[i][process.pid] = process }
            }
            for launchToken in launchTokens {
                for i in byToken[launchToken] ?? [] { found[i][process.pid] = process }
            }
        }
        if queries.contains(where: { !$0.roots.isEmpty }) {
            let processes = all.map(\.process)
            let children = Dictionary(grouping: processes, by: \.parent)
            for (i, query) in queries.enumerated() {
                for process in Self.descent(of: query.roots, processes, children) where process.pid != own {
                    found[i][process.pid] = process
                }
            }
        }
        return zip(queries, found).map { query, found in
            found.values.filter { process in
                process.pid != query.except && !(query.includesGroup && process.pid == query.process)
                    && (!query.keepsDaemons || process.session == query.session ?? session)
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

/// Where a look at the processes gets its answers; errors are errnos, 0 for none.
struct ProcessSource {
    /// All numbers in use; nil when the system does not tell.
    var numbers: () -> [Int32]?
    var read: (Int32, inout mcp_process) -> Int32
    var launchTokens: (mcp_process) -> LaunchToken.Found
    var passage: (Int32, inout mcp_passage) -> Int32
    /// Leaves the processor to whoever is in the middle of `exec`: nothing tells when that is over.
    var pause: () -> Void

    /// The system itself.
    static var system: ProcessSource {
        ProcessSource(
            numbers: {
                var list: UnsafeMutablePointer<pid_t>?
                let count = mcp_process_numbers(&list)
                defer { free(list) }
                return count < 0 ? nil : Array(UnsafeBufferPointer(start: list, count: count))
            },
            read: { mcp_process_read($0, &$1) },
            launchTokens: LaunchToken.launchTokens(of:),
            passage: { mcp_process_passage($0, &$1) },
            pause: { _ = poll(nil, 0, 10) }
        )
    }
}

/// All living processes with the launch tokens that they carry, looked at in such a way that nobody who forks and exits gets past (T19).
enum ProcessTable {
    /// More rounds than any machine needs, unless somebody forks for the sake of it. On a machine with more to do than it can, an `exec` takes a
    /// part of a second; with a pause after each round that saw one, they are a second together.
    private static let rounds = 100

    /// The list of numbers is taken in one go, and in it there is at least one link of a chain of processes that fork and exit, because
    /// numbers rise. But the link may have ended before it is looked at, and its next be born after the list. So the list is taken again
    /// until it shows nobody who was not looked at, and nobody has got away meanwhile; who was looked at once is not looked at again.
    /// - Parameters:
    ///   - source: whom to ask.
    ///   - zombies: those that were seen on the way are added.
    /// - Returns: nil if it never came to that, or the system did not tell.
    static func look(_ source: ProcessSource, _ zombies: inout [mcp_process]) -> [(
        process: mcp_process, launchTokens: [String]
    )]? {
        var found: [(process: mcp_process, launchTokens: [String])] = []
        var seen: Set<Int32> = []
        var bare: [mcp_process] = []
        let own = getpid()
        for _ in 0..<Self.rounds {
            guard let numbers = source.numbers() else { return nil }
            var (hasLostOne, hasSeenExec) = (false, false)
            for number in numbers where !seen.contains(number) {
                var process = mcp_process()
                let failure = source.read(number, &process)
                if failure == EACCES || failure == EPERM {
                    seen.insert(number)
                    continue
                }
                guard failure == 0 || failure == ESRCH else { return nil }
                guard failure == 0 else {
                    hasLostOne = true
                    continue
                }
                if process.state == ProcessIdentity.zombie { zombies.append(process) }
                switch process.state == ProcessIdentity.zombie ? .gone : source.launchTokens(process) {
                case .launchTokens(let launchTokens): found.append((process, launchTokens))
                case .noEnvironment: bare.append(process)
                // It may have lived when the list was taken, and may have had a child since.
                case .gone: hasLostOne = true
                case .unknown: return nil
                }
                seen.insert(number)
            }
            for process in bare {
                var passage = MCP_PASSAGE_NONE
                let failure = source.passage(process.pid, &passage)
                guard failure == 0 || failure == ESRCH else { return nil }
                // Whoever is on the way out may have had a child since the list was taken, and is not looked at again; whoever is in the middle
                // of `exec` is.
                if failure != 0 || passage != MCP_PASSAGE_NONE { hasLostOne = true }
                if passage == MCP_PASSAGE_EXEC {
                    hasSeenExec = true
                    seen.remove(process.pid)
                } else if passage == MCP_PASSAGE_NONE || process.threads > 1 || process.parent == own {
                    // Our own child is not over before somebody here has reaped it (T25).
                    found.append((process, []))
                }
            }
            bare = []
            if !hasLostOne { return found }
            if hasSeenExec { source.pause() }
        }
        return nil
    }
}
