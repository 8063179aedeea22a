import CMCPProcess
import Dispatch
import MCPJSON
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
/// A host is dead only if that is proved: the kernel has released the lock that it held on its journal (T1). A process is ended only if
/// it is proved to be one of its servers: it has the number *and* the start time that the journal tells, in the same life of the machine
/// and the same PID namespace, or it descends from such a process, or it carries the random launch token of the launch in its environment
/// (Linux). The number alone never suffices (E18).
public enum Orphans {
    /// One process that a dead host had left.
    public struct Process: Sendable, Hashable {
        /// Its number.
        public var processID: Int32
        /// The dead host's number.
        public var host: Int32
        /// Whether it is gone now.
        public var isGone: Bool
    }

    /// What a look through the journals has come to.
    public struct Outcome: Sendable {
        /// What dead hosts had left.
        public var processes: [Process] = []
        /// Journals that say nothing about any process, and what was done with them: for a person.
        public var remarks: [String] = []
        /// Whether all that the journals tell of could be looked for. If not, a remark says why.
        public var isComplete = true
    }

    private struct Journal {
        var host: ProcessIdentity
        var isOfThisBoot: Bool
        var isOfThisNamespace: Bool
        var hasLock: Bool
        /// Launches that have not ended, by their launch tokens.
        var launches: [String: Launch] = [:]

        var guards: [ProcessIdentity] { self.launches.values.compactMap(\.guardian) }
    }

    private struct Launch {
        var guardian: ProcessIdentity?
        var server: ProcessIdentity?
        /// To which cleaning up is confined, where daemons shall stay (E6).
        var session: Int32?
    }

    /// A journal of another PID namespace, or of another life of the machine, is kept for so long: the namespace may be there still, and
    /// in a shared home directory another machine may have left it.
    private static let foreignJournalLife = 30 * 86400
    /// A journal that had no name yet when its host was killed.
    private static let unnamedJournalLife = 3600
    /// No host writes so much: longer is no journal, whatever its first line says.
    private static let longest = 64 << 20

    /// Ends what dead hosts of this user have left: SIGTERM, a second, SIGKILL. Blocks for as long as that takes, at most about 5 s a
    /// dead host, and 3 s for guards that are at it already: not for the cooperative pool.
    /// - Parameter isDryRun: only looks.
    /// - Returns: what was found.
    public static func reap(isDryRun: Bool = false) -> [Process] { self.look(isDryRun: isDryRun).processes }

    /// As ``reap(isDryRun:)``, and tells about journals that cannot be used as well.
    public static func look(isDryRun: Bool = false) -> Outcome {
        var outcome = Outcome()
        guard let folder = StateDirectory.path.map({ $0 + "/processes" }) else { return outcome }
        for name in StateDirectory.files(in: folder, withHidden: true) where name.hasSuffix(".jsonl") {
            let path = "\(folder)/\(name)"
            if name.hasPrefix(".") { self.tidy(path, isDryRun) } else { self.look(at: path, isDryRun, &outcome) }
        }
        return outcome
    }

    /// A journal that was being made, or written anew, when its host was killed.
    private static func tidy(_ path: String, _ isDryRun: Bool) {
        guard !isDryRun, let descriptor = StateDirectory.openFile(path) else { return }
        defer { _ = close(descriptor) }
        guard mcp_lock_file(descriptor) != EWOULDBLOCK, self.age(of: descriptor) > self.unnamedJournalLife,
            self.isStill(path, descriptor)
        else { return }
        unlink(path)
    }

    /// Whether a host of this number is there: it holds its journal, or a process has the number. What cannot be told counts as there.
    /// - Parameter host: the number of its process.
    package static func isThere(host: Int32) -> Bool {
        let folder = StateDirectory.path.map { $0 + "/processes" }
        let journals = folder.map { StateDirectory.files(in: $0, withHidden: false) } ?? []
        for name in journals where name.hasPrefix("\(host)-") {
            guard let folder, let descriptor = StateDirectory.openFile("\(folder)/\(name)") else { return true }
            defer { _ = close(descriptor) }
            // A host in another PID namespace holds it all the same (T1).
            if mcp_lock_file(descriptor) == EWOULDBLOCK { return true }
        }
        return ProcessIdentity(of: host) != nil
    }

