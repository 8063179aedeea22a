import ArgumentParser
import MCPControl
import MCPHost
import MCPJSON
import MCPTransport

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Hold servers open until SIGINT or SIGTERM; a second signal kills them at once."
    )
    @Argument(help: "Only these servers.") var servers: [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json, path) = (self.servers, self.options.json, self.options.socket)
        try await HostCommand(options: self.options, endsBySignal: true).run { loaded throws(MCPError) in
            try Target.servers(words, in: loaded)
        } _: { host in
            // What happens from here on is told; what has happened before is in the servers' failures.
            let known = host.journal.entries.last?.number ?? 0
            let socket = try path.map { path throws(MCPError) in try ControlSocket(path: path, shared: ["run": host]) }
            let failures = host.servers.compactMap { server in
                server.failure.map { ServerFailure(server: server.name, error: $0) }
            }
            var verdict = Verdict([:])
            verdict.tell(failures)
            let dormant = host.servers.count { $0.status == .dormant }
            let ready = host.servers.count - failures.count - dormant
            let waiting = dormant == 0 ? "" : ", \(dormant) on demand"
            let line = "\(ready) of \(host.servers.count) servers ready\(waiting)"
            if json { Terminal.error(line) } else { Terminal.out(line) }
            for server in host.servers where server.failure == nil {
                let revision = server.server.map { ", revision \($0.revision.rawValue)" } ?? ""
                Terminal.note("\(Terminal.line(server.name)): \(server.status)\(revision)")
            }
            Terminal.note("Ctrl-C closes them", onTerminal: true)
            let unclean = await Self.follow(host, after: known, socket)
            for report in unclean { Terminal.note("\(report)") }
            if !unclean.isEmpty { verdict.code = ExitCodes.leftBehind }
            verdict.document["ready"] = .number(JSONNumber(Int64(ready)))
            return verdict
        }
    }

    /// Tells of each end and each restart, until somebody asks for the end of all.
    /// - Returns: of the hosts that clients had, those of which something may be left.
    private static func follow(
        _ host: MCPHost,
        after known: Int,
        _ socket: ControlSocket?
    ) async -> [TeardownReport] {
        await withTaskGroup(of: [TeardownReport].self) { group in
            group.addTask {
                for await entry in host.journal.updates() {
                    guard entry.number > known, let server = entry.server, Self.told.contains(entry.event) else {
                        continue
                    }
                    Terminal.note("\(Terminal.line(server)): \(entry.event), \(Terminal.paragraph(entry.cause))")
                }
                return []
            }
            group.addTask(name: "control") {
                do throws(MCPError) { return try await socket?.run() ?? [] } catch {
                    Terminal.note(Terminal.line("\(error)"))
                    return []
                }
            }
            await host.closing()
            group.cancelAll()
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// What a person who looks on wants to know.
    private static let told: Set<String> = [
        "lost", "ended", "restarting", "closed", "ready", "problem", "dormant", "needed",
    ]
}
