// One host, one or many echo servers over stdio. Without Foundation, so that the memory is the library's own.
import MCPHost

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
}

/// What this process has used so far.
func usage() -> rusage {
    var usage = rusage()
    #if canImport(Glibc)
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
        getrusage(RUSAGE_SELF, &usage)
    #endif
    return usage
}

func cpu() -> Double {
    let usage = usage()
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
        + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
}

/// How often a thread of this process has made way for another.
func switches() -> Int {
    let usage = usage()
    return usage.ru_nvcsw + usage.ru_nivcsw
}

/// A line of /proc/self/status, in kB; 0 where there is none.
func memory(_ name: String) -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, 256, file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix(name + ":") {
            return text.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0
        }
    }
    return 0
}

func number(_ value: Double) -> String {
    let scaled = (value * 100).rounded() / 100
    return "\(scaled)"
}

func report(_ name: String, _ fields: [(String, Double)]) {
    print("{\"scenario\":\"\(name)\"," + fields.map { "\"\($0.0)\":\(number($0.1))" }.joined(separator: ",") + "}")
}

let text = "hello from the benchmark, sixty-four bytes of text to be echoed!"
let arguments: RawJSON = ["text": .string(text)]

func server(_ name: String, _ path: String, _ rest: [String] = []) -> ServerDefinition {
    var server = ServerDefinition(name: name, command: path, arguments: rest)
    server.client.era = .legacyOnly
    server.client.maximumWaitingPerCaller = 4096
    return server
}

/// Round trips of 200 bytes over two pipes with nothing in between: what the machine itself takes.
func rawPingPong(_ path: String, _ count: Int) -> [Double] {
    var (toChild, fromChild): ([Int32], [Int32]) = ([0, 0], [0, 0])
    precondition(pipe(&toChild) == 0 && pipe(&fromChild) == 0, "no pipes")
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    for descriptor in toChild + fromChild { posix_spawn_file_actions_addclose(&actions, descriptor) }
    var argv: [UnsafeMutablePointer<CChar>?] = [strdup(path), strdup("--raw"), nil]
    var pid: pid_t = 0
    precondition(posix_spawn(&pid, path, &actions, nil, &argv, environ) == 0, "cannot start \(path)")
    close(toChild[0])
    close(fromChild[1])
    var line = [UInt8](repeating: UInt8(ascii: "x"), count: 200)
    line[199] = 0x0A
    var buffer = [UInt8](repeating: 0, count: 400)
    var times: [Double] = []
    times.reserveCapacity(count)
    for _ in 0..<count {
        let start = now()
        write(toChild[1], line, 200)
        var got = 0
        while got < 200 { got += read(fromChild[0], &buffer, 400) }
        times.append(now() - start)
    }
    close(toChild[1])
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    close(fromChild[0])
    return times
}

func percentile(_ times: [Double], _ share: Double) -> Double { times.sorted()[Int(Double(times.count - 1) * share)] }

typealias Call = @Sendable () async throws -> CallToolResult

func sequential(_ count: Int, _ call: Call) async throws -> [Double] {
    var times: [Double] = []
    times.reserveCapacity(count)
    for _ in 0..<count {
        let start = now()
        let result = try await call()
        times.append(now() - start)
        precondition(result.content.first?.text == text, "wrong answer")
    }
    return times
}

func inFlight(_ count: Int, total: Int, _ call: @escaping Call) async throws -> (rate: Double, cpu: Double) {
    let (start, before) = (now(), cpu())
    try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<count {
            group.addTask {
                for _ in 0..<(total / count) {
                    let result = try await call()
                    precondition(!result.content.isEmpty, "wrong answer")
                }
            }
        }
        try await group.waitForAll()
    }
    let done = Double(total / count * count)
    return (done / (now() - start) * 1e6, (cpu() - before) / done)
}

