import MCPTransport
import TestSupport
import Testing

@testable import MCPSession

@Suite("Waiting in line", .timeLimit(.minutes(5)))
struct FairLineTests {
    private func drained(_ line: inout FairLine) -> [Int64] {
        var ids: [Int64] = []
        while let id = line.popFirst() { ids.append(id) }
        return ids
    }

    @Test("A6 callers take turns; each one's requests keep their order")
    func turns() {
        var line = FairLine()
        for id in 1...4 { line.append(Int64(id), of: "greedy") }
        line.append(10, of: "modest")
        line.append(20, of: nil)
        line.append(11, of: "modest")
        #expect(line.count == 7 && line.count(of: "greedy") == 4 && line.count(of: "nobody") == 0)
        #expect(self.drained(&line) == [1, 10, 20, 2, 11, 3, 4])
        #expect(line.isEmpty && line.count(of: "greedy") == 0)
    }

    @Test("who could not use the turn is the next; who has gone is passed over")
    func changes() {
        var line = FairLine()
        for id in 1...3 { line.append(Int64(id), of: "a") }
        line.append(10, of: "b")
        #expect(line.popFirst() == 1)
        line.prepend(1, of: "a")
        line.remove(2, of: "a")
        line.remove(10, of: "b")
        line.remove(99, of: "b")
        #expect(line.count == 2 && self.drained(&line) == [1, 3])
        line.prepend(5, of: "c")
        #expect(self.drained(&line) == [5])
    }

    @Test("whatever happens, every request leaves the line once, and the counts are right", arguments: 0..<20)
    func random(seed: UInt64) {
        var random = Seeded(state: seed &+ 1)
        var line = FairLine()
        var model: [(id: Int64, caller: String?)] = []
        var next: Int64 = 0
        for _ in 0..<2000 {
            let caller = [nil, "a", "b", "c"].randomElement(using: &random) ?? nil
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                next += 1
                line.append(next, of: caller)
                model.append((next, caller))
            case 4..<7:
                guard let id = line.popFirst() else {
                    #expect(model.isEmpty)
                    continue
                }
                let place = model.firstIndex { $0.id == id }
                guard let place else {
                    Issue.record("\(id) left twice")
                    return
                }
                let entry = model.remove(at: place)
                #expect(!model[..<place].contains { $0.caller == entry.caller }, "not the oldest of its caller")
                if Int.random(in: 0..<4, using: &random) == 0 {
                    line.prepend(id, of: entry.caller)
                    model.insert(entry, at: 0)
                }
            default:
                guard let entry = model.randomElement(using: &random) else { continue }
                line.remove(entry.id, of: entry.caller)
                model.removeAll { $0.id == entry.id }
            }
            #expect(line.count == model.count)
            for caller in [nil, "a", "b", "c"] {
                #expect(line.count(of: caller) == model.count { $0.caller == caller })
            }
        }
    }

    @Test("beyond a caller's limit, or that of all, busy: to that caller, and saying so")
    func limits() {
        var machine = SessionStateMachine<Int>(limits: .init(inFlight: 1, waitingPerCaller: 2, waiting: 4))
        let timeouts = SessionStateMachine<Int>.Timeouts(idle: .seconds(1), hard: .seconds(1))
        var id: Int64 = 0
        func start(_ caller: String?) -> MCPError? {
            id += 1
            if case .refuse(_, let error) = machine.start(id, 0, "{}", timeouts: timeouts, caller: caller, now: .zero) {
                return error
            }
            return nil
        }
        #expect(start("greedy") == nil && start("greedy") == nil && start("greedy") == nil)
        let error = start("greedy")
        #expect(error?.code == .busy && error?.message.contains("2 of this caller waiting (limit 2)") == true)
        #expect(start("modest") == nil && start(nil) == nil)
        let full = start(nil)
        #expect(full?.code == .busy && full?.message.contains("4 in all (limit 4)") == true)
    }
}
