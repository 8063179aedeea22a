import Foundation
import MCPJSON
import MCPSession
import TestSupport
import Testing

@testable import MCPClient
@testable import MCPHost
@testable import MCPStdio
@testable import MCPTransport

/// The machines of one connection, driven together in random order against a model: a million steps, no clock, no process.
///
/// Every request ends exactly once, every connection closes exactly once and within its bound, and nothing of an older generation
/// reaches a newer one. A failure names its seed and prints the way there; `MCP_SEED=n swift test --filter Interleaving` walks it
/// again.
@Suite("Interleavings", .timeLimit(.minutes(5)))
struct InterleavingTests {
    static let episodesPerCase = 250
    static let stepsPerEpisode = 1000

    @Test(
        "F3 G1 G11 a million random steps: send, answer, cancel, time, crash, restart, close, reload",
        arguments: 0..<4
    )
    func million(part: Int) async {
        if let seed = ProcessInfo.processInfo.environment["MCP_SEED"].flatMap({ UInt64($0) }) {
            if part == 0, let world = Self.walk(seed, isLoud: true) { print(world.trace.joined(separator: "\n")) }
            return
        }
        var (requests, generations) = (0, 0)
        for episode in 0..<Self.episodesPerCase {
            guard let world = Self.walk(UInt64(part * Self.episodesPerCase + episode)) else { return }
            requests += world.ends.count
            generations += world.starts
            await Task.yield()  // other tests want the pool too
        }
        // So that a million steps are not a million times nothing.
        #expect(requests > 50_000)
        #expect(generations > 5000)
    }

    /// - Returns: where it came to; nil if the model did not hold.
    private static func walk(_ seed: UInt64, isLoud: Bool = false) -> World? {
        var world = World(seed: seed, isLoud: isLoud)
        for _ in 0..<self.stepsPerEpisode where world.problem == nil { world.step() }
        if world.problem == nil { world.finish() }
        guard let problem = world.problem else { return world }
        // The way there is told the second time: a million lines that nobody reads cost more than the steps.
        guard isLoud else { return self.walk(seed, isLoud: true) }
        Issue.record("seed \(seed): \(problem)\n\(world.trace.suffix(60).joined(separator: "\n"))")
        return nil
    }
}

/// One connection after the other, as the shell around the machines would run them.
private struct World {
    /// What a request is called outside: a number that is never used twice.
    typealias Key = Int

    struct OnWire {
        var generation: Int
        var id: Int64
        var key: Key
    }

    var random: Seeded
    var trace: [String] = []
    var problem: String?

    var now: Duration = .zero
    var connection = ServerStateMachine()
    var restarts = RestartStateMachine(RestartPolicy())
    var session: SessionStateMachine<Key>?
    var teardown: TeardownStateMachine?
    var teardownDeadline: Duration?
    var closeBegan: Duration?
    var readySince: Duration?
    var restartAt: Duration?
    /// The process and what it left: nil without one.
    var processLives = false
    /// What the search will find.
    var remainder: TeardownStateMachine.Remainder?
    var descendantsLive = false
    var closings = 0
    var starts = 0

    /// How often the transport has said that it has room again.
    var drains = 0
    var nextKey: Key = 1
    /// The number that was given last in this generation.
    var nextID: Int64 = 0
    var ends: [Key: Int] = [:]
    var generations: [Key: Int] = [:]
    /// What the server has been sent, ever: it may answer any of it, at any time.
    var wire: [OnWire] = []

    static let graces = TeardownStateMachine.Graces(
        flush: .milliseconds(500),
        endOfInput: .seconds(2),
        terminate: .seconds(2),
        reap: .seconds(2)
    )

    private let isLoud: Bool

    init(seed: UInt64, isLoud: Bool) { (self.random, self.isLoud) = (Seeded(state: seed), isLoud) }

    private mutating func say(_ text: @autoclosure () -> String) {
        if self.isLoud { self.trace.append("\(self.now) \(text())") }
    }

    private mutating func fail(_ text: String) { self.problem = self.problem ?? text }

    // MARK: Steps

