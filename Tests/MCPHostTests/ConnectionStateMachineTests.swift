import MCPTransport
import Testing

@testable import MCPHost

@Suite("Where a connection stands")
struct ConnectionStateMachineTests {
    @Test("a normal life")
    func normal() {
        var machine = ConnectionStateMachine()
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
        var machine = ConnectionStateMachine()
        _ = machine.start()
        #expect(machine.ended(1, duringProbe: true) == .connect(generation: 2, legacyOnly: true))
        #expect(machine.becameReady(1) == false, "an event of an older generation changes nothing")
        #expect(machine.ended(2, duringProbe: true) == .decide)
    }

    @Test("B17 closed before or while it starts, it never becomes ready")
    func closedEarly() {
        var machine = ConnectionStateMachine()
        #expect(machine.close(.graceful) == .wait)
        #expect(machine.start() == .finish && machine.state == .closed)
        var other = ConnectionStateMachine()
        _ = other.start()
        _ = other.close(.graceful)
        #expect(other.becameReady(1) == false)
        #expect(other.ended(1, duringProbe: true) == .finish, "closing, it is not asked again")
    }
}
