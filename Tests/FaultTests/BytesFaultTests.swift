import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import TestSupport
import Testing

/// docs/faults.md, section C: bytes, lines and JSON, against real processes.
@Suite("Faults C: bytes, lines, JSON", .timeLimit(.minutes(5)))
struct BytesFaultTests {
    private static let mixed = "aé漢🦓\u{2028}\u{85}\"\\\n" + String(repeating: "漢字🦓", count: 3000)

    @Test(
        "C1 C3 C9 C13 C14 C15 C20 TGEN-01 however it is written, the same text arrives",
        arguments: [
            ["--banner"], ["--junk-lines", "3"], ["--one-byte"], ["--split-utf8"], ["--crlf"], ["--bom"], ["--blank"],
            ["--batch"],
            ["--bom", "--crlf", "--blank", "--junk-lines", "1"],
        ]
    )
    func shapes(switches: [String]) async throws {
        try await withZoo { zoo in
            let server = ServerDefinition(
                name: "odd",
                command: ScriptedServer.path,
                arguments: zoo.arguments("odd", ["--era", "legacy"] + switches)
            )
            let host = try await zoo.host(server)
            let back = try await text(host, "odd", "echo", ["text": .string(Self.mixed)])
            #expect(back == Self.mixed)
        }
    }

    @Test("C2 L2 a mebibyte of junk and no message: it says that standard output is not MCP")
    func junk() async throws {
        try await withZoo { zoo in
            var server = zoo.server("junk", "--junk", "4000000")
            server.stdio.endOfInputGrace = .milliseconds(150)  // it never reads
            let host = try await zoo.host(server)
            #expect(try #require(host.servers.first?.failure).message.contains("standard output is not MCP"))
        }
    }

