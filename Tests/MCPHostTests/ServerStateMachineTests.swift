import MCPTransport
import TestSupport
import Testing

@testable import MCPHost

@Suite("Where a connection stands", .timeLimit(.minutes(5)))
struct ServerStateMachineTests {
    @Test("a normal life")
    func normal() {
        var machine = ServerStateMachine()
        #expect(machine.start() == .connect(generation: 1, legacyOnly: false))
        #expect(machine.becameReady(1) == true)
        #expect(machine.close(.graceful) == .closeSession(.graceful))
        #expect(machine.close(.graceful) == .nothing)
        #expect(machine.close(.immediate) == .closeSession(.immediate))
        #expect(machine.ended(1, duringProbe: false) == .finish)
        #expect(machine.state == .closed && machine.close(.immediate) == .nothing)
    }

    @Test("a server that ends when probed is asked once more, in the older way")
    func probe() {
        var machine = ServerStateMachine()
        _ = machine.start()
        #expect(machine.ended(1, duringProbe: true) == .connect(generation: 2, legacyOnly: true))
        #expect(machine.becameReady(1) == false, "an event of an older generation changes nothing")
        #expect(machine.ended(2, duringProbe: true) == .decide)
    }

    @Test("B17 closed before or while it starts, it never becomes ready")
    func closedEarly() {
        var machine = ServerStateMachine()
        #expect(machine.close(.graceful) == .wait)
        #expect(machine.start() == .finish && machine.state == .closed)
        var other = ServerStateMachine()
        _ = other.start()
        _ = other.close(.graceful)
        #expect(other.becameReady(1) == false)
        #expect(other.ended(1, duringProbe: true) == .finish, "closing, it is not asked again")
    }

    @Test("T11 a restart ends the session and begins anew, and whoever asks meanwhile joins it")
    func restart() {
        var machine = ServerStateMachine()
        _ = machine.start()
        _ = machine.becameReady(1)
        #expect(machine.restart() == .closeSession && machine.requestedClose == .graceful)
        #expect(machine.restart() == .join)
        #expect(machine.ended(1, duringProbe: true) == .connect(generation: 2, legacyOnly: false))
        #expect(machine.restart() == .join && machine.state == .starting)
        #expect(machine.ended(2, duringProbe: true) == .connect(generation: 3, legacyOnly: true))
        #expect(machine.restart() == .join)
        #expect(machine.becameReady(3) && !machine.isRestarting)
        // The next one is another.
        #expect(machine.restart() == .closeSession)
    }

    @Test("T11 a restart while it ends, waits, starts, or after it has failed")
    func restartAnywhere() {
        var ending = ServerStateMachine()
        _ = ending.start()
        _ = ending.becameReady(1)
        _ = ending.broke(1)
        #expect(ending.restart() == .follow && ending.restart() == .join)
        #expect(ending.ended(1, duringProbe: false) == .connect(generation: 2, legacyOnly: false))

        var waiting = ServerStateMachine()
        _ = waiting.start()
        #expect(waiting.ended(1, duringProbe: false) == .decide && waiting.wait())
        #expect(waiting.restart() == .wake && waiting.restart() == .join)
        #expect(waiting.next() == .connect(generation: 2, legacyOnly: false))

        var starting = ServerStateMachine()
        #expect(starting.restart() == .join, "it is about to start anyway")
        _ = starting.start()
        #expect(starting.restart() == .closeSession)

        var failed = ServerStateMachine()
        _ = failed.start()
        #expect(failed.ended(1, duringProbe: false) == .decide && failed.giveUp())
        #expect(failed.close(.graceful) == .nothing && failed.state == .failed)
        #expect(failed.restart() == .enter && failed.start() == .connect(generation: 2, legacyOnly: false))
    }

