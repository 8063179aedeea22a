import ArgumentParser
import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import UnixSignals

/// How this program ends (also in `--help` and README).
enum ExitCodes {
    static let serverUnreachable = ExitCode(4)
    static let usage = ExitCode(64)
    static let toolFailed = ExitCode(5)
    static let leftBehind = ExitCode(6)
    static let interrupted = ExitCode(130)

    static let help = """
        EXIT CODES
          0    all went well
          4    a server could not be reached, or answered with an error
          5    the tool itself answered with an error
          6    something was left behind after closing
          64   the command line, the configuration or a tool's arguments cannot be used
          130  interrupted
        """
}

/// What all commands that open servers have in common.
struct HostOptions: ParsableArguments {
    @Option(
        name: .long,
        help: "Configuration in the mcpServers form. Default: .mcp.json here; without one, a built-in demo server."
    )
    var config: String?

    @Flag(name: .long, help: "Print one JSON document on standard output, and nothing else.")
    var json = false

    @Flag(name: .long, help: "Print the whole report of how the servers ended.")
    var report = false

    /// The configuration that counts.
    func load() throws -> HostConfiguration {
        do throws(MCPError) {
            if let config = self.config { return try HostConfiguration(contentsOf: config) }
            if FileManager.default.fileExists(atPath: ".mcp.json") {
                return try HostConfiguration(contentsOf: ".mcp.json")
            }
            return HostConfiguration(servers: [Self.demo])
        } catch {
            Terminal.error("mcp-host: \(VisibleText.block(error.message))")
            throw ExitCodes.usage
        }
    }

    /// This very program as a server.
    private static var demo: ServerDefinition {
        let path = Bundle.main.executablePath ?? CommandLine.arguments[0]
        return ServerDefinition(name: "demo", command: path, arguments: ["demo-server"])
    }
}

/// Opens the configured servers, does something with them, closes them, and says how that went.
struct HostCommand {
    var options: HostOptions
    /// Only these servers; nil for all.
    var only: String?
    /// The command does nothing but wait for a signal: one that comes when all servers are ready is its regular end.
    var endsBySignal = false

    /// - Parameter body: what to do; returns the JSON document and the exit code.
    func run(_ body: @escaping @Sendable (MCPHost) async throws -> (JSONObject, ExitCode?)) async throws {
        var configuration = try self.options.load()
        var runtime = HostRuntime()
        runtime.lifecycleLog = LifecycleLog()
        if let only = self.only {
            guard configuration.servers.contains(where: { $0.name == only }) else {
                let names = configuration.servers.map(\.name).joined(separator: ", ")
                Terminal.error("mcp-host: no server \"\(only)\" in the configuration; there are: \(names)")
                throw ExitCodes.usage
            }
            configuration.servers.removeAll { $0.name != only }
        }
        let spinner = Spinner("starting \(configuration.servers.count) server(s)")
        defer { spinner.stop() }
        let host = MCPHost(configuration, runtime: runtime)
        let isInterrupted = Locked(false)
        let interruption: (JSONObject, ExitCode?) = (
            ["error": ["code": "interrupted", "message": "interrupted by a signal"]], ExitCodes.interrupted
        )
        var outcome = await Self.supervised(host, isInterrupted) {
            guard await host.ready(), !isInterrupted.withLock({ $0 }) else { return interruption }
            spinner.stop()
            do {
                return try await body(host)
            } catch let error as MCPError {
                Terminal.error("mcp-host: \(VisibleText.block(error.description))")
                let code =
                    switch error.code {
                    case .hostClosed, .cancelled: ExitCodes.interrupted
                    case .invalidArguments: ExitCodes.usage
                    default: ExitCodes.serverUnreachable
                    }
                return (["error": ["code": .string(error.code.description), "message": .string(error.message)]], code)
            } catch {
                Terminal.error("mcp-host: \(error)")
                return (JSONObject(), ExitCodes.serverUnreachable)
            }
        }
        if !self.endsBySignal, isInterrupted.withLock({ $0 }) { outcome = interruption }
        let report = await host.shutdown()
        self.conclude(outcome.0, report)
        if !report.isClean { throw ExitCodes.leftBehind }
        if let code = outcome.1 { throw code }
    }