    mutating func step() {
        if self.connection.state == .closed { return self.reload() }
        if self.connection.state == .failed { return Bool.random(using: &self.random) ? self.reload() : self.restart() }
        if self.session == nil, Bool.random(using: &self.random) {
            self.pass(.seconds(1))
            return self.start()
        }
        switch UInt.random(in: 0..<100, using: &self.random) {
        case 0..<28: self.send()
        case 28..<48: self.answer()
        case 48..<54: self.answerAgain()
        case 54..<60: self.cancel()
        case 60..<66: self.progress()
        case 66..<72: self.pass(.milliseconds(Int.random(in: 1...400, using: &self.random)))
        case 72..<74: self.pass(.seconds(Int.random(in: 1...100, using: &self.random)))
        case 74..<80: self.becomeReady()
        case 80..<84: self.crash()
        case 84..<86: self.busy()
        case 86..<90: self.descendantsEnd()
        case 90..<92: self.outputBreaks()
        case 92..<97: self.start()
        case 97..<98: self.close(.graceful)
        case 98..<99: self.close(.immediate)
        default: Bool.random(using: &self.random) ? self.restart() : self.reload()
        }
    }

    private mutating func start() {
        guard
            self.connection.state == .idle || (self.connection.state == .waiting && self.now >= self.restartAt ?? .zero)
                || (self.connection.state == .closing && self.session == nil)
        else { return }
        self.apply(self.connection.start())
    }

    private mutating func apply(_ action: ServerStateMachine.StartAction) {
        switch action {
        case .connect(let generation, _):
            self.say("start #\(generation)")
            if !(self.session == nil && !self.processLives) { self.fail("a second process beside the first") }
            self.restarts.started(now: self.now)
            self.starts += 1
            self.session = SessionStateMachine(limits: .init(inFlight: 4, waiting: 6))
            self.session?.opens(by: self.now + .seconds(30))
            self.nextID = 0
            self.drains = 0
            self.teardown = TeardownStateMachine(graces: Self.graces)
            self.teardownDeadline = nil
            self.processLives = true
            self.descendantsLive = Bool.random(using: &self.random)
            self.readySince = nil
        case .sleep: self.fail("asleep, though it is kept")
        case .finish:
            self.say("closed")
            self.closings += 1
            if !(self.closings == 1) { self.fail("closed \(self.closings) times") }
        }
    }

    /// A step of the handshake, or one that comes when it is over.
    private mutating func negotiate() {
        guard var session = self.session else { return }
        let before = session.phase
        switch Int.random(in: 0..<6, using: &self.random) {
        case 0, 1: _ = session.opened()
        case 2: session.probes()
        case 3: session.probeAnswered()
        case 4 where before != .opening: session.agreed()
        default:
            if before != .ready, Int.random(in: 0..<20, using: &self.random) == 0 {
                session.disagreed(MCPError(.handshakeFailed, "no"))
            } else if session.openingIsLate(now: self.now), before != .opening {
                self.fail("late to open, while \(before)")
            }
        }
        let after = session.phase
        self.session = session
        let follow: [SessionStateMachine<Key>.Phase]
        switch before {
        case .opening: follow = [.negotiating, .failed]
        case .negotiating: follow = [.probing, .ready, .failed]
        case .probing: follow = [.negotiating, .ready, .failed]
        case .ready, .failed, .broken: follow = []
        }
        if after != before {
            self.say("\(before) -> \(after)")
            if !follow.contains(after) { self.fail("\(before) is followed by \(after)") }
        }
    }

    private mutating func becomeReady() {
        for _ in 0..<3 { self.negotiate() }
        guard self.session?.phase == .ready else { return }
        // The handshake of some generation reports, perhaps one that is long over.
        let generation = max(1, self.connection.generation - Int.random(in: 0...1, using: &self.random))
        let before = self.connection.state
        if self.connection.becameReady(generation) {
            self.say("ready #\(generation)")
            if !(generation == self.connection.generation) { self.fail("an older generation became ready") }
            if !(before == .starting) { self.fail("ready while \(before)") }
            self.readySince = self.now
        }
    }

