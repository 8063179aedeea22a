import JSON
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
/// One file per host, `processes/PID-START.jsonl` in the ``StateDirectory``, mode 0600. It is written before a server is started and
/// removed when the last one has ended, so a file without its host tells of a crash: ``Leftovers`` reads it. Lines are appended by
/// one `write` each and not synced: what they tell of does not survive a crash of the machine either (the boot id says so).
final class ProcessJournal: Sendable {
    static let shared = ProcessJournal()

    private struct State {
        var descriptor: Int32 = -1
        var path = ""
        var live: Set<String> = []
    }

    private let state = Locked(State())

    /// A server is about to be started.
    /// - Parameters:
    ///   - mark: names the launch.
    ///   - command: what is started; only a hash of it is kept.
    func launching(_ mark: String, command: [String]) {
        let hash = Self.hash(command)
        self.state.withLock { state in
            if state.descriptor < 0 { Self.open(&state) }
            state.live.insert(mark)
            Self.append(["launch": .string(mark), "command": .string(hash)], state)
        }
    }

    /// A process of a launch is there.
    func started(_ mark: String, _ process: ProcessIdentity, isGuard: Bool) {
        let entry: JSONObject = [
            isGuard ? "guard" : "server": .number(JSONNumber(Int64(process.pid))),
            "start": .string(String(process.start)), "of": .string(mark),
        ]
        self.state.withLock { Self.append(entry, $0) }
    }

    /// Nothing of a launch is left.
    func ended(_ mark: String) {
        self.state.withLock { state in
            guard state.live.remove(mark) != nil else { return }
            if state.live.isEmpty { return Self.remove(&state) }
            Self.append(["ended": .string(mark)], state)
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
        state.path = "\(folder)/\(own.pid)-\(own.start).jsonl"
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        state.descriptor = openForWriting(state.path, flags)
        self.append(
            [
                "host": .number(JSONNumber(Int64(own.pid))), "start": .string(String(own.start)),
                "boot": .string(self.boot),
            ],
            state
        )
    }

    private static func remove(_ state: inout State) {
        guard state.descriptor >= 0 else { return }
        unlink(state.path)
        _ = close(state.descriptor)
        state.descriptor = -1
    }

    /// A full disk loses the line and nothing else (L10).
    private static func append(_ entry: JSONObject, _ state: State) {
        guard state.descriptor >= 0 else { return }
        let line = Array("\(RawJSON(encoding: entry))\n".utf8)
        _ = line.withUnsafeBytes { write(state.descriptor, $0.baseAddress, $0.count) }
    }

    /// FNV-1a, 64 bits: to compare commands, not to hide them.
    private static func hash(_ words: [String]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in words.joined(separator: "\0").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(hash, radix: 16)
    }
}

private func openForWriting(_ path: String, _ flags: Int32) -> Int32 { open(path, flags, 0o600) }

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
