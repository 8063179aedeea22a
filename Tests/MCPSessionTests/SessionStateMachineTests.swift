import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPSession

@Suite("Requests of one conversation", .timeLimit(.minutes(5)))
struct SessionStateMachineTests {
    private typealias Machine = SessionStateMachine<Int>
    private static let timeouts = Machine.Timeouts(idle: .seconds(60), hard: .seconds(600))

    private func machine(inFlight: Int = 64, waiting: Int = 256) -> Machine {
        Machine(limits: .init(inFlight: inFlight, waiting: waiting))
    }

    private func start(_ machine: inout Machine, now: Duration = .zero) -> Int64 {
        let id = Int64(machine.uses + 1)
        _ = machine.start(id, Int(id), "{}", timeouts: Self.timeouts, now: now)
        return id
    }

    @Test("F1 F2 F7 RPC-08 an answer counts once; unknown, late and doubled ones find nobody")
    func answers() {
        var machine = self.machine()
        let id = self.start(&machine)
        #expect(machine.answered(.integer(99)) == nil)
        #expect(machine.answered(.integer(id))?.waiter == Int(id))
        #expect(machine.answered(.integer(id)) == nil)
        #expect(machine.pendingCount == 0)
    }

    @Test("F1 T6 an answer to a request that the transport then refuses: it does not go out again")
    func refusedWhenAnswered() {
        var machine = self.machine(inFlight: 1)
        let id = self.start(&machine)
        guard case .held = machine.answered(.integer(id), hold: { _ in true }) else {
            Issue.record("not held")
            return
        }
        let isTriedAgain = machine.sendRefused(id, "{}", drains: 0)
        machine.drained()
        let next = machine.nextToSend()
        let ending = machine.delivered(id)
        #expect(!isTriedAgain && next == nil)
        #expect(ending?.isAnswered == true && machine.pendingCount == 0)
        // The place in flight is free, once.
        _ = self.start(&machine)
        guard case .wait = machine.start(9, 9, "{}", timeouts: Self.timeouts, now: .zero) else {
            Issue.record("two in flight where one is the limit")
            return
        }
    }

    @Test("F5 a number that comes back as a string is taken for it; other strings are not")
    func stringID() {
        var machine = self.machine()
        let id = self.start(&machine)
        #expect(machine.answered(.string("zero")) == nil)
        #expect(machine.answered(.string("\(id)"))?.waiter == Int(id))
    }

    @Test("B11 a probe is answered by its own id only")
    func probe() {
        var machine = self.machine()
        _ = machine.start(7, 1, "{}", timeouts: Self.timeouts, isProbe: true, now: .zero)
        #expect(machine.answered(.integer(7)) == nil)
        #expect(machine.answered(Machine.wireID(7, isProbe: true))?.waiter == 1)
    }

    @Test("F8 V7 a probe that is given up ends under its own id, before the send has come back and after")
    func givenUpProbe() {
        var machine = self.machine()
        for id in Int64(1)...2 {
            _ = machine.start(id, 1, "{}", timeouts: Self.timeouts, isProbe: true, now: .zero)
            if id == 2 { _ = machine.sent(id) }
            let ending = machine.cancelled(id)
            #expect(ending?.wireID == .string("probe-\(id)") && ending?.isSending == (id == 1))
        }
    }

    @Test("A full line says busy; a free place takes the next, in order")
    func line() {
        var machine = self.machine(inFlight: 1, waiting: 2)
        let ids = (0..<3).map { _ in self.start(&machine) }
        guard case .refuse(_, let error) = machine.start(9, 0, "{}", timeouts: Self.timeouts, now: .zero) else {
            return #expect(Bool(false), "accepted")
        }
        #expect(error.code == .busy)
        #expect(machine.nextToSend() == nil)
        #expect(machine.answered(.integer(ids[1])) == nil, "it was not sent yet")
        _ = machine.answered(.integer(ids[0]))
        #expect(machine.nextToSend()?.id == ids[1])
        #expect(machine.nextToSend() == nil)
        #expect(machine.cancelled(ids[2])?.wasSent == false)
        _ = machine.answered(.integer(ids[1]))
        #expect(machine.nextToSend() == nil)
    }

