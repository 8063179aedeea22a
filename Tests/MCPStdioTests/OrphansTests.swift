import Foundation
import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

/// The process journal, who is meant by a number, and the end of what killed hosts left.
@Suite("Process journal and orphans", .timeLimit(.minutes(5)))
struct OrphansTests {
    /// What a test that fails must not leave behind.
    private static let started = Locked<[Int32]>([])

    private static func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: ScriptedServer.path)
        process.arguments = arguments
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.environment = environment
        try process.run()
        Self.started.withLock { $0.append(process.processIdentifier) }
        // An answer proves that it is past `exec`, where a process has no environment for a moment.
        try input.fileHandleForWriting.write(
            contentsOf: Data("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".utf8)
        )
        _ = output.fileHandleForReading.availableData
        return process
    }

    /// In a process of its own, where an expectation does not reach: the exit status is the number of what did not hold.
    private static func require(_ number: Int32, _ condition: Bool) {
        guard !condition else { return }
        for pid in Self.started.withLock({ $0 }) { kill(pid, SIGKILL) }
        exit(number)
    }

    @Test("E18 a number that has passed on is nobody: no signal reaches the stranger")
    func identity() throws {
        let stranger = try Self.start([])
        defer { stranger.terminate() }
        let real = try #require(ProcessIdentity(of: stranger.processIdentifier))
        #expect(real.isAlive)
        let former = ProcessIdentity(pid: real.pid, start: real.start + 1)
        #expect(!former.isAlive)
        former.signal(SIGKILL)
        #expect(real.isAlive)
        real.signal(SIGKILL)
        #expect(ProcessIdentity.waitForEnds([real], milliseconds: 5000).isEmpty)
    }

    @Test(
        "E14 E18 a program that ends sends nothing to a number that it has reaped, and SIGKILL to those that it has not"
    )
    func endOfProgram() throws {
        let (reaped, living) = (try Self.start([]), try Self.start(["--ignore-term"]))
        defer { reaped.terminate() }
        let groups = LiveGroups()
        for (launchToken, process) in [("reaped", reaped), ("living", living)] {
            // Not all that the signal would reach is ours here: a group of its own.
            setpgid(process.processIdentifier, process.processIdentifier)
            groups.insert(
                LaunchedProcess(
                    pid: process.processIdentifier,
                    stdin: -1,
                    stdout: -1,
                    stderr: -1,
                    launchToken: launchToken,
                    keepsDaemons: false
                )
            )
            if process === reaped {
                groups.willReap(
                    LaunchedProcess(
                        pid: 0,
                        stdin: -1,
                        stdout: -1,
                        stderr: -1,
                        launchToken: launchToken,
                        keepsDaemons: false
                    )
                )
            }
        }
        let identities = try [reaped, living].map { try #require(ProcessIdentity(of: $0.processIdentifier)) }
        groups.endAll()
        #expect(ProcessIdentity.waitForEnds([identities[1]], milliseconds: 5000).isEmpty && identities[0].isAlive)
        var isStarted = false
        _ = groups.starting {
            isStarted = true
            return nil
        }
        #expect(!isStarted, "a program that ends starts nothing any more")
    }

    /// A child of ours that nobody else reaps, in a process group of its own.
    private static func spawn(_ script: String) throws -> Int32 {
        var pid: pid_t = 0
        let strings: [String] = ["/bin/bash", "-c", script]
        let words: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Every signal reaches it, whatever the calling thread has blocked.
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
        )
        try #require(posix_spawn(&pid, "/bin/bash", nil, &attributes, words, nil) == 0)
        return pid
    }

    /// The same, once it has ended.
    private static func ended(_ script: String) throws -> Int32 {
        let pid = try Self.spawn(script)
        var info = siginfo_t()
        try #require(waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) == 0)
        return pid
    }

    @Test(
        "E14 T18 when a program ends, only a guard that ended with status 0 is believed; what others left is found by its launchToken",
        .looksAtProcesses
    )
    func endOfProgramRest() throws {
        let groups = LiveGroups()
        var left: [String: ProcessIdentity] = [:]
        var guards: [Int32] = []
        defer {
            for process in left.values { process.signal(SIGKILL) }
            for pid in guards { waitpid(pid, nil, 0) }
        }
        for (name, script) in [("believed", "exit 0"), ("killed", "kill -9 $$"), ("reaped", "exit 0")] {
            let launchToken = "\(name)-\(UInt64.random(in: 0...UInt64.max))"
            let orphan = try Self.start(["--ignore-eof"], environment: [LaunchToken.variable: launchToken])
            left[name] = ProcessIdentity(of: orphan.processIdentifier)
            let pid = try Self.ended(script)
            guards.append(pid)
            var process = LaunchedProcess(
                pid: 0,
                stdin: -1,
                stdout: -1,
                stderr: -1,
                launchToken: launchToken,
                keepsDaemons: false
            )
            process.guardProcess = LaunchedProcess.GuardProcess(pid: pid, control: -1)
            groups.insert(process)
            if name == "reaped" { groups.willReap(process) }
        }
        groups.endAll()
        let gone = ["killed", "reaped"].compactMap { left[$0] }
        #expect(gone.count == 2 && ProcessIdentity.waitForEnds(gone, milliseconds: 5000).isEmpty)
        #expect(left["believed"]?.isAlive == true)
    }

    @Test(
        "E14 T14 when a program ends, a guard below which nobody can look is not killed: it alone can still end its server",
        .exitTestTurn
    )
    func endOfProgramBlind() async {
        await #expect(processExitsWith: .success) {
            let pid = try Self.spawn("exec sleep 1000")
            let groups = LiveGroups()
            var process = LaunchedProcess(
                pid: 0,
                stdin: -1,
                stdout: -1,
                stderr: -1,
                launchToken: "m",
                keepsDaemons: false
            )
            process.guardProcess = LaunchedProcess.GuardProcess(pid: pid, control: -1)
            groups.insert(process)
            withoutDescriptors { groups.endAll() }
            var status: Int32 = 0
            // Had it got a SIGKILL, that would have come first.
            kill(pid, SIGTERM)
            Self.require(1, waitpid(pid, &status, 0) == pid && status & 0x7F == SIGTERM)
        }
    }

    @Test("T9 E18 when a program ends, a number that somebody else has reaped gets no signal: it may be a stranger's")
    func endOfProgramStranger() throws {
        // A process group of its own; its shell ends, so it is nobody's child here.
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("stranger-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        waitpid(try Self.ended("set -m; sleep 1000 > /dev/null 2>&1 & echo $! > '\(file.path)'"), nil, 0)
        let text = try String(contentsOf: file, encoding: .utf8)
        let pid = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        let stranger = try #require(ProcessIdentity(of: pid))
        defer { stranger.signal(SIGKILL) }
        let groups = LiveGroups()
        groups.insert(
            LaunchedProcess(pid: pid, stdin: -1, stdout: -1, stderr: -1, launchToken: "stranger", keepsDaemons: false)
        )
        groups.endAll()
        #expect(ProcessIdentity.waitForEnds([stranger], milliseconds: 100) == [stranger])
    }

    @Test(
        "E14 what has no guard and came too late is ended until a whole look finds nobody, daemons that it just makes too",
        .looksAtProcesses
    )
    func custodianUnguarded() async throws {
        for _ in 0..<10 {
            let launch = ServerLaunch(command: ScriptedServer.path, arguments: ["--ignore-eof", "--double-fork"])
            let process = try launch.start(ServerLaunch.StartOptions())
            let ended = OneShot<Bool>()
            Custodian.end(process) { ended.complete($0) }
            #expect(await wait(for: "the end of what was started") { await ended.waitUnlessCancelled() } == true)
            #expect(ProcessSearch.find([process.rest()]) == [[]])
        }
    }

    @Test(
        "T4 T25 a guard that takes longer than its start waits for it: whoever started it hears of its end all the same"
    )
    func custodianLate() async throws {
        var options = ServerLaunch.StartOptions()
        options.guardProgram = GuardProgram.path
        let process = try ServerLaunch(command: ScriptedServer.path, arguments: ["--ignore-eof"]).start(options)
        let ended = OneShot<Bool>()
        #expect(Custodian.endAndWait(process, atMost: .nanoseconds(0)) { ended.complete($0) } == nil)
        #expect(await wait(for: "the end of what was started") { await ended.waitUnlessCancelled() } == true)
    }

    @Test(
        "E14 a guard that has been told ends its server, and that proves it; one that had to be killed proves nothing"
    )
    func custodian() async throws {
        for isDeaf in [false, true] {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("guard-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            var options = ServerLaunch.StartOptions()
            let ended = OneShot<Bool>()
            options.guardProgram = GuardProgram.path
            if isDeaf {
                let script = folder.appendingPathComponent("mcp-guard")
                try writeProgram("#!/bin/sh\nexec sleep 1000\n", to: script.path)
                (options.guardProgram, options.guardGrace) = (script.path, .milliseconds(100))
                options.endedLate = { _, isClear in ended.complete(isClear) }
            }
            let launch = ServerLaunch(command: ScriptedServer.path, arguments: ["--ignore-eof", "--helper", "session"])
            let result = Result { () throws(MCPError) in try launch.start(options) }
            if isDeaf {
                #expect(throws: MCPError.self) { try result.get() }
            } else {
                let process = try result.get()
                let server = try #require(process.serverIdentity)
                Custodian.end(process) { isClear in
                    #expect(!server.isAlive)
                    ended.complete(isClear)
                }
            }
            let isClear = await wait(for: "the end of what was started") { await ended.waitUnlessCancelled() }
            #expect(isClear == !isDeaf)
        }
    }

    /// Runs `body` with a state directory of its own, in a process of its own.
    @Test(
        "E18 only what a dead host's journal proves is ended: not another start time, not another boot, not a living host's",
        .exitTestTurn
    )
    func reap() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-state-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            guard let folder = StateDirectory.folder("processes"), let own = ProcessIdentity(of: getpid()) else {
                return Self.require(1, false)
            }
            func journal(
                _ name: String,
                host: ProcessIdentity,
                boot: String = ProcessJournal.boot,
                _ server: ProcessIdentity
            ) throws {
                let text = """
                    {"host":\(host.pid),"start":"\(host.start)","boot":"\(boot)"}
                    {"launch":"m-\(name)","command":"0"}
                    {"server":\(server.pid),"start":"\(server.start)","of":"m-\(name)"}
                    {"server":
                    """
                try text.write(toFile: "\(folder)/\(name).jsonl", atomically: true, encoding: .utf8)
            }
            let dead = ProcessIdentity(pid: own.pid, start: own.start + 1)
            let processes = try (0..<5).map { _ in try Self.start(["--ignore-eof", "--ignore-term"]) }
            let servers = processes.compactMap { ProcessIdentity(of: $0.processIdentifier) }
            Self.require(2, servers.count == 5)
            try journal("left", host: dead, servers[0])
            try journal("reused", host: dead, ProcessIdentity(pid: servers[1].pid, start: servers[1].start + 1))
            try journal("rebooted", host: dead, boot: "another", servers[2])
            try journal("running", host: own, servers[3])
            // Known by its launch token only: its number was never written down.
            let marked = try Self.start(["--double-fork"], environment: [LaunchToken.variable: "m-left"])
            Self.require(3, ProcessSearch.find([ProcessSearch.Query(launchToken: "m-left")])?.first?.isEmpty == false)
            let seen = Orphans.reap(isDryRun: true).map(\.processID)
            Self.require(4, seen.contains(servers[0].pid) && servers[0].isAlive)
            let found = Orphans.reap()
            Self.require(5, found.allSatisfy(\.isGone))
            Self.require(
                6,
                !servers[0].isAlive && ProcessSearch.find([ProcessSearch.Query(launchToken: "m-left")]) == [[]]
            )
            Self.require(7, servers[1].isAlive && servers[2].isAlive && servers[3].isAlive && servers[4].isAlive)
            Self.require(8, Orphans.reap().isEmpty)
            Self.require(9, StateDirectory.files(in: folder) == ["rebooted.jsonl", "running.jsonl"])
            // Another machine may have left it in a shared home directory; after a month nobody waits for it.
            var old = utimbuf(actime: 0, modtime: time(nil) - 31 * 86400)
            utime("\(folder)/rebooted.jsonl", &old)
            Self.require(16, Orphans.reap().isEmpty && StateDirectory.files(in: folder) == ["running.jsonl"])
            for server in servers { server.signal(SIGKILL) }
            marked.terminate()
            try FileManager.default.removeItem(atPath: state)
        }
    }

    @Test("S34 the journal is for this user only, is there while a server runs, and is gone afterwards", .exitTestTurn)
    func file() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-state-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            let journal = ProcessJournal()
            _ = journal.launching("a", command: ["secret-command", "--token", "hunter2"], keepsDaemons: false)
            _ = journal.launching("b", command: ["x"], keepsDaemons: false)
            let folder = state + "/processes"
            let name = StateDirectory.files(in: folder).first ?? ""
            var info = stat()
            Self.require(10, stat("\(folder)/\(name)", &info) == 0 && info.st_mode & 0o777 == 0o600)
            Self.require(11, stat(folder, &info) == 0 && info.st_mode & 0o777 == 0o700)
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            Self.require(12, !text.contains("hunter2") && !text.contains("secret-command"))
            journal.ended("a")
            Self.require(13, !StateDirectory.files(in: folder).isEmpty)
            journal.ended("b")
            Self.require(14, StateDirectory.files(in: folder).isEmpty)
            // A folder that belongs to others is not used.
            chmod(folder, 0o777)
            Self.require(15, StateDirectory.folder("processes") == nil)
            try FileManager.default.removeItem(atPath: state)
        }
    }
}
