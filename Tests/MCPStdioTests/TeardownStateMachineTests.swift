import MCPTransport
import Testing

@testable import MCPStdio

@Suite("Steps of closing", .timeLimit(.minutes(5)))
struct TeardownStateMachineTests {
    private static let graces = TeardownStateMachine.Graces(
        flush: .milliseconds(500),
        endOfInput: .seconds(2),
        terminate: .seconds(3),
        reap: .seconds(4)
    )

    @Test("T17 T26 a server that ignores everything: each step in its turn, and SIGKILL is waited for")
    func allSteps() {
        var machine = TeardownStateMachine(graces: Self.graces)
        #expect(machine.close(.graceful, hasUnsent: true) == [.arm(.milliseconds(500))])
        #expect(machine.timeout() == [.closeInput, .arm(.seconds(2))])
        #expect(machine.timeout() == [.signalGroup(.terminate), .arm(.seconds(3))])
        #expect(machine.timeout() == [.signalGroup(.kill), .arm(.seconds(1))])
        #expect(machine.timeout() == [.arm(.seconds(1)), .killDirectly])
        #expect(machine.timeout() == [.arm(.seconds(2)), .lookWhetherStuck])
        #expect(machine.timeout() == [.disarm, .finish])
        #expect(machine.step == .abandoned && machine.isAbandoned && machine.isEnded)
    }

    @Test("T26 what sleeps in the kernel is not waited for; who is merely late is")
    func stuck() {
        var machine = TeardownStateMachine(graces: Self.graces)
        #expect(machine.isStuck() == [])
        _ = machine.close(.immediate, hasUnsent: false)
        #expect(machine.isStuck() == [.disarm, .finish])
        #expect(machine.isAbandoned)
    }

    @Test("T25 without patience for SIGKILL it is given up at once")
    func impatient() {
        var graces = Self.graces
        graces.reap = .zero
        var machine = TeardownStateMachine(graces: graces)
        #expect(machine.close(.immediate, hasUnsent: false) == [.closeInput, .signalGroup(.kill), .arm(.zero)])
        #expect(machine.timeout() == [.disarm, .finish])
        #expect(machine.isAbandoned)
    }

    @Test("A polite server: no signal")
    func polite() {
        var machine = TeardownStateMachine(graces: Self.graces)
        #expect(machine.close(.graceful, hasUnsent: false) == [.closeInput, .arm(.seconds(2))])
        #expect(machine.close(.graceful, hasUnsent: false) == [])
        #expect(machine.leaderEnded() == [.arm(.seconds(4)), .search])
        #expect(machine.found(.nobody) == [.disarm, .finish])
        #expect(machine.step == .endOfInput)
        #expect(machine.timeout() == [] && machine.close(.immediate, hasUnsent: true) == [])
    }

    @Test("A leader that leaves others behind: they get SIGTERM, then SIGKILL")
    func others() {
        var machine = TeardownStateMachine(graces: Self.graces)
        #expect(machine.leaderEnded() == [.closeInput, .arm(.seconds(4)), .search])
        #expect(machine.step == .alreadyGone)
        #expect(machine.found(.descendants) == [.signalGroup(.terminate), .arm(.seconds(3))])
        #expect(machine.timeout() == [.signalGroup(.kill), .arm(.seconds(1))])
        #expect(machine.othersEnded() == [.disarm, .finish])
        #expect(!machine.isAbandoned)
    }

    @Test("A forced close skips the steps that are left, from every state")
    func forced() {
        for steps in 0..<3 {
            var machine = TeardownStateMachine(graces: Self.graces)
            if steps > 0 { _ = machine.close(.graceful, hasUnsent: false) }
            if steps > 1 { _ = machine.timeout() }
            #expect(machine.close(.immediate, hasUnsent: false).contains(.signalGroup(.kill)))
            _ = machine.leaderEnded()
            #expect(machine.found(.descendants) == [.signalGroup(.kill), .arm(.seconds(1))])
        }
    }

    @Test("Forced while it is being looked for: what is found is killed at once")
    func forcedWhileSearching() {
        var machine = TeardownStateMachine(graces: Self.graces)
        _ = machine.leaderEnded()
        #expect(machine.close(.immediate, hasUnsent: false) == [])
        #expect(machine.found(.descendants) == [.signalGroup(.kill), .arm(.seconds(1))])
    }

    @Test("A search that does not come back is given up")
    func lostSearch() {
        var machine = TeardownStateMachine(graces: Self.graces)
        _ = machine.leaderEnded()
        #expect(machine.timeout() == [.disarm, .finish])
        #expect(machine.isAbandoned && machine.found(.nobody) == [])
    }

    @Test("What is left of a server that had to be killed is not asked politely")
    func killed() {
        var machine = TeardownStateMachine(graces: Self.graces)
        _ = machine.close(.graceful, hasUnsent: false)
        _ = machine.timeout()
        _ = machine.timeout()
        #expect(machine.currentStep == .kill)
        _ = machine.leaderEnded()
        #expect(machine.found(.descendants) == [.signalGroup(.kill), .arm(.seconds(1))])
        #expect(machine.currentStep == .kill && machine.step == .kill)
    }

    @Test("Whatever happens in whatever order, it finishes exactly once and never goes back", arguments: 0..<200)
    func random(seed: UInt64) {
        var state = seed
        func next(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        var machine = TeardownStateMachine(graces: Self.graces)
        var finishes = 0
        var inputs = 0
        for _ in 0..<100 {
            let actions =
                switch next(8) {
                case 0: machine.close(.graceful, hasUnsent: next(2) == 0)
                case 1: machine.close(.immediate, hasUnsent: next(2) == 0)
                case 2: machine.flushed()
                case 3: machine.timeout()
                case 4: machine.leaderEnded()
                case 5: machine.found([.nobody, .guardProcess, .descendants][Int(next(3))])
                case 6: machine.isStuck()
                default: machine.othersEnded()
                }
            finishes += actions.count { $0 == .finish }
            inputs += actions.count { $0 == .closeInput }
            #expect(machine.isEnded == (finishes > 0))
        }
        #expect(finishes <= 1 && inputs <= 1)
    }
}
