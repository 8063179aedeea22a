import CTestSupport
import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

/// docs/faults.md, section T: processes that do not end as the books say.
@Suite("Law: processes", .timeLimit(.minutes(5)))
struct LawProcessTests {
    private static func guarded(_ server: ServerDefinition, _ isGuarded: Bool) -> ServerDefinition {
        var server = server
        server.stdio.isGuarded = isGuarded
        return server
    }

    @Test(
        "T5 a forked child of this program touches neither servers nor journal, and does not keep their input open",
        .exitTestTurn
    )
    func forked() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                for isGuarded in [true, false] {
                    let host = try await zoo.host(Self.guarded(zoo.server("one"), isGuarded))
                    let pid = try await text(host, "one", "pid")
                    precondition(test_fork_and_exit() == 0)
                    let (now, starts) = (try await text(host, "one", "pid"), zoo.count("signal", "one"))
                    precondition(now == pid && starts == 0, "the child's exit has reached the server")
                    let journals = try Self.journals()
                    precondition(journals.count == 1, "the child has taken the journal away")
                    let child = test_fork_and_stay()
                    let end = await host.shutdown().servers.first
                    precondition(end?.step == .endOfInput, "\(String(describing: end))")
                    kill(child, SIGKILL)
                    precondition(waitpid(child, nil, 0) == child)
                }
            }
        }
    }

    private static func journals() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: (StateDirectory.path ?? "") + "/processes")
            .filter { $0.hasPrefix("\(getpid())-") }
    }

    @Test("T7 a helper whose main thread has ended lives, and is ended", .looksAtProcesses, arguments: [true, false])
    func threads(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.guarded(zoo.server("one", "--helper", "threads"), isGuarded))
            await zoo.wait(for: "child", of: "one")
            let helper = try #require(zoo.events("one").first { $0.event == "child" }).pid
            #expect(ProcessIdentity(of: helper)?.isAlive == true)
            let report = await host.shutdown()
            expectClean(report, servers: 1)
            #expect(report.servers.first?.descendantsEnded == [helper])
        }
    }

    @Test(
        "T9 with SIGCHLD ignored the end is seen at once, with an unknown status, and nothing is called left",
        .exitTestTurn
    )
    func ignoredChildren() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                test_ignore_children()
                for isGuarded in [true, false] { try await Self.closesClean(zoo, isGuarded) }
            }
        }
    }

    @Test("T9 with a thread in this program that reaps everything, likewise", .exitTestTurn)
    func foreignReaper() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                precondition(test_reap_everything() == 0)
                for isGuarded in [true, false] { try await Self.closesClean(zoo, isGuarded) }
            }
        }
    }

    /// What the I/O thread, which waits for ends, has used of the processor, in seconds. Others look for processes, which takes as long as there are
    /// many of them on the machine.
    private static func processorTimeOfIO() -> Double {
        #if os(Linux)
            for task in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
                guard let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8),
                    name == "mcp-io\n",
                    let stat = try? String(contentsOfFile: "/proc/self/task/\(task)/stat", encoding: .utf8),
                    let end = stat.lastIndex(of: ")")
                else { continue }
                // Those of user and system, in ticks, are the 14th and the 15th; two stand before the parenthesis.
                let ticks = stat[end...].split(separator: " ").dropFirst(12).prefix(2).compactMap { Double($0) }
                return ticks.reduce(0, +) / Double(sysconf(Int32(_SC_CLK_TCK)))
            }
            preconditionFailure("there is no thread of the name mcp-io")
        #else
            return Double(clock()) / Double(CLOCKS_PER_SEC)
        #endif
    }

    private static func closesClean(_ zoo: Zoo, _ isGuarded: Bool) async throws {
        var polite = Self.guarded(zoo.server("polite"), isGuarded)
        polite.stdio.endOfInputGrace = .seconds(60)
        for round in 0..<5 {
            let host = try await MCPHost.start(
                HostConfiguration(servers: [
                    polite,
                    Self.guarded(zoo.server("deaf", "--ignore-eof", "--ignore-term"), isGuarded),
                ])
            )
            let before = Self.processorTimeOfIO()
            let report = await host.shutdown()
            let spent = Self.processorTimeOfIO() - before
            precondition(report.isClean, "\(isGuarded) \(round): \(report)")
            precondition(spent < 0.2, "\(spent) s of processor time for closing two servers")
            let steps = report.servers.map(\.step).sorted()
            precondition(steps == [.endOfInput, .kill], "\(steps)")
        }
    }

    @Test(
        "T9 with SIGCHLD ignored, a server that ends at once is known to have ended, not waited for",
        .exitTestTurn
    )
    func ignoredShortLife() async throws {
        await #expect(processExitsWith: .success) {
            test_ignore_children()
            for isGuarded in [true, false] {
                var server = ServerDefinition(name: "true", transport: .stdio(ServerLaunch(command: "/bin/true")))
                server.restart.isEnabled = false
                server.stdio.endOfInputGrace = .seconds(60)
                let host = try await MCPHost.start(
                    HostConfiguration(
                        servers: (0..<20).map { number in
                            server.name = "s\(number)"
                            return Self.guarded(server, isGuarded)
                        }
                    )
                )
                let report = await host.shutdown()
                precondition(report.isClean, "\(isGuarded): \(report)")
                let spent = report.servers.flatMap(\.stepTimes).map(\.time).max() ?? .zero
                precondition(spent < .seconds(60), "a server that had ended was waited for: \(spent)")
            }
        }
    }

    @Test("T17 a server that has stopped its guard is ended, and so is the guard")
    func stoppedGuard() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one")
            server.stdio.endOfInputGrace = .milliseconds(300)
            let host = try await zoo.host(server)
            #expect(try await text(host, "one", "stop-guard") == "stopped")
            let report = await host.shutdown()
            expectClean(report, servers: 1)
            #expect(report.isClean, "\(report)")
        }
    }

    @Test("T17 a guard that is stopped again and again: the last step kills it and its server directly")
    func guardKeptStopped() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one", "--stop-guard", "--ignore-eof", "--ignore-term")
            server.stdio.endOfInputGrace = .milliseconds(200)
            server.stdio.terminateGrace = .milliseconds(200)
            let host = try await zoo.host(server)
            await zoo.wait(for: "child", of: "one")
            let report = await host.shutdown()
            expectClean(report, servers: 1)
            #expect(report.isClean, "\(report)")
            #expect(report.servers.first?.step == .kill)
        }
    }

    @Test("T18 a guard that its server kills, and a daemon that nothing tells of: not proved, and exit code 6")
    func killedGuard() async throws {
        try await withZoo { zoo in
            let outcome = try await HostProgram.run(
                ["tools", "--json"],
                servers: [("one", zoo.arguments("one", ["--helper", "bare", "--kill-guard"]))]
            )
            #expect(outcome.status == 6, "\(outcome)")
            let document = try JSONValue(parsing: outcome.out)
            #expect(document["error"]?["kind"] == "leftBehind" && document["teardown"]?["clean"] == false)
            #expect(
                outcome.error.contains("not proved that nothing is left: one: its mcp-guard was killed"),
                "\(outcome)"
            )
            #expect(!outcome.error.contains("0 processes left"))
            await zoo.wait(for: "child", of: "one")
            let daemon = try #require(zoo.events("one").first { $0.event == "child" && $0.detail == "bare" }).pid
            #expect(ProcessCounts.isAlive(daemon, since: nil), "what the test is about")
            kill(daemon, SIGKILL)
        }
    }

    @Test("T18 E6 daemons that shall stay do so when their guard has been killed", arguments: ["session", "bare"])
    func keptDaemon(helper: String) async throws {
        try await withZoo(isProved: false) { zoo in
            var server = zoo.server("one", "--helper", helper, "--kill-guard")
            server.stdio.keepsDaemons = true
            let host = try await zoo.host(server)
            await zoo.wait(for: "child", of: "one")
            let daemon = try #require(zoo.events("one").first { $0.event == "child" }).pid
            let report = await host.shutdown()
            #expect(ProcessCounts.isAlive(daemon, since: nil) && report.processesLeft.isEmpty, "\(report)")
            kill(daemon, SIGKILL)
        }
    }

    @Test("T14 T18 without a descriptor to look with nobody is proved to be gone", .exitTestTurn)
    func blindness() async {
        await #expect(processExitsWith: .success) {
            guard let own = ProcessIdentity(of: getpid()) else { exit(1) }
            let query = ProcessSearch.Query(launchToken: "m", process: -1, includesGroup: false, keepsDaemons: false)
            let (found, below) = (ProcessSearch.find([query]), own.descendants)
            precondition(found == [[]] && below == [], "\(String(describing: (found, below)))")
            withoutDescriptors {
                precondition(
                    own.descendants == nil && ProcessSearch.find([query]) == nil,
                    "an answer without having looked"
                )
                precondition(own.isAlive, "taken for dead because it cannot be seen")
            }
            withoutDescriptors(isOneFree: true) {
                precondition(own.descendants == [] && ProcessSearch.find([query]) == [[]], "one is enough")
            }
        }
    }

    @Test("T19 a chain that forks and exits is ended by the guard", .exitTestTurn, .forksChains, arguments: [0, 3, 20])
    func chain(milliseconds: Int) async throws {
        try await withZoo { zoo in
            var server = zoo.server("one", "--chain", "\(milliseconds)")
            // Less than the two minutes after which the chain gives up by itself.
            server.stdio.reapGrace = .seconds(12)
            let host = try await zoo.host(server)
            await zoo.wait(for: "child", of: "one")
            let report = await host.shutdownNow()
            zoo.letChainsEnd()
            expectClean(report, servers: 1)
            #expect(report.isClean, "\(report)")
        }
    }

    @Test(
        "T19 E6 where daemons may stay, a chain in the server's session is none",
        .exitTestTurn,
        .forksChains,
        arguments: [0, 3]
    )
    func chainBesideDaemons(milliseconds: Int) async throws {
        try await withZoo { zoo in
            for round in 1...3 {
                var server = zoo.server("one", "--chain", "\(milliseconds)", "--chain-stays")
                server.stdio.keepsDaemons = true
                server.stdio.terminateGrace = .milliseconds(100)
                server.stdio.reapGrace = .seconds(12)
                let host = try await zoo.host(server)
                await zoo.wait(for: "child", of: "one", times: round)
                expectClean(await host.shutdown(), servers: 1)
                try #require(await zoo.waitUntilExtinct())
            }
        }
    }

    @Test("T18 what is said in the name of a guard that was killed is not believed", .enabled(if: geteuid() == 0))
    func forgedGuard() async throws {
        try await withZoo(isProved: false) { zoo in
            let host = try await zoo.host(zoo.server("one", "--forge-guard", "--ignore-eof", "--helper", "session"))
            let report = await host.shutdown()
            #expect(zoo.events("one").contains { $0.event == "child" && $0.detail == "forged" })
            #expect(report.servers.first?.doubt?.contains("mcp-guard was killed") == true, "\(report)")
        }
    }

    @Test(
        "T9 a helper in the group of a server that somebody else has reaped, and that nothing tells of: not proved",
        .exitTestTurn
    )
    func unknownGroup() async throws {
        await #expect(processExitsWith: .success) {
            test_ignore_children()
            let zoo = ScriptedServer.path
            var server = ServerDefinition(
                name: "one",
                transport: .stdio(ServerLaunch(command: zoo, arguments: ["--helper", "nameless"]))
            )
            server = Self.guarded(server, false)
            let host = try await MCPHost.start(HostConfiguration(servers: [server]))
            let pid = try await text(host, "one", "pid")
            let report = await host.shutdown()
            kill(-(Int32(pid) ?? Int32.max), SIGKILL)
            precondition(!report.isClean && report.description.contains("not proved"), "\(report)")
        }
    }

    @Test("E21 T25 children that a server makes its parent's are reaped at the latest when it has ended", .exitTestTurn)
    func siblings() async throws {
        await #expect(processExitsWith: .success) {
            var server = ServerDefinition(
                name: "one",
                transport: .stdio(ServerLaunch(command: ScriptedServer.path, arguments: ["--sibling"]))
            )
            server = Self.guarded(server, false)
            for _ in 0..<5 {
                let host = try await MCPHost.start(HostConfiguration(servers: [server]))
                let report = await host.shutdown()
                precondition(report.isClean, "\(report)")
            }
            var status: Int32 = 0
            precondition(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "zombies are left")
        }
    }

    @Test(
        "E15 a guard that may open no file any more ends its server with the host all the same",
        .enabled(if: geteuid() == 0)
    )
    func starvedGuard() async throws {
        try await withZoo { zoo in
            let file = try ScriptedServer.file([
                (
                    "one",
                    zoo.arguments("one", ["--starve-guard", "--ignore-eof", "--ignore-term", "--helper", "session"])
                )
            ])
            let program = try HostProgram.start(["run", "--config", file])
            await program.ready()
            #expect(zoo.events("one").contains { $0.event == "child" && $0.detail == "starved" })
            program.signal(SIGKILL)
            _ = await program.end()
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test(
        "T19 without a guard it may be too fast: then it is said, and never that nothing is left",
        .exitTestTurn,
        .forksChains
    )
    func unguardedChain() async throws {
        try await withZoo { zoo in
            var server = Self.guarded(zoo.server("one", "--chain", "3"), false)
            server.stdio.reapGrace = .seconds(3)
            let host = try await MCPHost.start(HostConfiguration(servers: [server]))
            await zoo.wait(for: "child", of: "one")
            let report = await host.shutdownNow()
            let isExtinct = await zoo.waitUntilExtinct(milliseconds: 500)
            #expect(isExtinct || !report.isClean, "\(report)")
            #expect(isExtinct || !report.description.contains("0 processes left"))
            zoo.letChainsEnd()
        }
    }

    @Test("T21 all that have ended together are looked for in one pass over the process table")
    func oneSearch() async throws {
        let search = ProcessSearch()
        search.queue.suspend()
        let told = Watched(0)
        for i in 0..<1000 {
            let query = ProcessSearch.Query(
                launchToken: "nobody-\(i)",
                process: -1,
                includesGroup: false,
                keepsDaemons: false
            )
            search.find(query) { found in told.withLock { $0 += found == [] ? 1 : 1000 } }
        }
        search.queue.resume()
        await told.wait(for: "a thousand answers") { $0 == 1000 }
        #expect(search.passes == 1)
    }

    @Test(
        "T22 on a system without pidfd servers start, and end with what they left",
        .looksAtProcesses,
        arguments: [true, false]
    )
    func withoutPidfd(isGuarded: Bool) async throws {
        try await withZoo { zoo in
            let file = try ScriptedServer.file([
                ("one", zoo.arguments("one", [])),
                ("helper", zoo.arguments("helper", ["--helper", "session", "--tree", "2"])),
                ("deaf", zoo.arguments("deaf", ["--ignore-eof", "--ignore-term", "--double-fork"])),
            ])
            let outcome = try await HostProgram.start(
                ["--without-pidfd", HostProgram.path, "tools", "--report", "--config", file],
                environment: isGuarded ? [:] : ["MCP_GUARD": ""],
                path: ScriptedServer.path
            ).end()
            #expect(outcome.status == 0, "\(outcome)")
            #expect(outcome.error.contains("3 servers closed, 0 processes left"), "\(outcome)")
            #expect(!outcome.error.contains("too many open files"))
        }
    }

    @Test("T25 what is given up is reaped whenever it ends, and the journal tells", arguments: [true, false])
    func givenUp(isGuarded: Bool) async throws {
        // Exit tests beside this one watch for any child that can be waited for.
        try await withZoo { zoo in
            var server = Self.guarded(zoo.server("deaf", "--ignore-eof", "--ignore-term"), isGuarded)
            server.stdio.reapGrace = .zero
            let host = try await MCPHost.start(HostConfiguration(servers: [server]))
            let pid = try #require(Int32(try await text(host, "deaf", "pid")))
            let process = try #require(ProcessIdentity(of: pid))
            let report = await host.shutdownNow()
            // It may be quicker than no time at all.
            if report.servers.first?.step == .abandoned {
                // Clean if it has ended between the giving up and the report.
                #expect(!report.isClean || !process.isAlive, "\(report)")
                let entry = await host.wait(for: "ended late", of: "deaf")
                #expect(entry?.cause.contains("after it had been given up") == true)
            }
            #expect(!process.isAlive)
        }
    }

    @Test("T25 not one zombie is left of twenty servers that were given up", .exitTestTurn)
    func noZombies() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                for isGuarded in [true, false] {
                    let servers = (0..<10).map { number in
                        var server = Self.guarded(zoo.server("s\(number)", "--ignore-eof"), isGuarded)
                        server.stdio.reapGrace = .zero
                        return server
                    }
                    let host = try await MCPHost.start(HostConfiguration(servers: servers))
                    let report = await host.shutdownNow()
                    // Of some only the guard was late: the server had ended.
                    for end in report.servers where end.step == .abandoned || isGuarded && end.doubt != nil {
                        await host.wait(for: "ended late", of: end.name)
                    }
                    precondition(test_has_zombies() == 0)
                }
            }
        }
    }

    @Test("T26 SIGKILL has ten seconds, since nobody can refuse it")
    func patience() { #expect(StdioTransport.Options().reapGrace == .seconds(10)) }
}
