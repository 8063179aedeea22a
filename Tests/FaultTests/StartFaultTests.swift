import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section B: start and handshake, against real processes.
@Suite("Faults B: start and handshake", .timeLimit(.minutes(5)))
struct StartFaultTests {
    @Test(
        "B1 B9 a server that never answers: one error when the budget is over, not two budgets",
        arguments: ["dual", "legacy"]
    )
    func mute(era: String) async throws {
        let clock = ManualClock()
        try await withZoo { zoo in
            var server = zoo.server("mute", "--mute", "--era", era)
            server.client.connectTimeout = .seconds(30)
            server.client.probeTimeout = .seconds(5)
            let entry = server
            async let starting = zoo.host([entry], clock: clock)
            await zoo.wait(forFrame: "server/discover", of: "mute")
            await clock.pass(.seconds(5))
            await zoo.wait(forFrame: "initialize", of: "mute")
            await clock.pass(.seconds(25))
            let host = try await starting
            let error = try #require(host.servers.first?.failure)
            #expect(
                error.code == .timeout && error.message.contains("30.0 seconds")
                    && error.message.contains("still waiting for the answer to")
            )
            #expect(zoo.count("start", "mute") == 1, "a mute server is not started again by itself")
        }
    }

    @Test(
        "B2 B3 exit before the answer: status, last words, command with its secrets masked, directory; PATH if it was not found"
    )
    func exits() async throws {
        try await withZoo { zoo in
            var server = ServerDefinition(
                name: "bad",
                command: "/bin/sh",
                arguments: ["-c", "exec '\(ScriptedServer.path)' --exit 7", "--token", "hunter2"],
                workingDirectory: "/tmp"
            )
            server.restart = .never
            let host = try await zoo.host(server)
            let message = try #require(host.servers.first?.failure).message
            for part in [
                "exit status 7", "first line", "third line", "started as: ", "--token ***", "in: /tmp",
            ] {
                #expect(message.contains(part), "\(part) is missing in: \(message)")
            }
            #expect(!message.contains("hunter2"), "S23")
            #expect(!message.contains("PATH="), "it was found")
            var wrapped = ServerDefinition(
                name: "npx",
                command: "/bin/sh",
                arguments: ["-c", "exec no-such-program-at-all"]
            )
            wrapped.restart = .never
            let other = try #require(try await zoo.host(wrapped).servers.first?.failure).message
            #expect(other.contains("exit status 127") && other.contains("with PATH=/"), "\(other)")
        }
    }

    @Test("U8 a start that takes too long tells what it has said, whether it was working, and what to do")
    func tooLong() async throws {
        // It works, and says things on both outputs.
        let busy =
            #"$| = 1; print STDERR "importing\n"; print "a stray line\n"; 1 while (times)[0] < 0.3; print STDERR "worked\n"; 1 while 1"#
        let waiting = "echo INFO: Uvicorn running on http://127.0.0.1:8000 >&2; exec sleep 1000"
        let servers = [("busy", "perl", ["-e", busy]), ("waiting", "/bin/sh", ["-c", waiting])].map {
            name,
            command,
            words in
            var server = ServerDefinition(name: name, command: command, arguments: words)
            server.client.era = .legacyOnly
            server.client.connectTimeout = .seconds(1)
            return server
        }
        let clock = ManualClock()
        let lines = Watched<Set<String>>([])
        var runtime = HostRuntime()
        runtime.clock = clock
        runtime.onStandardError = { server, line in lines.withLock { _ = $0.insert("\(server) \(line.prefix(6))") } }
        let host = MCPHost(HostConfiguration(servers: servers), runtime: runtime)
        host.launch()
        await lines.wait(for: "both to have spoken") { $0.isSuperset(of: ["busy worked", "waiting INFO: "]) }
        await clock.pass(.seconds(1), timers: 2)
        // The end of their input they do not notice; SIGTERM they do.
        await clock.pass(.seconds(2), timers: 2)
        _ = await host.ready()
        let messages = host.servers.map { $0.failure?.message ?? "" }
        for part in ["importing", "a stray line", "it has used the processor for", "may only need longer"] {
            #expect(messages[0].contains(part), "\(part) is missing in \(messages[0])")
        }
        for part in [
            "only, so it waits for something", "it seems to serve HTTP", "Uvicorn running on http://127.0.0.1:8000",
        ] {
            #expect(messages[1].contains(part), "\(part) is missing in \(messages[1])")
        }
        #expect(await host.shutdown().isClean)
    }

    @Test("U17 a docker client that had to be killed: its container may go on, and nothing else is said")
    func containerClient() async throws {
        let folder = try TemporaryFolders.make()
        let docker = folder.appendingPathComponent("docker").path
        let isMade = FileManager.default.createFile(
            atPath: docker,
            contents: Data("#!/bin/sh\ntrap '' TERM\necho up >&2\nwhile :; do sleep 1000 & wait; done\n".utf8),
            attributes: [.posixPermissions: 0o755]
        )
        #expect(isMade)
        let clock = ManualClock()
        let lines = Watched<Set<String>>([])
        var server = ServerDefinition(name: "box", command: docker, arguments: ["run", "-i", "--rm", "img"])
        server.client.era = .legacyOnly
        var runtime = HostRuntime()
        runtime.clock = clock
        runtime.onStandardError = { _, line in lines.withLock { _ = $0.insert(line) } }
        let host = MCPHost(HostConfiguration(servers: [server]), runtime: runtime)
        host.launch()
        await lines.wait(for: "the client") { $0.contains("up") }
        async let closing = host.shutdown()
        // docker forwards SIGTERM to the container, and has its time for that.
        await clock.pass(.seconds(2))
        await clock.pass(.seconds(2))
        let report = await closing
        let doubt = report.servers.first?.doubt
        #expect(doubt == "its docker client had to be killed, so the container may go on running: `docker ps` tells")
        #expect(!report.isClean && !report.description.contains("0 processes left"))
    }

    @Test("B8 LIFE-17 LIFE-18 a slow start is waited for; a limit that passes is named")
    func slow() async throws {
        try await withZoo { zoo in
            let patient = zoo.server("patient", "--slow-start", "300")
            var hasty = zoo.server("hasty", "--slow-start", "2000")
            hasty.client.connectTimeout = .milliseconds(200)
            hasty.client.probeTimeout = .milliseconds(100)
            let host = try await zoo.host(patient, hasty)
            #expect(try host.server("patient").status == .ready)
            #expect(try #require(host.server("hasty").failure).message.contains("0.2 seconds"))
        }
    }

    @Test(
        "B10 B12 whatever a legacy server does with the probe, it is ready",
        arguments: [
            ["--silent-probe"], ["--garble-probe"], ["--refuse-probe", "-32602"], ["--refuse-probe", "-32601"],
            ["--refuse-probe", "-32000"], ["--probe-stderr", "200000"], ["--exit-on-probe"],
        ]
    )
    func probe(switches: [String]) async throws {
        try await withZoo { zoo in
            var server = ServerDefinition(
                name: "old",
                command: ScriptedServer.path,
                arguments: zoo.arguments("old", ["--era", "legacy"] + switches)
            )
            server.client.probeTimeout = .milliseconds(200)
            let host = try await zoo.host(server)
            let old = try host.server("old")
            #expect(old.server?.revision == .v2025_11_25, "\(host.journal.entries)")
            #expect(try await text(host, "old", "echo", ["text": "x"]) == "x")
        }
    }

    @Test("B10 B12 where nothing older is allowed, a server that ends when probed is not asked in the older way")
    func endedModern() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one", "--exit-on-probe")
            server.client.era = .modernOnly
            server.restart.isEnabled = false
            let host = try await zoo.host(server)
            let one = try host.server("one")
            #expect(one.failure?.code == .connectionLost && one.server == nil, "\(String(describing: one.failure))")
            #expect(zoo.count("start", "one") == 1 && !zoo.events("one").contains { $0.detail.contains("initialize") })
        }
    }

    @Test("B11 the late answer to the probe is nobody's")
    func lateProbe() async throws {
        try await withZoo { zoo in
            var server = zoo.server("late", "--late-probe")
            server.client.probeTimeout = .milliseconds(100)
            let host = try await zoo.host(server)
            #expect(try host.server("late").server?.revision == .v2025_11_25)
            #expect(try await text(host, "late", "echo", ["text": "x"]) == "x")
        }
    }

    @Test("B13 notifications and a ping before the first answer")
    func early() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("early", "--early", "--era", "legacy"))
            #expect(try host.server("early").status == .ready)
            #expect(
                zoo.events("early").contains { $0.event == "frame" && $0.detail.contains("\"id\":\"early\"") },
                "the ping was answered"
            )
        }
    }

    @Test("B14 a nonsensical answer to initialize is an error that says so", arguments: 1...9)
    func nonsense(kind: Int) async throws {
        try await withZoo { zoo in
            var server = zoo.server("odd", "--era", "legacy", "--bad-result", "\(kind)")
            server.client.connectTimeout = .seconds(60)
            let host = try await zoo.host(server)
            let error = try #require(host.servers.first?.failure)
            #expect([.handshakeFailed, .unsupportedRevision].contains(error.code), "\(error.code): \(error)")
        }
    }

    @Test("B16 answered and exited: not ready for long, and never handed out afterwards")
    func exitsAfterInit() async throws {
        try await withZoo { zoo in
            var server = zoo.server("brief", "--era", "legacy", "--exit-after-init")
            server.restart = .never
            let host = try await zoo.host(server)
            let connection = try host.server("brief")
            _ = await connection.waitUntilGone()
            #expect(connection.status == .failed && connection.failure?.message.contains("exit status 0") == true)
            let error = await failure { try await connection.session() }
            #expect(error?.code == .connectionLost)
        }
    }

    @Test("B17 removed while it starts: it never becomes ready, and nothing of it stays")
    func removedWhileStarting() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            let server = zoo.server("slow", "--mute")
            async let added = failure { try await host.addServer(server) }
            await zoo.wait(for: "start", of: "slow")
            let report = await host.removeServer("slow")
            #expect(report?.processesLeft.isEmpty == true)
            let error = await added
            #expect(error != nil)
            #expect(host.journal.entries(for: "slow").allSatisfy { $0.event != "ready" })
        }
    }

    @Test("B18 B22 a server that can only start later becomes ready by itself")
    func startsLater() async throws {
        try await withZoo { zoo in
            let permit = zoo.folder + "/permit"
            let arguments = zoo.arguments("late", []).map { "'\($0)'" }.joined(separator: " ")
            var server = ServerDefinition(
                name: "late",
                command: "/bin/sh",
                arguments: ["-c", "test -e \(permit) || exit 1; exec '\(ScriptedServer.path)' \(arguments)"]
            )
            server.restart.initialDelay = .milliseconds(20)
            server.restart.intensity = 1000
            let host = try await zoo.host(server)
            let connection = try host.server("late")
            #expect(connection.failure?.message.contains("exit status 1") == true)
            try "".write(toFile: permit, atomically: true, encoding: .utf8)
            await host.wait(for: "ready", of: "late")
            #expect(try await text(host, "late", "echo", ["text": "x"]) == "x")
        }
    }

    @Test("B19 nine good servers are ready while the tenth hangs")
    func parallel() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host()
            var hanging = zoo.server("hanging", "--mute")
            hanging.client.connectTimeout = .seconds(3600)
            let entry = hanging
            async let hangs = failure { try await host.addServer(entry) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for i in 0..<9 {
                    let server = zoo.server("good\(i)")
                    group.addTask { try await host.addServer(server) }
                }
                try await group.waitForAll()
            }
            #expect(host.servers.count { $0.status == .ready } == 9)
            await host.wait(for: "added", of: "hanging")
            #expect(try host.server("hanging").status == .starting)
            await host.removeServer("hanging")
            let error = await hangs
            #expect(error != nil)
        }
    }

    @Test("B21 output that is never flushed: the error tells of it; Python is told not to buffer")
    func buffered() async throws {
        let clock = ManualClock()
        try await withZoo { zoo in
            var server = zoo.server("buffered", "--buffered")
            server.client.connectTimeout = .seconds(30)
            server.client.probeTimeout = .seconds(5)
            let entry = server
            async let starting = zoo.host([entry, zoo.server("other")], clock: clock)
            await zoo.wait(forFrame: "server/discover", of: "buffered")
            await clock.pass(.seconds(5))
            await zoo.wait(forFrame: "initialize", of: "buffered")
            await clock.pass(.seconds(25))
            let host = try await starting
            #expect(try #require(host.server("buffered").failure).message.contains("flush"))
            #expect(try await text(host, "other", "environment").contains("PYTHONUNBUFFERED"))
        }
    }
}
