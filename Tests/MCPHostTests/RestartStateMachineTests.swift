import MCPTransport
import TestSupport
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

    @Test("who wants no second try of what never was ready gets none; what was ready comes back")
    func failedStarts() {
        var policy = RestartPolicy()
        policy.includesFailedStarts = false
        var machine = RestartStateMachine(policy)
        machine.started(now: .zero)
        #expect(machine.died(now: .zero, readyFor: nil, random: 0.5) == .stayDown)
        #expect(machine.mayAskAgain(now: .zero))
        #expect(machine.died(now: .zero, readyFor: .seconds(1), random: 0.5) == .restart(after: .milliseconds(500)))
    }

    @Test("G10 a start to be asked in the older way counts, and is not made where it would be one too many")
    func askedAgain() {
        var machine = RestartStateMachine(RestartPolicy())
        for _ in 0..<4 {
            machine.started(now: .zero)
            #expect(machine.mayAskAgain(now: .zero))
        }
        machine.started(now: .zero)
        #expect(!machine.mayAskAgain(now: .seconds(59)) && machine.mayAskAgain(now: .seconds(60)))
        var policy = RestartPolicy()
        policy.intensity = 1
        var single = RestartStateMachine(policy)
        single.started(now: .zero)
        #expect(single.mayAskAgain(now: .zero), "one start is for both questions")
    }

    /// Opens, and ends: at once, or when it is asked something.
    private final class Ending: Transport {
        private let isPatient: Bool
        private let asked = OneShot<Void>()

        init(whenAsked: Bool) { self.isPatient = whenAsked }

        func run(_ receiver: any TransportReceiver) async -> TransportEnd {
            if self.isPatient {
                receiver.transportDidOpen()
                await self.asked.wait()
            }
            receiver.transportDidBreak(MCPError(.connectionLost, "it has gone"))
            return TransportEnd()
        }

        func send(_ message: OutgoingMessage) { self.asked.complete(()) }
        func setReceiving(_ enabled: Bool) {}
        func close(_ mode: TeardownMode) { self.asked.complete(()) }
    }

    @Test("G10 five starts and no more, whichever of them ends when it is asked what it speaks", arguments: 1...5)
    func fiveStarts(asked: Int) async throws {
        let starts = Locked(0)
        var server = ServerSetup(
            "bad",
            Endpoint("in memory") { context in
                starts.withLock { $0 += 1 }
                return Ending(whenAsked: context.attempt == asked)
            }
        )
        server.restart.initialDelay = .zero
        let host = try await MCPHost.start(HostSetup(servers: [server]))
        let managed = try host.server("bad")
        _ = await managed.waitUntilGone()
        #expect(managed.failure?.code == .crashLoop && managed.failure?.message.contains("5 starts") == true)
        #expect(starts.withLock { $0 } == 5)
        expectClean(await host.shutdown(), servers: 1)
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