    private mutating func send() {
        guard self.session != nil else { return }
        let key = self.nextKey
        self.nextKey += 1
        self.ends[key] = 0
        self.generations[key] = self.connection.generation
        self.nextID += 1
        let id = self.nextID
        if Int.random(in: 0..<40, using: &self.random) == 0, let ending = self.session?.cancelled(id) {
            self.end(ending)  // cancelled between number and start: nothing may come of it here
            self.fail("a request ended that had not begun")
        }
        let timeouts = SessionStateMachine<Key>.Timeouts(
            idle: .milliseconds(Int.random(in: 1...60_000, using: &self.random)),
            hard: .milliseconds(Int.random(in: 1...600_000, using: &self.random))
        )
        self.say("send \(id) for \(key)")
        switch self.session?.start(id, key, "{}", timeouts: timeouts, now: self.now) {
        case .send(_, _): self.wire.append(OnWire(generation: self.connection.generation, id: id, key: key))
        case .wait, nil: self.waiting[id] = key
        case .refuse(let key, _): self.ends[key, default: 0] += 1
        }
    }

    /// Numbers of requests that have not left yet.
    private var waiting: [Int64: Key] = [:]

    private mutating func sendNext() {
        while let (id, _, _) = self.session?.nextToSend() {
            guard let key = self.waiting.removeValue(forKey: id) else {
                return self.fail("\(id) was sent, but does not wait")
            }
            self.say("send on \(id)")
            self.wire.append(OnWire(generation: self.connection.generation, id: id, key: key))
        }
    }

    private mutating func answer() {
        guard !self.wire.isEmpty, self.processLives else { return }
        let current = self.wire.indices.suffix(8).randomElement(using: &self.random) ?? 0
        let entry = self.wire[current]
        // What an older process was sent comes from nowhere: its numbers mean somebody else now, so it cannot be told apart on the
        // wire. The shell never delivers it, because a transport belongs to one generation.
        guard entry.generation == self.connection.generation else { return }
        self.say("answer \(entry.id)")
        if let ending = self.session?.answered(.integer(entry.id)) {
            if !(ending.waiter == entry.key) { self.fail("the answer to \(entry.key) went to \(ending.waiter)") }
            self.end(ending)
        }
        self.sendNext()
    }

    private mutating func answerAgain() {
        guard self.processLives else { return }
        let id = Int64.random(in: -2...Int64(self.nextKey + 2), using: &self.random)
        let known = self.wire.last { $0.generation == self.connection.generation && $0.id == id }
        if let ending = self.session?.answered(.string("\(id)")) {
            self.say("stray answer \(id)")
            if !(known?.key == ending.waiter) { self.fail("a stray answer \(id) ended \(ending.waiter)") }
            self.end(ending)
        }
        self.sendNext()
    }

    private mutating func cancel() {
        guard let entry = self.wire.suffix(12).randomElement(using: &self.random),
            entry.generation == self.connection.generation
        else { return }
        self.say("cancel \(entry.id)")
        if let ending = self.session?.cancelled(entry.id) { self.end(ending) }
        self.session?.forget(entry.id)
        self.sendNext()
    }

    private mutating func progress() {
        guard let entry = self.wire.suffix(12).randomElement(using: &self.random) else { return }
        let value = Double.random(in: 0..<100, using: &self.random)
        if let key = self.session?.progressed(entry.id, value, now: self.now),
            entry.generation == self.connection.generation
        {
            if !(key == entry.key) { self.fail("progress of \(entry.key) was told to \(key)") }
        }
    }

    private mutating func busy() {
        guard let entry = self.wire.last, entry.generation == self.connection.generation,
            self.session?.isBroken == false
        else {
            return
        }
        if Bool.random(using: &self.random), self.ends[entry.key] == 0 {
            self.say("busy \(entry.id)")
            // Refused just now, or before the transport drained the last time.
            let drains = self.drains - Int.random(in: 0...min(1, self.drains), using: &self.random)
            _ = self.session?.sendRefused(entry.id, "{}", drains: drains)
            self.waiting[entry.id] = entry.key
            self.wire.removeLast()
        } else {
            self.session?.drained()
            self.drains += 1
            self.sendNext()
        }
    }

