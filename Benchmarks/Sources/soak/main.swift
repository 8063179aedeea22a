// Long runs: what grows when servers come and go ten thousand times, and what bad servers do to good ones.
//
//   soak cycles ZOO N     N connections opened, used and closed, one in ten of them crashing
//   soak calls ZOO N      N calls to one server, 64 at a time
//   soak isolation ZOO    the latency of ten good servers, alone and beside one bad server of each kind
import Foundation
import MCPHost

/// What this process has.
struct Sample {
    var seconds: Double
    var kilobytes: Int
    var descriptors: Int
    var threads: Int
    var children: Int

    static let start = ContinuousClock.now

    static func now() -> Sample {
        // Not by Foundation's String(contentsOfFile:), which leaks 4 kB for each file in /proc.
        func contents(_ path: String) -> String {
            let descriptor = open(path, O_RDONLY)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 8192)
            let count = read(descriptor, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }
        func entries(_ path: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }
        let resident = contents("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        let threads = entries("/proc/self/task")
        let children = threads.reduce(0) { count, thread in
            count + contents("/proc/self/task/\(thread)/children").split(separator: " ").count
        }
        return Sample(
            seconds: (ContinuousClock.now - Self.start) / .seconds(1),
            kilobytes: resident.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") } ?? 0,
            descriptors: entries("/proc/self/fd").count,
            threads: threads.count,
            children: children
        )
    }
}

/// Prints samples, and how memory grows by them: the line of least squares through all but the first fifth.
func conclude(_ samples: [Sample]) {
    for sample in samples {
        print(
            "{\"s\":\(Int(sample.seconds * 1000)),\"rss_kb\":\(sample.kilobytes),\"fds\":\(sample.descriptors),"
                + "\"threads\":\(sample.threads),\"children\":\(sample.children)}"
        )
    }
    let steady = samples.dropFirst(samples.count / 5)
    let count = Double(steady.count)
    let meanTime = steady.reduce(0) { $0 + $1.seconds } / count
    let meanSize = steady.reduce(0) { $0 + Double($1.kilobytes) } / count
    let above = steady.reduce(0) { $0 + ($1.seconds - meanTime) * (Double($1.kilobytes) - meanSize) }
    let below = steady.reduce(0) { $0 + ($1.seconds - meanTime) * ($1.seconds - meanTime) }
    print(
        "{\"slope_kb_per_hour\":\(Int(above / max(below, 1e-9) * 3600)),\"seconds\":\(Int(samples.last?.seconds ?? 0))}"
    )
}

func server(_ name: String, _ zoo: String, _ switches: [String] = []) -> ServerDefinition {
    ServerDefinition(name: name, command: zoo, arguments: switches)
}

func cycles(_ zoo: String, _ count: Int) async throws {
    let host = try await MCPHost.start()
    var samples: [Sample] = []
    for round in 0..<count {
        var entry = server("s", zoo, ["--era", round % 2 == 0 ? "modern" : "legacy"])
        entry.restart.initialDelay = .milliseconds(1)
        try await host.addServer(entry)
        let result = try await host.callTool(server: "s", name: "echo", arguments: ["text": "x"])
        precondition(result.content.first?.text == "x")
        if round % 10 == 0 {
            _ = try? await host.callTool(server: "s", name: "kill")
            _ = try await host.callTool(server: "s", name: "echo")
        }
        let end = await host.removeServer("s")
        precondition(end?.processesLeft.isEmpty == true)
        if (round + 1) % max(1, count / 50) == 0 { samples.append(.now()) }
    }
    let report = await host.shutdown()
    precondition(report.isClean, "\(report)")
    conclude(samples)
}

func calls(_ zoo: String, _ count: Int) async throws {
    let host = try await MCPHost.start(HostConfiguration(servers: [server("s", zoo)]))
    var samples: [Sample] = []
    for _ in 0..<50 {
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<64 {
                group.addTask {
                    for i in 0..<(count / 50 / 64 + 1) {
                        let text = "\(worker) \(i)"
                        let result = try? await host.callTool(
                            server: "s",
                            name: "echo",
                            arguments: ["text": .string(text)]
                        )
                        precondition(result?.content.first?.text == text)
                    }
                }
            }
        }
        samples.append(.now())
    }
    let report = await host.shutdown()
    precondition(report.isClean, "\(report)")
    conclude(samples)
}

// MARK: Isolation

actor Latencies {
    private var milliseconds: [Double] = []
    func add(_ time: Duration) { self.milliseconds.append(time / .milliseconds(1)) }
    func take() -> (p50: Double, p99: Double, most: Double, count: Int) {
        defer { self.milliseconds = [] }
        let sorted = self.milliseconds.sorted()
        func at(_ share: Double) -> Double { sorted.isEmpty ? 0 : sorted[Int(Double(sorted.count - 1) * share)] }
        return (at(0.5), at(0.99), at(1), sorted.count)
    }
}