/// What users call: a tool that the host has listed, its arguments checked against its schema; beside it the session's own call, and what
/// the machine takes for the bytes alone; and both once more on the thread that serves the pipes. Five rounds of each, interleaved, so that a slow moment of the machine hits all.
func calls(_ path: String) async throws {
    try await MCPHost.withHost(HostConfiguration(servers: [server("echo", path)])) { host in
        let session = try await host.server("echo").session()
        let listed = try await host.tools().items.first?.qualifiedName
        precondition(listed == "echo__echo", "the echo server has no echo")
        let onHost: Call = { try await host.callTool("echo__echo", arguments: arguments) }
        let executor = try host.executor
        let onSession: Call = { try await session.callTool("echo", arguments: arguments) }
        let ways: [(name: String, executor: (any TaskExecutor)?, call: Call)] = [
            ("host", nil, onHost), ("session", nil, onSession),
            ("host_on_executor", executor, onHost), ("session_on_executor", executor, onSession),
        ]
        var raw: [Double] = []
        var times: [String: [Double]] = [:]
        var spent: [String: Double] = [:]
        for way in ways {
            _ = try await withTaskExecutorPreference(way.executor) { try await sequential(2000, way.call) }
        }
        for _ in 0..<5 {
            raw += rawPingPong(path, 4000)
            for way in ways {
                let before = cpu()
                times[way.name, default: []] += try await withTaskExecutorPreference(way.executor) {
                    try await sequential(4000, way.call)
                }
                spent[way.name, default: 0] += cpu() - before
            }
        }
        let rawMedian = percentile(raw, 0.5)
        for way in ways {
            let ours = times[way.name] ?? []
            report(
                "sequential_\(way.name)",
                [
                    ("raw_p50_us", rawMedian), ("p50_us", percentile(ours, 0.5)), ("p99_us", percentile(ours, 0.99)),
                    ("p50_ratio_to_raw", percentile(ours, 0.5) / rawMedian),
                    ("cpu_us_per_call", (spent[way.name] ?? 0) / Double(ours.count)),
                ]
            )
        }
        for count in [64, 1024] {
            var rates: [String: [Double]] = [:]
            var costs: [String: [Double]] = [:]
            for _ in 0..<5 {
                for way in ways {
                    let (rate, cost) = try await withTaskExecutorPreference(way.executor) {
                        try await inFlight(count, total: 100_000, way.call)
                    }
                    rates[way.name, default: []].append(rate)
                    costs[way.name, default: []].append(cost)
                }
            }
            for way in ways {
                report(
                    "in_flight_\(count)_\(way.name)",
                    [
                        ("calls_per_s", percentile(rates[way.name] ?? [], 0.5)),
                        ("cpu_us_per_call", percentile(costs[way.name] ?? [], 0.5)),
                    ]
                )
            }
        }
        report("memory", [("resident_kb", Double(memory("VmRSS"))), ("peak_kb", Double(memory("VmHWM")))])
    }
}

func big(_ path: String, _ bytes: Int) async throws {
    try await MCPHost.withHost(HostConfiguration(servers: [server("echo", path, ["--payload", "\(bytes)"])])) { host in
        let session = try await host.server("echo").session()
        var times: [Double] = []
        for _ in 0..<11 {
            let start = now()
            let result = try await session.callTool("echo", arguments: arguments)
            times.append((now() - start) / 1000)
            precondition(result.content.first?.text?.utf8.count == bytes, "wrong answer")
        }
        report("result_\(bytes)", [("median_ms", percentile(times, 0.5)), ("peak_kb", Double(memory("VmHWM")))])
    }
}

func fleet(_ path: String, _ count: Int) async throws {
    let start = now()
    let host = try await MCPHost.start(HostConfiguration(servers: (0..<count).map { server("s\($0)", path) }))
    let opened = now()
    let tools = try await host.tools()
    precondition(tools.items.count == count && tools.failures.isEmpty, "not all servers are there")
    let listed = now()
    let resident = memory("VmRSS")
    let before = now()
    let end = await host.shutdown()
    precondition(end.isClean, "something is left: \(end)")
    report(
        "fleet_\(count)",
        [
            ("open_ms", (opened - start) / 1000), ("list_ms", (listed - opened) / 1000),
            ("close_ms", (now() - before) / 1000),
            ("resident_kb", Double(resident)),
            ("peak_kb", Double(memory("VmHWM"))),
        ]
    )
}

/// Nothing but calls, so many at once, for a profiler.
func profile(_ path: String, _ count: Int, _ width: Int, onExecutor: Bool, ofSession: Bool) async throws {
    try await MCPHost.withHost(HostConfiguration(servers: [server("echo", path)])) { host in
        _ = try await host.tools()
        let executor = try host.executor
        let session = try await host.server("echo").session()
        let before = switches()
        let (rate, cost) = try await withTaskExecutorPreference(onExecutor ? executor : nil) {
            try await inFlight(width, total: count) {
                ofSession
                    ? try await session.callTool("echo", arguments: arguments)
                    : try await host.callTool("echo__echo", arguments: arguments)
            }
        }
        let switched = Double(switches() - before) / Double(count)
        report("profile", [("calls_per_s", rate), ("cpu_us_per_call", cost), ("switches_per_call", switched)])
    }
}

let words = CommandLine.arguments
switch (words.dropFirst().first, words.count) {
case ("calls"?, 3): try await calls(words[2])
case ("profile"?, 5...7):
    let rest = words.dropFirst(5)
    try await profile(
        words[2],
        Int(words[3]) ?? 10_000,
        Int(words[4]) ?? 64,
        onExecutor: rest.contains("executor"),
        ofSession: rest.contains("session")
    )
case ("big"?, 4): try await big(words[2], Int(words[3]) ?? 1_000_000)
case ("fleet"?, 4): try await fleet(words[2], Int(words[3]) ?? 1)
default:
    print(
        "usage: stdio-bench calls ECHO | big ECHO BYTES | fleet ECHO COUNT | profile ECHO COUNT WIDTH [executor] [session]"
    )
}