    /// A legacy server that writes its messages in an odd way, from one of them on.
    private static func odd(_ way: String, from first: Int = 1) -> ServerDefinition {
        let program = #"""
            $| = 1;
            my ($way, $first, $count) = (@ARGV, 0);
            my $id;
            sub put {
                my ($text) = @_;
                $count++;
                my $is_odd = $count >= $first;
                $text =~ s/"jsonrpc":"2.0",// if $is_odd && $way eq "bare";
                $text = "working... done $text" if $is_odd && $way eq "glued";
                $text = "\e[32m$text\e[0m" if $is_odd && $way eq "color";
                $text =~ s/([,\]}])/$1\n/g if $is_odd && $way eq "pretty";
                if ($way eq "debug") { print "-> $text\n" for 1..2; }
                print qq({"level":"warn","msg":"m","error":"cannot open"}\n{"msg":"done","id":$id,"result":"ok"}\n) if $way eq "log";
                print qq({"level":"info","id":$id,"method":"ping"}\n{"id":$id,"method":"tools/call","params":{}}\n) if $way eq "log";
                print "$text\n";
            }
            while (my $line = <STDIN>) {
                if ($way eq "debug") { my $pretty = $line; $pretty =~ s/,/,\n/g; print "<- $line<- $pretty"; }
                ($id) = $line =~ /"id":("[^"]*"|\d+)/ or next;
                my ($method) = $line =~ /"method":"([^"]+)"/;
                my $answer = '"error":{"code":-32601,"message":"no"}';
                $answer = '"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"odd","version":"1"}}' if $method eq "initialize";
                $answer = '"result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}' if $method eq "tools/list";
                $answer = '"result":{"content":[{"type":"text","text":"fine"}]}' if $method eq "tools/call";
                put("{\"jsonrpc\":\"2.0\",\"id\":$id,$answer}");
            }
            """#
        var server = ServerDefinition(name: "odd", command: "perl", arguments: ["-e", program, "--", way, "\(first)"])
        server.client.probeTimeout = .milliseconds(200)
        server.remembersEra = false
        return server
    }

    @Test("C1 C2 answers that are not each a line of JSON: the error of the time that is over shows what came")
    func wrongLines() async throws {
        try await withZoo { zoo in
            for (way, came) in [("pretty", #""id":2,"#), ("color", #"[32m{"jsonrpc":"2.0","id":2,"#)] {
                var server = Self.odd(way)
                server.client.connectTimeout = .seconds(5)
                let host = try await zoo.host(server)
                let failure = try #require(host.servers.first?.failure)
                #expect(failure.code == .timeout && failure.message.contains(came), "\(failure)")
                await host.shutdown()
            }
        }
    }

    @Test("C1 U3 what a server logs on standard output is passed over, JSON among it", arguments: ["debug", "log"])
    func logs(way: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.odd(way))
            #expect(try await text(host, "odd", "t", [:]) == "fine")
            #expect(try host.server("odd").problems.isEmpty)
        }
    }

    @Test(
        "C1 an answer that is lost behind other text, or in many lines: the error of the time that is over shows where it begins",
        arguments: [
            ("glued", #"working... done {"jsonrpc":"2.0","id":4,"result""#),
            ("pretty", "(at byte 17)\n\"id\":4,\n\"result\""),
        ]
    )
    func lostAnswer(way: String, shown: String) async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.odd(way, from: 4))
            var options = RequestOptions()
            // Long enough for any machine to have read the line by then.
            options.hardTimeout = .seconds(5)
            let error = await #expect(throws: MCPError.self) {
                try await host.callTool(server: "odd", name: "t", options: options)
            }
            #expect(error?.code == .timeout)
            #expect(error?.message.contains(shown) == true, "\(error as Any)")
        }
    }

    @Test("U3 messages without their version: used, told once, and refused where reading is strict")
    func withoutVersion() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(Self.odd("bare"))
            #expect(try await text(host, "odd", "t", [:]) == "fine")
            let problems = try host.server("odd").problems.map { "\($0.problem)" }
            #expect(problems == ["jsonrpc: is missing (the usual is assumed)"])
            await host.shutdown()
            var strict = Self.odd("bare")
            strict.client.readsStrictly = true
            let refused = try await zoo.host(strict)
            let failure = try #require(refused.servers.first?.failure)
            #expect(failure.message.contains(#""jsonrpc" is missing"#), "\(failure)")
        }
    }

    @Test("C6 C8 L1 a message without an end stays bounded in memory, and the connection goes on", .exitTestTurn)
    func endless() async throws {
        await #expect(processExitsWith: .success) {
            try await withZoo { zoo in
                let before = residentKilobytes()
                let host = try await zoo.host(zoo.server("endless", "--endless", "134217728"))
                #expect(try await text(host, "endless", "echo", ["text": "x"]) == "x")
                precondition(residentKilobytes() - before < 48 << 10, "128 MiB without a newline took memory")
            }
        }
    }

    @Test("C10 invalid UTF-8 in a result: the call ends, the connection lives")
    func invalidUTF8() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd", "--bad-utf8"))
            #expect(try await text(host, "odd", "echo", ["text": "x"]) == "\u{FFFD}\u{FFFD}x")
            #expect(try await text(host, "odd", "echo", ["text": "y"]).hasSuffix("y"))
        }
    }

    @Test("C11 C12 a lone surrogate becomes U+FFFD; separators inside a string are characters")
    func odd() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd"))
            #expect(try await text(host, "odd", "surrogate") == "a\u{FFFD}b")
            #expect(try await text(host, "odd", "separators") == "a\u{85}\u{2028}\u{2029}\u{0B}\u{0C}b")
        }
    }

    @Test("C16 an answer without a newline before the end of output is delivered")
    func noNewline() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd", "--no-newline"))
            let result = try await host.callTool(server: "odd", name: "echo")
            #expect(result.content.isEmpty)
        }
    }

    @Test("C17 a hundred thousand brackets: that call fails, the next one works")
    func deep() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("deep", "--deep", "100000"))
            let error = await failure { try await host.callTool(server: "deep", name: "echo") }
            #expect(error?.code == .badResponse)
            #expect(try await host.server("deep").session().listTools().count == 1)
        }
    }

    @Test("C18 numbers beyond the precision of a Double survive")
    func numbers() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd"))
            let result = try await host.callTool(server: "odd", name: "numbers")
            let content = try JSONValue(parsing: Array("\(RawJSON(encoding: result))".utf8))["structuredContent"]
            #expect(content?["a"]?.int64 == 9_007_199_254_740_993 && content?["e"]?.int64 == Int64.max)
        }
    }

    @Test("C19 F21 doubled keys and twenty malformed shapes: each call ends at once, the connection lives")
    func malformed() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("odd"))
            let doubled = await failure {
                try await host.callTool(
                    server: "odd",
                    name: "duplicate-key",
                    options: .init(idleTimeout: .milliseconds(100))
                )
            }
            #expect(doubled?.code == .timeout, "a message with two ids is nobody's answer")
            for kind in 0..<20 {
                let error = await failure {
                    try await host.callTool(
                        server: "odd",
                        name: "malformed",
                        arguments: ["n": .number(JSONNumber(Int64(kind)))],
                        options: .init(idleTimeout: patience)
                    )
                }
                #expect(error?.code != .timeout, "kind \(kind)")
            }
            #expect(try await text(host, "odd", "echo", ["text": "x"]) == "x")
            #expect(try host.server("odd").status == .ready)
        }
    }

    @Test("C22 half a message, then the end: the call fails with the reason of the end")
    func halfFrame() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("half", "--half-frame"))
            let error = await failure { try await host.callTool(server: "half", name: "echo") }
            #expect(error?.code == .outcomeUnknown && error?.message.contains("exit status 0") == true)
        }
    }

    @Test("C23 LSP framing is called by its name")
    func lsp() async throws {
        try await withZoo { zoo in
            let host = try await zoo.host(zoo.server("lsp", "--lsp"))
            #expect(try #require(host.servers.first?.failure).message.contains("LSP framing"))
        }
    }
}
