import MCPTransport
import Testing

@testable import MCPHost

@Suite("Where a connection stands")
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
}
