import CMCPProcess
import Foundation
import MCPControl
import MCPHost
import MCPJSON
import TestSupport
import Testing

/// `mcp-host control` as a program: however its client ends, or keeps it from ending.
@Suite("The control channel: its end", .timeLimit(.minutes(5)))
struct ControlEndTests {
    private static func zoo(_ arguments: String...) -> JSONValue {
        ["command": .string(ScriptedServer.path), "args": .array(arguments.map { .string($0) })]
    }

    private static func request(_ id: Int, _ method: String, _ params: JSONObject = [:]) -> String {
        "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(RawJSON(encoding: params))}\n"
    }

    /// Runs a shell command with the program as `$0` and requests in the file `$1`.
    private static func shell(_ command: String, _ requests: [String]) async throws -> HostProgram.Outcome {
        let file = try TemporaryFolders.make().appendingPathComponent("requests")
        try Data(requests.joined().utf8).write(to: file)
        return try await HostProgram.start(["-c", command, HostProgram.path, file.path], path: "/bin/sh").end()
    }

    @Test("requests of a file are answered, and what they open is closed")
    func file() async throws {
        let outcome = try await Self.shell(
            #""$0" control < "$1""#,
            [
                Self.request(1, "hosts/start", ["configuration": ["one": Self.zoo()]]),
                Self.request(2, "hello"),
            ]
        )
        let answers = try outcome.out.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(Set(answers.map { $0["id"]?.int64 }) == [1, 2] && outcome.status == 0, "\(outcome)")
    }

    @Test("what is not proved stays said, also of a host that was shut down before", arguments: [true, false])
    func unproved(isShutDown: Bool) async throws {
        try await withZoo(isProved: false) { zoo in
            let arguments = zoo.arguments("one", ["--helper", "bare", "--kill-guard"])
            let server: JSONValue = [
                "command": .string(ScriptedServer.path), "args": .array(arguments.map { .string($0) }),
            ]
            let reports = try await ControlClient.with { client in
                try await client.call("hosts/start", ["configuration": ["one": server]])
                if isShutDown { #expect(try await client.call("hosts/shutdown")["clean"] == false) }
            }
            #expect(reports.count == 1 && reports.first?.isClean == false, "\(reports)")
            await zoo.wait(for: "child", of: "one")
            for child in zoo.events("one") where child.event == "child" { kill(child.pid, SIGKILL) }
        }
    }

    @Test("a client that does not read holds up no end")
    func unread() async throws {
        let reports = try await ControlClient.with(isDeaf: true) { client in
            client.setNonblocking()
            while await client.offer(Self.request(1, "hello")) {}
            client.connection.end()
        }
        #expect(reports.isEmpty)
    }

    @Test("as deep as JSON may be, in every kind of message")
    func deep() async throws {
        for depth in [400, 500, 5000] {
            let deep = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            let outcome = try await Self.shell(
                #""$0" control < "$1""#,
                [
                    "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":\(deep)}}\n",
                    "{\"jsonrpc\":\"2.0\",\"id\":\"q1\",\"result\":\(deep)}\n",
                    "{\"jsonrpc\":\"2.0\",\"id\":\"q1\",\"error\":{\"message\":\(deep)}}\n",
                    "{\"jsonrpc\":\"2.0\",\"id\":\(deep),\"method\":\"hello\"}\n",
                    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"x\":\(deep)}}\n",
                    Self.request(2, "hello"),
                ]
            )
            #expect(outcome.status == 0 && outcome.out.contains("\"id\":2,\"result\""), "\(depth): \(outcome)")
        }
    }

    @Test("a configuration that is no file is said to be none, and holds nobody up")
    func fifo() async throws {
        let fifo = try TemporaryFolders.make().appendingPathComponent("fifo").path
        #expect(mkfifo(fifo, 0o600) == 0)
        _ = try await ControlClient.with { client in
            for file in [fifo, fifo, "/dev/zero"] {
                let kind = await client.kind("hosts/start", ["file": .string(file)])
                #expect(kind == "invalidConfiguration", "\(file)")
            }
        }
    }

    #if os(Linux)
        @Test("the end of a process is the end of the input, also while another has that open")
        func watched() async throws {
            let client = Process()
            (client.executableURL, client.standardInput) = (URL(fileURLWithPath: "/bin/cat"), Pipe())
            client.standardOutput = FileHandle.nullDevice
            try client.run()
            _ = try await ControlClient.with { control in
                try await control.call("hosts/start", ["configuration": ["one": Self.zoo()]])
                try await control.call("hello", ["pid": .number(JSONNumber(Int64(client.processIdentifier)))])
                try (client.standardInput as? Pipe)?.fileHandleForWriting.close()
                #expect(await control.end()?.isEmpty == true)
            }
            client.waitUntilExit()
            // What is gone already ends it at once.
            _ = try await ControlClient.with { control in
                control.begin("hello", ["pid": .number(JSONNumber(Int64(client.processIdentifier)))])
                _ = await control.end()
            }
        }
    #endif

    @Test("the channel is no file of its own client's")
    func ownInput() async throws {
        // What follows is read by the channel, and by nobody else.
        let outcome = try await Self.shell(
            #"{ cat "$1"; } | "$0" control"#,
            [Self.request(1, "hosts/start", ["file": "-"])] + (2...40).map { Self.request($0, "hello") }
        )
        let answers = try outcome.out.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        #expect(Set(answers.map { $0["id"]?.int64 }) == Set(1...40) && outcome.status == 0, "\(outcome)")
    }

    @Test("a client that never stops talking holds up no end")
    func floods() async throws {
        let reports = try await ControlClient.with { client in
            try await client.call("hosts/start", ["configuration": ["one": Self.zoo()]])
            let isOver = Locked(false)
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    client.setNonblocking()
                    while !isOver.withLock({ $0 }), await client.offer("{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n") {}
                }
                client.connection.end()
                _ = await client.end()
                isOver.withLock { $0 = true }
            }
        }
        #expect(reports.isEmpty)
    }

    @Test("a file that nests as deep as JSON may is read, or refused")
    func deepFile() async throws {
        let deep = String(repeating: #"{"a":"#, count: 500) + "1" + String(repeating: "}", count: 500)
        let file = try TemporaryFolders.make().appendingPathComponent("mcp.json")
        try Data(#"{"mcpServers":{"a":{"command":"/bin/true","x":\#(deep)}}}"#.utf8).write(to: file)
        let outcome = try await Self.shell(
            #""$0" control < "$1""#,
            [Self.request(1, "hosts/start", ["file": .string(file.path)]), Self.request(2, "hello")]
        )
        #expect(outcome.status == 0 && outcome.out.contains("\"id\":2,\"result\""), "\(outcome)")
    }

    @Test("a client that goes without a word costs nothing")
    func gone() async throws {
        let outcome = try await Self.shell(
            #"{ cat "$1"; } | { "$0" control; echo "ended $?" >&2; } | true"#,
            [Self.request(1, "hosts/start", ["configuration": ["one": Self.zoo()]]), Self.request(2, "hello")]
        )
        #expect(outcome.error.contains("ended 0"), "\(outcome)")
    }
}