    private mutating func end(_ ending: SessionStateMachine<Key>.Ending) {
        self.ends[ending.waiter, default: 0] += 1
        if !(self.ends[ending.waiter] == 1) {
            self.fail("request \(ending.waiter) ended \(self.ends[ending.waiter] ?? 0) times")
        }
        if !(self.generations[ending.waiter] == self.connection.generation) {
            self.fail("request \(ending.waiter) of an older generation ended in a newer one")
        }
        self.waiting[ending.id] = nil
    }

    // MARK: Time

    private mutating func pass(_ time: Duration) {
        self.now += time
        for (ending, _) in self.session?.expire(now: self.now) ?? [] { self.end(ending) }
        self.sendNext()
        while let deadline = self.teardownDeadline, deadline <= self.now, let actions = self.teardown?.timeout() {
            self.teardownDeadline = nil
            self.perform(actions, at: deadline)
        }
    }

    // MARK: Ends

    private mutating func breakSession(_ code: MCPError.Code) {
        let before = self.session?.phase
        guard let endings = self.session?.broke(MCPError(code, "gone")) else { return }
        if let before, before != .broken,
            self.session?.endedDuringProbe != (before == .probing && code == .connectionLost)
        {
            self.fail("\(code) while \(before) is an answer to the probe: \(self.session?.endedDuringProbe as Any)")
        }
        for ending in endings { self.end(ending) }
        _ = self.connection.broke(self.connection.generation)
    }

    private mutating func outputBreaks() {
        guard self.processLives, self.session?.isBroken == false else { return }
        self.say("output breaks")
        self.breakSession(.connectionLost)
        self.closeTransport(.graceful)
    }

    private mutating func crash() {
        guard self.processLives else { return }
        self.say("process ends")
        self.processLives = false
        self.breakSession(.connectionLost)
        let remainder: TeardownStateMachine.Remainder =
            self.descendantsLive
            ? .descendants : [.nobody, .guardProcess].randomElement(using: &self.random) ?? .nobody
        self.remainder = remainder
        if let actions = self.teardown?.leaderEnded() { self.perform(actions, at: self.now) }
        // The search takes its time.
        if Bool.random(using: &self.random) { self.searchEnds() }
    }

    private mutating func searchEnds() {
        guard let remainder = self.remainder else { return }
        self.remainder = nil
        if let actions = self.teardown?.found(remainder) { self.perform(actions, at: self.now) }
    }

    private mutating func descendantsEnd() {
        guard self.session != nil, !self.processLives else { return }
        if self.remainder != nil { return self.searchEnds() }
        self.descendantsLive = false
        if let actions = self.teardown?.othersEnded() { self.perform(actions, at: self.now) }
    }

    private mutating func closeTransport(_ mode: TeardownMode) {
        if self.closeBegan == nil { self.closeBegan = self.now }
        if let actions = self.teardown?.close(mode, hasUnsent: Bool.random(using: &self.random)) {
            self.perform(actions, at: self.now)
        }
    }

    private mutating func close(_ mode: TeardownMode) {
        self.say("close \(mode)")
        switch self.connection.close(mode) {
        case .nothing: break
        case .wait, .wake: self.apply(self.connection.start())
        case .closeSession(let mode):
            self.breakSession(.hostClosed)
            self.closeTransport(mode)
        }
    }

    /// Somebody asks for a restart (T11).
    private mutating func restart() {
        let (state, isUnderWay) = (self.connection.state, self.connection.isRestarting)
        let action = self.connection.restart()
        self.say("restart asked for while \(state): \(action)")
        if isUnderWay, action != .join, action != .refuse { self.fail("a second restart beside the first: \(action)") }
        switch action {
        case .join: return
        case .refuse:
            if !(state == .closing || state == .closed) { self.fail("refused while \(state)") }
            return
        case .follow: break
        case .closeSession:
            self.restarts = RestartStateMachine(RestartPolicy())
            self.breakSession(.connectionLost)
            self.closeTransport(.graceful)
            return
        case .wake: self.apply(self.connection.next())
        case .enter: self.closings = 0
        }
        self.restarts = RestartStateMachine(RestartPolicy())
    }

    private mutating func perform(_ actions: [TeardownStateMachine.Action], at time: Duration) {
        for action in actions {
            switch action {
            case .closeInput, .signalGroup, .killDirectly, .search: break
            case .lookWhetherStuck:
                if Int.random(in: 0..<8, using: &self.random) == 0, let actions = self.teardown?.isStuck() {
                    self.perform(actions, at: time)
                }
            case .arm(let delay): self.teardownDeadline = time + delay
            case .disarm: self.teardownDeadline = nil
            case .finish: self.transportEnds(at: time)
            }
        }
    }

