import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section D: pipes, back-pressure, standard error, against real processes.
@Suite("Faults D: pipes", .timeLimit(.minutes(5)))
struct PipeFaultTests {
    @Test(
        "D1 L1 STDIO-04 STDIO-05 whatever is written to standard error before the first answer, nothing stalls",
        arguments: ["lines", "line", "cr"]
    )
    func standardError(shape: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("loud", "--stderr", "1000000", "--stderr-shape", shape))
            #expect(try await text(host, "loud", "echo", ["text": "x"]) == "x")
            let report = await host.shutdown()
            #expect(try #require(report.servers.first).stderrTail.utf8.count <= 4 << 10)
        }
    }

    @Test("D2 nothing of a server reaches the host's own output")
    func inherited() async throws {
        try await withZoo { zoo in
            let outcome = try await HostProgram.run(
                ["tools"],
                servers: [("loud", zoo.arguments("loud", ["--banner", "--stderr", "5000", "--junk-lines", "2"]))]
            )
            #expect(outcome.status == 0 && outcome.error == "")
            #expect(
                !outcome.out.contains("eeee") && !outcome.out.contains("no message")
                    && !outcome.out.contains("listening")
            )
        }
    }

    @Test(
        "D4 F10 a server that stops reading: its call times out by its own limit, the other server answers, closing is bounded"
    )
    func stopsReading() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("stuck", "--ignore-eof"), zoo.server("good"))
            #expect(try await text(host, "stuck", "stop-reading") == "stopped")
            let big: RawJSON = ["text": .string(String(repeating: "x", count: 10 << 20))]
            let error = await failure {
                try await host.callTool(
                    server: "stuck",
                    name: "echo",
                    arguments: big,
                    options: .init(idleTimeout: .milliseconds(200))
                )
            }
            #expect(error?.code == .timeout)
            #expect(try await text(host, "good", "echo", ["text": "x"]) == "x")
            let cancelled = Task { try await host.callTool(server: "stuck", name: "echo", arguments: ["text": "y"]) }
            await host.wait(forRequests: 1)
            cancelled.cancel()
            let gone = await failure { try await cancelled.value }
            #expect(gone?.code == .cancelled, "cancelling does not wait for the pipe")
        }
    }

    @Test("D7 cancelled while it is half written: the message is completed, and the next one is whole")
    func cancelledHalfWritten() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("slow"))
            _ = try await text(host, "slow", "stop-self")
            let big: RawJSON = ["text": .string(String(repeating: "x", count: 1 << 20))]
            let call = Task { try await host.callTool(server: "slow", name: "echo", arguments: big) }
            await host.wait(forRequests: 1)
            call.cancel()
            let error = await failure { try await call.value }
            #expect(error?.code == .cancelled)
            kill(try #require(zoo.events("slow").first).pid, SIGCONT)
            #expect(try await text(host, "slow", "echo", ["text": "after"]) == "after")
            let frames = zoo.events("slow").filter { $0.event == "frame" }
            #expect(frames.allSatisfy { $0.detail.hasPrefix("{\"jsonrpc\":\"2.0\"") }, "every line is a whole message")
            // Cancelled in the moment before it is sent, neither it nor its cancellation leaves.
            let sent = frames.count { $0.bytes > 1 << 20 }
            #expect(sent <= 1 && frames.count { $0.detail.contains("notifications/cancelled") } == sent)
        }
    }

    @Test("D8 D10 a server that closes its input: the next call fails at once, and the host lives")
    func closesInput() async throws {
        try await withZoo { zoo in
            var server = zoo.server("half", "--ignore-eof")
            server.restart = .never
            let host = try await zoo.host(server)
            #expect(try await text(host, "half", "close-input") == "closed")
            let error = await failure { try await host.callTool(server: "half", name: "echo") }
            #expect([.connectionLost, .outcomeUnknown].contains(error?.code), "\(error?.message ?? "")")
        }
    }

    @Test("D9 a server that closes its output: the call ends at once with the reason, the process is ended")
    func closesOutput() async throws {
        try await withZoo { zoo in
            var server = zoo.server("half", "--ignore-eof")
            server.restart = .never
            let host = try await zoo.host(server)
            let error = await failure { try await host.callTool(server: "half", name: "close-output") }
            #expect(error?.message.contains("closed its output") == true)
            _ = try await host.server("half").waitUntilGone()
        }
    }

    @Test("D11 a storm of list_changed: bounded, counted, and calls go on")
    func storm() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("storm", "--storm", "50000", "--era", "legacy"))
            #expect(try await text(host, "storm", "echo", ["text": "x"]) == "x")
            let session = try await host.server("storm").session()
            #expect(session.droppedNotifications == 50000 - 1024)
        }
    }

    @Test("D12 V19 while a flood of progress is being handled, another server and another call answer")
    func flood() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("flood"), zoo.server("calm"))
            let (seen, entered, release) = (Locked(0), OneShot<Void>(), DispatchSemaphore(value: 0))
            let flooded = Task {
                try await host.callTool(
                    server: "flood",
                    name: "flood",
                    arguments: ["n": 50000],
                    options: .init(onProgress: { progress in
                        if progress.progress == 1 {
                            entered.complete(())
                            release.wait()
                        }
                        seen.withLock { $0 += 1 }
                    })
                )
            }
            await entered.wait()
            // Nothing of the flood gets on before these have their answers.
            await wait(for: "fifty calls beside the flood") { () -> Void? in
                for i in 0..<50 {
                    guard (try? await text(host, "calm", "echo", ["text": .string("\(i)")])) == "\(i)" else {
                        return nil
                    }
                    guard (try? await text(host, "flood", "echo", ["text": "x"])) == "x" else { return nil }
                }
                return ()
            }
            #expect(seen.withLock { $0 } == 0)
            release.signal()
            #expect(try await flooded.value.content.first?.text == "done")
            #expect(seen.withLock { $0 } == 50000, "every report was delivered before the result")
        }
    }

    @Test("STDIO-03 V19 every byte that a server gets is part of a message, whatever is called, cancelled or refused")
    func onlyMessages() async throws {
        try await withZoo { zoo in
            let copy = zoo.folder + "/input"
            let words = zoo.arguments("one", ["--era", "legacy"]).map { "'\($0)'" }.joined(separator: " ")
            let server = ScriptedServer.patient(
                ServerDefinition(
                    name: "one",
                    command: "/bin/sh",
                    arguments: ["-c", "tee '\(copy)' | '\(ScriptedServer.path)' \(words)"]
                ),
                []
            )
            let host = try await zoo.host(server)
            for i in 0..<20 {
                _ = try await text(host, "one", "echo", ["text": .string("line\nbreak \u{2028} \r\n \(i) \u{0}")])
            }
            let hanging = Task { await failure { try await text(host, "one", "hang") } }
            await zoo.wait(forFrame: "hang", of: "one")
            hanging.cancel()
            _ = await hanging.value
            _ = try await text(host, "one", "ask", ["text": "no/such"])
            _ = await failure { try await text(host, "one", "nothing-like-it") }
            await host.shutdown()
            let bytes = try Data(contentsOf: URL(fileURLWithPath: copy))
            #expect(bytes.last == 0x0A)
            let lines = bytes.dropLast().split(separator: 0x0A, omittingEmptySubsequences: false)
            #expect(lines.count > 25)
            for line in lines {
                let message = RawJSON(copying: line)
                let value = try message.decode(JSONValue.self)
                _ = try Envelope(scanning: message)
                #expect(value["jsonrpc"] == "2.0", "\(value)")
                #expect(value["method"]?.string != nil || value["result"] != nil || value["error"] != nil, "\(value)")
            }
        }
    }

    @Test("D13 the host's own standard descriptors keep their flags", .exitTestTurn)
    func flags() async {
        await #expect(processExitsWith: .success) {
            let before = (0...2).map { fcntl($0, F_GETFL) }
            try await withZoo { zoo in
                let host = try await zoo.host(zoo.server("one"))
                _ = try await text(host, "one", "echo")
            }
            precondition((0...2).map { fcntl($0, F_GETFL) } == before)
        }
    }

    @Test(
        "D14 D15 S22 S24 a server has descriptors 0, 1, 2 and the environment it was given, with siblings and open files around",
        .exitTestTurn
    )
    func inheritance() async throws {
        await #expect(processExitsWith: .success) {
            setenv("CANARY_SECRET", "do not pass on", 1)
            try await withZoo { zoo in
                let leaky = open("/dev/null", O_RDONLY)
                defer { close(leaky) }
                let host = try await zoo.host((0..<8).map { zoo.server("s\($0)") })
                for i in 0..<8 {
                    // 3 and 4 are the zoo's own: its log and its socket.
                    let descriptors = try await text(host, "s\(i)", "descriptors")
                    precondition(descriptors == "0 1 2 3 4 ", descriptors)
                    let names = try await text(host, "s\(i)", "environment")
                    precondition(!names.contains("CANARY") && names.contains("PATH"), names)
                }
                let report = await host.removeServer("s0")
                precondition(report?.step == .endOfInput, "the end of its input reached it while the others live")
            }
        }
    }
}
