import MCPJSON
import MCPStdio
import MCPTransport
import TestSupport
import Testing

@Suite("A server over pipes", .timeLimit(.minutes(5)))
struct StdioTransportTests {
    /// Runs a shell script as a server beside `body`, and checks that nothing is left of it.
    @discardableResult
    private func run(
        _ script: String,
        expecting count: Int = 0,
        options: StdioTransport.Options = StdioTransport.Options(),
        _ body: @escaping @Sendable (StdioTransport, Recorder) async throws -> Void = { _, _ in }
    ) async throws -> (TransportEnd, Recorder) {
        let accounts = ResourceAccounts()
        let launch = ServerLaunch(command: "/bin/sh", arguments: ["-c", script])
        let transport = StdioTransport(launch, options: options, accounts: accounts)
        let recorder = Recorder(expecting: count)
        async let end = transport.run(recorder)
        await recorder.opened.wait()
        try await body(transport, recorder)
        let result = await end
        #expect(accounts.snapshot.isEmpty, "\(accounts.snapshot)")
        if let pid = result.process?.processID {
            #expect(!ProcessCounts.isAlive(pid, since: result.process?.startedAt))
        }
        return (result, recorder)
    }

    /// Nothing but the server decides how it ends.
    private var patient: StdioTransport.Options {
        var options = StdioTransport.Options()
        options.endOfInputGrace = .seconds(120)
        options.terminateGrace = .seconds(120)
        options.reapGrace = .seconds(120)
        return options
    }

    /// For servers that ignore the end of their input and SIGTERM.
    private var quick: StdioTransport.Options {
        var options = self.patient
        options.endOfInputGrace = .milliseconds(100)
        options.terminateGrace = .milliseconds(100)
        return options
    }

    /// Short for what is ignored, patient with what is not, however busy the machine is.
    private var quickEnd: StdioTransport.Options {
        var options = self.patient
        options.endOfInputGrace = .milliseconds(100)
        return options
    }

    @Test("E9 what a server wrote just before it exited arrives", arguments: 0..<20)
    func lastWords(round: Int) async throws {
        let (end, recorder) = try await self.run("printf '{\"a\":1}\\n{\"b\":2}'; exit 5")
        #expect(recorder.messages.withLock { $0.map(\.description) } == [#"{"a":1}"#, #"{"b":2}"#])
        #expect(end.process?.exitStatus == .exited(5) && end.step == .alreadyGone)
    }

    @Test("E7 E8 the end is seen at once though a grandchild holds the pipes, and the grandchild is ended too")
    func grandchildHoldsPipes() async throws {
        let (end, recorder) = try await self.run("sleep 60 & exit 7", options: self.patient)
        #expect(end.process?.exitStatus == .exited(7))
        #expect(await recorder.broken.wait().message.contains("exit status 7"))
        #expect(end.process?.descendantsEnded.count == 1 && end.isProved)
    }

    @Test("E1 STDIO-12 STDIO-13 a polite server gets no signal")
    func polite() async throws {
        let (end, _) = try await self.run(
            "trap 'echo signal >&2' TERM INT; while read -r line; do :; done; echo bye >&2",
            options: self.patient
        ) { transport, _ in
            transport.close(.graceful)
        }
        #expect(end.step == .endOfInput && end.process?.exitStatus == .exited(0) && end.process?.stderrTail == "bye")
    }

    @Test("E2 STDIO-12 STDIO-13 a server that ignores the end of input gets SIGTERM, one that ignores that too SIGKILL")
    func stubborn() async throws {
        let (term, _) = try await self.run("sleep 60 & wait", options: self.quickEnd) { transport, _ in
            transport.close(.graceful)
        }
        #expect(term.step == .terminate && term.process?.exitStatus == .signalled(15))
        // It says when it has become deaf.
        let (kill, _) = try await self.run(
            "trap '' TERM; echo '{}'; while :; do sleep 60; done",
            expecting: 1,
            options: self.quick
        ) { transport, recorder in
            await recorder.waitForMessages()
            transport.close(.graceful)
        }
        #expect(kill.step == .kill && kill.process?.exitStatus == .signalled(9))
        #expect(kill.stepTimes.map(\.step) == [.endOfInput, .terminate, .kill])
    }

    @Test("M2 a forced close kills at once")
    func forced() async throws {
        let (end, _) = try await self.run("trap '' TERM; while :; do sleep 60; done") { transport, _ in
            transport.close(.immediate)
        }
        #expect(end.step == .kill && end.process?.exitStatus == .signalled(9))
    }

    @Test("E3 a server that has stopped itself is ended all the same")
    func stopped() async throws {
        let (end, _) = try await self.run(
            "trap '' TERM; echo '{}'; kill -STOP $$; sleep 60",
            expecting: 1,
            options: self.quick
        ) { transport, recorder in
            await recorder.waitForMessages()
            transport.close(.graceful)
        }
        #expect(end.process?.exitStatus == .signalled(9))
    }

    @Test("D1 L1 ten megabytes of standard error do not stop a server; the last lines are kept")
    func standardError() async throws {
        let script =
            "head -c 10000000 /dev/zero | tr '\\0' e >&2; echo >&2; echo last words >&2; echo '{}'; read -r line"
        let (end, _) = try await self.run(script, expecting: 1, options: self.patient) { transport, recorder in
            await recorder.waitForMessages()
            transport.close(.graceful)
        }
        let stderr = try #require(end.process).stderrTail
        #expect(stderr.hasSuffix("last words") && stderr.utf8.count <= 4096)
    }

