import Foundation
import MCPHost
import MCPTransport
import TestSupport

/// What a process had after its first round.
let first = Locked<ProcessCounts?>(nil)

/// Calls every server that could be opened.
func useAllReady(_ host: MCPHost) async throws {
    for connection in host.servers where connection.failure == nil {
        _ = try await host.callTool(server: connection.name, name: "echo", arguments: ["text": "x"])
    }
}

func writeError(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

func exitProcess(_ code: Int32) -> Never { exit(code) }

/// What this process computes while it has nothing to do.
func processorTime(during rest: Duration) async -> Duration {
    let time = SystemMonotonicClock()
    let over = OneShot<Void>()
    let timer = time.makeTimer { over.complete(()) }
    let before = clock()
    timer.set(time.now + rest)
    await over.wait()
    timer.cancel()
    return .microseconds(Int(clock() - before) * 1_000_000 / Int(CLOCKS_PER_SEC))
}
