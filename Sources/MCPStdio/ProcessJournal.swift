import CMCPProcess
import MCPJSON
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Which servers this process has running, on disk, so that somebody can clean up if this process and the guards are killed together.
///
/// One file per host, `processes/PID-START-RANDOM.jsonl` in the `StateDirectory`, mode 0600. It is written before a server is started
/// and removed when the last one has ended, so a file without its host tells of a crash: ``Orphans`` reads it.
///
/// Whether its host lives is not guessed from a process number, which means nothing in another PID namespace and may belong to somebody
/// else tomorrow: this process holds a lock on the file for as long as it is there, and the kernel releases the lock with the process,
/// however that ends (T1). Lines are appended by one `write` each and not synced: what they tell of does not survive a crash of the
/// machine either (the boot id says so). A file that has grown is written anew with what is still alive (T12).
final class ProcessJournal: Sendable {
    static let shared = ProcessJournal()

    private struct State {
        var descriptor: Int32 = -1
        var path = ""
        /// Who opened it: a forked child inherits this object and nothing of what it stands for (T5).
        var owner: Int32 = 0
        var size = 0
        /// The last line was written in part.
        var isTorn = false
        var header = JSONObject()
        /// The lines of each launch that has not ended.
        var live: [String: [JSONObject]] = [:]
        var order: [String] = []
        /// Of those, in the order of their ends, launches that are over.
        var unproved: [String] = []
    }

    private let state = Locked(State())
    private let compactSize: Int

    /// - Parameter compactSize: from so many bytes on a file that is mostly about what has ended is written anew.
    init(compactSize: Int = 256 << 10) { self.compactSize = compactSize }

    /// A server is about to be started.
    /// - Parameters:
    ///   - launchToken: names the launch.
    ///   - command: what is started; only a hash of it is kept.
    ///   - keepsDaemons: what has left the session of this process shall stay, also when somebody cleans up after it (E6).
    /// - Returns: the path of the file, for the guard, which writes its last word into it when this process is gone; empty without one.
    func launching(_ launchToken: String, command: [String], keepsDaemons: Bool) -> String {
        var entry: JSONObject = ["launch": .string(launchToken), "command": .string(Self.hash(command))]
        if keepsDaemons { entry["session"] = .number(JSONNumber(Int64(getsid(0)))) }
        self.append(entry, of: launchToken, isNew: true)
        return self.state.withLock { $0.descriptor < 0 ? "" : $0.path }
    }

    /// A process of a launch is there.
    func started(_ launchToken: String, _ process: ProcessIdentity, isGuard: Bool) {
        let entry: JSONObject = [
            isGuard ? "guard" : "server": .number(JSONNumber(Int64(process.pid))),
            "start": .string(String(process.start)), "of": .string(launchToken),
        ]
        self.append(entry, of: launchToken, isNew: false)
    }

    private func append(_ entry: JSONObject, of launchToken: String, isNew: Bool) {
        self.state.withLock { state in
            if state.owner != getpid() {
                guard isNew else { return }
                state = State()
                state.owner = getpid()
            }
            // Where it could not be opened before, what lives by now is written with the first that can.
            if state.descriptor < 0, isNew { Self.open(&state) }
            guard isNew || state.live[launchToken] != nil else { return }
            if isNew { state.order.append(launchToken) }
            state.live[launchToken, default: []].append(entry)
            Self.write(entry, &state)
        }
    }

    /// A launch is over.
    /// - Parameter isProved: whether nothing of it is left for certain.
    func over(_ launchToken: String, isProved: Bool) {
        if isProved { self.ended(launchToken) } else { self.unproved(launchToken) }
    }

    /// A launch is over, and it is not proved that nothing of it is left: it stays in the file for somebody who looks later. Of very many
    /// the oldest is forgotten, so that the file does not grow for ever (T12).
    func unproved(_ launchToken: String) {
        let oldest: String? = self.state.withLock { state in
            guard state.owner == getpid(), state.live[launchToken] != nil else { return nil }
            state.unproved.append(launchToken)
            return state.unproved.count > Self.unprovedKept ? state.unproved.removeFirst() : nil
        }
        if let oldest { self.ended(oldest) }
    }

    private static let unprovedKept = 100

    /// Nothing of a launch is left.
    func ended(_ launchToken: String) {
        self.state.withLock { state in
            guard state.owner == getpid(), state.live.removeValue(forKey: launchToken) != nil else { return }
            if let place = state.unproved.firstIndex(of: launchToken) { state.unproved.remove(at: place) }
            if state.live.isEmpty { return Self.remove(&state) }
            Self.write(["ended": .string(launchToken)], &state)
            if state.size > self.compactSize { Self.compact(&state) }
        }
    }

