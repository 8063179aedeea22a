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

    @Option(name: .long, help: "Listen at this socket instead, for several programs of this user.") var socket: String?

    func run() async throws {
        let socket = self.socket
        let listener: ControlSocket?
        do throws(MCPError) {
            listener = try socket.map { path throws(MCPError) in try ControlSocket(path: path) }
        } catch {
            throw Verdict(error).code ?? ExitCodes.usage
        }
        if let socket { Terminal.out("listening at \(socket)") }
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sighup, .sigint)
        let unclean = try await withThrowingTaskGroup(of: [TeardownReport]?.self) { group in
            group.addTask(name: "control") {
                if let listener { return await listener.run() }
                return try await ControlConnection(input: 0, output: 1).run().values.filter { !$0.isClean }
            }
            group.addTask(name: "signals") {
                for await _ in signals { break }
                return nil
            }
            // The first signal closes as the end of the input does; after it a second one ends the program by itself.
            var reports = try await group.next() ?? nil
            group.cancelAll()
            if reports == nil { reports = try await group.next() ?? nil }
            return reports ?? []
        }
        for report in unclean { Terminal.note("\(report)") }
        if !unclean.isEmpty { throw ExitCodes.leftBehind }
    }
}