    private static func look(at path: String, _ isDryRun: Bool, _ outcome: inout Outcome) {
        guard let descriptor = StateDirectory.openFile(path) else {
            outcome.remarks.append("\(path) is not a file of this user that can be read: left alone")
            return
        }
        defer { _ = close(descriptor) }
        // Whoever holds the lock lives: its host, or somebody who is reaping it this very moment. We keep it until we are done.
        let failure = mcp_lock_file(descriptor)
        if failure == EWOULDBLOCK { return self.noteRival(path, self.read(descriptor), &outcome) }
        // The name may have been given to a newer file between opening and locking.
        guard self.isStill(path, descriptor) else { return }
        guard StateDirectory.size(of: descriptor) ?? 0 <= self.longest else {
            outcome.remarks.append("\(path) is larger than any journal: left alone; look at it, and remove it")
            return
        }
        guard let journal = self.read(descriptor) else {
            if !isDryRun { unlink(path) }
            outcome.remarks.append("\(path) is no journal and nobody holds it\(isDryRun ? "" : ": removed")")
            return
        }
        // Without a lock, then or now, only the host's identity is left to go by, and it means something in its own namespace only.
        let isProvedByLock = journal.hasLock && failure == 0
        if !isProvedByLock, !journal.isOfThisNamespace || journal.host.isAlive { return }
        guard journal.isOfThisBoot, journal.isOfThisNamespace else {
            if !isDryRun, self.age(of: descriptor) > self.foreignJournalLife { unlink(path) }
            return
        }
        self.reap(journal, path, descriptor, isDryRun, &outcome)
    }

    private static func reap(
        _ journal: Journal,
        _ path: String,
        _ descriptor: Int32,
        _ isDryRun: Bool,
        _ outcome: inout Outcome
    ) {
        var journal = journal
        if !isDryRun {
            // A guard that lives is cleaning up this very moment, and says so when it is done.
            _ = ProcessIdentity.waitForEnds(journal.guards.filter(\.isAlive), milliseconds: 3000)
            journal = self.read(descriptor) ?? journal
        }
        // Whoever is killed has no last word.
        let silenced = journal.guards.filter { !$0.isAlive }.count
        guard var processes = self.survivors(of: journal) else { return self.noteBlindness(path, &outcome) }
        var left = processes
        // Who was being started at the first look is seen at the next.
        var isBlind = false
        for _ in 0..<4 where !isDryRun && !left.isEmpty && !isBlind {
            _ = self.end(left)
            let found = self.survivors(of: journal)
            isBlind = found == nil
            left = found ?? left.filter(\.isAlive)
            processes += left.filter { !processes.contains($0) }
        }
        if silenced > 0 {
            outcome.isComplete = false
            outcome.remarks.append(
                "\(silenced) mcp-guard of the dead host \(journal.host.pid) was killed too: what its server had detached from itself cannot be found"
            )
        }
        if isBlind { self.noteBlindness(path, &outcome) } else if !isDryRun, left.isEmpty { unlink(path) }
        outcome.processes += processes.map {
            Process(processID: $0.pid, host: journal.host.pid, isGone: !left.contains($0))
        }
    }

    /// Its host lives; or it does not, and somebody else is cleaning up after it at this very moment, and is not done.
    private static func noteRival(_ path: String, _ journal: Journal?, _ outcome: inout Outcome) {
        guard let journal, journal.isOfThisBoot, journal.isOfThisNamespace, !journal.host.isAlive else { return }
        outcome.isComplete = false
        outcome.remarks.append(
            "somebody else is ending what \(path) tells of at this moment: look again in a few seconds"
        )
    }

