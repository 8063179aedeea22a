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
    private static let limit = 200
    private let lines = Locked<[String: [String]]>([:])

    func add(_ line: String, of server: String) {
        self.lines.withLock { lines in
            var ofServer = lines[server] ?? []
            if ofServer.count >= Self.limit { ofServer.removeFirst(Self.limit / 4) }
            ofServer.append(line)
            lines[server] = ofServer
        }
    }

    func lines(of server: String) -> [String] { self.lines.withLock { $0[server] ?? [] } }
}

/// The hosts of one client: those it has started, and those that all share.
final class ControlledHosts: Sendable {
    /// Hosts that one client may have at once.
    static let maximum = 256

    private struct State {
        var last = 0
        var hosts: [ControlledHost] = []
        /// How the latest were closed, for whoever closes one again.
        var reports: [(id: String, report: TeardownReport)] = []
        var isOver = false
    }

    private let state: Locked<State>

    init(shared: [String: MCPHost]) {
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
    func add(_ host: MCPHost, _ standardError: StandardErrorLines) throws(ControlError) -> ControlledHost {
        let result: Result<ControlledHost, MCPError> = self.state.withLock { state in
            if state.isOver { return .failure(MCPError(.hostClosed, "the client has ended its input")) }
            guard state.hosts.count < Self.maximum else {
                return .failure(MCPError(.busy, "a client may have \(Self.maximum) hosts at once"))
            }
            state.last += 1
            let controlled = ControlledHost("h\(state.last)", host, standardError)
            state.hosts.append(controlled)
            return .success(controlled)
        }
        do throws(MCPError) { return try result.get() } catch { throw ControlError(error) }
    }

    /// It is closed.
    func remove(_ host: ControlledHost, _ report: TeardownReport) {
        self.state.withLock { state in
            state.hosts.removeAll { $0 === host }
            if state.reports.count == Self.maximum { state.reports.removeFirst() }
            if !state.reports.contains(where: { $0.id == host.id }) { state.reports.append((host.id, report)) }
        }
    }

    /// How a host was closed that is not there any more.
    func report(of id: String) -> TeardownReport? {
        self.state.withLock { $0.reports.first { $0.id.isSame(as: id) }?.report }
    }

    /// Closes all that the client has started, side by side, and takes in no more.
    func close(cause: String) async -> [String: TeardownReport] {
        let own = self.state.withLock { state in
            state.isOver = true
            return state.hosts.filter { !$0.isShared }
        }
        for host in own { host.host.beginShutdown(.graceful, cause: cause) }
        var reports: [String: TeardownReport] = [:]
        for host in own { reports[host.id] = await host.host.close(cause: cause) }
        // Their handlers ask the client, which has them.
        self.state.withLock { $0.hosts.removeAll { !$0.isShared } }
        return reports
    }
}
