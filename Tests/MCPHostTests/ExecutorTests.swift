import CMCPProcess
import MCPHost
import MCPTransport
import TestSupport
import Testing

/// Calls from the thread that serves the pipes, and what is sent at the same time.
@Suite("Calls on the I/O thread", .timeLimit(.minutes(5)))
struct ExecutorTests {
    @Test("tasks that prefer it run there and nowhere else, their answers are their own, and they can be cancelled")
    func calls() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"), zoo.server("two", "--era", "legacy"))
            try await withTaskExecutorPreference(try host.executor) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for caller in 0..<100 {
                        group.addTask {
                            for number in 0..<20 {
                                #expect(mcp_is_io_thread() != 0)
                                let word = "\(caller) \(number)"
                                let said = try await text(
                                    host,
                                    caller % 2 == 0 ? "one" : "two",
                                    "echo",
                                    ["text": .string(word)]
                                )
                                #expect(said == word && mcp_is_io_thread() != 0)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let hanging = Task(executorPreference: try host.executor) {
                    await failure { try await text(host, "one", "hang") }
                }
                await zoo.wait(forFrame: "\"hang\"", of: "one")
                hanging.cancel()
                #expect(await hanging.value?.code == .cancelled)
            }
            #expect(mcp_is_io_thread() == 0)
            expectClean(await host.shutdown(), servers: 2)
        }
    }

    @Test("a host can be closed, and a server restarted, from there; a server that dies is noticed there")
    func life() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one", "--era", "legacy"))
            try await withTaskExecutorPreference(try host.executor) {
                try await host.restartServer("one")
                #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
                let error = await failure { try await text(host, "one", "kill") }
                #expect(error?.code == .outcomeUnknown)
                #expect(try await text(host, "one", "echo", ["text": "y"]) == "y")
                expectClean(await host.shutdown(), servers: 1)
            }
        }
    }

    @Test("D1 what comes while others wait for a server that has not answered leaves too, and soon")
    func second() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("one"))
            let hanging = (0..<30).map { _ in Task { await failure { try await text(host, "one", "hang") } } }
            // Nothing is read from the server meanwhile.
            await zoo.wait(forFrame: "\"hang\"", of: "one", times: 30)
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            for task in hanging {
                task.cancel()
                #expect(await task.value?.code == .cancelled)
            }
            await zoo.wait(forFrame: "notifications/cancelled", of: "one", times: 30)
        }
    }
}
