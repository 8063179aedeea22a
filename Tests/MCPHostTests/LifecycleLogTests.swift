import Foundation
import MCPTransport
import Testing

@testable import MCPHost

@Suite("Lifecycle log on disk", .timeLimit(.minutes(5)))
struct LifecycleLogTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = "/tmp/mcp-log-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test("L10 it never takes more than two mebibytes and some, and keeps the newest")
    func bounded() throws {
        try Self.withFolder { folder in
            let journal = LifecycleJournal(
                capacity: 1,
                clock: SystemMonotonicClock(),
                log: LifecycleLog(folder: folder)
            )
            let cause = String(repeating: "long ", count: 1000)
            for i in 0..<1200 { journal.note("event \(i)", server: "one", cause: cause) }
            let sizes = try FileManager.default.contentsOfDirectory(atPath: folder).map { name in
                try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.size] as? Int ?? 0
            }
            #expect(sizes.count == 2 && sizes.reduce(0, +) < (2 << 20) + 16384, "\(sizes)")
            let events = LifecycleLog(folder: folder).events(of: "one")
            #expect(events.last?.event == "event 1199" && (events.last?.cause.count ?? 0) <= 4096)
        }
    }

    @Test("L10 a host that has the number of an earlier one has nothing to do with its end")
    func sameNumber() throws {
        try Self.withFolder { folder in
            let log = LifecycleLog(folder: folder)
            let host = Int64(getpid())
            for events in [["added", "lost", "closed"], ["added", "ready"]] {
                let journal = LifecycleJournal(capacity: 1, clock: SystemMonotonicClock(), log: log)
                for event in events { journal.note(event, server: event == "closed" ? nil : "one", cause: "x") }
                let known = log.events(of: "one")
                #expect(known.map(\.event) == events)
                #expect(LifecycleLog.state(of: host, after: known) == (events.contains("closed") ? .closed : .running))
            }
        }
    }

    @Test("L10 S34 a folder that cannot be written costs the entries and nothing else; damaged lines are passed over")
    func damaged() throws {
        try Self.withFolder { folder in
            let log = LifecycleLog(folder: folder)
            let journal = LifecycleJournal(capacity: 1, clock: SystemMonotonicClock(), log: log)
            journal.note("ready", server: "one", cause: "x")
            let file = "\(folder)/events.jsonl"
            #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
            let handle = try #require(FileHandle(forWritingAtPath: file))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("{\"time\":1,\"host\"\n\n\u{0}\n[]\n".utf8))
            try handle.close()
            journal.note("closed", server: "one", cause: "y")
            #expect(log.events(of: "one").map(\.event) == ["ready", "closed"])
            #expect(log.events(of: "two").isEmpty)
            let nowhere = LifecycleJournal(
                capacity: 1,
                clock: SystemMonotonicClock(),
                log: LifecycleLog(folder: "/no/such/folder")
            )
            nowhere.note("ready", server: "one", cause: "x")
            #expect(nowhere.entries.count == 1)
        }
    }
}