/// Ten good servers are called, one call each at a time, for so long.
func measure(_ host: MCPHost, _ name: String, for time: Duration) async -> Double {
    let latencies = Latencies()
    let end = ContinuousClock.now + time
    await withTaskGroup(of: Void.self) { group in
        for i in 0..<10 {
            group.addTask {
                var number = 0
                while ContinuousClock.now < end {
                    number += 1
                    let start = ContinuousClock.now
                    let result = try? await host.callTool(
                        server: "good\(i)",
                        name: "echo",
                        arguments: ["text": .string("\(number)")]
                    )
                    precondition(result?.content.first?.text == "\(number)", "a reply of good\(i) was lost")
                    await latencies.add(ContinuousClock.now - start)
                    try? await Task.sleep(for: .milliseconds(2))  // the pace of the load, not a wait for anything
                }
            }
        }
    }
    let (p50, p99, most, count) = await latencies.take()
    print("{\"scenario\":\"\(name)\",\"calls\":\(count),\"p50_ms\":\(p50),\"p99_ms\":\(p99),\"max_ms\":\(most)}")
    return p99
}

/// Every kind of bad server, each kept busy at being bad.
func misbehave(_ host: MCPHost, _ zoo: String, _ kind: Int) async {
    let start: [[String]] = [
        ["--mute"], ["--exit", "7"], ["--junk", "4000000"], ["--endless", "67108864"], ["--stderr", "50000000"],
        ["--lsp"],
        ["--storm", "200000", "--era", "legacy"], ["--buffered"], ["--one-byte"], ["--wrapper-exits", "--ignore-eof"],
        ["--double-fork"],
        ["--bad-utf8"], ["--unknown-id"], ["--double-reply"], ["--ignore-eof", "--ignore-term"], ["--deep", "100000"],
    ]
    let calls: [(String, RawJSON)] = [
        ("flood", ["n": 200_000]), ("big", ["n": 15_000_000]), ("kill", [:]), ("close-output", [:]),
        ("stop-reading", [:]),
        ("hang", [:]), ("stop-self", [:]), ("big", ["n": 20_000_000]),
    ]
    let name = "bad\(kind)"
    var entry = server(name, zoo, kind < start.count ? start[kind] : [])
    entry.client.connectTimeout = .seconds(2)
    entry.client.probeTimeout = .milliseconds(500)
    entry.stdio.endOfInputGrace = .milliseconds(300)
    entry.stdio.terminateGrace = .milliseconds(300)
    entry.restart.initialDelay = .milliseconds(50)
    let options = RequestOptions(idleTimeout: .seconds(1), hardTimeout: .seconds(2))
    while !Task.isCancelled {
        _ = try? await host.addServer(entry)
        let (tool, arguments) = kind < start.count ? ("echo", RawJSON(stringLiteral: "{}")) : calls[kind - start.count]
        for _ in 0..<20 where !Task.isCancelled {
            _ = try? await host.callTool(server: name, name: tool, arguments: arguments, options: options)
        }
        _ = await host.removeServer(name)
        // A server that fails at once is not an endless loop of ours.
        try? await Task.sleep(for: .milliseconds(20))
    }
}

func isolation(_ zoo: String) async throws {
    let host = try await MCPHost.start(HostConfiguration(servers: (0..<10).map { server("good\($0)", zoo) }))
    let alone = await measure(host, "alone", for: .seconds(5))
    let beside = await withTaskGroup(of: Void.self) { group in
        for kind in 0..<24 { group.addTask { await misbehave(host, zoo, kind) } }
        let beside = await measure(host, "beside one bad server of each of 24 kinds", for: .seconds(30))
        group.cancelAll()
        return beside
    }
    var worst = 0.0
    for kind in 0..<24 {
        let one = await withTaskGroup(of: Void.self) { group in
            group.addTask { await misbehave(host, zoo, kind) }
            let one = await measure(host, "beside kind \(kind)", for: .seconds(2))
            group.cancelAll()
            return one
        }
        worst = max(worst, one - alone)
    }
    print("{\"p99_moved_by_one_ms\":\(worst),\"p99_moved_by_all_ms\":\(beside - alone)}")
    let report = await host.shutdown()
    precondition(report.isClean, "\(report)")
}

let words = CommandLine.arguments
switch words.dropFirst().first {
case "cycles" where words.count == 4: try await cycles(words[2], Int(words[3]) ?? 10_000)
case "calls" where words.count == 4: try await calls(words[2], Int(words[3]) ?? 1_000_000)
case "isolation" where words.count == 3: try await isolation(words[2])
default:
    print("usage: soak cycles ZOO N | soak calls ZOO N | soak isolation ZOO")
    exit(64)
}
