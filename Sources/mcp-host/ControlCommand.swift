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
        let (listener, connection): (ControlSocket?, ControlConnection?)
        // From here on no signal ends the program on the spot.
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sighup, .sigint)
        do throws(MCPError) {
            listener = try socket.map { path throws(MCPError) in try ControlSocket(path: path) }
            connection = try socket == nil ? ControlConnection(input: 0, output: 1) : nil
        } catch {
            throw Verdict(error).code ?? ExitCodes.usage
        }
        if let socket { Terminal.out("listening at \(socket)") }
        let unclean = try await withThrowingTaskGroup(of: [TeardownReport]?.self) { group in
            group.addTask(name: "control") {
                if let connection { return try await connection.run() }
                return try await listener?.run() ?? []
            }
            group.addTask(name: "signals") {
                // The first closes as the end of the input does, the second at once.
                var isSecond = false
                for await _ in signals {
                    connection?.end(now: isSecond)
                    listener?.end(now: isSecond)
                    isSecond = true
                }
                return nil
            }
            let reports = try await group.next() ?? nil
            group.cancelAll()
            return reports ?? []
        }
        for report in unclean { Terminal.note("\(report)") }
        if !unclean.isEmpty { throw ExitCodes.leftBehind }
    }
}
