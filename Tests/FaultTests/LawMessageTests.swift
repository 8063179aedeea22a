import Dispatch
import MCPHost
import MCPJSON
import MCPSession
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient
@testable import MCPStdio
@testable import MCPTransport

/// docs/faults.md, section T: messages that must not be lost, and callbacks that must not hold anybody up.
@Suite("Law: messages", .timeLimit(.minutes(5)))
struct LawMessageTests {
    @Test("T6 a transport that refuses, and has drained before the sender knows: the call goes out all the same")
    func drainsFirst() async throws {
        let server = ProtocolServer(
            .v2026_07_28,
            ["tools/call": { _ in ["content": []] }, "tools/list": { _ in ["tools": []] }]
        )
        let transport = HastyTransport(server.transport())
        try await converse(over: transport) { session in
            _ = try await session.waitUntilReady()
            transport.refuseNext()
            let result = await wait(for: "the call that was refused once") {
                try? await session.callTool("t")
            }
            #expect(result != nil)
        }
    }

    @Test("T6 T13 a reply and a cancellation that are refused once go out all the same")
    func repliesToo() async throws {
        let server = ProtocolServer(.v2025_11_25, ["tools/call": { _ in await untilCancelledByClient() }])
        let transport = HastyTransport(server.transport())
        try await converse(over: transport, isLegacy: true) { session in
            _ = try await session.waitUntilReady()
            transport.refuseNext()
            let answer = await wait(for: "the answer to a ping") {
                await server.ask("ping", [:])
            }
            #expect(answer?["result"] != nil)
            let call = Task { await failure { try await session.callTool("t") } }
            await server.wait(forReceived: "tools/call")
            transport.refuseNext()
            call.cancel()
            let error = await call.value
            #expect(error?.code == .cancelled)
            await server.wait(forReceived: "notifications/cancelled")
        }
    }