    private mutating func transportEnds(at time: Duration) {
        let bound = Self.graces.flush + Self.graces.endOfInput + Self.graces.terminate + Self.graces.reap
        if let began = self.closeBegan {
            // The reaping of a group comes on top of that of its leader.
            let most = bound + Self.graces.terminate + Self.graces.reap * 2
            if !(time - began <= most) { self.fail("closing took \(time - began)") }
        }
        self.breakSession(.hostClosed)
        let pending = self.session?.pendingCount ?? 0
        if !(pending == 0) { self.fail("\(pending) requests outlive their connection") }
        self.session = nil
        self.teardown = nil
        self.remainder = nil
        self.processLives = false
        self.closeBegan = nil
        self.waiting = [:]
        let stale = self.connection.generation - 1
        if stale > 0 {
            let before = self.connection.state
            _ = self.connection.ended(stale, duringProbe: true)
            if !(self.connection.state == before) { self.fail("the end of an older generation changed the newer one") }
        }
        let isProbe = self.readySince == nil && Int.random(in: 0..<10, using: &self.random) == 0
        switch self.connection.ended(self.connection.generation, duringProbe: isProbe) {
        case .sleep: self.fail("asleep, though it is kept")
        case .finish:
            self.say("closed")
            self.closings += 1
            if !(self.closings == 1) { self.fail("closed \(self.closings) times") }
        case .connect(let generation, let legacyOnly):
            self.apply(.connect(generation: generation, legacyOnly: legacyOnly))
        case .decide:
            let readyFor = self.readySince.map { time - $0 }
            switch self.restarts.died(
                now: self.now,
                readyFor: readyFor,
                random: .random(in: 0..<1, using: &self.random)
            ) {
            case .restart(let delay):
                self.say("restart in \(delay)")
                if self.isOvertaken() { return self.apply(self.connection.next()) }
                if !(delay >= .zero && delay <= .seconds(45)) { self.fail("a restart after \(delay)") }
                self.restartAt = self.now + delay
                if !(self.connection.wait()) { self.fail("it cannot wait for its restart") }
            case .giveUp, .stayDown:
                self.say("gives up")
                if self.isOvertaken() { return self.apply(self.connection.next()) }
                if !(self.connection.giveUp()) { self.fail("it cannot give up") }
                self.closings += 1
                if !(self.closings == 1) { self.fail("closed \(self.closings) times") }
            }
        }
    }

    /// Somebody asks for a restart, or for the end, just before it is decided what becomes of the server.
    private mutating func isOvertaken() -> Bool {
        switch Int.random(in: 0..<20, using: &self.random) {
        case 0: if !(self.connection.restart() == .follow) { self.fail("nobody follows a server that is ending") }
        case 1: _ = self.connection.close(.graceful)
        default: return false
        }
        let mayGoOn = Bool.random(using: &self.random) ? self.connection.wait() : self.connection.giveUp()
        if mayGoOn { self.fail("what was asked for in the last moment is forgotten") }
        return true
    }

    /// The configuration was read again: this connection goes, another one comes.
    private mutating func reload() {
        self.say("reload")
        self.close(.graceful)
        self.drive()
        self.connection = ServerStateMachine()
        self.restarts = RestartStateMachine(RestartPolicy())
        self.closings = 0
        self.wire = []
    }

    /// Time passes until the connection is closed: with nobody's help, within the bound.
    private mutating func drive() {
        var rounds = 0
        while self.connection.state != .closed, self.connection.state != .failed, self.problem == nil {
            self.pass(.seconds(2))
            rounds += 1
            if !(rounds < 12) { self.fail("not closed after \(rounds * 2) s, still \(self.connection.state)") }
        }
        if !(self.closings == 1) { self.fail("closed \(self.closings) times") }
    }

    mutating func finish() {
        self.reload()
        for (key, count) in self.ends where count != 1 {
            self.fail("request \(key) ended \(count) times")
        }
    }
}
