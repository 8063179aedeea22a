import Dispatch
import JSON
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What hosts that were killed have left running, read from their process journals, and the end of it.
///
/// A process is ended only if it is proved to be one: it has the number *and* the start time that the journal tells, in the same life
/// of the machine, or it descends from such a process, or it carries the random mark of the launch in its environment (Linux). The
/// number alone never suffices (E18).
public enum Leftovers {
    /// One process that a dead host had left.
    public struct Process: Sendable, Hashable {
        /// Its number.
        public var processID: Int32
        /// The dead host's number.
        public var host: Int32
        /// Whether it is gone now.
        public var isGone: Bool
    }

    private struct Journal {
        var path: String
        var host: ProcessIdentity
        var isOfThisBoot: Bool
        var guards: [ProcessIdentity] = []
        var servers: [ProcessIdentity] = []
        var marks: Set<String> = []
    }

    /// Ends what dead hosts of this user have left: SIGTERM, a second, SIGKILL. Blocks for as long as that takes, at most about 5 s,
    /// and 3 s for guards that are at it already: not for the cooperative pool.
    /// - Parameter isDryRun: only looks.
    /// - Returns: what was found.
    public static func reap(isDryRun: Bool = false) -> [Process] {
        guard let folder = StateDirectory.path.map({ $0 + "/processes" }) else { return [] }
        var found: [Process] = []
        for name in StateDirectory.files(in: folder) where name.hasSuffix(".jsonl") {
            guard let journal = self.read("\(folder)/\(name)"), !journal.host.isAlive else { continue }
            if !isDryRun {
                // A guard that lives is cleaning up this very moment.
                _ = ProcessIdentity.waitForEnds(journal.guards.filter(\.isAlive), milliseconds: 3000)
            }
            var processes = self.survivors(of: journal)
            var left = processes
            // Who was being started at the first look is seen at the next.
            for _ in 0..<4 where !isDryRun && !left.isEmpty {
                _ = self.end(left)
                left = self.survivors(of: journal)
                processes += left.filter { !processes.contains($0) }
            }
            if !isDryRun, left.isEmpty { unlink(journal.path) }
            found += processes.map { Process(processID: $0.pid, host: journal.host.pid, isGone: !left.contains($0)) }
        }
        return found
    }

    private static let background = DispatchQueue(label: "mcp.leftovers")
    private static let hasRun = Locked(false)

    /// The same, beside everything else, the first time it is asked for in this program.
    /// - Parameter told: called with what was found, on a thread of its own.
    package static func reapOnce(told: @escaping @Sendable ([Process]) -> Void) {
        let isFirst = self.hasRun.withLock { hasRun in
            defer { hasRun = true }
            return !hasRun
        }
        if isFirst { self.background.async { told(self.reap()) } }
    }

    private static func survivors(of journal: Journal) -> [ProcessIdentity] {
        guard journal.isOfThisBoot else { return [] }
        let roots = (journal.guards + journal.servers).filter(\.isAlive)
        return Set(roots + roots.flatMap(\.descendants) + LaunchMark.bearers(of: journal.marks)).sorted {
            $0.pid < $1.pid
        }
    }

    /// SIGTERM, a second, SIGKILL.
    /// - Returns: what is still there.
    static func end(_ processes: [ProcessIdentity]) -> [ProcessIdentity] {
        guard !processes.isEmpty else { return [] }
        for process in processes { process.signal(SIGTERM) }
        let stubborn = ProcessIdentity.waitForEnds(processes, milliseconds: 1000)
        for process in stubborn { process.signal(SIGKILL) }
        return ProcessIdentity.waitForEnds(stubborn, milliseconds: 2000)
    }

    /// A journal whose lines make sense as far as they were written.
    private static func read(_ path: String) -> Journal? {
        guard let bytes = StateDirectory.contents(of: path) else { return nil }
        let lines = bytes.split(separator: 0x0A).compactMap { try? JSONValue(parsing: Array($0)) }
        guard let first = lines.first, let host = self.process(first, "host") else { return nil }
        var journal = Journal(path: path, host: host, isOfThisBoot: first["boot"]?.string == ProcessJournal.boot)
        var ended: Set<String> = []
        for line in lines { if let mark = line["ended"]?.string { ended.insert(mark) } }
        for line in lines.dropFirst() {
            if let mark = line["launch"]?.string, !ended.contains(mark) { journal.marks.insert(mark) }
            guard let of = line["of"]?.string, !ended.contains(of) else { continue }
            if let process = self.process(line, "guard") { journal.guards.append(process) }
            if let process = self.process(line, "server") { journal.servers.append(process) }
        }
        return journal
    }

    private static func process(_ line: JSONValue, _ member: String) -> ProcessIdentity? {
        guard let pid = line[member]?.int64.flatMap({ Int32(exactly: $0) }), pid > 1,
            let start = line["start"]?.string.flatMap({ UInt64($0) })
        else { return nil }
        return ProcessIdentity(pid: pid, start: start)
    }
}
