import Foundation
import MCPControl
import MCPHost
import MCPJSON
import TestSupport
import Testing

@Suite("The control channel at a socket", .timeLimit(.minutes(5)))
struct SocketTests {
    private static func path() throws -> String {
        try TemporaryFolders.make().appendingPathComponent("sockets/host").path
    }

    @Test("verbs use the servers that another host holds")
    func verbs() async throws {
        let path = try Self.path()
        let file = try TemporaryFolders.make().appendingPathComponent("mcp.json")
        let demo: JSONValue = ["command": .string(HostProgram.path), "args": ["demo-server"]]
        let servers: JSONValue = [
            "demo": demo, "old": ["command": .string(ScriptedServer.path), "args": ["--era", "legacy"]],
            "dead": ["command": .string(ScriptedServer.path), "args": ["--exit", "7"]],
        ]
        try Data(JSONValue.object(["mcpServers": servers]).description.utf8).write(to: file)
        let holder = try HostProgram.start(["run", "--config", file.path, "--socket", path])
        await holder.ready()
        for (words, status, out) in [
            (["call", "demo", "add", "a=1", "b=2"], 0, "3\n"), (["call", "old", "echo", "text=hi"], 0, "hi\n"),
            (["call", "demo__echo", "text=x"], 0, "x\n"), (["call", "demo", "add", "a=x", "b=1"], 64, ""),
            (["call", "dead", "echo"], 4, ""), (["call", "nobody", "echo"], 64, ""),
            (["read", "demo", "demo://about"], 0, nil), (["prompt", "demo", "summarise", "text=abc"], 0, nil),
            (["tools", "old"], 0, nil), (["resources", "demo"], 0, nil), (["prompts", "demo"], 0, nil),
            (["tools", "--config", file.path], 64, ""),
        ] as [([String], Int32, String?)] {
            let outcome = try await HostProgram.run(words + ["--socket", path])
            #expect(outcome.status == status && (out == nil || outcome.out == out), "\(words): \(outcome)")
        }
        let table = try await HostProgram.run(["servers", "--socket", path])
        #expect(table.status == 4 && table.error.contains("exit status 7"), "\(table)")
        // They are opened once, and none of that has closed them.
        let twice = try await HostProgram.run(["run", "--config", file.path, "--socket", path])
        #expect(twice.status == 64 && twice.error.contains("somebody listens at"), "\(twice)")
        holder.signal(SIGINT)
        #expect(await holder.end().status == 4)
        let gone = try await HostProgram.run(["tools", "--socket", path])
        #expect(gone.status == 4 && gone.error.contains("nobody listens there"), "\(gone)")
    }

    @Test("S2 S34 a socket is its user's alone; one that a killed host has left is replaced")
    func permissions() async throws {
        let path = try Self.path()
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let first = try HostProgram.start(["run", "--socket", path])
        await first.ready()
        for (file, mode) in [(folder, 0o700), (path, 0o600)] {
            let found = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
            #expect(found == mode, "\(file)")
        }
        first.signal(SIGKILL)
        _ = await first.end()
        #expect(FileManager.default.fileExists(atPath: path))
        let second = try HostProgram.start(["run", "--socket", path])
        await second.ready()
        #expect(try await HostProgram.run(["call", "demo", "echo", "text=x", "--socket", path]).out == "x\n")
        second.signal(SIGTERM)
        #expect(await second.end().status == 0)
        #expect(!FileManager.default.fileExists(atPath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
        let open = try await HostProgram.run(["run", "--socket", path])
        #expect(open.status == 64 && open.error.contains("is open to others"), "\(open)")
        let long = try await HostProgram.run(["run", "--socket", "/tmp/" + String(repeating: "x", count: 200)])
        #expect(long.status == 64 && long.error.contains("no name for a socket"), "\(long)")
    }

    @Test("several clients of one channel have hosts of their own, which end with them")
    func clients() async throws {
        let path = try Self.path()
        let holder = try HostProgram.start(["control", "--socket", path])
        await holder.printed("listening at \(path)")
        let script = """
            import json, socket, sys
            def client():
                s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); return s.makefile("rw")
            def ask(f, method, **params):
                f.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\\n"); f.flush()
                return json.loads(f.readline())
            one, two = client(), client()
            demo = {"demo": {"command": sys.argv[2], "args": ["demo-server"]}}
            print(ask(one, "hosts/start", configuration=demo)["result"]["host"], ask(two, "hosts/start", configuration=demo)["result"]["host"])
            print(len(ask(one, "hosts/list")["result"]["hosts"]), len(ask(two, "hosts/list")["result"]["hosts"]))
            """
        let outcome = try await HostProgram.start(
            ["python3", "-c", script, path, HostProgram.path],
            path: "/usr/bin/env"
        ).end()
        #expect(outcome.out == "h1 h1\n1 1\n", "\(outcome)")
        holder.signal(SIGTERM)
        let end = await holder.end()
        #expect(end.status == 0 && end.error.isEmpty, "\(end)")
    }
}