    @Test("C1 lines that are no messages are counted and passed over")
    func strayLines() async throws {
        let (end, recorder) = try await self.run("echo Listening; echo '{\"a\":1}'; echo debug; echo '{\"b\":2}'")
        #expect(recorder.messages.withLock { $0.count } == 2)
        #expect(end.process?.strayLines == 2)
    }

    @Test("C2 a program that is no server is found out", .timeLimit(.minutes(1)))
    func noServer() async throws {
        let (_, recorder) = try await self.run("yes this is not a server", options: self.quick)
        #expect(await recorder.broken.wait().message.contains("standard output is not MCP"))
    }

    @Test("C23 LSP framing is named")
    func lspFraming() async throws {
        let (_, recorder) = try await self.run(
            "printf 'Content-Length: 2\\r\\n\\r\\n{}'; sleep 60",
            options: self.quick
        )
        #expect(await recorder.broken.wait().message.contains("LSP framing"))
    }

    @Test("C6 an oversized message is reported, the next one arrives")
    func oversized() async throws {
        var options = StdioTransport.Options()
        options.maximumMessageSize = 1000
        let (_, recorder) = try await self.run(
            "head -c 5000 /dev/zero | tr '\\0' x; echo; echo '{\"b\":2}'",
            options: options
        )
        #expect(recorder.oversized.withLock { $0 } == [5000])
        #expect(recorder.messages.withLock { $0.count } == 1)
    }

    @Test("D9 a server that closes its output and stays is ended, and the error says so")
    func outputClosed() async throws {
        let (end, recorder) = try await self.run("exec >&-; read -r line; exit 3", options: self.patient)
        #expect(await recorder.broken.wait().message.contains("closed its output"))
        #expect(end.process?.exitStatus == .exited(3))
    }

    @Test(
        "D8 D10 a server that closes its input is noticed at once, written to or not, and the host lives",
        arguments: [true, false]
    )
    func inputClosed(isWrittenTo: Bool) async throws {
        let (_, recorder) = try await self.run("exec <&-; echo '{}'; sleep 60", expecting: 1, options: self.quick) {
            transport,
            recorder in
            await recorder.waitForMessages()
            if isWrittenTo { try? transport.send("{}") }
        }
        #expect(await recorder.broken.wait().message.contains("closed its input"))
    }

    @Test("D8 M1 what waits for a server that has closed its input keeps nobody from closing", arguments: 0..<10)
    func gatheredForNobody(count: Int) async throws {
        var options = self.quick
        // Were it waited for, this test would not end.
        options.flushGrace = .seconds(3600)
        let (end, _) = try await self.run("exec <&-; echo '{}'; sleep 60", expecting: 1, options: options) {
            transport,
            recorder in
            await recorder.waitForMessages()
            for _ in 0..<count { try? transport.send("{}") }
            if count % 2 == 0 { transport.close(.graceful) }
        }
        #expect(end.isProved)
    }

    @Test(
        "D5 D6 fifty large messages from as many tasks arrive whole, though the server writes before it reads"
    )
    func largeWrites() async throws {
        let script = "head -c 900000 /dev/zero | tr '\\0' ' '; echo; cat"
        let (_, recorder) = try await self.run(script, expecting: 50, options: self.patient) { transport, recorder in
            await withTaskGroup(of: Void.self) { group in
                for i in 0..<50 {
                    group.addTask {
                        let text = String(repeating: "\(i % 10)", count: 300_000)
                        try? transport.send(RawJSON(encoding: ["n": text]))
                    }
                }
            }
            await recorder.waitForMessages()
            transport.close(.graceful)
        }
        for message in recorder.messages.withLock({ $0 }) {
            let text = try #require(message.decode([String: String].self)["n"])
            #expect(text.count == 300_000 && Set(text).count == 1)
        }
    }

    @Test("D4 a server that does not read makes senders busy, not the host fat")
    func notReading() async throws {
        var options = self.quick
        options.maximumQueuedBytes = 200_000
        try await self.run("echo '{}'; sleep 60", expecting: 1, options: options) { transport, recorder in
            await recorder.waitForMessages()
            let message = RawJSON(encoding: String(repeating: "x", count: 50_000))
            var (code, accepted): (MCPError.Code?, Int) = (nil, 0)
            for _ in 0..<20 where code == nil {
                do throws(MCPError) {
                    try transport.send(message)
                    accepted += 1
                } catch { code = error.code }
            }
            // What the pipe holds, and what the queue may: not a byte more, however long somebody sends.
            #expect(accepted * 50_000 <= 200_000 + (1 << 16) + 50_000, "\(accepted)")
            for _ in 0..<1000 { #expect(throws: MCPError.self) { try transport.send(message) } }
            #expect(code == .busy)
            transport.close(.graceful)
        }
    }

    @Test("G7 messages that were accepted go out before the input is closed")
    func flush() async throws {
        var options = self.patient
        options.flushGrace = .seconds(30)  // a busy machine shall not decide what this test shows
        let (_, recorder) = try await self.run("cat", options: options) { transport, _ in
            for i in 0..<100 { try transport.send(RawJSON(encoding: ["n": String(repeating: "\(i)", count: 1000)])) }
            transport.close(.graceful)
        }
        #expect(recorder.messages.withLock { $0.count } == 100)
    }

    @Test("D11 a receiver that wants no more stops the server, and goes on later")
    func pause() async throws {
        let (_, recorder) = try await self.run(
            "i=0; while [ $i -lt 1000 ]; do echo '{}'; i=$((i+1)); done",
            expecting: 1000
        ) { transport, recorder in
            transport.setReceiving(false)
            transport.setReceiving(true)
            await recorder.waitForMessages()
        }
        #expect(recorder.messages.withLock { $0.count } == 1000)
    }
}
