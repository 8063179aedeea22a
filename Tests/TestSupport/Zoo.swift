import CTestSupport
import Foundation
public import MCPHost
public import MCPJSON
import MCPStdio
public import MCPTransport
public import Testing

/// The rig of one test: servers that write their own log, hosts, and the proof at the end that nothing of them is left.
///
/// Every server and all that it forks hold a connection to a socket of this rig. The kernel closes it when the last of them has died, so
/// the proof needs no process numbers (N5).
public final class Zoo: Sendable {
    /// One line of a server's event log.
    public struct Event: Sendable {
        /// The process that wrote it.
        public var pid: Int32
        /// `start`, `frame`, `eof`, `signal`, `child`, `executed`, `exit`.
        public var event: String
        /// How long what it saw was.
        public var bytes: Int
        /// Its beginning.
        public var detail: String
    }

    /// A folder of its own, short enough for the name of a socket.
    public let folder: String
    private let listener: Int32
    private let hosts = Locked<[MCPHost]>([])
    /// Told whenever a server writes to its log.
    private let writes = Watched(0)
    private let watch: Int32

    fileprivate init(_ folder: String?) {
        self.folder = folder ?? "/tmp/zoo-\(UInt64.random(in: 0...UInt64.max))"
        // Of a folder that is named by a process number, one may be there from a process that had the number before and was killed.
        if folder != nil { try? FileManager.default.removeItem(atPath: self.folder) }
        mkdir(self.folder, 0o700)
        self.listener = Self.listen(at: self.folder + "/alive")
        self.watch = FolderWatch.shared.add(self.folder) { [writes = self.writes] in writes.withLock { $0 += 1 } }
    }

    private static func listen(at path: String) -> Int32 {
        #if os(Linux)
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        #else
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let failure = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(failure == 0 && Foundation.listen(descriptor, 4096) == 0, "no socket at \(path)")
        return descriptor
    }

    /// The arguments of a server that is watched.
    public func arguments(_ name: String, _ switches: [String]) -> [String] {
        ["--log", self.log(name), "--alive", self.folder + "/alive"] + switches
    }

    /// A host's entry for a server with these habits; see ``ScriptedServer/patient(_:_:)`` for its times.
    public func server(_ name: String, _ switches: String...) -> ServerDefinition {
        ScriptedServer.patient(
            ServerDefinition(name: name, command: ScriptedServer.path, arguments: self.arguments(name, switches)),
            switches
        )
    }

    /// Starts a host that is closed, and proved clean, when the test is over.
    public func host(_ servers: any HostedServer...) async throws -> MCPHost { try await self.host(servers) }

    /// Starts a host that is closed, and proved clean, when the test is over.
    public func host(
        _ servers: [any HostedServer],
        clock: any MonotonicClock = SystemMonotonicClock()
    ) async throws -> MCPHost {
        var setup = HostSetup(servers: servers)
        setup.clock = clock
        let host = try await MCPHost.start(setup)
        self.hosts.withLock { $0.append(host) }
        return host
    }

    /// Where a server's log is.
    public func log(_ name: String) -> String { "\(self.folder)/\(name).log" }

