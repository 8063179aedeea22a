import MCPJSON
import MCPStdio
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The lifecycle journals of this user's hosts on disk, so that `mcp-host why` can tell what happened after the host is gone.
///
/// `lifecycle/events.jsonl` in the `StateDirectory`, mode 0600, one JSON object a line; at 1 MiB it becomes `events.old.jsonl`, so there are
/// never more than 2 MiB (L10). A full disk loses entries and nothing else.
public final class LifecycleLog: Sendable {
    /// One change of state, read back.
    public struct Event: Sendable {
        /// Microseconds since 1970.
        public var time: Int64
        /// The host's process.
        public var host: Int64
        /// As in ``LifecycleJournal/Entry``.
        public var server: String?
        /// As in ``LifecycleJournal/Entry``.
        public var generation: Int
        /// As in ``LifecycleJournal/Entry``.
        public var event: String
        /// As in ``LifecycleJournal/Entry``.
        public var cause: String
        /// As in ``LifecycleJournal/Entry``.
        public var task: String
    }

    private static let maximumSize: off_t = 1 << 20
    private static let names = ["events.old.jsonl", "events.jsonl"]

    private let folder: String
    /// Entries that could not be written.
    private let lost = Locked(0)

    /// The log in the user's state directory; nil where there is none.
    public convenience init?() {
        guard let folder = StateDirectory.folder("lifecycle") else { return nil }
        self.init(folder: folder)
    }

    init(folder: String) { self.folder = folder }

    private func path(_ index: Int) -> String { "\(self.folder)/\(Self.names[index])" }

    func append(_ entry: LifecycleJournal.Entry) {
        var clock = timespec()
        clock_gettime(CLOCK_REALTIME, &clock)
        var object: JSONObject = [
            "time": .number(JSONNumber(Int64(clock.tv_sec) * 1_000_000 + Int64(clock.tv_nsec / 1000))),
            "host": .number(JSONNumber(Int64(getpid()))), "generation": .number(JSONNumber(Int64(entry.generation))),
            "event": .string(entry.event), "cause": .string(String(entry.cause.prefix(4096))),
            "task": .string(entry.task),
        ]
        if let server = entry.server { object["server"] = .string(server) }
        let line = Array("\(RawJSON(encoding: object))\n".utf8)
        self.lost.withLock { lost in
            // Without O_NONBLOCK a FIFO in its place would hold up whoever changes a state (T20).
            let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
            let descriptor = open(self.path(1), flags, 0o600)
            guard descriptor >= 0 else {
                lost += 1
                return
            }
            defer { _ = close(descriptor) }
            let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written < line.count { lost += 1 }
            var info = stat()
            if fstat(descriptor, &info) == 0, info.st_size > Self.maximumSize { rename(self.path(1), self.path(0)) }
        }
    }

    /// What is known of a server in the newest host that had it, oldest first; entries about the host itself are among them.
    /// - Parameter server: its name.
    public func events(of server: String) -> [Event] {
        var all: [Event] = []
        for index in 0...1 {
            for line in (StateDirectory.contents(of: self.path(index)) ?? []).split(separator: 0x0A) {
                if let value = try? JSONValue(parsing: Array(line)), let event = Self.event(value) { all.append(event) }
            }
        }
        guard let host = all.last(where: { $0.server == server })?.host else { return [] }
        let events = all.filter { $0.host == host && ($0.server == nil || $0.server == server) }
        // Another host may have had the number before: what it had to do with the server is another story.
        return Array(events[(events.lastIndex { $0.server == server && $0.event == "added" } ?? 0)...])
    }

    /// What has become of a host.
    public enum HostState: String, Sendable {
        /// It is there.
        case running
        /// It has closed all its servers, and said so.
        case closed
        /// It is not there, and has not closed: it was killed, or has crashed.
        case gone
    }

    /// What has become of a host.
    /// - Parameters:
    ///   - host: the number of its process, as in ``Event/host``.
    ///   - events: those of one of its servers, from ``events(of:)``.
    public static func state(of host: Int64, after events: [Event]) -> HostState {
        if events.contains(where: { $0.host == host && $0.server == nil && $0.event == "closed" }) { return .closed }
        return Int32(exactly: host).map(Orphans.isThere) ?? false ? .running : .gone
    }

    private static func event(_ value: JSONValue) -> Event? {
        guard let time = value["time"]?.int64, let host = value["host"]?.int64, let event = value["event"]?.string
        else {
            return nil
        }
        return Event(
            time: time,
            host: host,
            server: value["server"]?.string,
            generation: Int(value["generation"]?.int64 ?? 0),
            event: event,
            cause: value["cause"]?.string ?? "",
            task: value["task"]?.string ?? ""
        )
    }
}