    @Test("F11 F12 F13 F14 PROG-03 PROG-05 progress restarts the idle limit of its own request, never the hard one")
    func time() {
        var machine = self.machine()
        let (a, b) = (self.start(&machine), self.start(&machine))
        #expect(machine.progressed(a, 1, now: .seconds(50)) == Int(a))
        #expect(machine.progressed(a, 1, now: .seconds(55)) == nil, "it does not grow")
        #expect(machine.progressed(99, 1, now: .seconds(55)) == nil)
        let expired = machine.expire(now: .seconds(60))
        #expect(expired.map(\.ending.id) == [b] && expired[0].error.message.contains("60.0 seconds"))
        for second in stride(from: 100, through: 590, by: 50) {
            _ = machine.progressed(a, Double(second), now: .seconds(second))
        }
        #expect(machine.expire(now: .seconds(599)).isEmpty)
        #expect(machine.expire(now: .seconds(600)).first?.error.message.contains("600.0 seconds") == true)
        #expect(machine.nextDeadline == nil)
    }

    @Test("A cancellation before the start refuses the start")
    func cancelledEarly() {
        var machine = self.machine()
        #expect(machine.cancelled(1) == nil)
        guard case .refuse(_, let error) = machine.start(1, 0, "{}", timeouts: Self.timeouts, now: .zero) else {
            return #expect(Bool(false), "accepted")
        }
        #expect(error.code == .cancelled)
    }

