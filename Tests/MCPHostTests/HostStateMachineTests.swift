import MCPTransport
import TestSupport
import Testing

@testable import MCPHost

@Suite("Where a host stands", .timeLimit(.minutes(5)))
struct HostStateMachineTests {
    @Test("without calls it closes at once; what comes later changes nothing")
    func closes() {
        var machine = HostStateMachine()
        #expect(machine.enter() && !machine.enter())
        #expect(machine.beginCall() && !machine.endCall())
        #expect(machine.shutDown(.graceful, mayDrain: true, now: .seconds(3)) == .close)
        #expect(machine.close() && machine.state == .closing && machine.closingSince == .seconds(3))
        #expect(!machine.beginCall() && !machine.isOpen)
        #expect(machine.shutDown(.graceful, mayDrain: true, now: .seconds(4)) == .nothing)
        #expect(machine.shutDown(.immediate, mayDrain: true, now: .seconds(4)) == .close)
        #expect(machine.leave() == false)
        machine.closed()
        #expect(!machine.close() && machine.shutDown(.immediate, mayDrain: true, now: .zero) == .nothing)
        #expect(machine.state == .closed && machine.closingSince == .seconds(3))
    }

    @Test("M3 K8 calls under way are waited for, unless there is no time for them, or somebody is in a hurry")
    func drains() {
        for (mode, mayDrain) in [(TeardownMode.immediate, true), (.graceful, false)] {
            var machine = HostStateMachine()
            #expect(machine.beginCall() == true)
            #expect(machine.shutDown(mode, mayDrain: mayDrain, now: .zero) == .close)
        }
        var machine = HostStateMachine()
        #expect(machine.beginCall() && machine.beginCall())
        #expect(machine.shutDown(.graceful, mayDrain: true, now: .zero) == .drain)
        #expect(machine.drainTimerMade() && machine.state == .draining)
        #expect(machine.shutDown(.graceful, mayDrain: true, now: .zero) == .nothing)
        #expect(!machine.beginCall() && !machine.endCall() && machine.endCall())
        #expect(machine.close() && machine.leave() && !machine.leave())
        var hurried = HostStateMachine()
        #expect(hurried.beginCall() && hurried.shutDown(.graceful, mayDrain: true, now: .zero) == .drain)
        #expect(hurried.shutDown(.immediate, mayDrain: true, now: .zero) == .close && hurried.close())
        #expect(hurried.endCall() == false, "it is closing already")
    }

    @Test("T16 a timer that comes after the draining is for nobody")
    func lateTimer() {
        var machine = HostStateMachine()
        #expect(machine.beginCall() && machine.shutDown(.graceful, mayDrain: true, now: .zero) == .drain)
        #expect(machine.endCall() && machine.close())
        #expect(!machine.drainTimerMade() && !machine.hasDrainTimer && !machine.leave())
    }

    @Test("a million steps in any order: never back, every call counted, every timer gone", arguments: 0..<100)
    func random(seed: UInt64) {
        var random = Seeded(state: seed)
        var machine = HostStateMachine()
        var (calls, timers, drains) = (0, 0, 0)
        /// A drain that was decided on, and whose timer is being made.
        var isMakingTimer = false
        var reached = 0
        func rank(of state: HostStateMachine.State) -> Int {
            switch state {
            case .open: 0
            case .draining: 1
            case .closing: 2
            case .closed: 3
            }
        }
        for step in 0..<10_000 {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<45:
                let isOpen = machine.isOpen
                let mayBegin = machine.beginCall()
                #expect(mayBegin == isOpen)
                if mayBegin { calls += 1 }
            case 45..<90 where calls > 0:
                calls -= 1
                let wasDraining = machine.state == .draining
                let closes = machine.endCall()
                #expect(closes == (wasDraining && calls == 0))
                if closes { #expect(machine.close() == true) }
            case 90..<92 where step > 5000:
                let action = machine.shutDown(.graceful, mayDrain: Bool.random(using: &random), now: .seconds(step))
                if action == .drain {
                    drains += 1
                    isMakingTimer = true
                    #expect(calls > 0)
                }
                if action == .close { _ = machine.close() }
            case 92 where step > 8000:
                if machine.shutDown(.immediate, mayDrain: true, now: .seconds(step)) == .close { _ = machine.close() }
            case 93 where isMakingTimer:
                isMakingTimer = false
                if machine.drainTimerMade() { timers += 1 }
            case 94 where machine.state == .draining: #expect(machine.close() == true, "the drain limit has passed")
            case 95 where machine.state == .closing:
                if machine.leave() { timers -= 1 }
                machine.closed()
            default: break
            }
            #expect(machine.callsInFlight == calls && machine.hasDrainTimer == (timers == 1) && drains <= 1)
            let next = rank(of: machine.state)
            #expect(next >= reached, "back from \(reached) to \(next)")
            reached = next
        }
        if machine.shutDown(.immediate, mayDrain: false, now: .zero) == .close { _ = machine.close() }
        if machine.leave() { timers -= 1 }
        machine.closed()
        #expect(timers == 0 && machine.state == .closed && machine.closingSince != nil)
    }
}
