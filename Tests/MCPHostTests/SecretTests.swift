import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// A canary is put wherever a secret may be, and looked for wherever something is told.
@Suite("Secrets", .timeLimit(.minutes(5)))
struct SecretTests {
    private static let canary = "hunter2xyz-canary"

    /// A server that tells its secret in every way it can, and one that dies of it.
    private static func file() throws -> String {
        let blabber = #"""
            print STDERR "my token is $ENV{T}\nhttps://u:$ENV{T}\@h/x?password=$ENV{T}\n";
            $| = 1;
            while (my $line = <STDIN>) {
                my ($id) = $line =~ /"id":("[^"]*"|\d+)/ or next;
                my ($method) = $line =~ /"method":"([^"]+)"/;
                my %answers = ("initialize" => '"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":"x","version":"1"}}',
                    "tools/list" => '"result":{"tools":[{"name":"t","inputSchema":{}},{"name":"' . $ENV{T} . '","description":7}]}',
                    "prompts/list" => '"error":{"code":-32000,"message":"denied: ' . $ENV{T} . '"}',
                    "tools/call" => '"error":{"code":-32001,"message":"no ' . $ENV{T} . '","data":{"token":["' . $ENV{T} . '"]}}');
                print '{"jsonrpc":"2.0","id":' . $id . ',' . ($answers{$method} // '"error":{"code":-32601,"message":"?"}') . "}\n";
            }
            """#
        let servers: JSONObject = [
            "canary-blabber": ["command": "perl", "args": ["-e", .string(blabber)], "env": ["T": "${CANARY}"]],
            "canary-dead": [
                "command": "sh",
                "args": [
                    "-c", "echo $T $0 $@ >&2; exit 3", "--token", "${CANARY}", "--api-key=${CANARY}",
                    "postgresql://u:${CANARY}@db/x",
                    "-e", "PW=${CANARY}", "Authorization: Bearer ${CANARY}", "${CANARY}", "${NO:-${CANARY}}",
                ],
                "env": ["T": "x${CANARY}y", "LITERAL_TOKEN": "literal-canary"], "passEnv": ["CANARY"],
            ],
            "canary-unusable": ["command": "${CANARY}", "env": ["A": "${CANARY}", "B": "${NOT_SET_AT_ALL}"]],
            "canary-missing": ["command": "/no/such/${CANARY}", "args": ["${CANARY}"]],
        ]
        let file = try TemporaryFolders.make().appendingPathComponent("mcp.json")
        try Data(RawJSON(encoding: ["mcpServers": .object(servers)] as JSONObject).bytes).write(to: file)
        return file.path
    }

    @Test("U1 S23 nothing that came out of a variable is in any output, log, journal or file of state")
    func commandLine() async throws {
        let state = try TemporaryFolders.make()
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: state.path)
        let file = try Self.file()
        let environment = ["CANARY": Self.canary, "MCP_HOST_STATE": state.path]
        for words in [
            ["servers"], ["tools"], ["prompts"], ["resources"], ["call", "canary-blabber", "t"],
            ["call", "canary-dead", "t"],
            ["call", "canary-missing", "t"], ["call", "canary-unusable", "t"], ["tools", "canary-blabber", "nothing"],
            ["read", "canary-blabber", "a:b"], ["why", "canary-blabber"], ["why", "canary-dead"],
            ["why", "canary-missing"], ["reap"],
        ] {
            let isOfHost = words[0] != "why" && words[0] != "reap"
            for more in isOfHost ? [["--report"], ["--json", "--report"]] : [[], ["--json"]] {
                let all = words + more + (isOfHost ? ["--config", file] : [])
                let outcome = try await HostProgram.run(all, environment: environment)
                // The name of a tool is the server's own answer, and no secret of its configuration that we would tell.
                let told = outcome.error + (words[0] == "tools" || words[0] == "servers" ? "" : outcome.out)
                #expect(!told.contains(Self.canary) && !told.contains("literal-canary"), "\(all): \(outcome)")
                #expect(!outcome.out.isEmpty || !outcome.error.isEmpty)
            }
        }
        let shown = try await HostProgram.run(["why", "canary-dead"], environment: environment)
        #expect(shown.out.contains("--token ***") && shown.out.contains("exit status 3"), "\(shown)")
        let files = try #require(FileManager.default.enumerator(atPath: state.path)).compactMap { $0 as? String }
        #expect(files.contains { $0.hasSuffix(".jsonl") || $0.contains("lifecycle") }, "\(files)")
        for name in files {
            let contents = FileManager.default.contents(atPath: state.path + "/" + name) ?? Data()
            #expect(!String(decoding: contents, as: UTF8.self).contains(Self.canary), "\(name)")
        }
    }

    @Test(
        "U1 nor in errors, reports, journals and lines of standard error that a program gets; paths and numbers stay readable"
    )
    func library() async throws {
        let variables = [
            "CANARY": Self.canary, "PATH": ServerEnvironment.current["PATH"] ?? "", "PORT": "8080", "HOME": "/home/u",
            "DATA": "/srv/data",
        ]
        var configuration = try HostConfiguration(contentsOf: try Self.file(), environment: variables)
        configuration.servers.append(
            try #require(
                HostConfiguration(
                    parsing: Array(
                        #"{"plain":{"command":"sh","args":["-c","exit 4","${PORT}","${HOME}","${DATA}/x","${CANARY}"]}}"#
                            .utf8
                    ),
                    file: "f",
                    environment: variables
                ).servers.first
            )
        )
        let lines = Locked<[String]>([])
        var runtime = HostRuntime()
        runtime.onStandardError = { _, line in lines.withLock { $0.append(line) } }
        let host = try await MCPHost.start(configuration, runtime: runtime)
        var told = host.servers.map { "\($0.failure.map { "\($0)" } ?? "") \($0.problems)" }
        for server in ["canary-blabber", "canary-dead", "canary-missing", "canary-unusable"] {
            do { _ = try await host.callTool(server: server, name: "t") } catch { told.append("\(error)") }
            do { _ = try await host.getPrompt(server: server, name: "t") } catch { told.append("\(error)") }
        }
        told += try await host.prompts().failures.map { "\($0.error)" }
        #expect(host.servers.last?.failure?.message.contains("sh -c exit 4 8080 /home/u /srv/data/x ***") == true)
        let report = await host.shutdown()
        told += host.journal.entries.map(\.description) + report.servers.map { "\($0)" }
        for text in told { #expect(!text.contains(Self.canary), "\(text)") }
        #expect(lines.withLock { $0 }.contains("my token is ***"), "\(lines.withLock { $0 })")
        for line in lines.withLock({ $0 }) { #expect(!line.contains(Self.canary)) }
    }
}
