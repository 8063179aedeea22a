import CMCPProcess
import Foundation
import MCPJSON
import MCPStdio
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("Launching", .timeLimit(.minutes(5)))
struct LaunchTests {
    /// What a launch comes to, as the transport's owner sees it.
    private func end(_ launch: ServerLaunch) async -> TransportEnd {
        let accounts = ResourceAccounts()
        let transport = StdioTransport(launch, accounts: accounts)
        let end = await transport.run(Recorder())
        #expect(accounts.snapshot.isEmpty, "\(accounts.snapshot)")
        return end
    }

    private func message(_ launch: ServerLaunch) async -> String {
        let end = await self.end(launch)
        #expect(end.launchError?.code == .launchFailed && end.process?.processID == nil)
        return end.launchError?.message ?? ""
    }

    private func file(_ content: String, mode: Int) throws -> String {
        let url = try TemporaryFolders.make().appendingPathComponent("launch")
        try Data(content.utf8).write(to: url)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: url.path)
        return url.path
    }

    @Test("B4 a missing command names the PATH that was searched")
    func missingCommand() async {
        let message = await self.message(
            ServerLaunch(command: "no-such-thing", environment: ["PATH": "/nowhere:/usr/bin"])
        )
        #expect(message.contains("no-such-thing") && message.contains("PATH searched: /nowhere:/usr/bin"))
        #expect(await self.message(ServerLaunch(command: "/no/such/thing")).contains("/no/such/thing does not exist"))
    }

    @Test("B5 a missing working directory is not blamed on the command")
    func missingDirectory() async {
        let message = await self.message(ServerLaunch(command: "/bin/sh", workingDirectory: "/no/such/dir"))
        #expect(message.contains("working directory /no/such/dir does not exist"))
        #expect(
            await self.message(ServerLaunch(command: "/bin/sh", workingDirectory: "/etc/passwd")).contains(
                "not a directory"
            )
        )
    }

    @Test("B6 a missing interpreter is named")
    func missingInterpreter() async throws {
        let script = try self.file("#!/no/such/interpreter -x\nhello\n", mode: 0o755)
        #expect(
            await self.message(ServerLaunch(command: script)).contains("needs the interpreter /no/such/interpreter")
        )
        let windows = try self.file("#!/bin/sh\r\necho\r\n", mode: 0o755)
        #expect(await self.message(ServerLaunch(command: windows)).contains("Windows line ends"))
    }

    @Test("B7 not executable, not a program, a directory: three messages")
    func notExecutable() async throws {
        let plain = try self.file("hello", mode: 0o644)
        #expect(await self.message(ServerLaunch(command: plain)).contains("is not executable"))
        let text = try self.file("hello", mode: 0o755)
        #expect(await self.message(ServerLaunch(command: text)).contains("neither a program"))
        #expect(await self.message(ServerLaunch(command: "/tmp")).contains("is a directory"))
    }

    @Test("B7 a program whose file is open for writing is tried again for a second, and then said to be")
    func beingWritten() async throws {
        let script = try self.file("#!/bin/sh\nexit 3\n", mode: 0o755)
        // Another program has it open: of what is open here, a child of any other test may get a copy, and keep it.
        let writer = try HostProgram.start(
            ["-c", "exec 3>>\"$0\"; echo open; exec sleep 600", script],
            path: "/bin/sh"
        )
        await writer.printed("open")
        let start = ContinuousClock.now
        #expect(await self.message(ServerLaunch(command: script)).contains("its file is open for writing"))
        // A hundred pauses of ten milliseconds; a busy machine makes them longer, and none makes them shorter.
        #expect(ContinuousClock.now - start >= .milliseconds(900))
        writer.signal(SIGKILL)
        _ = await writer.end()
        let end = await self.end(ServerLaunch(command: script))
        #expect(end.launchError == nil && end.process?.exitStatus == .exited(3), "\(end)")
    }

    @Test("T20 a NUL in any word, and a name with an equals sign, are errors that name the place")
    func unsayable() async {
        #expect(await self.message(ServerLaunch(command: "/bin/sh\0x")).contains("\"command\" contains a NUL"))
        let arguments = ServerLaunch(command: "/bin/sh", arguments: ["-c", "echo a\0b"])
        #expect(await self.message(arguments).contains("argument 2 contains a NUL"))
        let directory = ServerLaunch(command: "/bin/sh", workingDirectory: "/tmp\0")
        #expect(await self.message(directory).contains("\"cwd\" contains a NUL"))
        for (name, value, part) in [
            ("A=B", "x", "contains \"=\""), ("", "x", "empty name"), ("A\0", "x", "NUL"),
            ("A", "x\0y", "value of variable A"),
        ] {
            let launch = ServerLaunch(command: "/bin/sh", environment: ["PATH": "/bin", name: value])
            #expect(await self.message(launch).contains(part), "\(name)")
        }
    }

    @Test("S22 of fifty secrets in the host's environment none reaches the server")
    func environment() async throws {
        var host = ["PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C", "TERM": "() { evil; }"]
        for i in 0..<50 { host["SECRET_\(i)"] = "canary-\(i)" }
        let environment = ServerEnvironment.base(from: host, adding: ["OWN": "1"])
        #expect(
            environment == [
                "PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C", "OWN": "1", "PYTHONUNBUFFERED": "1",
            ]
        )
        var launch = ServerLaunch(command: "/bin/sh", arguments: ["-c", "env >&2"], environment: environment)
        launch.inheritsEnvironment = false
        let stderr = try #require(await self.end(launch).process).stderrTail
        #expect(stderr.contains("OWN=1") && !stderr.contains("canary"))
        #expect(launch.wholeEnvironment == environment)
        (launch.environment, launch.inheritsEnvironment) = (["OWN": "1"], true)
        #expect(launch.wholeEnvironment == ServerEnvironment.base(adding: ["OWN": "1"]))
    }

    @Test("D14 D15 S24 a server has descriptors 0, 1 and 2 and no other")
    func descriptors() async throws {
        let leak = open("/dev/null", O_RDONLY)  // without O_CLOEXEC
        defer { close(leak) }
        let script =
            "n=3; while [ $n -lt 64 ]; do [ -e /proc/$$/fd/$n ] && echo open $n >&2; n=$((n+1)); done; echo looked >&2"
        let ends = await withTaskGroup(of: TransportEnd.self) { group in
            for _ in 0..<20 {
                group.addTask { await self.end(ServerLaunch(command: "/bin/sh", arguments: ["-c", script])) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for end in ends { #expect(end.process?.stderrTail == "looked") }
    }

    @Test("T14 L11 what stays open for servers leaves the last descriptors to others in this program", .exitTestTurn)
    func lastDescriptors() async {
        await #expect(processExitsWith: .success) {
            // The test's own descriptors have the numbers that they had in the parent, which may be high ones.
            let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
            let room = rlim_t((numbers.compactMap { Int($0) }.max() ?? 0) + 40)
            var limit = rlimit(rlim_cur: room, rlim_max: room)
            setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
            let own = getpid()
            // Whatever is asked for first, the answer is the same.
            for make in [{ mcp_pipe(&$0, -1) }, { mcp_socket_pair(&$0, 0) }] as [(inout [Int32]) -> Int32] {
                var taken: [Int32] = []
                var ends: [Int32] = [-1, -1]
                var failure: Int32 = 0
                while failure == 0 {
                    failure = make(&ends)
                    if failure == 0 { taken += ends }
                }
                precondition(failure == EMFILE && !taken.isEmpty)
                while case let next = mcp_pidfd_watch(own), next >= 0 { taken.append(next) }
                precondition(errno == EMFILE)
                // Not all of them: whoever else needs one in this program is what they are spared for.
                let spare = (0..<4).map { _ in open("/dev/null", O_RDONLY) }
                precondition(spare.allSatisfy { $0 >= 0 }, "\(spare)")
                for descriptor in taken + spare { mcp_close(descriptor) }
            }
        }
    }

    @Test("S5 a command is one file name and never a shell's text")
    func noShell() async {
        let marker = FileManager.default.temporaryDirectory.appendingPathComponent("owned-\(UUID().uuidString)").path
        _ = await self.message(ServerLaunch(command: "sh -c 'touch \(marker)'"))
        _ = await self.end(ServerLaunch(command: "/bin/echo", arguments: ["; touch \(marker)", "$(touch \(marker))"]))
        #expect(!FileManager.default.fileExists(atPath: marker))
    }

    @Test("E22 a server has a process group of its own, and default signals")
    func processGroup() async throws {
        let end = await self.end(
            ServerLaunch(
                command: "/bin/sh",
                arguments: ["-c", "ps -o pgid= -p $$ >&2; grep SigIgn /proc/$$/status >&2"]
            )
        )
        let process = try #require(end.process)
        #expect(process.stderrTail.contains("\(process.processID)"))
        // Bits 32 and 33 are the C library's own signals; SIGPIPE, which the host ignores, is bit 12.
        let ignored = process.stderrTail.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
        #expect(ignored.map { $0 & 0x7FFF_FFFF } == 0)
    }
}

/// Keeps what a transport tells.
final class Recorder: TransportReceiver {
    let opened = OneShot<Void>()
    let broken = OneShot<MCPError>()
    let messages = Locked<[RawJSON]>([])
    let oversized = Locked<[Int]>([])
    private let expected: OneShot<Void>
    private let count: Int

    init(expecting count: Int = 0) {
        self.count = count
        self.expected = OneShot()
    }

    /// Waits until as many messages have arrived as were expected.
    func waitForMessages() async { await self.expected.wait() }

    func transportDidOpen() { self.opened.complete(()) }
    func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
        let count = self.messages.withLock { messages in
            messages.append(message)
            return messages.count
        }
        if count == self.count { self.expected.complete(()) }
    }
    func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {}
    func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {
        self.oversized.withLock { $0.append(size) }
    }
    func transportDidDrain() {}
    func transportDidBreak(_ error: MCPError) { self.broken.complete(error) }
}
