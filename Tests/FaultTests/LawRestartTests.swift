import Foundation
import MCPHost
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@Suite("The law: a restart belongs to its server (T11)", .timeLimit(.minutes(5)))
struct LawRestartTests {
    /// A host with a server whose end takes as long as it is given: time for others to come in while it is being restarted.
    private static func slowToEnd(_ zoo: Zoo) async throws -> MCPHost {
        var server = zoo.server("one", "--ignore-eof", "--ignore-term")
        server.stdio.endOfInputGrace = .seconds(4)
        return try await zoo.host(server)
    }

    @Test(
        "T11 4 000 calls beside 20 restarts: only calls that were on their way fail, and they say so; nobody loses their place"
    )
    func callsBesideRestarts() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("first"), zoo.server("one"), zoo.server("last"))
            let (callers, each, restarts) = (40, 100, 20)
            let failures = Locked<[MCPError]>([])
            let answers = Locked(0)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<callers {
                    group.addTask {
                        for number in 0..<each {
                            do {
                                let said = try await text(host, "one", "echo", ["text": .string("\(number)")])
                                answers.withLock { $0 += said == "\(number)" ? 1 : 0 }
                            } catch let error as MCPError {
                                failures.withLock { $0.append(error) }
                            } catch {}
                        }
                    }
                }
                group.addTask {
                    for _ in 0..<restarts {
                        let error = await failure { try await host.restartServer("one") }
                        #expect(error == nil, "\(String(describing: error))")
                    }
                }
            }
            let failed = failures.withLock { $0 }
            #expect(answers.withLock { $0 } + failed.count == callers * each, "an answer went to somebody else")
            for error in failed {
                #expect(error.code == .outcomeUnknown && error.server == "one", "\(error)")
                #expect(error.message.contains("restarted") && error.message.contains("may have been executed"))
            }
            // At most what was in flight when a process was given up.
            #expect(failed.count <= callers * restarts)
            #expect(host.servers.map(\.name) == ["first", "one", "last"])
            #expect(zoo.count("start", "one") == restarts + 1 && zoo.count("start", "first") == 1)
            #expect(await host.shutdown().servers.count == 3, "a server that was restarted is one server")
        }
    }

    @Test("T11 twenty who want a restart at once get one; a caller that goes does not take it along")
    func joined() async throws {
        try await withZoo { zoo in
            let host = try await Self.slowToEnd(zoo)
            let hasting = Task { await failure { try await host.restartServer("one") } }
            await host.wait(for: "restart asked for", of: "one")
            hasting.cancel()
            #expect(await hasting.value?.code == .cancelled)
            await withTaskGroup(of: MCPError?.self) { group in
                for _ in 0..<19 { group.addTask { await failure { try await host.restartServer("one") } } }
                for await error in group { #expect(error == nil, "\(String(describing: error))") }
            }
            #expect(host.journal.entries(for: "one").count { $0.event == "restart asked for" } == 1)
            #expect(zoo.count("start", "one") == 2)
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
        }
    }

    @Test("T11 a server that is removed while it is being restarted stays away", arguments: [false, true])
    func removedMeanwhile(byShutdown: Bool) async throws {
        try await withZoo { zoo in
            let host = try await Self.slowToEnd(zoo)
            let restart = Task { await failure { try await host.restartServer("one") } }
            await host.wait(for: "restart asked for", of: "one")
            if byShutdown {
                expectClean(await host.shutdown(), servers: 1)
            } else {
                #expect(await host.removeServer("one")?.processesLeft == [])
            }
            #expect(await restart.value?.code == .hostClosed)
            #expect(host.servers.isEmpty && zoo.count("start", "one") == 1)
            let error = await failure { try await host.restartServer("one") }
            #expect(error?.code == .notFound)
        }
    }

    @Test("T11 events and calls that wait survive a restart, also of a server that had failed")
    func events() async throws {
        let server = ProtocolServer(
            .v2025_11_25,
            capabilities: ["tools": ["listChanged": true]],
            [
                "tools/call": { call in ["content": [["type": "text", "text": call.arguments["text"] ?? .null]]] }
            ]
        )
        var definition = server.configuration("one")
        definition.restart = .never
        try await MCPHost.withHost(HostSetup(servers: [definition])) { host in
            let one = try host.server("one")
            var (own, all) = (one.serverEvents().makeAsyncIterator(), host.serverEvents().makeAsyncIterator())
            for round in 1...3 {
                if round == 2 {
                    // It ends by itself, and is not to be started again: a restart by hand revives it.
                    server.crash()
                    _ = await one.waitUntilGone()
                    #expect(one.status == .failed)
                }
                try await host.restartServer("one")
                #expect(try host.server("one") === one && one.status == .ready && one.failure == nil)
                server.tell("notifications/tools/list_changed")
                guard case .toolsChanged? = await own.next(), case .toolsChanged? = await all.next()?.event else {
                    Issue.record("round \(round): the events have ended")
                    return
                }
                #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            }
            let report = await host.shutdown()
            #expect(report.servers.count == 1 && report.servers.first?.generation == 4 && report.isClean, "\(report)")
            let rest = (await own.next(), await all.next())
            #expect(rest.0 == nil && rest.1 == nil, "\(rest)")
        }
    }

    @Test("T11 a call that comes while a server is being restarted waits for it")
    func waiting() async throws {
        try await withZoo { zoo in
            let host = try await Self.slowToEnd(zoo)
            let restart = Task { await failure { try await host.restartServer("one") } }
            await host.wait(for: "restart asked for", of: "one")
            #expect(try host.server("one").status == .restarting)
            #expect(try await text(host, "one", "echo", ["text": "x"]) == "x")
            #expect(await restart.value == nil)
            #expect(zoo.count("start", "one") == 2)
        }
    }

    @Test("T11 a server that is restarted in the very moment of its failure is there again", arguments: 0..<20)
    func revived(round: Int) async throws {
        let server = ProtocolServer(.v2025_11_25)
        var definition = server.configuration("one")
        definition.restart = .never
        try await MCPHost.withHost(HostSetup(servers: [definition])) { host in
            for _ in 0..<10 {
                server.crash()
                let waiting = Task { await failure { try await host.server("one").session() } }
                if round % 2 == 0 { _ = await waiting.value } else { _ = try await host.server("one").waitUntilGone() }
                // Lost, failing, failed or just leaving: whatever it is, it comes back.
                try await host.restartServer("one")
                let status = try host.server("one").status
                #expect(status == .ready)
                _ = await waiting.value
            }
            let report = await host.shutdown()
            #expect(report.servers.count == 1 && report.isClean, "\(report)")
        }
    }

    @Test("T11 a restart in the very moment of readiness is another start")
    func restartAtReadiness() async throws {
        let server = ProtocolServer(.v2025_11_25)
        try await MCPHost.withHost(HostSetup(servers: [server.configuration("one")])) { host in
            let entries = host.journal.updates()
            var restarts = 0
            for await entry in entries where entry.event == "ready" {
                if restarts == 20 { break }
                restarts += 1
                try await host.restartServer("one")
                #expect(server.connections >= restarts + 1, "answered by the old connection")
                let status = try host.server("one").status
                #expect(status == .ready)
            }
        }
    }
}