    @Test("F3 every request ends exactly once, whatever happens in whatever order", arguments: 0..<100)
    func random(seed: UInt64) {
        var state = seed &+ 1
        func next(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        var machine = self.machine(inFlight: 4, waiting: 4)
        var now: Duration = .zero
        var (started, ended): ([Int64: Int], [Int64: Int]) = ([:], [:])
        for step in 0..<2000 {
            now += .seconds(Int(next(10)))
            let id = Int64(next(UInt64(started.count + 2)))
            switch next(9) {
            case 0, 1, 2:
                let fresh = Int64(started.count + 1)
                if next(10) == 0 { _ = machine.cancelled(fresh) }
                started[fresh] = 1
                if case .refuse(let waiter, _) = machine.start(
                    fresh,
                    Int(fresh),
                    "{}",
                    timeouts: Self.timeouts,
                    now: now
                ) {
                    ended[Int64(waiter), default: 0] += 1
                }
            case 3: if let ending = machine.answered(.integer(id)) { ended[ending.id, default: 0] += 1 }
            case 4:
                if let ending = machine.cancelled(id) { ended[ending.id, default: 0] += 1 }
                machine.forget(id)
            case 5: for expired in machine.expire(now: now) { ended[expired.ending.id, default: 0] += 1 }
            case 6:
                if let next = machine.nextToSend(), step.isMultiple(of: 3) {
                    _ = machine.sendRefused(next.id, next.message, drains: next.drains)
                }
                machine.drained()
            case 7: if let ending = machine.failed(.integer(id)) { ended[ending.id, default: 0] += 1 }
            default: _ = machine.progressed(id, Double(step), now: now)
            }
        }
        for ending in machine.broke(MCPError(.connectionLost, "gone")) { ended[ending.id, default: 0] += 1 }
        #expect(ended == started)
        #expect(machine.pendingCount == 0 && machine.nextToSend() == nil)
    }

    @Test("L6 a hundred thousand timeouts leave the table empty")
    func timeouts() {
        var machine = SessionStateMachine<Int>(limits: .init(inFlight: 1000, waiting: 10))
        var now = Duration.zero
        var ended = 0
        for round in 0..<100 {
            for i in 0..<1000 {
                _ = machine.start(
                    Int64(round * 1000 + i),
                    round * 1000 + i,
                    "{}",
                    timeouts: .init(idle: .seconds(1), hard: .seconds(9)),
                    now: now
                )
            }
            now += .seconds(1)
            ended += machine.expire(now: now).count
        }
        #expect(ended == 100_000 && machine.pendingCount == 0 && machine.nextDeadline == nil)
    }

    @Test("F16 the limit of a call counts, not the shorter one of its connection")
    func ownLimit() {
        var machine = SessionStateMachine<Int>(limits: .init())
        _ = machine.start(1, 1, "{}", timeouts: .init(idle: .seconds(600), hard: .seconds(600)), now: .zero)
        #expect(machine.expire(now: .seconds(180)).isEmpty)
        #expect(machine.answered(.integer(1))?.waiter == 1)
    }

    @Test("V6 a round for which nothing of the limit is left is not sent")
    func noTimeLeft() {
        var machine = self.machine()
        let spent = Machine.Timeouts(idle: .seconds(60), hard: .seconds(600), spent: .seconds(600))
        guard case .refuse(let waiter, let error) = machine.start(1, 7, "{}", timeouts: spent, now: .zero) else {
            Issue.record("sent")
            return
        }
        #expect(waiter == 7 && error.code == .timeout && error.message.contains("600.0 seconds"))
        #expect(machine.pendingCount == 0 && machine.inFlight == 0)
    }

    @Test("F11 the timer is set for what is due before everything else, and again when it has fired")
    func alarm() {
        var machine = self.machine()
        #expect(machine.arm(.seconds(10)) == .seconds(10))
        #expect(machine.arm(.seconds(10)) == nil && machine.arm(.seconds(11)) == nil)
        #expect(machine.arm(.seconds(9)) == .seconds(9))
        #expect(machine.rearm() == nil, "nobody waits")
        _ = self.start(&machine, now: .seconds(5))
        #expect(machine.arm(.seconds(65)) == .seconds(65) && machine.arm(.seconds(65)) == nil)
        #expect(machine.rearm() == .seconds(65) && machine.arm(.seconds(66)) == nil)
    }

    // MARK: Phases

    @Test(
        "B10 an end before the probe is answered is an answer to it; before it was sent, afterwards, and by ourselves it is none"
    )
    func endOfProbe() {
        func ended(by code: MCPError.Code = .connectionLost, _ steps: (inout Machine) -> Void) -> Bool {
            var machine = self.machine()
            steps(&machine)
            _ = machine.broke(MCPError(code, "gone"))
            #expect(machine.phase == .broken)
            return machine.endedDuringProbe
        }
        let probes: @Sendable (inout Machine) -> Void = {
            _ = $0.opened()
            $0.probes()
        }
        #expect(ended(probes))
        #expect(!ended(by: .hostClosed, probes), "we have ended it")
        #expect(!ended { _ = $0.opened() }, "it was not asked")
        #expect(
            !ended {
                probes(&$0)
                $0.probeAnswered()
            },
            "it has answered"
        )
        #expect(
            ended {
                probes(&$0)
                $0.probeAnswered()
                $0.probes()
            },
            "it was asked again"
        )
        #expect(
            !ended {
                probes(&$0)
                $0.disagreed(MCPError(.handshakeFailed, "no"))
            },
            "its end follows from our own verdict"
        )
    }

    @Test("B10 whoever has agreed has answered, even if it has gone since; whoever is refused for what it said, too")
    func endOfProbeUndone() {
        var machine = self.machine()
        _ = machine.opened()
        machine.probes()
        _ = machine.broke(MCPError(.connectionLost, "gone"))
        #expect(machine.endedDuringProbe)
        var agreed = machine
        agreed.agreed()
        #expect(!agreed.endedDuringProbe && agreed.phase == .broken)
        var refused = machine
        refused.disagreed(MCPError(.unsupportedRevision, "no common revision"))
        #expect(!refused.endedDuringProbe && refused.phase == .broken)
        machine.disagreed(MCPError(.connectionLost, "gone"))
        #expect(machine.endedDuringProbe, "nothing but the end has come")
    }

    @Test("T4 an opening that takes too long is late once, and one that has come is not")
    func lateOpening() {
        var machine = self.machine()
        machine.opens(by: .seconds(30))
        #expect(machine.nextDeadline == .seconds(30) && !machine.openingIsLate(now: .seconds(29)))
        #expect(machine.openingIsLate(now: .seconds(30)) && machine.phase == .failed)
        #expect(!machine.openingIsLate(now: .seconds(31)) && machine.nextDeadline == nil)
        #expect(!machine.opened() && machine.phase == .failed, "too late")
        var open = self.machine()
        open.opens(by: .seconds(30))
        #expect(
            open.opened() && open.nextDeadline == nil && !open.openingIsLate(now: .seconds(31))
                && open.phase == .negotiating
        )
        open.opens(by: .seconds(60))
        #expect(open.nextDeadline == nil, "it is open")
    }

    @Test("T6 the transport is told to listen by one at a time, and the last word is about the newest state")
    func receiving() {
        var machine = self.machine()
        #expect(machine.receivingToTell() == nil)
        for _ in 0..<Machine.outboxLimit { machine.post(.init(message: "{}")) }
        #expect(machine.receivingToTell() == false)
        while machine.nextPost() != nil { machine.posted() }
        #expect(machine.receivingToTell() == nil, "somebody is telling it the former")
        machine.receivingTold()
        #expect(machine.receivingToTell() == true)
        machine.receivingTold()
        #expect(machine.receivingToTell() == nil)
    }
}
