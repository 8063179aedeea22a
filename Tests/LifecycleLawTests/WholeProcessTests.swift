import Foundation
import MCPHost
import TestSupport
import Testing

/// What the system counts for this whole process; each in an exit test, which is a process of its own.
@Suite("LifecycleLaw: counted by the system", .timeLimit(.minutes(5)))
struct LifecycleLawWholeProcessTests {
    @Test("N2 children and descriptors after 50 hosts are what they were after the first", .exitTestTurn)
    func countsReturn() async {
        await #expect(processExitsWith: .success) {
            for round in 0..<50 {
                var configuration = HostConfiguration(servers: [
                    ScriptedServer.configuration("a"), ScriptedServer.configuration("b", ["--era", "legacy"]),
                    ScriptedServer.configuration("c", ["--exit", "7"]),
                ])
                // It reads the process table beside everything else, and would be counted.
                configuration.reapsOrphans = false
                let host = try await MCPHost.start(configuration)
                try await useAllReady(host)
                await host.shutdown()
                let counts = ProcessCounts.now()
                if round == 0 { first.withLock { $0 = counts } }
                precondition(counts.children == 0, "children are left: \(counts)")
                precondition(
                    counts.descriptors <= (first.withLock { $0 }?.descriptors ?? 0),
                    "descriptors grow: \(counts)"
                )
            }
        }
    }

    @Test("A11 after servers that closed their pipes, died and were closed, nothing turns in circles", .exitTestTurn)
    func idle() async {
        await #expect(processExitsWith: .success) {
            let host = try await MCPHost.start(
                HostConfiguration(servers: ["a", "b", "c"].map { ScriptedServer.configuration($0, ["--ignore-eof"]) })
            )
            _ = try? await host.callTool(server: "a", name: "close-output")
            _ = try? await host.callTool(server: "b", name: "exit", arguments: ["n": 1])
            await host.removeServer("c")
            try await host.addServer(ScriptedServer.configuration("d"))
            // The time that passes here is what is measured, not waited for. What turns in circles, or comes again and again, does so in
            // every two seconds; what a busy machine is late with is done before some of them.
            var spent: Duration = .zero
            for _ in 0..<30 {
                spent = await processorTime(during: .seconds(2))
                if spent < .milliseconds(20) { break }
            }
            precondition(spent < .milliseconds(20), "\(spent) of processor time in two seconds of rest")
            await host.shutdown()
        }
    }

    @Test("0b a program that ends without closing exits, and its servers with it", .exitTestTurn)
    func endsWithoutClosing() async throws {
        try await withZoo(folder: "/tmp/zoo-end-\(getpid())") { zoo in
            let result = await #expect(processExitsWith: .exitCode(0), observing: [\.standardErrorContent]) {
                let switches = ["--alive", "/tmp/zoo-end-\(getppid())/alive", "--ignore-eof"]
                let host = try await MCPHost.start(
                    HostConfiguration(servers: [ScriptedServer.configuration("a", switches)])
                )
                precondition(host.servers.first?.status == .ready)
                exitProcess(0)
            }
            let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
            #expect(text.contains("fault: the program ends with 1 server(s) not shut down"))
            #expect(await zoo.waitUntilExtinct())
        }
    }
}
