import Foundation
import TestSupport
import Testing

@testable import MCPTransport

@Suite("The system's clock", .timeLimit(.minutes(5)))
struct MonotonicClockTests {
    @Test("a heap of alarms gives the earliest, whatever was put in, moved and taken out in between", arguments: 1...5)
    func heap(seed: Int) {
        var random = Seeded(state: UInt64(seed))
        var heap = AlarmHeap()
        let alarms = (0..<40).map { _ in TimerThread.Alarm {} }
        var model: [ObjectIdentifier: Int] = [:]
        for _ in 0..<5000 {
            let alarm = alarms[Int.random(in: 0..<alarms.count, using: &random)]
            if Int.random(in: 0..<3, using: &random) == 0 {
                heap.remove(alarm)
                model[ObjectIdentifier(alarm)] = nil
            } else {
                let deadline = Int.random(in: 0..<1000, using: &random)
                heap.insert(alarm, .seconds(deadline))
                model[ObjectIdentifier(alarm)] = deadline
            }
            guard let first = heap.first else {
                #expect(model.isEmpty)
                continue
            }
            #expect(model[ObjectIdentifier(first)] == model.values.min())
        }
    }

    @Test("alarms come in the order of their deadlines, none before its time, and one that was moved comes once")
    func order() async throws {
        let clock = SystemMonotonicClock()
        let start = clock.now
        let came = Watched<[(Int, Duration)]>([])
        let timers = (0..<5).map { number in
            clock.makeTimer { came.withLock { $0.append((number, clock.now - start)) } }
        }
        timers[0].set(start + .seconds(1000))
        for number in 1..<5 { timers[number].set(start + .milliseconds(1000 - 200 * number)) }
        timers[0].set(start + .milliseconds(1100))
        timers[3].set(nil)
        timers[2].cancel()
        timers[2].set(start)
        await came.wait(for: "three alarms") { $0.count >= 3 }
        let found = came.value
        #expect(found.map(\.0) == [4, 1, 0])
        for (at, least) in zip(found.map(\.1), [200, 800, 1100]) { #expect(at >= .milliseconds(least)) }
    }

    @Test("T14 an alarm that is set while the thread waits for a later one comes at its time, again and again")
    func earlier() async {
        let clock = SystemMonotonicClock()
        let late = clock.makeTimer {}
        late.set(clock.now + .seconds(1000))
        let count = Watched(0)
        let timer = clock.makeTimer { count.withLock { $0 += 1 } }
        let start = clock.now
        for round in 1...20 {
            timer.set(clock.now + .milliseconds(1))
            await count.wait(for: "alarm \(round)") { $0 == round }
        }
        // The end of the patience wakes the thread too, and then the alarm comes with it.
        #expect(clock.now - start < patience / 2)
    }

    @Test("what is cancelled, or that nobody holds, lets go of what it would have done and does not do it")
    func cancelled() async {
        let clock = SystemMonotonicClock()
        let done = Watched(0)
        weak var held: Held?
        do {
            let object = Held()
            held = object
            let timer = clock.makeTimer { [object] in done.withLock { $0 += object.value } }
            timer.set(clock.now + .milliseconds(500))
            timer.cancel()
        }
        #expect(held == nil)
        do {
            let timer = clock.makeTimer { done.withLock { $0 += 1 } }
            timer.set(clock.now + .milliseconds(500))
        }
        let last = clock.makeTimer { done.withLock { $0 += 100 } }
        last.set(clock.now + .milliseconds(600))
        await done.wait(for: "the last alarm") { $0 >= 100 }
        #expect(done.value == 100)
    }

    private final class Held: Sendable { let value = 1 }

    @Test("T14 in a program without a descriptor left timers fire", .exitTestTurn)
    func noDescriptors() async {
        await #expect(processExitsWith: .success) {
            withoutDescriptors {
                let clock = SystemMonotonicClock()
                let fired = DispatchSemaphore(value: 0)
                let timer = clock.makeTimer { fired.signal() }
                timer.set(clock.now + .milliseconds(1))
                precondition(fired.wait(timeout: .now() + 60) == .success)
                timer.cancel()
            }
        }
    }
}
