public import MCPHost
import MCPTransport
public import Testing

/// Asserts that a report proves what it should: nothing is left, by the host's own books and by the system's process table.
/// - Parameter isProved: false where the report must say that this cannot be proved.
public func expectClean(
    _ report: TeardownReport,
    servers: Int? = nil,
    isProved: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(report.isComplete, "the shutdown is not complete", sourceLocation: sourceLocation)
    #expect(report.open.isEmpty, "still open: \(report.open)", sourceLocation: sourceLocation)
    #expect(report.processesLeft.isEmpty, sourceLocation: sourceLocation)
    let doubts = report.servers.compactMap { server in server.doubt.map { "\(server.name): \($0)" } }
    #expect(doubts.isEmpty == isProved, "not proved: \(doubts)", sourceLocation: sourceLocation)
    if let servers { #expect(report.servers.count == servers, sourceLocation: sourceLocation) }
    for server in report.servers {
        if let pid = server.processID {
            #expect(
                !ProcessCounts.isAlive(pid, since: server.startedAt),
                "\(server.name) still runs",
                sourceLocation: sourceLocation
            )
        }
        for pid in server.descendantsEnded {
            #expect(
                !ProcessCounts.isAlive(pid, since: server.descendantsSeenAt[pid]),
                "a helper of \(server.name) still runs",
                sourceLocation: sourceLocation
            )
        }
    }
}