    /// The journal stays: the next look may see more.
    private static func noteBlindness(_ path: String, _ outcome: inout Outcome) {
        outcome.isComplete = false
        outcome.remarks.append(
            "the processes that \(path) tells of could not be looked for (too many open files?): try again"
        )
    }

    private static let background = DispatchQueue(label: "mcp.orphans")
    private static let hasRun = Locked(false)

    /// The same, beside everything else, the first time it is asked for in this program.
    /// - Parameter told: called with what was found, on a thread of its own.
    package static func reapOnce(told: @escaping @Sendable (Outcome) -> Void) {
        let isFirst = self.hasRun.withLock { hasRun in
            defer { hasRun = true }
            return !hasRun
        }
        if isFirst { self.background.async { told(self.look()) } }
    }

    /// What lives of it; nil when the system does not tell.
    private static func survivors(of journal: Journal) -> [ProcessIdentity]? {
        let queries = journal.launches.map { launchToken, launch in
            ProcessSearch.Query(
                launchToken: launchToken,
                keepsDaemons: launch.session != nil,
                session: launch.session,
                roots: [launch.guardian, launch.server].compactMap(\.self)
            )
        }
        guard let found = ProcessSearch.find(queries) else { return nil }
        return Set(found.joined()).sorted { $0.pid < $1.pid }
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

    // MARK: The file

    private static func isStill(_ path: String, _ descriptor: Int32) -> Bool {
        var (named, opened) = (stat(), stat())
        return lstat(path, &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_ino == opened.st_ino
            && named.st_dev == opened.st_dev
    }

    /// Seconds since something was written.
    private static func age(of descriptor: Int32) -> Int {
        var (info, clock) = (stat(), timespec())
        guard fstat(descriptor, &info) == 0, clock_gettime(CLOCK_REALTIME, &clock) == 0 else { return 0 }
        #if canImport(Darwin)
            return clock.tv_sec - info.st_mtimespec.tv_sec
        #else
            return clock.tv_sec - info.st_mtim.tv_sec
        #endif
    }

    /// A journal whose lines make sense as far as they were written; what has ended is forgotten on the way. Its first line says what it
    /// is: where it does not, the rest is not read.
    private static func read(_ descriptor: Int32) -> Journal? {
        var journal: Journal?
        lseek(descriptor, 0, SEEK_SET)
        StateDirectory.forEachLine(of: descriptor) { bytes in
            guard let line = try? JSONValue(parsing: bytes) else { return journal != nil }
            if journal == nil {
                journal = self.header(line)
                return journal != nil
            }
            if let launchToken = line["launch"]?.string {
                let session = line["session"]?.int64.flatMap { Int32(exactly: $0) }
                journal?.launches[launchToken, default: Launch()].session = session
            }
            if let launchToken = line["ended"]?.string { journal?.launches[launchToken] = nil }
            // A full disk may have lost the line of the launch (L10); its processes are no less its own.
            guard let launchToken = line["of"]?.string else { return true }
            if let process = self.process(line, "guard"), process.pid > 1 {
                journal?.launches[launchToken, default: Launch()].guardian = process
            }
            if let process = self.process(line, "server"), process.pid > 1 {
                journal?.launches[launchToken, default: Launch()].server = process
            }
            return true
        }
        return journal
    }

    private static func header(_ line: JSONValue) -> Journal? {
        guard let host = self.process(line, "host") else { return nil }
        return Journal(
            host: host,
            isOfThisBoot: line["boot"]?.string == ProcessJournal.boot,
            isOfThisNamespace: (line["namespace"]?.string ?? StateDirectory.pidNamespace)
                == StateDirectory.pidNamespace,
            hasLock: line["locked"]?.bool ?? false
        )
    }

    private static func process(_ line: JSONValue, _ member: String) -> ProcessIdentity? {
        guard let pid = line[member]?.int64.flatMap({ Int32(exactly: $0) }), pid > 0,
            let start = line["start"]?.string.flatMap({ UInt64($0) })
        else { return nil }
        return ProcessIdentity(pid: pid, start: start)
    }
}
