import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import UnixSignals

/// Opens the configured servers, does something with them, closes them, and says how that went.
struct HostCommand {
    var options: HostOptions
    /// The command does nothing but wait for a signal: one that comes when all servers are ready is its regular end.
    var endsBySignal = false

    /// A second signal counts only after so long: one stop may arrive as two (U7).
    private static let doubleSignal: Duration = .milliseconds(500)

    /// - Parameters:
    ///   - choose: which of the servers are needed, by their names; nil for all.
    ///   - body: what to do with them.
    func run(
        choose: (HostOptions.Loaded) throws(MCPError) -> [String]? = { _ throws(MCPError) in nil },
        _ body: @escaping @Sendable (MCPHost) async throws -> Verdict
    ) async throws {
        var loaded: HostOptions.Loaded
        let spinner = Spinner()
        defer { spinner.stop() }
        let questions: Questions
        do throws(MCPError) {
            questions = try Questions(self.options.answer) { spinner.stop() }
            loaded = try self.options.load(usesSocket: !self.endsBySignal)
            if let names = try choose(loaded) { loaded.configuration.servers.removeAll { !names.contains($0.name) } }
            if !self.endsBySignal {
                // Whoever waits for one answer is told at once that a server does not come up.
                for place in loaded.configuration.servers.indices {
                    loaded.configuration.servers[place].restart.includesFailedStarts = false
                }
            }
        } catch {
            let verdict = Verdict(error)
            if self.options.json { Terminal.out(.object(verdict.document)) }
            throw verdict.code ?? ExitCodes.usage
        }
        var runtime = HostRuntime()
        runtime.lifecycleLog = LifecycleLog()
        runtime.handlers = questions.handlers
        runtime.servers = loaded.endpoints.mapValues { ServerRuntime(endpoint: $0) }
        let count = loaded.configuration.servers.count
        spinner.start("starting \(count) server\(count == 1 ? "" : "s")")
        let host = MCPHost(loaded.configuration, runtime: runtime)
        let isInterrupted = Locked(false)
        let events = self.options.logLevel == nil ? nil : host.serverEvents()
        var verdict = await Self.supervised(host, questions, isInterrupted, events) {
            let isReady = await host.ready()
            spinner.stop()
            guard isReady, !isInterrupted.withLock({ $0 }) else { return .interrupted }
            do {
                return try await body(host)
            } catch let error as MCPError {
                return Verdict(error)
            } catch {
                return Verdict(MCPError(.init("failed"), "\(error)"))
            }
        }
        if !self.endsBySignal, isInterrupted.withLock({ $0 }) { verdict = .interrupted }
        let report = await host.shutdown()
        if !isInterrupted.withLock({ $0 }) { questions.tellUnused() }
        if questions.haveFailed, verdict.code == nil {
            verdict.code = ExitCodes.usage
            verdict.document["error"] = .object(MCPError(.invalidArguments, "a question was not answered").document)
        }
        self.conclude(verdict.document, report)
        if !report.isClean { throw ExitCodes.leftBehind }
        if let code = verdict.code { throw code }
    }

    /// The signals that end this program.
    private static var endingSignals: [UnixSignal] {
        let signals = System.endingSignals
        return [(signals.interrupt, UnixSignal.sigint), (signals.terminate, .sigterm), (signals.hangUp, .sighup)]
            .filter { !System.isIgnored($0.0) }.map(\.1)
    }

    /// Runs the host, `work`, and the signals side by side. The first SIGINT, SIGTERM or SIGHUP closes, the second kills.
    private static func supervised(
        _ host: MCPHost,
        _ questions: Questions,
        _ isInterrupted: Locked<Bool>,
        _ events: ServerEvents<HostEvent>?,
        _ work: @escaping @Sendable () async -> Verdict
    ) async -> Verdict {
        // Before anything else happens: from here on no signal ends the program on the spot.
        let signals = await UnixSignalsSequence(trapping: self.endingSignals)
        let done = OneShot<Bool>()
        return await withTaskGroup(of: Verdict?.self) { group in
            group.addTask(name: "host") {
                try? await host.run()
                return nil
            }
            group.addTask(name: "signals") {
                var first: Duration?
                for await _ in signals {
                    let now = SystemMonotonicClock().now
                    if let first, now - first < Self.doubleSignal { continue }
                    isInterrupted.withLock { $0 = true }
                    questions.leave()
                    if first == nil { Terminal.note("closing; again to kill", onTerminal: true) }
                    host.beginShutdown(
                        first == nil ? .graceful : .immediate,
                        cause: first == nil ? "a signal" : "a second signal"
                    )
                    if first != nil { await Self.leave(host, done) }
                    first = first ?? now
                }
                return nil
            }
            group.addTask(name: "log") {
                // Its end is that of the host: all that came before it is told.
                guard let events else { return nil }
                for await event in events {
                    if case .log(let message) = event.event { Terminal.note(message, of: event.server) }
                }
                return nil
            }
            group.addTask(name: "command") {
                let verdict = await work()
                done.complete(true)
                host.beginShutdown(cause: "the command is done")
                return verdict
            }
            var verdict = Verdict([:])
            // The signals end with the others.
            var left = 3
            while left > 0, let next = await group.next() {
                left -= 1
                if let next { verdict = next }
            }
            group.cancelAll()
            return verdict
        }
    }

    /// After a second signal nobody waits for a command that does not come to its end.
    private static func leave(_ host: MCPHost, _ done: OneShot<Bool>) async {
        let report = await host.shutdown()
        if await done.wait(atMost: .seconds(1), by: SystemMonotonicClock(), late: false) { return }
        Terminal.error(report.description)
        System.leave(report.isClean ? ExitCodes.interrupted.rawValue : ExitCodes.leftBehind.rawValue)
    }

    private func conclude(_ document: JSONObject, _ report: TeardownReport) {
        if self.options.json {
            var document = document
            if !report.isClean, document["error"] == nil {
                document["error"] = .object(MCPError(.leftBehind, report.description).document)
            }
            if self.options.report || !report.isClean { document["teardown"] = .document(report) }
            Terminal.out(.object(document))
        } else if self.options.report {
            for server in report.servers {
                let status = server.exitStatus.map { ", \($0)" } ?? ""
                let times = server.stepTimes.map { "\($0.step.description) \($0.time.inMilliseconds)" }.joined(
                    separator: ", "
                )
                Terminal.error(
                    "\(Terminal.line(server.name)): ended by \(server.step.description)\(status); \(times)"
                )
                if let doubt = server.doubt {
                    Terminal.error("  not proved that nothing is left: \(Terminal.line(doubt))")
                }
                if !server.descendantsEnded.isEmpty {
                    Terminal.error("  descendants ended: \(server.descendantsEnded)")
                }
                if server.callsFailed > 0 { Terminal.error("  calls failed: \(server.callsFailed)") }
                if !server.stderrTail.isEmpty { Terminal.error("  " + Terminal.block(server.stderrTail)) }
            }
            Terminal.error("open: \(report.open)")
        }
        // The proof is for whoever looks, and for whom it fails.
        if !report.isClean || self.options.report || Terminal.isForPeople { Terminal.error(report.description) }
    }
}

extension MCPError.Code {
    /// All went well, but for the end: something is left, or may be.
    static let leftBehind = Self("leftBehind")
}