    // MARK: The file

    /// The name of the running machine's life: process numbers mean nothing in another one.
    static let boot: String = {
        #if os(Linux)
            let bytes = StateDirectory.readSystemFile("/proc/sys/kernel/random/boot_id")
            return String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self)
        #else
            var text = [CChar](repeating: 0, count: 64)
            var size = text.count
            guard sysctlbyname("kern.bootsessionuuid", &text, &size, nil, 0) == 0 else { return "" }
            return String(cString: text)
        #endif
    }()

    private static func open(_ state: inout State) {
        guard let own = ProcessIdentity(of: getpid()), let folder = StateDirectory.folder("processes") else { return }
        state.path = "\(folder)/\(own.pid)-\(own.start)-\(LaunchToken.make()).jsonl"
        state.header = [
            "host": .number(JSONNumber(Int64(own.pid))), "start": .string(String(own.start)),
            "boot": .string(self.boot), "namespace": .string(StateDirectory.pidNamespace),
        ]
        _ = self.create(&state)
    }

    /// Makes the file under a name that nobody looks at, locks it, fills it, and only then gives it its name: whoever finds it finds it
    /// locked, and whole. A file of that name from before is replaced; if anything goes wrong, it stays what it was, and so does its lock.
    /// - Returns: whether it is done.
    private static func create(_ state: inout State) -> Bool {
        let hidden = state.path.replacingLastComponent { "." + $0 }
        let descriptor = openForWriting(hidden, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return false }
        mcp_close_in_forked_child(descriptor)
        // Where the file system has no locks, the header says so, and only the process's identity counts.
        state.header["locked"] = .bool(mcp_lock_file(descriptor) == 0)
        let lines = [state.header] + state.order.flatMap { state.live[$0] ?? [] }
        let text = lines.flatMap(self.line)
        guard writeAll(text, descriptor) == text.count, rename(hidden, state.path) == 0 else {
            unlink(hidden)
            self.close(descriptor)
            return false
        }
        // Only now: whoever opened the old file and gets its lock sees that the name means another file.
        if state.descriptor >= 0 { self.close(state.descriptor) }
        state.descriptor = descriptor
        state.size = text.count
        state.isTorn = false
        return true
    }

    private static func compact(_ state: inout State) {
        state.order = state.order.filter { state.live[$0] != nil }
        let living = state.live.values.reduce(0) { $0 + $1.count }
        // Mostly about the living: it would be as long as it is.
        guard living * 256 < state.size else { return }
        // On a full disk it is tried again when it has grown as much again, not with every line.
        if !self.create(&state) { state.size = 0 }
    }

    private static func remove(_ state: inout State) {
        if state.descriptor >= 0 {
            unlink(state.path)
            self.close(state.descriptor)
        }
        let owner = state.owner
        state = State()
        state.owner = owner
    }

    private static func close(_ descriptor: Int32) {
        // On a file system that does not answer this may block: not under the lock that every close of a pipe takes. A child that is forked
        // in between holds the lock of a file that has no name any more.
        mcp_will_close(descriptor)
        closeDescriptor(descriptor)
    }

    private static func line(_ entry: JSONObject) -> [UInt8] { Array("\(RawJSON(encoding: entry))\n".utf8) }

    /// A full disk loses the line and nothing else (L10): what comes after a torn line starts on one of its own.
    private static func write(_ entry: JSONObject, _ state: inout State) {
        guard state.descriptor >= 0 else { return }
        let line = (state.isTorn ? [UInt8(ascii: "\n")] : []) + self.line(entry)
        state.size += line.count
        let count = writeAll(line, state.descriptor)
        if count > 0 { state.isTorn = count < line.count }
    }

    /// FNV-1a, 64 bits: to compare commands, not to hide them.
    private static func hash(_ words: [String]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in words.joined(separator: "\0").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(hash, radix: 16)
    }
}

private func openForWriting(_ path: String, _ flags: Int32) -> Int32 { open(path, flags, 0o600) }
/// - Returns: how many bytes were written; fewer than there are when the disk is full.
private func writeAll(_ bytes: [UInt8], _ descriptor: Int32) -> Int {
    var done = 0
    while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        done += count
    }
    return done
}

/// `close`, where a method of that name is in the way.
func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }

extension String {
    fileprivate func replacingLastComponent(_ change: (Substring) -> String) -> String {
        guard let slash = self.lastIndex(of: "/") else { return change(self[...]) }
        return self[...slash] + change(self[self.index(after: slash)...])
    }
}

extension StateDirectory {
    /// A file of the system, whose size is not known before.
    static func readSystemFile(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { _ = close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }
}
