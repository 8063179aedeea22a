import MCPClient
import MCPHost
import MCPJSON
import MCPTransport

/// A host that a client uses.
final class ControlledHost: Sendable {
    let id: String
    let host: MCPHost
    let standardError: StandardErrorLines
    /// All clients may use it, and none closes it.
    let isShared: Bool

    init(_ id: String, _ host: MCPHost, _ standardError: StandardErrorLines, isShared: Bool = false) {
        (self.id, self.host, self.standardError, self.isShared) = (id, host, standardError, isShared)
    }
}

/// The latest lines of servers' standard error.
final class StandardErrorLines: Sendable {
    private static let lines = 200
    private static let bytes = 64 << 10
    private static let names = 256
    private let kept = Locked<[WireString: (lines: [String], bytes: Int)]>([:])

    func add(_ line: String, of server: String) {
        self.kept.withLock { kept in
            var (lines, bytes) = kept[WireString(server)] ?? ([], 0)
            // Names that come and go: one of those that have said the least.
            if lines.isEmpty, kept.count >= Self.names, let least = kept.min(by: { $0.value.bytes < $1.value.bytes }) {
                kept[least.key] = nil
            }
            lines.append(line)
            bytes += line.utf8.count
            if lines.count > Self.lines || bytes > Self.bytes {
                // Half of it at once: not one for each that comes.
                while lines.count > Self.lines / 2 || bytes > Self.bytes / 2, lines.count > 1 {
                    bytes -= lines.removeFirst().utf8.count
                }
            }
            kept[WireString(server)] = (lines, bytes)
        }
    }

    func lines(of server: String) -> [String] { self.kept.withLock { $0[WireString(server)]?.lines ?? [] } }

    /// The server is there no more.
    func forget(_ server: String) { self.kept.withLock { $0[WireString(server)] = nil } }
}

/// The hosts of one client: those it has started, and those that all share.
final class ControlledHosts: Sendable {
    /// Hosts that one client may have at once.
    static let maximum = 256

    private let maximum: Int
    private struct State {
        var last = 0
        var hosts: [ControlledHost] = []
        /// How the latest were closed, for whoever closes one again.
        var reports: [(id: String, report: RawJSON)] = []
        /// Those of which something may be left.
        var unclean: [TeardownReport] = []
        var isOver = false
    }

    private let state: Locked<State>

    init(shared: [String: MCPHost], maximum: Int) {
        self.maximum = maximum
        let hosts = shared.sorted { $0.key < $1.key }
            .map { ControlledHost($0.key, $0.value, StandardErrorLines(), isShared: true) }
        self.state = Locked(State(hosts: hosts))
    }

    var all: [ControlledHost] { self.state.withLock { $0.hosts } }

    /// - Parameter id: nil for the only one.
    func find(_ id: String?) throws(ControlError) -> ControlledHost {
        let hosts = self.all
        if let id {
            if let host = hosts.first(where: { $0.id.isSame(as: id) }) { return host }
            let known = hosts.isEmpty ? "none" : hosts.map(\.id).joined(separator: ", ")
            throw ControlError(MCPError(.notFound, "no host \"\(id.prefix(100))\"; there are: \(known)"))
        }
        guard hosts.count == 1 else {
            let why = hosts.isEmpty ? "no host has been started" : "there are several hosts; say which: host"
            throw ControlError(MCPError(hosts.isEmpty ? .notFound : .invalidArguments, why))
        }
        return hosts[0]
    }

    /// Takes a host in before it is launched, so that whatever happens it is closed.
    /// - Parameter make: makes it, if there is room for one.
    func add(_ standardError: StandardErrorLines, _ make: () -> MCPHost) throws(ControlError) -> ControlledHost {
        let result: Result<ControlledHost, MCPError> = self.state.withLock { state in
            if state.isOver { return .failure(MCPError(.hostClosed, "the client has ended its input")) }
            guard state.hosts.count(where: { !$0.isShared }) < self.maximum else {
                return .failure(MCPError(.busy, "a client may have \(self.maximum) hosts at once"))
            }
            repeat { state.last += 1 } while state.hosts.contains { $0.id == "h\(state.last)" }
            let controlled = ControlledHost("h\(state.last)", make(), standardError)
            state.hosts.append(controlled)
            return .success(controlled)
        }
        do throws(MCPError) { return try result.get() } catch { throw ControlError(error) }
    }

    /// It is closed.
    /// - Parameter commands: how what ran of it was started.
    /// - Returns: what is told of that, to all who close it.
    @discardableResult
    func remove(_ host: ControlledHost, _ report: TeardownReport, _ commands: JSONValue? = nil) -> RawJSON {
        var document = RawJSON(encoding: report)
        if let commands, case .object(var members) = ControlDocument.value(report) {
            members["commands"] = commands
            document = .object(members)
        }
        self.state.withLock { state in
            guard let place = state.hosts.firstIndex(where: { $0 === host }) else {
                // All who close it are told the same.
                document = state.reports.first { $0.id == host.id }?.report ?? document
                return
            }
            state.hosts.remove(at: place)
            if !report.isClean { state.unclean.append(report) }
            if state.unclean.count > Self.maximum { state.unclean.removeFirst() }
            if state.reports.count == Self.maximum { state.reports.removeFirst() }
            state.reports.append((host.id, document))
        }
        return document
    }

    /// How those were closed of which something may be left.
    var unclean: [TeardownReport] { self.state.withLock { $0.unclean } }

    /// How a host was closed that is not there any more.
    /// - Parameter id: nil for the only one that there was.
    func report(of id: String?) -> RawJSON? {
        self.state.withLock { state in
            if let id { return state.reports.first { $0.id.isSame(as: id) }?.report }
            return state.hosts.isEmpty && state.reports.count == 1 ? state.reports[0].report : nil
        }
    }

    /// What is open gets no time to end any more.
    func endNow() {
        for host in self.all where !host.isShared {
            host.host.beginShutdown(.immediate, cause: "a second signal")
        }
    }

    /// Closes one, and waits for it whatever happens to the calling task.
    func close(_ host: ControlledHost) async {
        let report = await host.host.close(cause: "the request to start or to close it was taken back")
        self.remove(host, report)
    }

    /// Closes all that the client has started, side by side, and takes in no more.
    func close(cause: String) async {
        let own = self.state.withLock { state in
            state.isOver = true
            return state.hosts.filter { !$0.isShared }
        }
        for host in own { host.host.beginShutdown(.graceful, cause: cause) }
        for host in own { self.remove(host, await host.host.close(cause: cause)) }
    }
}