    /// The signals that end this program. One that is ignored, by `nohup` or a shell in the background, stays ignored (T20).
    private static var endingSignals: [UnixSignal] {
        [(SIGINT, UnixSignal.sigint), (SIGTERM, .sigterm), (SIGHUP, .sighup)].filter { number, _ in
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0 else { return true }
            #if canImport(Darwin)
                let handler = unsafeBitCast(action.__sigaction_u.__sa_handler, to: Int.self)
            #else
                let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            #endif
            return handler != 1  // SIG_IGN, a macro that Swift does not see
        }.map(\.1)
    }

    /// Runs the host, `work`, and the signals side by side. The first SIGINT, SIGTERM or SIGHUP closes, the second kills.
    private static func supervised(
        _ host: MCPHost,
        _ isInterrupted: Locked<Bool>,
        _ work: @escaping @Sendable () async -> (JSONObject, ExitCode?)
    ) async -> (JSONObject, ExitCode?) {
        // Before anything else happens: from here on no signal ends the program on the spot.
        let signals = await UnixSignalsSequence(trapping: self.endingSignals)
        return await withTaskGroup(of: (JSONObject, ExitCode?)?.self) { group in
            group.addTask(name: "host") {
                try? await host.run()
                return nil
            }
            group.addTask(name: "signals") {
                var isFirst = true
                for await _ in signals {
                    isInterrupted.withLock { $0 = true }
                    host.beginShutdown(
                        isFirst ? .graceful : .immediate,
                        cause: isFirst ? "a signal" : "a second signal"
                    )
                    isFirst = false
                }
                return nil
            }
            group.addTask(name: "command") {
                let outcome = await work()
                host.beginShutdown(cause: "the command is done")
                return outcome
            }
            var outcome: (JSONObject, ExitCode?) = (JSONObject(), nil)
            var left = 2
            while left > 0, let next = await group.next() {
                left -= 1
                if let next { outcome = next }
            }
            group.cancelAll()
            return outcome
        }
    }

    private func conclude(_ document: JSONObject, _ report: TeardownReport) {
        if self.options.json {
            var document = document
            if self.options.report { document["teardown"] = try? RawJSON(encoding: report).decode() }
            Terminal.out(.object(document))
            return
        }
        if self.options.report {
            for server in report.servers {
                let status = server.exitStatus.map { ", \($0)" } ?? ""
                let times = server.stepTimes.map { "\($0.step.description) \($0.time)" }.joined(separator: ", ")
                Terminal.out("\(VisibleText.line(server.name)): ended by \(server.step.description)\(status); \(times)")
                if let doubt = server.doubt {
                    Terminal.out("  not proved that nothing is left: \(VisibleText.line(doubt))")
                }
                if !server.descendantsEnded.isEmpty { Terminal.out("  descendants ended: \(server.descendantsEnded)") }
                if server.callsFailed > 0 { Terminal.out("  calls failed: \(server.callsFailed)") }
                if !server.stderrTail.isEmpty { Terminal.out("  " + VisibleText.block(server.stderrTail)) }
            }
            Terminal.out("open: \(report.open)")
        }
        Terminal.out(report.description)
    }

    /// Says which servers could not be asked.
    static func tell(_ failures: [ServerFailure]) -> (JSONValue, ExitCode?) {
        for failure in failures { Terminal.error("mcp-host: \(VisibleText.block(failure.error.description))") }
        let list = failures.map {
            JSONValue.object(["server": .string($0.server), "message": .string($0.error.message)])
        }
        return (.array(list), failures.isEmpty ? nil : ExitCodes.serverUnreachable)
    }
}
