import Foundation
import MCPHost
import TestSupport
import Testing

/// Servers behind a script that can be changed: the same launch, another server.
@Suite("Remembered eras", .timeLimit(.minutes(5)))
struct EraMemoryTests {
    private static func withScript(
        _ zoo: Zoo,
        _ switches: String...,
        body: (_ server: ServerDefinition, _ become: ([String]) throws -> Void) async throws -> Void
    ) async throws {
        let script = FileManager.default.temporaryDirectory.appendingPathComponent("era-\(UUID().uuidString).sh")
        defer { try? FileManager.default.removeItem(at: script) }
        func become(_ switches: [String]) throws {
            let words = ([ScriptedServer.path] + zoo.arguments("one", switches)).map { "'\($0)'" }
            try Data("exec \(words.joined(separator: " "))\n".utf8).write(to: script)
        }
        try become(switches)
        var server = ScriptedServer.patient(
            ServerDefinition(name: "one", command: "/bin/sh", arguments: [script.path]),
            switches
        )
        server.remembersEra = true
        try await body(server, become)
    }

    private static func revision(_ zoo: Zoo, _ server: ServerDefinition) async throws -> ProtocolRevision? {
        let host = try await zoo.host(server)
        let revision = try host.server("one").server?.revision
        expectClean(await host.shutdown(), servers: 1)
        return revision
    }

    private static func probes(_ zoo: Zoo) -> Int {
        zoo.events("one").count { $0.event == "frame" && $0.detail.contains("server/discover") }
    }

    @Test("V18 VER-08 a silent legacy server is asked once, and spoken to in its way at once from then on")
    func remembered() async throws {
        try await withZoo { zoo in
            try await Self.withScript(zoo, "--era", "legacy", "--silent-probe") { server, _ in
                for start in 1...3 {
                    let found = try await Self.revision(zoo, server)
                    #expect(found == .v2025_11_25)
                    #expect(Self.probes(zoo) == 1, "start \(start)")
                }
                var forgetful = server
                forgetful.remembersEra = false
                let last = try await Self.revision(zoo, forgetful)
                #expect(last == .v2025_11_25)
                #expect(Self.probes(zoo) == 2, "who does not want it is asked")
            }
        }
    }

    @Test("V18 a verdict that has become wrong is forgotten: the server is asked, and ready all the same")
    func forgotten() async throws {
        try await withZoo { zoo in
            try await Self.withScript(zoo, "--era", "legacy") { server, become in
                let found = try await Self.revision(zoo, server)
                #expect(found == .v2025_11_25)
                try become(["--era", "modern"])
                for _ in 0..<2 {
                    let found = try await Self.revision(zoo, server)
                    #expect(found?.isModern == true)
                }
                #expect(Self.probes(zoo) == 3)
            }
        }
    }

    @Test("V18 B11 a server that answers the question after all is not remembered as one that does not")
    func slow() async throws {
        try await withZoo { zoo in
            try await Self.withScript(zoo, "--late-probe") { server, _ in
                for start in 1...2 {
                    let found = try await Self.revision(zoo, server)
                    #expect(found == .v2025_11_25)
                    #expect(Self.probes(zoo) == start)
                }
            }
        }
    }

    @Test("V18 a modern server is asked each time: that costs nothing, and it may have been replaced")
    func others() async throws {
        try await withZoo { zoo in
            try await Self.withScript(zoo, "--era", "modern") { server, _ in
                for start in 1...2 {
                    let found = try await Self.revision(zoo, server)
                    #expect(found?.isModern == true)
                    #expect(Self.probes(zoo) == start)
                }
            }
        }
    }
}