    /// What a server saw.
    public func events(_ name: String) -> [Event] {
        let text = (try? String(contentsOfFile: self.log(name), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { line in
            guard let value = try? JSONValue(parsing: Array(line.utf8)), let event = value["event"]?.string else {
                return nil
            }
            return Event(
                pid: Int32(value["pid"]?.int64 ?? 0),
                event: event,
                bytes: Int(value["bytes"]?.int64 ?? 0),
                detail: value["detail"]?.string ?? ""
            )
        }
    }

    /// Waits until something holds of what a server saw.
    public func wait(
        for what: String,
        of name: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        until holds: @escaping @Sendable ([Event]) -> Bool
    ) async {
        await self.writes.wait(for: "\(what) in the log of \(name)", sourceLocation: sourceLocation) { _ in
            holds(self.events(name))
        }
    }

    /// Waits until a server has seen something so often.
    public func wait(
        for event: String,
        of name: String,
        times: Int = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        await self.wait(for: "\(times) times \(event)", of: name, sourceLocation: sourceLocation) { events in
            events.count { $0.event == event } >= times
        }
    }

    /// Waits until a server has got a message that contains a text, so often.
    public func wait(
        forFrame text: String,
        of name: String,
        times: Int = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        await self.wait(for: "\(times) messages with \(text)", of: name, sourceLocation: sourceLocation) { events in
            events.count { $0.event == "frame" && $0.detail.contains(text) } >= times
        }
    }

    /// How often something was seen.
    public func count(_ event: String, _ name: String) -> Int { self.events(name).count { $0.event == event } }

    /// Waits until everything that was started is dead, at most so long.
    /// - Returns: whether it is.
    public func waitUntilExtinct(milliseconds: Int = Int(patience / .milliseconds(1))) async -> Bool {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: self.isExtinct(milliseconds)) }
        }
    }

    /// Chains that a host without guards may be too slow for end by themselves now, instead of running beside other tests. What is started
    /// after this is not seen by ``waitUntilExtinct(milliseconds:)``.
    public func letChainsEnd() { unlink(self.folder + "/alive") }

    private func isExtinct(_ milliseconds: Int) -> Bool {
        _ = fcntl(self.listener, F_SETFL, O_NONBLOCK)
        let deadline = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
        var isExtinct = true
        while true {
            let descriptor = accept(self.listener, nil, nil)
            guard descriptor >= 0 else { return isExtinct }
            defer { close(descriptor) }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = max(0, Int32(deadline.timeIntervalSinceNow * 1000))
            var byte: UInt8 = 0
            if poll(&entry, 1, left) <= 0 || read(descriptor, &byte, 1) != 0 { isExtinct = false }
        }
    }

    fileprivate func end(isProved: Bool, _ sourceLocation: SourceLocation) async {
        for host in self.hosts.withLock({ $0 }) {
            expectClean(await host.shutdown(), isProved: isProved, sourceLocation: sourceLocation)
            #expect(host.openResources.isEmpty, "still open: \(host.openResources)", sourceLocation: sourceLocation)
        }
        let isExtinct = await self.waitUntilExtinct()
        #expect(isExtinct, "a process of a server still lives", sourceLocation: sourceLocation)
        close(self.listener)
        FolderWatch.shared.remove(self.watch)
        try? FileManager.default.removeItem(atPath: self.folder)
    }
}

/// Runs a test with a rig; afterwards all its hosts are closed and nothing of their servers may be alive.
/// - Parameters:
///   - folder: where the rig lives; by default a folder of its own.
///   - isProved: false where the reports of its hosts must say that it cannot be proved that nothing is left.
///   - sourceLocation: where the test says so.
///   - body: the test.
public func withZoo(
    folder: String? = nil,
    isProved: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (Zoo) async throws -> Void
) async throws {
    let zoo = Zoo(folder)
    do {
        try await body(zoo)
        await zoo.end(isProved: isProved, sourceLocation)
    } catch {
        await zoo.end(isProved: isProved, sourceLocation)
        throw error
    }
}

/// The first text of a tool's result.
public func text(_ host: MCPHost, _ server: String, _ tool: String, _ arguments: JSONObject = [:]) async throws
    -> String
{
    try await host.callTool(server: server, name: tool, arguments: RawJSON(encoding: arguments)).content.first?.text
        ?? ""
}

/// The error with which something ends; nil if it succeeds.
public func failure<R: Sendable>(_ body: () async throws -> R) async -> MCPError? {
    do {
        _ = try await body()
        return nil
    } catch {
        return error as? MCPError
    }
}

/// One descriptor that tells of changes in the folders of all rigs: the system gives a user few of its kind.
private final class FolderWatch: Sendable {
    static let shared = FolderWatch()

    private let descriptor: Int32
    private let changed = Locked<[Int32: @Sendable () -> Void]>([:])

    private init() {
        self.descriptor = test_watch_descriptor()
        guard self.descriptor >= 0, let io = try? IOThread.shared() else { return }
        _ = try? io.watch(self.descriptor) { [self] _, scratch in self.read(scratch) }
    }

    private func read(_ scratch: UnsafeMutableRawBufferPointer) {
        var folders: Set<Int32> = []
        while true {
            let count = Foundation.read(self.descriptor, scratch.baseAddress, scratch.count)
            guard count > 0 else { break }
            // int32 folder, uint32 mask, uint32 cookie, uint32 length, and a name of that length
            var offset = 0
            while offset + 16 <= count {
                folders.insert(scratch.loadUnaligned(fromByteOffset: offset, as: Int32.self))
                offset += 16 + Int(scratch.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
            }
        }
        let changed = self.changed.withLock { $0 }
        // There were more changes than the kernel keeps: whoever waits has to look.
        if folders.contains(-1) { for tell in changed.values { tell() } }
        for folder in folders { changed[folder]?() }
    }

    /// - Returns: a number for ``remove(_:)``.
    func add(_ folder: String, _ changed: @escaping @Sendable () -> Void) -> Int32 {
        self.changed.withLock { all in
            let number = test_watch_folder(self.descriptor, folder)
            all[number] = changed
            return number
        }
    }

    func remove(_ number: Int32) {
        self.changed.withLock { $0[number] = nil }
        test_unwatch_folder(self.descriptor, number)
    }
}
