import Testing

@testable import MCPHost

@Suite("When a server is started again", .timeLimit(.minutes(5)))
struct RestartStateMachineTests {
    private static func delay(_ action: RestartStateMachine.Action) -> Duration? {
        if case .restart(let delay) = action { delay } else { nil }
    }

    @Test("G10 delays double; the fifth start within a minute was the last")
    func loop() {
        var machine = RestartStateMachine(RestartPolicy())
        var now = Duration.zero
        var delays: [Duration] = []
        for _ in 0..<4 {
            machine.started(now: now)
            guard let delay = Self.delay(machine.died(now: now, readyFor: nil, random: 0.5)) else { break }
            delays.append(delay)
            now += delay
        }
        #expect(delays == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4)])
        machine.started(now: now)
        #expect(machine.died(now: now, readyFor: nil, random: 0.5) == .giveUp(starts: 5))
    }

    @Test("deaths that are rarer than the limit never end in giving up, and the delay has a maximum before jitter")
    func rare() {
        var machine = RestartStateMachine(RestartPolicy())
        var now = Duration.zero
        for _ in 0..<50 {
            machine.started(now: now)
            let delay = Self.delay(machine.died(now: now, readyFor: .seconds(20), random: 0.999))
            #expect(delay != nil && (delay ?? .zero) <= .seconds(45))
            now += .seconds(20)
        }
    }

    @Test(
        "a server that was ready for a minute starts again at once, the first time; ten minutes make its past forgotten"
    )
    func healthy() {
        var machine = RestartStateMachine(RestartPolicy())
        machine.started(now: .zero)
        #expect(machine.died(now: .seconds(60), readyFor: .seconds(60), random: 0.5) == .restart(after: .zero))
        machine.started(now: .seconds(60))
        #expect(machine.died(now: .seconds(61), readyFor: .seconds(1), random: 0.5) == .restart(after: .seconds(1)))
        machine.started(now: .seconds(62))
        #expect(machine.died(now: .seconds(700), readyFor: .seconds(638), random: 0.5) == .restart(after: .zero))
    }

    @Test(
        "G15 fifty servers that died together come back apart, from the third time on no tenth of a second has a fifth of them"
    )
    func jitter() {
        var generator = SystemRandomNumberGenerator()
        var buckets: [Int: Int] = [:]
        for _ in 0..<5000 {
            var machine = RestartStateMachine(RestartPolicy())
            _ = machine.died(now: .zero, readyFor: nil, random: 0)
            _ = machine.died(now: .zero, readyFor: nil, random: 0)
            guard
                let delay = Self.delay(
                    machine.died(now: .zero, readyFor: nil, random: .random(in: 0..<1, using: &generator))
                )
            else { continue }
            buckets[Int(delay / .milliseconds(100)), default: 0] += 1
        }
        #expect(buckets.values.reduce(0, +) == 5000 && buckets.values.allSatisfy { $0 < 1000 })
    }

    @Test("a server that is to stay down stays down")
    func never() {
        var machine = RestartStateMachine(.never)
        #expect(machine.died(now: .zero, readyFor: .seconds(3600), random: 0) == .stayDown)
    }
}