    @Test("T6 bursts of large calls to a real server with a queue of a hundred bytes: all end")
    func bursts() async throws {
        try await withZoo { zoo in
            var server = zoo.server("one")
            server.stdio.maximumQueuedBytes = 100
            let host = try await zoo.host(server)
            let big = String(repeating: "x", count: 20_000)
            for _ in 0..<60 {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<12 {
                        group.addTask {
                            let result = try? await text(host, "one", "echo", ["text": .string(big)])
                            #expect(result == big)
                        }
                    }
                }
            }
        }
    }

    @Test("T8 an oversized answer whose id comes last fails at once, by name", arguments: ["--id-last", "--string-id"])
    func idLast(animal: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one", animal))
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            let error = await failure {
                try await host.callTool(
                    server: "one",
                    name: "big",
                    arguments: ["n": 17_000_000],
                    options: .init(idleTimeout: .seconds(120))
                )
            }
            #expect(error?.code == .messageTooLarge, "\(String(describing: error))")
            #expect(try await text(host, "one", "echo", ["text": "y"]) == "y")
        }
    }

    @Test("T13 forty large answers to a server whose input is nearly always full: it gets them all")
    func replies() async throws {
        try await withZoo { zoo in
            var server = ServerSetup(zoo.server("one", "--era", "legacy"))
            server.stdio.maximumQueuedBytes = 3000
            server.handlers.roots = { _ in
                (0..<1000).map { Root(uri: "file:///a/rather/long/path/of/a/root/number/\($0)") }
            }
            let host = try await zoo.host(server)
            let answer = await wait(for: "the answers to forty requests for roots", atMost: .seconds(60)) {
                try? await text(host, "one", "roots", ["n": 40])
            }
            #expect(answer == "all answered")
        }
    }

    @Test("T15 a progress handler that blocks: the hard limit and cancellation end the call all the same")
    func blockedProgress() async throws {
        let (clock, server) = (
            ManualClock(),
            ProtocolServer(
                .v2026_07_28,
                [
                    "tools/call": { call in
                        call.progress(1)
                        return ["content": []]
                    }
                ]
            )
        )
        try await withSession(server, clock: clock) { session in
            _ = try await session.waitUntilReady()
            let release = DispatchSemaphore(value: 0)
            let entered = Watched(0)
            let options = RequestOptions(onProgress: { _ in
                entered.withLock { $0 += 1 }
                release.wait()
            })
            let limited = Task { await failure { try await session.callTool("t", options: options) } }
            let cancelled = Task { await failure { try await session.callTool("t", options: options) } }
            await entered.wait(for: "both handlers") { $0 == 2 }
            // They are here when the answer to a question is that comes after they have left; of questions that the server has at once, any
            // may be answered first.
            await server.answers.wait(for: "the answers to server/discover and both calls") { $0 >= 3 }
            _ = try await session.callTool("t")
            cancelled.cancel()
            let first = await wait(for: "the cancelled call") { await cancelled.value }
            #expect(first?.code == .cancelled)
            clock.advance(by: .seconds(599))
            clock.advance(by: .seconds(1))
            let second = await wait(for: "the limited call") { await limited.value }
            #expect(second?.code == .timeout && second?.message.contains("600.0 seconds") == true)
            for _ in 0..<2 { release.signal() }
            #expect(server.received("notifications/cancelled").isEmpty, "the server had answered")
        }
    }

    @Test("T15 a close does not wait for a progress handler that blocks, and the answer that had come is given")
    func closedWhileBlocked() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let (release, entered) = (DispatchSemaphore(value: 0), OneShot<Void>())
            let call = Task {
                try await host.callTool(
                    server: "one",
                    name: "progress",
                    options: .init(onProgress: { progress in
                        guard progress.progress == 3 else { return }
                        entered.complete(())
                        release.wait()
                    })
                )
            }
            await entered.wait()
            // The server has sent it when it answers the next call.
            _ = try await text(host, "one", "echo")
            let report = await wait(for: "the end of the host") { await host.shutdownNow() }
            #expect(report?.isClean == true)
            let result = try await call.value
            #expect(result.content.first?.text == "done")
            release.signal()
        }
    }

    @Test(
        "T20 only the id that was sent counts: its digits, as a number or a string",
        arguments: [#""+2""#, #""02""#, "2.0", "2e0", #"" 2""#, #""2 ""#, #""probe-2""#]
    )
    func otherIDs(spelling: String) throws {
        var machine = SessionStateMachine<Int>(limits: .init())
        _ = machine.start(2, 7, "{}", timeouts: .init(idle: .seconds(1), hard: .seconds(1)), now: .zero)
        if let other = try? RawJSON(copying: spelling).decode(JSONRPCRequestID.self) {
            #expect(machine.answered(other) == nil)
        }
        #expect(machine.answered(try RawJSON(copying: #""2""#).decode(JSONRPCRequestID.self))?.waiter == 7)
    }

    // MARK: Session and queue, driven together

    @Test(
        "T6 T13 a million random steps of session and transport queue: no order of refusal and drain loses a message",
        arguments: 0..<4
    )
    func interleavings(part: Int) async {
        var (sent, refused) = (0, 0)
        for episode in 0..<250 {
            let seed = UInt64(part * 250 + episode)
            let world = QueueWorld.walk(seed)
            if let problem = world.problem {
                // The way there is told the second time: a million lines that nobody reads cost more than the steps.
                let way = QueueWorld.walk(seed, isLoud: true).trace.suffix(40).joined(separator: "\n")
                Issue.record("seed \(seed): \(problem)\n\(way)")
                return
            }
            sent += world.arrived.count
            refused += world.refusals
            await Task.yield()  // other tests want the pool too
        }
        // So that a million steps are not a million times nothing.
        #expect(sent > 20_000 && refused > 5000, "\(sent) sent, \(refused) refused")
    }
}

/// Never answers; the client cancels.
private func untilCancelledByClient() async -> JSONValue {
    await untilCancelled()
    return [:]
}

/// Runs a conversation over a transport of the test's.
private func converse(
    over transport: any Transport,
    isLegacy: Bool = false,
    _ body: @Sendable (ClientSession) async throws -> Void
) async throws {
    var configuration = ClientConfiguration()
    if isLegacy { configuration.era = .legacyOnly }
    configuration.connectTimeout = patience
    configuration.probeTimeout = patience
    let session = ClientSession(transport: transport, configuration: configuration)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { _ = await session.run() }
        let result: Result<Void, any Error>
        do { result = .success(try await body(session)) } catch { result = .failure(error) }
        session.close()
        try await group.waitForAll()
        try result.get()
    }
}

