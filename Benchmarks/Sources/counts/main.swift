// How many allocations and mutex locks one `host.callTool` on a listed tool with a schema takes. Fails where there are more than the numbers
// that are checked in: counts do not depend on how busy the machine is.
//
// Usage: counts ECHO-SERVER [MAXIMUM-ALLOCATIONS MAXIMUM-LOCKS]
import CCounters
import MCPHost

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

let batch = 2000
var server = ServerDefinition(name: "echo", command: CommandLine.arguments[1])
server.client.era = .legacyOnly
let host = try await MCPHost.start(HostConfiguration(servers: [server]))
let tools = try await host.tools().items
guard let name = tools.first?.qualifiedName else {
    print("the server lists no tool")
    exit(1)
}
let arguments: RawJSON = ["text": "hello from the benchmark, sixty-four bytes of text to be echoed!"]

func calls() async throws -> (allocations: Double, locks: Double) {
    let (allocations, locks) = (counted_allocations(), counted_locks())
    for _ in 0..<batch { _ = try await host.callTool(name, arguments: arguments) }
    return (
        Double(counted_allocations() - allocations) / Double(batch), Double(counted_locks() - locks) / Double(batch)
    )
}

_ = try await calls()
var best = try await calls()
for _ in 0..<4 {
    let next = try await calls()
    best = (min(best.allocations, next.allocations), min(best.locks, next.locks))
}
await host.shutdown()

func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
let counts = "\"allocations\":\(rounded(best.allocations)),\"locks\":\(rounded(best.locks))"
print("{\"scenario\":\"host.callTool\",\(counts)}")
let limits = CommandLine.arguments.dropFirst(2).compactMap { Double($0) }
if limits.count == 2, best.allocations > limits[0] || best.locks > limits[1] {
    print(
        "more than \(limits[0]) allocations or \(limits[1]) locks a call; Benchmarks/thresholds has the numbers and why"
    )
    exit(1)
}
