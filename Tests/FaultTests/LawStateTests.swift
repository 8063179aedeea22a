import CTestSupport
import Foundation
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

/// docs/faults.md, section T: what hosts write down, and whom they take for dead.
@Suite("Law: state on disk", .timeLimit(.minutes(5)))
struct LawStateTests {
    @Test("the tests have a state directory of their own, and so has whatever they start")
    func ownDirectory() async throws {
        #expect(test_state_is_own() == 1)
        #expect(StateDirectory.path?.hasPrefix("/tmp/mcp-tests-state-") == true)
    }

    /// A folder for the journals of a test, and the environment that names it.
    private static func state(_ zoo: Zoo) throws -> (folder: String, environment: [String: String]) {
        let folder = zoo.folder + "/state/processes"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        chmod(folder, 0o700)
        return (folder, ["MCP_HOST_STATE": zoo.folder + "/state"])
    }

    /// A server that runs for nobody, as one whose host was killed.
    private static func stranger(_ zoo: Zoo) async throws -> (program: HostProgram.Running, server: ProcessIdentity) {
        let program = try HostProgram.start(
            ["-c", "echo servers ready; exec '\(ScriptedServer.path)' --ignore-eof --gate '\(zoo.folder)/gate'"],
            path: "/bin/sh"
        )
        await program.ready()
        return (program, try #require(ProcessIdentity(of: program.pid)))
    }

    private static func journals(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".jsonl") }
    }

    @Test(
        "T1 a living host in another PID namespace is left alone from outside, and one outside from there",
        .enabled(if: canUnshare, "needs the right to make a PID namespace"),
        arguments: [true, false]
    )
    func namespaces(isHostInside: Bool) async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let file = try ScriptedServer.file([("one", zoo.arguments("one", []))])
            let inside = ["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c"]
            // Not as process 1 of it.
            let run = inside + ["\"$0\" run --config \"$1\"; true", HostProgram.path, file]
            let reap = inside + ["\"$0\" reap; true", HostProgram.path]
            let host =
                isHostInside
                ? try HostProgram.start(run, environment: environment, path: "/usr/bin/unshare")
                : try HostProgram.start(["run", "--config", file], environment: environment)
            await host.ready()
            let reaped =
                isHostInside
                ? try await HostProgram.start(["reap"], environment: environment).end()
                : try await HostProgram.start(reap, environment: environment, path: "/usr/bin/unshare").end()
            #expect(reaped.out == "0 ended, 0 left\n", "\(reaped)")
            #expect(try Self.journals(folder).count == 1, "the journal of a living host is gone")
            #expect(zoo.count("signal", "one") == 0 && zoo.count("eof", "one") == 0)
            if isHostInside {
                // `unshare` passes on no signal but its end.
                host.signal(SIGKILL)
            } else {
                host.signal(SIGTERM)
            }
            _ = await host.end()
        }
    }

    @Test(
        "T1 a host that is killed as process 1 of a namespace: its journal is no riddle to the next host in another one",
        .enabled(if: canUnshare, "needs the right to make a PID namespace")
    )
    func processOne() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let file = try ScriptedServer.file([("one", zoo.arguments("one", []))])
            let host = try HostProgram.start(
                ["--pid", "--fork", "--mount-proc", "--kill-child", HostProgram.path, "run", "--config", file],
                environment: environment,
                path: "/usr/bin/unshare"
            )
            await host.ready()
            host.signal(SIGKILL)
            _ = await host.end()
            #expect(await zoo.waitUntilExtinct(), "the kernel ends a namespace with its process 1")
            let journal = folder + "/" + (try #require(try Self.journals(folder).first))
            let reaped = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(reaped.out == "0 ended, 0 left\n" && reaped.error.isEmpty, "\(reaped)")
            // Its namespace may live, for all that can be seen from here; after a month nobody waits for it.
            #expect(FileManager.default.fileExists(atPath: journal))
            var old = utimbuf(actime: 0, modtime: time(nil) - 31 * 86400)
            utime(journal, &old)
            _ = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(!FileManager.default.fileExists(atPath: journal))
        }
    }

    @Test("T1 whoever holds the lock of a journal lives, whatever its number says", .exitTestTurn)
    func lock() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            // The journal of a host that is alive, with the numbers of one that is dead.
            let (stranger, server) = try await Self.stranger(zoo)
            let path = folder + "/1-1-x.jsonl"
            let text = """
                {"host":999999,"start":"1","boot":"\(ProcessJournal.boot)","namespace":"\(StateDirectory.pidNamespace)","locked":true}
                {"launch":"m","command":"0"}
                {"server":\(server.pid),"start":"\(server.start)","of":"m"}

                """
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            let descriptor = open(path, O_RDWR | O_CLOEXEC)
            #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
            let held = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(held.out == "0 ended, 0 left\n" && server.isAlive)
            // Not only closed: a child of another test that is between its fork and its exec has it too.
            flock(descriptor, LOCK_UN)
            close(descriptor)
            let released = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(released.out == "1 ended, 0 left\n", "\(released)")
            #expect(!FileManager.default.fileExists(atPath: path))
            _ = await stranger.end()
        }
    }

    @Test("L10 a server whose launch a full disk has lost from the journal is ended all the same")
    func lostLaunch() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let (stranger, server) = try await Self.stranger(zoo)
            try """
            {"host":999999,"start":"1","boot":"\(ProcessJournal.boot)","namespace":"\(StateDirectory.pidNamespace)","locked":true}
            {"launch":"m","comm
            {"server":\(server.pid),"start":"\(server.start)","of":"m"}

            """.write(toFile: folder + "/1-1-x.jsonl", atomically: true, encoding: .utf8)
            let reaped = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(reaped.out == "1 ended, 0 left\n" && !server.isAlive, "\(reaped)")
            _ = await stranger.end()
        }
    }

    @Test("T1 T18 whoever asks while somebody else is cleaning up is not told that nothing is left")
    func rival() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let path = folder + "/1-1-x.jsonl"
            try """
            {"host":999999,"start":"1","boot":"\(ProcessJournal.boot)","namespace":"\(StateDirectory.pidNamespace)","locked":true}
            {"launch":"m","command":"0"}

            """.write(toFile: path, atomically: true, encoding: .utf8)
            let descriptor = open(path, O_RDWR | O_CLOEXEC)
            defer { close(descriptor) }
            #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
            let held = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(held.status == 6 && held.error.contains("somebody else"), "\(held)")
        }
    }

    /// The guards of the one host that lives.
    private static func guards(_ folder: String) throws -> [Int32] {
        let journal = try #require(try Self.journals(folder).first)
        let bytes = try #require(StateDirectory.contents(of: "\(folder)/\(journal)"))
        return bytes.split(separator: 0x0A).compactMap {
            (try? JSONValue(parsing: Array($0)))?["guard"]?.int64.flatMap { Int32(exactly: $0) }
        }
    }

    @Test("T18 a guard that was killed with its host: reap does not say that nothing is left")
    func guardKilledWithHost() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let file = try ScriptedServer.file([("one", zoo.arguments("one", []))])
            for isGuardKilled in [true, false] {
                let host = try HostProgram.start(["run", "--config", file], environment: environment)
                await host.ready()
                // Stopped, or it would start the server anew before it is killed itself.
                host.signal(SIGSTOP)
                if isGuardKilled { kill(try #require(try Self.guards(folder).first), SIGKILL) }
                host.signal(SIGKILL)
                _ = await host.end()
                #expect(await zoo.waitUntilExtinct())
                let reaped = try await HostProgram.start(["reap"], environment: environment).end()
                #expect(reaped.status == (isGuardKilled ? 6 : 0), "\(reaped)")
                #expect(reaped.error.contains("mcp-guard of the dead host") == isGuardKilled, "\(reaped)")
                #expect(try Self.journals(folder).isEmpty)
            }
        }
    }

    @Test(
        "E6 daemons that shall stay do so when their host was killed, and somebody cleans up after it",
        arguments: [false, true]
    )
    func keptDaemon(isGuardKilled: Bool) async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let words = zoo.arguments("one", ["--helper", "session", "--tree", "1"])
            let entry: JSONValue = [
                "mcpServers": [
                    "one": [
                        "command": .string(ScriptedServer.path), "args": .array(words.map { .string($0) }),
                        "keepsDaemons": true,
                    ]
                ]
            ]
            let file = zoo.folder + "/mcp.json"
            try "\(RawJSON(encoding: entry))".write(toFile: file, atomically: true, encoding: .utf8)
            let host = try HostProgram.start(["run", "--config", file], environment: environment)
            await host.ready()
            await zoo.wait(for: "child", of: "one", times: 2)
            let daemon = try #require(zoo.events("one").first { $0.detail == "session" }).pid
            let seen = ContinuousClock.now
            host.signal(SIGSTOP)
            if isGuardKilled { kill(try #require(try Self.guards(folder).first), SIGKILL) }
            host.signal(SIGKILL)
            _ = await host.end()
            let reaped = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(reaped.status == (isGuardKilled ? 6 : 0) && reaped.out.hasSuffix("0 left\n"), "\(reaped)")
            #expect(ProcessCounts.isAlive(daemon, since: seen))
            #expect(try Self.journals(folder).isEmpty)
            kill(daemon, SIGKILL)
        }
    }

    @Test("T12 a journal does not grow with servers of which something may be left", .exitTestTurn)
    func unprovedLaunches() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-tests-state-unproved-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            let journal = ProcessJournal(compactSize: 4 << 10)
            for i in 0..<2000 {
                _ = journal.launching("m\(i)", command: ["x"], keepsDaemons: false)
                journal.unproved("m\(i)")
            }
            let names = StateDirectory.files(in: state + "/processes")
            let bytes = StateDirectory.contents(of: "\(state)/processes/\(names[0])") ?? []
            precondition(names.count == 1 && bytes.count < 64 << 10, "\(bytes.count) bytes")
            precondition(String(decoding: bytes, as: UTF8.self).contains("\"launch\":\"m1999\""))
            try FileManager.default.removeItem(atPath: state)
        }
    }

    @Test("T12 a journal of five megabytes is read to its end: the server that a killed host left is ended")
    func longJournal() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            let (stranger, server) = try await Self.stranger(zoo)
            let own = try #require(ProcessIdentity(of: getpid()))
            var text = "{\"host\":\(own.pid),\"start\":\"\(own.start + 1)\",\"boot\":\"\(ProcessJournal.boot)\"}\n"
            for i in 0..<26_000 {
                text +=
                    "{\"launch\":\"m\(i)\",\"command\":\"0\"}\n{\"server\":\(server.pid),\"start\":\"1\",\"of\":\"m\(i)\"}\n"
                text += "{\"ended\":\"m\(i)\",\"padding\":\"\(String(repeating: "x", count: 100))\"}\n"
            }
            text += "{\"launch\":\"last\",\"command\":\"0\"}\n"
            text += "{\"server\":\(server.pid),\"start\":\"\(server.start)\",\"of\":\"last\"}\n"
            #expect(text.utf8.count > 5 << 20)
            try text.write(toFile: folder + "/1-1.jsonl", atomically: true, encoding: .utf8)
            let reaped = try await HostProgram.start(["reap"], environment: environment).end()
            #expect(reaped.out == "1 ended, 0 left\n", "\(reaped)")
            _ = await stranger.end()
        }
    }

    @Test(
        "T12 a host that adds and removes servers for months keeps a short journal, locked and whole all the time",
        .exitTestTurn
    )
    func compaction() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-tests-state-compact-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            let journal = ProcessJournal(compactSize: 16 << 10)
            guard let own = ProcessIdentity(of: getpid()) else { exit(1) }
            _ = journal.launching("stays", command: ["x"], keepsDaemons: false)
            journal.started("stays", own, isGuard: false)
            let folder = state + "/processes"
            for i in 0..<5000 {
                _ = journal.launching("m\(i)", command: ["x"], keepsDaemons: false)
                journal.started("m\(i)", own, isGuard: true)
                journal.ended("m\(i)")
                guard i.isMultiple(of: 500) else { continue }
                let names = StateDirectory.files(in: folder)
                precondition(names.count == 1, "\(names)")
                let bytes = StateDirectory.contents(of: "\(folder)/\(names[0])") ?? []
                precondition(bytes.count < 20 << 10, "\(bytes.count) bytes")
                let lines = String(decoding: bytes, as: UTF8.self)
                precondition(lines.hasPrefix("{\"host\":") && lines.contains("\"launch\":\"stays\""))
                precondition(Orphans.reap().isEmpty, "this very process was taken for dead")
                precondition(StateDirectory.files(in: folder) == names)
            }
            journal.ended("stays")
            precondition(StateDirectory.files(in: folder).isEmpty)
            try FileManager.default.removeItem(atPath: state)
        }
    }

    @Test(
        "T12 L10 a journal that cannot be made, or not written to the end, is made up for by the next line",
        .exitTestTurn
    )
    func fullDisk() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-tests-state-full-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            signal(SIGXFSZ, SIG_IGN)
            func limit(_ bytes: Int) {
                var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: rlim_t.max)
                setrlimit(.init(RLIMIT_FSIZE.rawValue), &limit)
            }
            func lines() -> [JSONValue?] {
                let names = StateDirectory.files(in: state + "/processes", withHidden: true).filter {
                    $0.hasSuffix("l")
                }
                precondition(names.count == 1 && !names[0].hasPrefix("."), "\(names)")
                let bytes = StateDirectory.contents(of: "\(state)/processes/\(names[0])") ?? []
                return bytes.split(separator: 0x0A).map { try? JSONValue(parsing: Array($0)) }
            }
            func launches() -> [String] { lines().compactMap { $0?["launch"]?.string } }

            // Something is in the place of the folder.
            try "".write(toFile: state, atomically: true, encoding: .utf8)
            let journal = ProcessJournal(compactSize: 2000)
            _ = journal.launching("early", command: ["x"], keepsDaemons: false)
            try FileManager.default.removeItem(atPath: state)
            _ = journal.launching("next", command: ["x"], keepsDaemons: false)
            precondition(launches() == ["early", "next"], "\(lines())")

            let size = lines().reduce(0) { $0 + RawJSON(encoding: $1 ?? .null).count + 1 }
            limit(size + 10)
            _ = journal.launching("torn", command: ["x"], keepsDaemons: false)
            limit(1 << 20)
            _ = journal.launching("after", command: ["x"], keepsDaemons: false)
            precondition(launches() == ["early", "next", "after"] && lines().count { $0 == nil } == 1, "\(lines())")

            // Too long, and there is no room for a new one: the old one stays, and its lock.
            limit(100)
            for i in 0..<50 {
                _ = journal.launching("m\(i)", command: ["x"], keepsDaemons: false)
                journal.ended("m\(i)")
            }
            precondition(launches().prefix(3) == ["early", "next", "after"] && Orphans.reap().isEmpty)
            limit(1 << 20)
            for i in 0..<100 {
                _ = journal.launching("n\(i)", command: ["x"], keepsDaemons: false)
                journal.ended("n\(i)")
            }
            precondition(launches().prefix(4) == ["early", "next", "torn", "after"], "\(lines())")
            for launchToken in ["early", "next", "torn", "after"] { journal.ended(launchToken) }
            precondition(StateDirectory.files(in: state + "/processes", withHidden: true) == [".", ".."])
            try FileManager.default.removeItem(atPath: state)
        }
    }

    @Test(
        "T20 rubbish in the state folder: a FIFO holds nobody up and is told, an unreadable journal goes, a link is not followed"
    )
    func rubbish() async throws {
        try await withZoo { zoo in
            let (folder, environment) = try Self.state(zoo)
            mkfifo(folder + "/fifo.jsonl", 0o600)
            try "not a journal\n".write(toFile: folder + "/rubbish.jsonl", atomically: true, encoding: .utf8)
            try "".write(toFile: folder + "/empty.jsonl", atomically: true, encoding: .utf8)
            symlink("/etc/passwd", folder + "/link.jsonl")
            try "".write(toFile: folder + "/huge.jsonl", atomically: true, encoding: .utf8)
            truncate(folder + "/huge.jsonl", 1 << 40)
            // Journals that were being written when their hosts were killed.
            try "".write(toFile: folder + "/.now.jsonl", atomically: true, encoding: .utf8)
            try "".write(toFile: folder + "/.old.jsonl", atomically: true, encoding: .utf8)
            var old = utimbuf(actime: 0, modtime: time(nil) - 7200)
            utime(folder + "/.old.jsonl", &old)
            let reaped = await wait(for: "reap") {
                try? await HostProgram.start(["reap"], environment: environment).end()
            }
            #expect(reaped?.out == "0 ended, 0 left\n")
            #expect(reaped?.error.contains("fifo.jsonl is not a file") == true, "\(String(describing: reaped))")
            #expect(reaped?.error.contains("rubbish.jsonl is no journal and nobody holds it: removed") == true)
            #expect(reaped?.error.contains("huge.jsonl is larger than any journal") == true)
            #expect(try Self.journals(folder).sorted() == [".now.jsonl", "fifo.jsonl", "huge.jsonl", "link.jsonl"])
            // In the place of the lifecycle log likewise.
            let lifecycle = zoo.folder + "/state/lifecycle"
            try FileManager.default.createDirectory(atPath: lifecycle, withIntermediateDirectories: true)
            mkfifo(lifecycle + "/events.jsonl", 0o600)
            let listed = await wait(for: "tools", atMost: .seconds(60)) {
                try? await HostProgram.start(["tools"], environment: environment).end()
            }
            #expect(listed?.status == 0)
        }
    }
}