/// Refuses a message when told to, and says that it has drained before `send` has thrown.
private final class HastyTransport: Transport {
    private let base: any Transport
    private let state = Locked<(refuses: Bool, receiver: (any TransportReceiver)?)>((false, nil))

    init(_ base: any Transport) { self.base = base }

    func refuseNext() { self.state.withLock { $0.refuses = true } }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        self.state.withLock { $0.receiver = receiver }
        return await self.base.run(receiver)
    }

    func send(_ message: OutgoingMessage) throws(MCPError) {
        let receiver = self.state.withLock { state -> (any TransportReceiver)? in
            guard state.refuses else { return nil }
            state.refuses = false
            return state.receiver
        }
        guard let receiver else { return try self.base.send(message) }
        receiver.transportDidDrain()
        throw MCPError(.busy, "full, a moment ago")
    }

    func setReceiving(_ enabled: Bool) { self.base.setReceiving(enabled) }
    func close(_ mode: TeardownMode) { self.base.close(mode) }
}

/// A session's machine and a transport's queue as the shells around them drive them: several senders and the I/O thread, each of which may
/// be held up between any two of its steps.
private struct QueueWorld {
    /// What some thread is about to do.
    private enum Step {
        case send(Int64, OutgoingMessage, drains: Int)
        case tellRefused(Int64, OutgoingMessage, drains: Int)
        case post(SessionStateMachine<Int>.Post, drains: Int)
        case tellPostRefused(SessionStateMachine<Int>.Post, drains: Int)
        case tellDrained
        case sendNext
    }

    private var random: Seeded
    private var machine = SessionStateMachine<Int>(limits: .init(inFlight: 4, waiting: 1000))
    private var window = SendWindow()
    /// What the pipe takes now, and what has gone through it.
    private struct Pipe {
        var room = 0
        var messages: [String] = []

        mutating func write(_ queue: inout OutputQueue) -> OutputQueue.Outcome {
            queue.write { messages, offset in
                guard self.room > 0 else { return .blocked }
                var (taken, start) = (0, offset)
                for message in messages where self.room > 0 {
                    let count = min(self.room, message.count + 1 - start)
                    self.room -= count
                    taken += count
                    if start + count == message.count + 1 { self.messages.append(message.description) }
                    start = 0
                }
                return .bytes(taken)
            }
        }
    }

    private var pipe = Pipe()
    private var steps: [Step] = []
    private var expected: Set<String> = []
    private(set) var arrived: Set<String> = []
    private(set) var refusals = 0
    private(set) var problem: String?
    private(set) var trace: [String] = []
    private var nextPost = 0
    private var lastID: Int64 = 0
    /// Calls that have arrived and have no answer.
    private var open: [Int64] = []
    private let isLoud: Bool

    private init(seed: UInt64, isLoud: Bool) { (self.random, self.isLoud) = (Seeded(state: seed), isLoud) }

    static func walk(_ seed: UInt64, isLoud: Bool = false) -> QueueWorld {
        var world = QueueWorld(seed: seed, isLoud: isLoud)
        for _ in 0..<1000 where world.problem == nil { world.step() }
        world.finish()
        return world
    }

    private mutating func say(_ text: @autoclosure () -> String) {
        if self.isLoud { self.trace.append(text()) }
    }

    private static let limit = 60

    private mutating func step() {
        switch Int.random(in: 0..<10, using: &self.random) {
        case 0, 1: self.call()
        case 2: self.postReply()
        case 3: self.read(Int.random(in: 0...80, using: &self.random))
        case 4: self.answer()
        default: self.runOne()
        }
    }

    private mutating func call() {
        self.lastID += 1
        let id = self.lastID
        let text = #"{"id":\#(id),"x":"\#(String(repeating: "x", count: Int(id % 50)))"}"#
        let frame = OutgoingMessage(RawJSON(copying: text), kind: .request(.integer(id)))
        switch self.machine.start(id, Int(id), frame, timeouts: .init(idle: .seconds(9), hard: .seconds(9)), now: .zero)
        {
        case .send(let frame, let drains): self.steps.append(.send(id, frame, drains: drains))
        case .wait: break
        case .refuse: return
        }
        self.expected.insert(text)
        self.say("call \(id)")
    }

