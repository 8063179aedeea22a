public import MCPHost
import MCPTransport
public import Testing

/// Asserts that a report proves what it should: nothing is left, by the host's own books and by the system's process table.
public func expectClean(
    _ report: TeardownReport,
    servers: Int? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(report.isComplete, "the shutdown is not complete", sourceLocation: sourceLocation)
    #expect(report.open.isEmpty, "still open: \(report.open)", sourceLocation: sourceLocation)
    #expect(report.processesLeft.isEmpty, sourceLocation: sourceLocation)
    if let servers { #expect(report.servers.count == servers, sourceLocation: sourceLocation) }
    for server in report.servers {
        if let pid = server.processID {
            #expect(
                !ProcessCounts.isAlive(pid, since: server.startedAt),
                "\(server.name) still runs",
                sourceLocation: sourceLocation
            )
        }
        for pid in server.helpersEnded {
            #expect(
                !ProcessCounts.isAlive(pid, since: server.endedAt),
                "a helper of \(server.name) still runs",
                sourceLocation: sourceLocation
            )
        }
    }
}
