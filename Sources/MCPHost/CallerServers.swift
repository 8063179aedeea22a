import MCPJSON
import MCPTransport

/// Which callers have servers of their own (``ServerPolicy/perCaller(idleStop:maximum:)``). Guarded by the root's lock.
struct CallerServers {
    /// By the serial number of the server that they stand for, and by caller: whose bytes are others is somebody else (V3).
    private var servers: [Int: [WireString: ManagedServer]] = [:]
    /// How many there have been.
    private var counts: [Int: Int] = [:]

    /// Those that stand for a server.
    func all(of principal: ManagedServer) -> [ManagedServer] {
        self.servers[principal.serial].map { Array($0.values) } ?? []
    }

    /// All of them.
    var all: [ManagedServer] { self.servers.values.flatMap(\.values) }

    /// The one that a caller has, as long as it can be used or has failed.
    func server(of principal: ManagedServer, for caller: String) -> ManagedServer? {
        self.servers[principal.serial]?[WireString(caller)].flatMap { $0.isOver ? nil : $0 }
    }

    /// Makes room for one more. Those that are over are just leaving, and need none; one that has failed is of no use to anybody else.
    /// - Returns: one that had to go, to be closed.
    /// - Throws: `busy`.
    mutating func makeRoom(of principal: ManagedServer, maximum: Int) throws(MCPError) -> ManagedServer? {
        let present = self.all(of: principal).filter { !$0.isOver }
        guard present.count >= maximum else { return nil }
        guard let failed = present.first(where: \.status.isDown) else {
            throw MCPError(
                .busy,
                "busy: \(present.count) callers have a server of their own, which is the limit (ServerPolicy.perCaller)",
                server: principal.name
            )
        }
        self.forget(failed)
        return failed
    }

    /// The next caller's number.
    mutating func takeNumber(of principal: ManagedServer) -> Int {
        self.counts[principal.serial, default: 0] += 1
        return self.counts[principal.serial] ?? 0
    }

    /// A caller has one now.
    mutating func insert(_ server: ManagedServer, of principal: ManagedServer, for caller: String) {
        self.servers[principal.serial, default: [:]][WireString(caller)] = server
    }

    /// One of them has left. Whoever has its caller meanwhile stays.
    mutating func forget(_ server: ManagedServer) {
        guard let serial = server.principal?.serial, let caller = server.caller.map({ WireString($0) }),
            self.servers[serial]?[caller] === server
        else { return }
        self.servers[serial]?[caller] = nil
    }

    /// The server that they stand for leaves the host.
    /// - Returns: those that have to leave with it.
    mutating func remove(of principal: ManagedServer) -> [ManagedServer] {
        self.counts[principal.serial] = nil
        return self.servers.removeValue(forKey: principal.serial).map { Array($0.values) } ?? []
    }
}