    private mutating func postReply() {
        self.nextPost += 1
        let number = self.nextPost
        let message = RawJSON(copying: #"{"reply":\#(number)}"#)
        self.expected.insert(message.description)
        self.machine.post(.init(message: OutgoingMessage(message, kind: .response(to: .integer(0)))))
        self.steps.append(.sendNext)
        self.say("reply \(number)")
    }

    /// The server reads, and the I/O thread sees that there is room.
    private mutating func read(_ bytes: Int) {
        self.pipe.room = min(self.pipe.room + bytes, 100)
        guard !self.window.queue.isEmpty else { return }
        var pipe = self.pipe
        let progress = self.window.resume { pipe.write(&$0) }
        self.arrive(pipe)
        if progress == .drained(tellReceiver: true) {
            self.say("drained")
            self.steps.append(.tellDrained)
        }
    }

    private mutating func offer(_ message: RawJSON) -> SendWindow.Sent {
        var pipe = self.pipe
        // Some wait for others to join them; the I/O thread comes for them when the server reads.
        let sent =
            Bool.random(using: &self.random)
            ? self.window.gather(message, limit: Self.limit)
            : self.window.send(message, limit: Self.limit) { pipe.write(&$0) }
        self.arrive(pipe)
        return sent
    }

    private mutating func arrive(_ pipe: Pipe) {
        self.pipe = pipe
        for text in pipe.messages {
            if !self.arrived.insert(text).inserted { self.problem = "\(text) arrived twice" }
            if text.hasPrefix(#"{"id":"#), let id = Int64(text.dropFirst(6).prefix(while: \.isNumber)) {
                self.open.append(id)
            }
        }
        self.pipe.messages.removeAll(keepingCapacity: true)
    }

    private mutating func answer() {
        guard let place = self.open.indices.randomElement(using: &self.random) else { return }
        let id = self.open.remove(at: place)
        guard self.machine.answered(.integer(id)) != nil else {
            self.problem = "nobody waits for the answer to \(id)"
            return
        }
        self.say("answer \(id)")
        self.steps.append(.sendNext)
    }

    /// One thread gets on, whichever.
    private mutating func runOne() {
        guard !self.steps.isEmpty else { return }
        switch self.steps.remove(at: Int.random(in: 0..<self.steps.count, using: &self.random)) {
        case .send(let id, let frame, let drains):
            switch self.offer(frame.payload) {
            case .accepted, .blocked, .gathered: _ = self.machine.sent(id)
            case .full:
                self.refusals += 1
                self.say("refused \(id)")
                self.steps.append(.tellRefused(id, frame, drains: drains))
            case .broken: self.problem = "broken"
            }
        case .tellRefused(let id, let frame, let drains):
            if self.machine.sendRefused(id, frame, drains: drains) { self.steps.append(.sendNext) }
        case .post(let post, let drains):
            switch self.offer(post.message.payload) {
            case .accepted, .blocked, .gathered:
                self.machine.posted()
                self.steps.append(.sendNext)
            case .full:
                self.refusals += 1
                self.steps.append(.tellPostRefused(post, drains: drains))
            case .broken: self.problem = "broken"
            }
        case .tellPostRefused(let post, let drains):
            if self.machine.postRefused(post, drains: drains) { self.steps.append(.sendNext) }
        case .tellDrained:
            self.machine.drained()
            self.steps.append(.sendNext)
        case .sendNext:
            if let (post, drains) = self.machine.nextPost() {
                self.steps.append(.post(post, drains: drains))
            } else if let (id, frame, drains) = self.machine.nextToSend() {
                self.steps.append(.send(id, frame, drains: drains))
                self.steps.append(.sendNext)
            }
        }
    }

    /// The server reads everything and answers everything: then nothing waits for anything.
    private mutating func finish() {
        var rounds = 0
        while self.problem == nil, self.arrived != self.expected {
            rounds += 1
            guard rounds < 200_000 else {
                let missing = self.expected.subtracting(self.arrived).sorted()
                self.problem = "\(missing.count) messages never leave, among them \(missing.prefix(3))"
                return
            }
            self.read(100)
            self.answer()
            self.runOne()
        }
        while !self.steps.isEmpty { self.runOne() }
        if self.problem == nil, !self.machine.isReceiving { self.problem = "the server is not listened to any more" }
    }
}
