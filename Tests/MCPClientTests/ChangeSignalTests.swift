import MCPTransport
import TestSupport
import Testing

@testable import MCPClient

@Suite("A change that somebody waits for", .timeLimit(.minutes(5)))
struct ChangeSignalTests {
    @Test("V1 a ring that nobody waits for is for the next who looks, also when somebody has just gone away")
    func bell() {
        let bell = ChangeSignal()
        let first = bell.next()
        bell.leave(first)
        bell.ring()
        #expect(first.value == nil)
        #expect(bell.next().value != nil)
        let third = bell.next()
        #expect(third.value == nil)
        bell.ring()
        #expect(third.value != nil)
    }
}