    @Test("T11 what is asked for just before a server waits or is given up is not forgotten")
    func lastMoment() {
        for wants in ["restart", "end"] {
            for decides in ["waits", "gives up"] {
                var machine = ServerStateMachine()
                _ = machine.start()
                _ = machine.ended(1, duringProbe: false)
                if wants == "restart" { _ = machine.restart() } else { _ = machine.close(.graceful) }
                #expect(!(decides == "waits" ? machine.wait() : machine.giveUp()))
                #expect(
                    machine.next() == (wants == "restart" ? .connect(generation: 2, legacyOnly: false) : .finish)
                )
            }
        }
    }

    @Test("T11 a server that is closing is not restarted, and one that is being restarted can be closed")
    func closedMeanwhile() {
        var machine = ServerStateMachine()
        _ = machine.start()
        #expect(machine.restart() == .closeSession)
        #expect(machine.close(.immediate) == .closeSession(.immediate) && machine.restart() == .refuse)
        #expect(machine.ended(1, duringProbe: false) == .finish && machine.restart() == .refuse)
    }

    @Test("one that is started on demand sleeps until somebody needs it, and again when nobody does")
    func onDemand() {
        var machine = ServerStateMachine(startsOnDemand: true)
        #expect(machine.start() == .sleep && machine.state == .dormant)
        #expect(machine.demand() && !machine.demand(), "woken once")
        #expect(machine.start() == .connect(generation: 1, legacyOnly: false))
        #expect(machine.stopIdle(1) == false, "it is not ready yet")
        #expect(machine.becameReady(1) && machine.stopIdle(1) && machine.isStoppingIdle && machine.state == .ending)
        #expect(!machine.stopIdle(1) && !machine.broke(1))
        #expect(machine.ended(1, duringProbe: true) == .sleep && machine.state == .dormant && !machine.isStoppingIdle)
        // Needed while it ends: started anew when it has.
        #expect(machine.demand() == true)
        #expect(machine.start() == .connect(generation: 2, legacyOnly: false))
        #expect(machine.becameReady(2) && machine.stopIdle(2) && !machine.demand())
        #expect(machine.ended(2, duringProbe: false) == .connect(generation: 3, legacyOnly: false))
        // It dies by itself: that is decided as for any other.
        #expect(machine.becameReady(3) && machine.broke(3))
        #expect(machine.ended(3, duringProbe: false) == .decide && machine.wait())
        #expect(machine.next() == .connect(generation: 4, legacyOnly: false))
        // Needed before the root has come to it.
        var early = ServerStateMachine(startsOnDemand: true)
        #expect(!early.demand() && early.start() == .connect(generation: 1, legacyOnly: false))
        var eager = ServerStateMachine()
        #expect(eager.start() == .connect(generation: 1, legacyOnly: false) && eager.becameReady(1))
        #expect(eager.stopIdle(1) == false, "it is kept")
    }

    @Test("T11 a dormant server is restarted and closed as one that waits, also in the moment in which it lies down")
    func dormantRestartAndClose() {
        var machine = ServerStateMachine(startsOnDemand: true)
        #expect(machine.start() == .sleep && machine.restart() == .wake && machine.restart() == .join)
        #expect(machine.start() == .connect(generation: 1, legacyOnly: false))
        #expect(machine.becameReady(1) && machine.stopIdle(1) && machine.restart() == .follow)
        #expect(machine.ended(1, duringProbe: false) == .connect(generation: 2, legacyOnly: false))
        #expect(machine.becameReady(2) && machine.stopIdle(2) && machine.close(.graceful) == .closeSession(.graceful))
        #expect(machine.ended(2, duringProbe: false) == .finish && machine.state == .closed)
        var dormant = ServerStateMachine(startsOnDemand: true)
        #expect(dormant.start() == .sleep && dormant.close(.graceful) == .wake && !dormant.demand())
        #expect(dormant.start() == .finish && dormant.restart() == .refuse)
        var joined = ServerStateMachine(startsOnDemand: true)
        #expect(joined.restart() == .join && joined.start() == .connect(generation: 1, legacyOnly: false))
    }

    /// What the root does with a server.
    private enum Root: Equatable { case entering, sleeping, converses(Int), waiting, out }

    @Test(
        "a million steps in any order: who needs it gets it, nobody else starts it, and it ends once",
        arguments: 0..<100,
        [false, true]
    )
    func random(seed: UInt64, startsOnDemand: Bool) {
        var random = Seeded(state: seed)
        var machine = ServerStateMachine(startsOnDemand: startsOnDemand)
        var root = Root.entering
        var (isWanted, isWoken, isClosing, generation) = (!startsOnDemand, false, false, 0)

        func follow(_ action: ServerStateMachine.StartAction) {
            switch action {
            case .connect(let next, _):
                #expect(isWanted && !isClosing && next == generation + 1 && machine.state == .starting)
                (generation, root) = (next, .converses(next))
            case .sleep:
                #expect(startsOnDemand && !isWanted && !isClosing && machine.state == .dormant)
                (root, isWoken) = (.sleeping, false)
            case .finish:
                #expect(isClosing && machine.state == .closed)
                root = .out
            }
        }

        for _ in 0..<5000 {
            switch (Int.random(in: 0..<100, using: &random), root) {
            case (0..<10, _):
                let state = machine.state
                if machine.demand() { isWoken = true }
                if ![.closing, .closed, .failed].contains(state), state != .ending || machine.isStoppingIdle {
                    isWanted = true
                }
            case (10..<14, _):
                let action = machine.restart()
                if action == .wake { isWoken = true }
                if action != .refuse { isWanted = true }
                #expect((action == .refuse) == isClosing)
                #expect((action == .enter) == (root == .out && !isClosing))
                if action == .enter { root = .entering }
            case (14, _) where Bool.random(using: &random) && Bool.random(using: &random):
                let action = machine.close(.graceful)
                if action == .wake { isWoken = true }
                if action != .nothing { isClosing = true }
            case (15..<30, .entering): follow(machine.start())
            case (15..<30, .sleeping) where isWoken: follow(machine.start())
            case (15..<30, .waiting): follow(machine.next())
            case (30..<50, .converses(let current)):
                #expect(machine.becameReady(current - 1) == false, "an older one changes nothing")
                _ = machine.becameReady(current)
            case (50..<60, .converses(let current)):
                let wasReady = machine.state == .ready
                let stops = machine.stopIdle(current)
                #expect(stops == (startsOnDemand && wasReady))
                if stops { isWanted = false }
            case (60..<65, .converses(let current)): _ = machine.broke(current)
            case (65..<85, .converses(let current)):
                switch machine.ended(current, duringProbe: Bool.random(using: &random)) {
                case .connect(let next, let legacyOnly): follow(.connect(generation: next, legacyOnly: legacyOnly))
                case .sleep: follow(.sleep)
                case .finish: follow(.finish)
                case .decide:
                    if Bool.random(using: &random) {
                        #expect(machine.wait() == true)
                        root = .waiting
                    } else {
                        #expect(machine.giveUp() == true)
                        root = .out
                    }
                }
            default: break
            }
            #expect(machine.generation == generation)
            #expect((machine.state == .dormant) == (root == .sleeping && !isWoken))
            #expect(machine.state != .dormant || !isWanted, "somebody needs it, and it was not woken")
            guard isClosing, root == .out else { continue }
            machine = ServerStateMachine(startsOnDemand: startsOnDemand)
            root = .entering
            (isWanted, isWoken, isClosing, generation) = (!startsOnDemand, false, false, 0)
        }
    }
}
