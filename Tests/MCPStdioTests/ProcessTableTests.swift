import CMCPProcess
import Foundation
import Testing

@testable import MCPStdio

/// How the list of processes is read so that nobody who forks and exits gets past.
@Suite("Process table", .timeLimit(.minutes(5)))
struct ProcessTableTests {
    /// What becomes of the first link of a chain between the list and the look at it.
    enum Fate: CaseIterable { case gone, zombie, goneBeforeEnvironment, ending, inExec }

    @Test(
        "T19 who gets away between list and look may have had a child: the list is taken again",
        arguments: Fate.allCases
    )
    func lostLink(fate: Fate) throws {
        var (lists, pauses) = (0, 0)
        let source = ProcessSource(
            numbers: {
                lists += 1
                return lists == 1 ? [10] : fate == .inExec ? [10, 11] : [11]
            },
            read: { number, process in
                process = mcp_process()
                process.pid = number
                process.threads = 1
                process.state = CChar(bitPattern: UInt8(ascii: number == 10 && fate == .zombie ? "Z" : "S"))
                return number == 10 && fate == .gone ? ESRCH : 0
            },
            launchTokens: { process in
                if process.pid == 11 { return .launchTokens(["m"]) }
                switch fate {
                case .goneBeforeEnvironment: return .gone
                case .inExec where lists > 1: return .launchTokens(["late"])
                default: return .noEnvironment
                }
            },
            passage: { _, passage in
                passage = fate == .inExec ? MCP_PASSAGE_EXEC : MCP_PASSAGE_END
                return 0
            },
            pause: { pauses += 1 }
        )
        var zombies: [mcp_process] = []
        let found = try #require(ProcessTable.look(source, &zombies))
        #expect(found.contains { $0.process.pid == 11 && $0.launchTokens == ["m"] })
        #expect(found.contains { $0.launchTokens == ["late"] } == (fate == .inExec))
        #expect(zombies.count == (fate == .zombie ? 1 : 0))
        #expect(pauses == (fate == .inExec ? 1 : 0))
    }

    @Test("E21 T25 our own child that is about to end is not over before somebody has reaped it")
    func ownChild() throws {
        var lists = 0
        let source = ProcessSource(
            numbers: {
                lists += 1
                return [10, 11]
            },
            read: { number, process in
                process.pid = number
                process.threads = 1
                process.parent = number == 10 ? getpid() : 1
                return 0
            },
            launchTokens: { _ in .noEnvironment },
            passage: { _, passage in
                passage = MCP_PASSAGE_END
                return 0
            },
            pause: {}
        )
        var zombies: [mcp_process] = []
        let found = try #require(ProcessTable.look(source, &zombies))
        #expect(lists == 2 && found.map(\.process.pid) == [10])
    }

    @Test("T19 who has no environment and is at nothing counts as looked at, once")
    func noEnvironment() throws {
        var lists = 0
        let source = ProcessSource(
            numbers: {
                lists += 1
                return [2]
            },
            read: { number, process in
                process.pid = number
                return 0
            },
            launchTokens: { _ in .noEnvironment },
            passage: { _, passage in
                passage = MCP_PASSAGE_NONE
                return 0
            },
            pause: {}
        )
        var zombies: [mcp_process] = []
        let found = try #require(ProcessTable.look(source, &zombies))
        #expect(lists == 1 && found.map(\.process.pid) == [2])
    }
}
