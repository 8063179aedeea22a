import CTestSupport
import Foundation
import MCPHost
import MCPTransport
import TestSupport
import Testing

@testable import MCPStdio

/// What is said of guards that fail, and what becomes of servers when their program ends without closing them.
@Suite("The law: guards, and programs that end (T4, T9, T14, T18)", .timeLimit(.minutes(5)))
struct LawGuardTests {
    @Test(
        "T4 T18 a guard that had to be killed after a failed start: the report does not say that nothing is left",
        .exitTestTurn
    )
    func killedGuard() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                setenv("MCP_GUARD", try zoo.deafGuard(), 1)
                var server = ScriptedServer.configuration("one")
                server.stdio.guardGrace = .milliseconds(100)
                server.restart.isEnabled = false
                let host = try await MCPHost.start(HostConfiguration(servers: [server]))
                precondition(host.servers.first?.failure?.code == .launchFailed)
                let report = await host.shutdown()
                precondition(!report.isClean && report.isComplete && report.processesLeft.isEmpty, "\(report)")
                let doubt = report.servers.first?.doubt
                precondition(doubt?.contains("did not say that nothing is left") == true, "\(report)")
                precondition(test_has_zombies() == 0)
            }
        }
    }

    @Test(
        "T4 T9 a guard that says it could not start its server leaves no doubt, whoever gets its exit status",
        .exitTestTurn,
        arguments: [false, true]
    )
    func refused(ignoresChildren: Bool) async {
        await #expect(processExitsWith: .success) { [ignoresChildren = ignoresChildren as Bool] in
            if ignoresChildren { test_ignore_children() }
            // A program for a machine that this is not.
            var header = [UInt8](repeating: 0, count: 64)
            header.replaceSubrange(0..<7, with: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1])
            (header[16], header[18], header[19]) = (2, 0xFE, 0xCA)
            let path = "/tmp/mcp-foreign-\(getpid())"
            try Data(header).write(to: URL(fileURLWithPath: path))
            defer { unlink(path) }
            chmod(path, 0o755)
            let host = try await MCPHost.start(
                HostConfiguration(servers: [ServerDefinition(name: "foreign", command: path)])
            )
            let failure = host.servers.first?.failure
            precondition(failure?.code == .launchFailed, "\(String(describing: failure))")
            let report = await host.shutdown()
            precondition(report.isClean, "\(report)")
        }
    }

    /// Starts a host with one server in a program of its own, which calls `exit` then.
    private static func exit(
        _ name: String,
        guarded isGuarded: Bool = true,
        _ zoo: String,
        _ switches: [String],
        _ before: (_ host: MCPHost) async throws -> Void
    ) async throws -> Never {
        var server = ScriptedServer.configuration(name, ["--alive", zoo + "/alive"] + switches)
        server.stdio.isGuarded = isGuarded
        let host = try await MCPHost.start(HostConfiguration(servers: [server]))
        precondition(host.servers.first?.status == .ready)
        try await before(host)
        // Not before: a host that nobody holds closes by itself.
        withExtendedLifetime(host) { Foundation.exit(0) }
    }

    @Test("E14 T18 a program that ends when a guard has just been killed ends its server", .exitTestTurn)
    func killedGuardAtExit() async throws {
        try await withZoo(folder: "/tmp/zoo-guard-\(getpid())") { zoo in
            await #expect(processExitsWith: .exitCode(0)) {
                try await Self.exit("deaf", "/tmp/zoo-guard-\(getppid())", ["--ignore-eof", "--ignore-term"]) { host in
                    let pid = try await text(host, "deaf", "pid")
                    let stat = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
                    let guardian = stat.split(separator: ")").last?.split(separator: " ").dropFirst().first
                    kill(Int32(guardian ?? "") ?? Int32.max, SIGKILL)
                }
            }
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test("E14 T14 a program that ends with no descriptor left: its server is ended all the same", .exitTestTurn)
    func fullAtExit() async throws {
        try await withZoo(folder: "/tmp/zoo-full-\(getpid())") { zoo in
            await #expect(processExitsWith: .exitCode(0)) {
                try await Self.exit("deaf", "/tmp/zoo-full-\(getppid())", ["--ignore-eof", "--ignore-term"]) { _ in
                    var limit = rlimit(rlim_cur: 3, rlim_max: 3)
                    setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
                }
            }
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test(
        "E14 a program that ends without a guard: what its server detached is found by its environment",
        .exitTestTurn
    )
    func unguardedAtExit() async throws {
        try await withZoo(folder: "/tmp/zoo-bare-\(getpid())") { zoo in
            await #expect(processExitsWith: .exitCode(0)) {
                let folder = "/tmp/zoo-bare-\(getppid())"
                try await Self.exit("one", guarded: false, folder, ["--double-fork", "--ignore-eof"]) { _ in }
            }
            #expect(await zoo.waitUntilExtinct())
        }
    }

    @Test(
        "E14 a program that ends while the guard of a failed start is being ended: it is ended all the same",
        .exitTestTurn
    )
    func deafGuardAtExit() async throws {
        try await withZoo(folder: "/tmp/zoo-deaf-\(getpid())") { zoo in
            _ = try zoo.deafGuard(isAwaited: true)
            await #expect(processExitsWith: .exitCode(0)) {
                let folder = "/tmp/zoo-deaf-\(getppid())"
                setenv("MCP_GUARD", folder + "/mcp-guard", 1)
                var server = ScriptedServer.configuration("one")
                server.stdio.guardGrace = .milliseconds(1)
                async let _ = MCPHost.start(HostConfiguration(servers: [server]))
                // Blocks until the guard is there, which is never asked for anything more.
                precondition(open(folder + "/ready", O_RDONLY) >= 0)
                Foundation.exit(0)
            }
            let pid = try #require(zoo.events("guard").first).pid
            let left = [ProcessIdentity(of: pid)].compactMap(\.self)
            #expect(ProcessIdentity.waitForEnds(left, milliseconds: 5000).isEmpty)
        }
    }
}

extension Zoo {
    /// A program in the place of mcp-guard that is started and never answers.
    /// - Parameter isAwaited: somebody reads `ready` in the folder of the rig, and is told there when it has started.
    func deafGuard(isAwaited: Bool = false) throws -> String {
        let path = self.folder + "/mcp-guard"
        if isAwaited { mkfifo(self.folder + "/ready", 0o600) }
        let note = #"echo "{\"pid\":$$,\"event\":\"start\"}" >> '\#(self.log("guard"))'"#
        let ready = isAwaited ? "echo > '\(self.folder)/ready'" : ":"
        try writeProgram("#!/bin/sh\n\(note)\n\(ready)\nexec sleep 1000\n", to: path)
        return path
    }
}
