import Foundation
import MCPTransport
import TestSupport
import Testing

@Suite("Followers", .timeLimit(.minutes(5)))
struct WatchersTests {
    @Test("T6 a reader that is cancelled while it is told keeps neither itself nor who tells")
    func cancelledWhileTold() async {
        let accounts = ResourceAccounts()
        for _ in 0..<100_000 {
            let waits = OneShot<Bool>()
            let reader = Task {
                for await _ in accounts.updates() { waits.complete(true) }
            }
            _ = await waits.wait()
            // Both at the same time: each takes the locks of the stream and of the task from its own side.
            async let told: Void = accounts.add(1, \.timers)
            reader.cancel()
            await told
            accounts.add(-1, \.timers)
            await reader.value
        }
        #expect(accounts.snapshot.isEmpty)
    }

    @Test("changes come in order, the newest last, whoever made them")
    func order() async {
        let accounts = ResourceAccounts()
        let updates = accounts.updates()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { for _ in 0..<1000 { accounts.add(1, \.tasks) } } }
        }
        var last = 0
        for await snapshot in updates {
            #expect(snapshot.tasks >= last)
            last = snapshot.tasks
            if last == 4000 { break }
        }
        #expect(last == 4000)
    }
}
