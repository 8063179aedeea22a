import Foundation
import TestSupport
import Testing

@testable import MCPStdio

/// The process journal, who is meant by a number, and the end of what killed hosts left.
@Suite("Process journal and leftovers")
struct LeftoversTests {
    private static func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: ScriptedServer.path)
        process.arguments = arguments
        process.standardInput = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.environment = environment
        try process.run()
        return process
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

    /// Runs `body` with a state directory of its own, in a process of its own.
    @Test(
        "E18 only what a dead host's journal proves is ended: not another start time, not another boot, not a living host's"
    )
    func reap() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-state-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            guard let folder = StateDirectory.folder("processes"), let own = ProcessIdentity(of: getpid()) else {
                preconditionFailure("no state directory")
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
            precondition(servers.count == 5)
            try journal("left", host: dead, servers[0])
            try journal("reused", host: dead, ProcessIdentity(pid: servers[1].pid, start: servers[1].start + 1))
            try journal("rebooted", host: dead, boot: "another", servers[2])
            try journal("running", host: own, servers[3])
            // Known by its mark only: its number was never written down.
            let marked = try Self.start(["--double-fork"], environment: [LaunchMark.variable: "m-left"])
            let daemonMark = LaunchMark.bearers(of: ["m-left"])
            precondition(!daemonMark.isEmpty)
            let seen = Leftovers.reap(isDryRun: true).map(\.processID)
            precondition(seen.contains(servers[0].pid) && servers[0].isAlive, "a dry run ends nothing")
            let found = Leftovers.reap()
            precondition(found.allSatisfy(\.isGone))
            precondition(!servers[0].isAlive && LaunchMark.bearers(of: ["m-left"]).isEmpty)
            precondition(servers[1].isAlive && servers[2].isAlive && servers[3].isAlive && servers[4].isAlive)
            precondition(Leftovers.reap().isEmpty)
            precondition(StateDirectory.files(in: folder) == ["running.jsonl"])
            for server in servers { server.signal(SIGKILL) }
            marked.terminate()
            try FileManager.default.removeItem(atPath: state)
        }
    }

    @Test("S34 the journal is for this user only, is there while a server runs, and is gone afterwards")
    func file() async {
        await #expect(processExitsWith: .success) {
            let state = "/tmp/mcp-state-\(UInt64.random(in: 0...UInt64.max))"
            setenv("MCP_HOST_STATE", state, 1)
            let journal = ProcessJournal()
            journal.launching("a", command: ["secret-command", "--token", "hunter2"])
            journal.launching("b", command: ["x"])
            let folder = state + "/processes"
            let name = StateDirectory.files(in: folder).first ?? ""
            var info = stat()
            precondition(stat("\(folder)/\(name)", &info) == 0 && info.st_mode & 0o777 == 0o600)
            precondition(stat(folder, &info) == 0 && info.st_mode & 0o777 == 0o700)
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            precondition(!text.contains("hunter2") && !text.contains("secret-command"))
            journal.ended("a")
            precondition(!StateDirectory.files(in: folder).isEmpty)
            journal.ended("b")
            precondition(StateDirectory.files(in: folder).isEmpty)
            // A folder that belongs to others is not used.
            chmod(folder, 0o777)
            precondition(StateDirectory.folder("processes") == nil)
            try FileManager.default.removeItem(atPath: state)
        }
    }
}
