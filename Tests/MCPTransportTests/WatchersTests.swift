import Foundation
import MCPTransport
import TestSupport
import Testing

@Suite("Followers", .timeLimit(.minutes(5)))
struct WatchersTests {
    @Test("T6 a reader that is cancelled while it is told keeps neither itself nor who tells")
    func cancelledWhileTold() async {
        let accounts = ResourceAccounts()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    for _ in 0..<20_000 {
                        accounts.add(1, \.timers)
                        accounts.add(-1, \.timers)
                    }
                }
            }
            for _ in 0..<2000 {
                let reader = Task { for await _ in accounts.updates() {} }
                await Task.yield()
                reader.cancel()
                await reader.value
            }
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
