import ArgumentParser
import MCPControl
import MCPHost
import MCPTransport
import UnixSignals

struct Control: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "control",
        abstract: "Be a host for another program: JSON-RPC over standard input and output.",
        discussion: """
            One message a line; docs/control.md has the methods. Everything that was opened is closed when the input ends, or the other \
            program is gone, however that came.
            """
    )

    func run() async throws {
        let connection = ControlConnection(input: 0, output: 1)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sighup, .sigint)
        let reports = try await withThrowingTaskGroup(of: [String: TeardownReport]?.self) { group in
            group.addTask(name: "control") { try await connection.run() }
            group.addTask(name: "signals") {
                for await _ in signals { break }
                return nil
            }
            // The first signal closes as the end of the input does; after it a second one ends the program by itself.
            var reports = try await group.next() ?? nil
            group.cancelAll()
            if reports == nil { reports = try await group.next() ?? nil }
            return reports ?? [:]
        }
        for (host, report) in reports where !report.isClean { Terminal.note("\(host): \(report)") }
        if !reports.values.allSatisfy(\.isClean) { throw ExitCodes.leftBehind }
    }
}
