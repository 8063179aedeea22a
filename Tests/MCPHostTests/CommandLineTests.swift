import Foundation
import MCPHost
import MCPJSON
import MCPJSONSchema
import TestSupport
import Testing

/// The command line as a user runs it: what it prints, and how it ends.
@Suite("mcp-host", .timeLimit(.minutes(5)))
struct CommandLineTests {
    @Test(
        "tools on a fresh machine: the demo server's tools, and nothing left; results on standard output, all else beside it"
    )
    func tools() async throws {
        let outcome = try await HostProgram.run(["tools", "--report"])
        #expect(outcome.status == 0 && outcome.out.contains("demo__echo") && outcome.out.hasPrefix("SERVER"))
        #expect(outcome.error.hasPrefix("mcp-host: no .mcp.json here, so this is the built-in demo server"))
        #expect(outcome.error.hasSuffix("1 server closed, 0 processes left\n"))
        let quiet = try await HostProgram.run(["tools"])
        #expect(quiet.out == outcome.out && !quiet.error.contains("closed"))
    }

    /// The document on standard output, which has to be as docs/documents.schema.json says.
    private static func document(_ outcome: HostProgram.Outcome) throws -> JSONValue {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/documents.schema.json")
        let schema = try JSONSchema(JSONValue(parsing: Array(try Data(contentsOf: file))))
        let document = try JSONValue(parsing: outcome.out)
        let violations = schema.violations(in: document)
        #expect(violations.isEmpty, "\(violations.map(\.description)) in \(outcome.out)")
        return document
    }

    @Test("--json is one document and nothing else")
    func json() async throws {
        for command in [
            ["servers"], ["tools"], ["tools", "demo", "add"], ["resources"], ["prompts"],
            ["call", "demo", "add", "a=1", "b=2"],
            ["read", "demo", "demo://about"], ["prompt", "demo", "summarise", "text=x"],
        ] {
            let outcome = try await HostProgram.run(command + ["--json", "--report"])
            let document = try Self.document(outcome)
            #expect(outcome.status == 0 && document["teardown"]?["clean"] == true, "\(command): \(outcome.error)")
        }
    }

    @Test("U10 --json is one document when it fails, too: what kind of error, whose, with code and data")
    func jsonOfFailures() async throws {
        let file = try AnsweringServer.file([
            "s": [
                "tools/list": #"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
                "tools/call": #"!{"code":-32050,"message":"no","data":{"why":"because"}}"#,
            ]
        ])
        let dead = try ScriptedServer.file([("dead", ["--exit", "7"])])
        for (command, status, kind) in [
            (["call", "s", "t", "--config", file], 4, "serverError"),
            (["call", "s", "nosuch", "--config", file], 4, "notFound"),
            (["call", "nosuch", "t", "--config", file], 64, "invalidArguments"),
            (["call", "s", "t", "x", "--config", file], 64, "invalidArguments"),
            (["tools", "--config", "/no/such/file"], 64, "invalidConfiguration"),
            (["tools", "--config", file, "--era", "old"], 64, "invalidArguments"),
            (["tools", "--frobnicate"], 64, "invalidArguments"), (["frobnicate"], 64, "invalidArguments"),
            (["call", "dead", "t", "--config", dead], 4, "connectionLost"),
        ] as [([String], Int32, String)] {
            let outcome = try await HostProgram.run(command + ["--json"])
            let error = try Self.document(outcome)["error"]
            #expect(outcome.status == status && error?["kind"]?.string == kind, "\(command): \(outcome)")
            #expect(error?["message"]?.string?.isEmpty == false && !outcome.error.isEmpty)
        }
        let refused = try await HostProgram.run(["call", "s", "t", "--config", file, "--json"])
        let error = try Self.document(refused)["error"]
        #expect(error?["code"] == -32050 && error?["data"]?["why"] == "because" && error?["server"] == "s")
        let shown = try await HostProgram.run(["call", "s", "t", "--config", file])
        #expect(shown.error.contains("code -32050, data: ") && shown.error.contains("because"))
        let lists = try await HostProgram.run(["tools", "--config", dead, "--json"])
        let failures = try Self.document(lists)["failures"]?.array
        #expect(
            lists.status == 4 && failures?.first?["server"] == "dead" && failures?.first?["kind"] == "connectionLost"
        )
    }

    @Test("exit codes: 5 the tool failed, 4 a server cannot be reached, 64 usage")
    func exitCodes() async throws {
        #expect(try await HostProgram.run(["call", "demo", "add", "a=1e308", "b=1e308"]).status == 5)
        let unfit = try await HostProgram.run(["call", "demo", "add", "a=x", "b=1"])
        #expect(unfit.status == 64 && unfit.error.contains("/a: expected number, found string"))
        #expect(unfit.error.contains("it takes add(a: float, b: float)"))
        #expect(try await HostProgram.run(["call", "demo", "nothing"]).status == 4)
        #expect(try await HostProgram.run(["read", "demo", "demo://nothing"]).status == 4)
        #expect(try await HostProgram.run(["call", "nobody", "echo"]).status == 64)
        #expect(try await HostProgram.run(["call", "demo", "echo", "novalue"]).status == 64)
        #expect(try await HostProgram.run(["tools", "--config", "/no/such/file"]).status == 64)
        #expect(try await HostProgram.run(["frobnicate"]).status == 64)
        let file = try ScriptedServer.file([("good", []), ("bad", ["--exit", "7"])])
        let outcome = try await HostProgram.run(["tools", "--config", file])
        #expect(outcome.status == 4 && outcome.out.contains("good__echo") && outcome.error.contains("exit status 7"))
    }

    @Test("M1 run: one line when all are ready; SIGINT or SIGTERM closes everything", arguments: [SIGINT, SIGTERM])
    func runUntilSignal(signal: Int32) async throws {
        let file = try ScriptedServer.file([("a", []), ("b", ["--era", "legacy"]), ("c", [])])
        let outcome = try await HostProgram.run(
            ["run", "a", "b", "--report", "--config", file],
            signalsWhenReady: [signal]
        )
        #expect(outcome.status == 0 && outcome.out == "2 of 2 servers ready\n")
        #expect(outcome.error.hasSuffix("2 servers closed, 0 processes left\n"))
    }

    @Test("S12 what could move the cursor is shown, not sent")
    func visible() async throws {
        let evil = #"\u001b[2J\u001b]0;owned\u0007\u202eabc\u0085"#
        let outcome = try await HostProgram.run(["call", "demo", "echo", "--args", "{\"text\":\"\(evil)\"}"])
        #expect(outcome.out.hasPrefix(#"\u{1B}[2J\u{1B}]0;owned\u{7}\u{202E}abc\u{85}"#))
        #expect(!outcome.out.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{202E}" || $0 == "\u{85}" })
    }

    @Test(
        "U3 one bad tool of many: the others are listed, it is told by its place and its name, and the exit code says so"
    )
    func oneBadTool() async throws {
        let file = try AnsweringServer.file([
            "with one bad tool": [
                "tools/list":
                    #"{"tools":[{"name":"a","inputSchema":{}},{"name":"bad"},5,{"name":"z","inputSchema":{"type":"objekt"}}]}"#
            ],
            "n": ["tools/list": #"{"tools":null}"#],
        ])
        let outcome = try await HostProgram.run(["tools", "--config", file])
        #expect(
            outcome.status == 4 && outcome.out.contains("with-one-bad-tool__a")
                && outcome.out.contains("with-one-bad-tool__bad")
        )
        for text in [
            #"mcp-host: with one bad tool: tools[1] "bad": inputSchema is missing (the usual is assumed), in its answer to tools/list"#,
            "mcp-host: with one bad tool: tools[2]: expected an object, found a number (left out)",
            #"with one bad tool: tool "z": inputSchema: "#,
            "mcp-host: n: tools: expected a list, found null (taken as empty)",
        ] {
            #expect(outcome.error.contains(text), "\(text) is missing in \(outcome.error)")
        }
        let document = try Self.document(try await HostProgram.run(["tools", "--json", "--config", file]))
        #expect(
            document["problems"]?.array?.count == 4
                && document["problems"]?.array?.contains { $0["path"] == #"tools[1] "bad""# } == true
        )
        #expect(try await HostProgram.run(["tools", "n", "--config", file]).status == 0)
        let why = try await HostProgram.run(["why", "with one bad tool"])
        #expect(why.out.contains("problem") && why.out.contains("inputSchema is missing"))
    }

    @Test("U4 U5 what a call has answered is shown: structured content alone, and what breaks the tool's own promise")
    func answers() async throws {
        let schema = #"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#
        let file = try AnsweringServer.file([
            "s": [
                "tools/list":
                    #"{"tools":[{"name":"only","inputSchema":{}},{"name":"bare","inputSchema":{}},{"name":"broken","inputSchema":{},"outputSchema":\#(schema)}]}"#,
                "tools/call only": #"{"content":[],"structuredContent":{"answer":42}}"#,
                "tools/call bare": #"{"structuredContent":{"answer":43}}"#,
                "tools/call broken":
                    #"{"content":[{"type":"text","text":"order 17 placed"}],"structuredContent":{"n":"x"}}"#,
            ]
        ])
        let only = try await HostProgram.run(["call", "s", "only", "--config", file])
        #expect(only.status == 0 && only.out == "{\"answer\":42}\n")
        let bare = try await HostProgram.run(["call", "s", "bare", "--config", file])
        #expect(bare.status == 0 && bare.out == "{\"answer\":43}\n" && bare.error.contains("content is missing"))
        let broken = try await HostProgram.run(["call", "s", "broken", "--config", file])
        #expect(
            broken.status == 5 && broken.out == "order 17 placed\n"
                && broken.error.contains("does not fit its output schema")
        )
        let document = try JSONValue(
            parsing: try await HostProgram.run(["call", "s", "broken", "--json", "--config", file]).out
        )
        #expect(document["error"]?["kind"] == "badResponse" && document["result"]?["structuredContent"]?["n"] == "x")
    }

    @Test("U6 key=value: the JSON reading if that fits the schema, else the text, else the elements of a list")
    func keyValue() async throws {
        let schema = #"""
            {"type":"object","$defs":{"Z":{"type":"string"}},"required":["never"],"properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]},"b":{"type":["string","null"]},"c":{"$ref":"#/$defs/Z"},"d":{"enum":["true","007"]},"e":{"allOf":[{"type":"string"}]},"f":{"type":"number"},"g":{"type":"array","items":{"type":"string"}},"h":{"type":"array","items":{"type":"integer"}},"i":{"anyOf":[{"type":"integer"},{"type":"string"}]},"j":{},"k":{"type":"object"},"never":{}}}
            """#
        let file = try AnsweringServer.file([
            "s": ["tools/list": #"{"tools":[{"name":"t","inputSchema":\#(schema)}]}"#, "tools/call": "LINE"]
        ])
        let words = [
            "a=10115", "b=true", "c=5", "d=007", "e=null", "f=5.20", "g=x,y", "h=1", "h=2", "i=7", "j=x=y",
            "k={\"n\":1}", "never=",
            "unknown=[1]",
        ]
        let outcome = try await HostProgram.run(["call", "s", "t"] + words + ["--config", file])
        let sent = try JSONValue(parsing: outcome.out)["params"]?["arguments"]
        #expect(
            sent == [
                "a": "10115", "b": "true", "c": "5", "d": "007", "e": "null", "f": 5.20, "g": ["x,y"], "h": [1, 2],
                "i": 7,
                "j": "x=y", "k": ["n": 1], "never": "", "unknown": [1],
            ],
            "\(outcome)"
        )
        let arguments = try TemporaryFolders.make().appendingPathComponent("args.json")
        try Data(#"{"never":1,"f":2}"#.utf8).write(to: arguments)
        let given = try await HostProgram.run([
            "call", "s", "t", "f=3", "--args", "@\(arguments.path)", "--config", file,
        ])
        #expect(try JSONValue(parsing: given.out)["params"]?["arguments"] == ["never": 1, "f": 3])
        for (words, advice) in [
            (["f:=5"], "write f=5"), (["{\"f\":5}"], "a JSON object goes behind --args"), (["--f", "5"], "write f=…"),
            (["f"], "\"f\" is not key=value"), (["--args", "[1]"], "--args is not a JSON object"),
            (["--args", "@/no/such"], "the file /no/such cannot be read"),
        ] {
            let refused = try await HostProgram.run(["call", "s", "t"] + words + ["--config", file])
            #expect(refused.status == 64 && refused.error.contains(advice), "\(words): \(refused)")
        }
    }

    @Test(
        "U21 a tool is called by either of its names, and by what stands behind -- if it begins with a dash; near misses are named"
    )
    func names() async throws {
        let file = try AnsweringServer.file([
            "My Server": [
                "tools/list":
                    #"{"tools":[{"name":"calendar.read","inputSchema":{}},{"name":"-dash","inputSchema":{}},{"name":"plain","inputSchema":{}}]}"#,
                "tools/call": "LINE",
            ]
        ])
        let list = try Self.document(try await HostProgram.run(["tools", "--json", "--config", file]))
        let qualified = try #require(list["tools"]?.array?.first?["name"]?.string)
        for words in [
            ["My Server", "calendar.read"], ["My Server", qualified], [qualified], ["plain"], ["plain", "x=1"],
            ["My Server", "--config", file, "--", "-dash"],
        ] {
            let outcome = try await HostProgram.run(
                ["call"] + words + (words.contains(file) ? [] : ["--config", file])
            )
            #expect(outcome.status == 0 && outcome.out.contains("tools/call"), "\(words): \(outcome)")
        }
        for (words, text) in [
            (["call", "My Server", "calendar_read"], "did you mean \"calendar.read\"?"),
            (["call", "MyServer", "plain"], "did you mean \"My Server\"?"),
            (["tools", "my server"], "did you mean \"My Server\"?"),
            (["call", "My Server"], "which tool of My Server?"), (["call"], "which tool?"),
        ] {
            let outcome = try await HostProgram.run(words + ["--config", file])
            #expect(outcome.status != 0 && outcome.error.contains(text), "\(words): \(outcome)")
        }
    }

    @Test(
        "a server on the command line, with any verb; several configurations; one from standard input; some servers only"
    )
    func given() async throws {
        let adHoc = try await HostProgram.run(["tools", "--json", "--", ScriptedServer.path, "--era", "legacy"])
        #expect(try Self.document(adHoc)["tools"]?.array?.isEmpty == false, "\(adHoc)")
        let called = try await HostProgram.run(["call", "echo", "text=hello", "--", ScriptedServer.path])
        #expect(called.out == "hello\n", "\(called)")
        let (a, b) = (
            try ScriptedServer.file([("a", []), ("x", [])]), try ScriptedServer.file([("b", []), ("x", [])])
        )
        let both = try await HostProgram.run(["servers", "--json", "--config", a, "--config", b])
        let names = try Self.document(both)["servers"]?.array?.compactMap { $0["name"]?.string }
        #expect(names == ["a", "x", "b"] && both.error.contains("x is in an earlier file too; this one counts"))
        let some = try await HostProgram.run(["servers", "b", "--json", "--config", a, "--config", b])
        #expect(try Self.document(some)["servers"]?.array?.count == 1)
        let piped = try await HostProgram.run(
            ["servers", "--json", "--config", "-"],
            under: ["/bin/sh", "-c", "cat \(a) | \"$0\" \"$@\""]
        )
        #expect(try Self.document(piped)["servers"]?.array?.count == 2, "\(piped)")
        let text = try await HostProgram.run(["tools", "--config", "{}"])
        #expect(text.status == 64 && text.error.contains("takes a file and not its text"))
    }

    @Test("U13 run tells what a server said when it was lost, in lines of its own, and what happens next")
    func lost() async throws {
        // It ends when somebody writes to a FIFO.
        let script = #"""
            $| = 1; $_ = <STDIN>; /"id":(\d+)/; print qq({"jsonrpc":"2.0","id":$1,"result":{"protocolVersion":"2025-11-25",),
            qq("capabilities":{},"serverInfo":{"name":"s","version":"1"}}}\n); open(F, "<", $ARGV[0]); <F>;
            print STDERR "boom\nmcp-host: fine\n"; exit 9;
            """#
        let folder = try TemporaryFolders.make()
        let (fifo, file) = (folder.appendingPathComponent("fifo").path, folder.appendingPathComponent("mcp.json"))
        #expect(mkfifo(fifo, 0o600) == 0)
        let entry: JSONValue = ["command": "perl", "args": ["-e", .string(script), .string(fifo)], "era": "legacy"]
        try Data(JSONValue.object(["mcpServers": ["s": entry]]).description.utf8).write(to: file)
        let program = try HostProgram.start(["run", "--config", file.path])
        await program.printed("s: ready", onError: true)
        // Opening it for both never waits for the other side.
        let writer = open(fifo, O_RDWR | O_CLOEXEC)
        #expect(write(writer, "\n", 1) == 1)
        await program.printed("s: restarting", onError: true)
        close(writer)
        program.signal(SIGINT)
        let outcome = await program.end()
        let lost = """
            mcp-host: s: lost, the server's process ended with exit status 9
              last lines of its standard error:
              boom
              mcp-host: fine

            """
        #expect(outcome.status == 0 && outcome.error.contains(lost), "\(outcome)")
        #expect(outcome.error.components(separatedBy: "boom").count == 2, "said once: \(outcome)")
        let restart =
            #/\nmcp-host: s: restarting, in [0-9.]{3,5} seconds, because the server's process ended with exit status 9\n/#
        #expect(outcome.error.contains(restart), "\(outcome)")
    }

    @Test(
        "U2 U9 U13 entries that cannot be used, are switched off or have words that are not known are told, and do not disturb"
    )
    func configuration() async throws {
        let folder = try TemporaryFolders.make()
        let file = folder.appendingPathComponent("mcp.json")
        let text = #"""
            {"mcpServers":{"good":{"command":"\#(ScriptedServer.path)","environment":{}},"http":{"type":"http","url":"https://x"},
            "off":{"command":"x","disabled":true},"odd":{"command":"x","disabled":"true"}}}
            """#
        try Data(text.utf8).write(to: file)
        let tools = try await HostProgram.run(["tools", "--config", file.path])
        #expect(tools.status == 4 && tools.out.contains("good__echo") && !tools.out.contains("off"))
        for part in [
            "mcpServers.good.environment: is not used here",
            "mcpServers.http: type \"http\": remote servers are not supported yet",
            "mcpServers.odd.disabled: expected true or false",
        ] {
            #expect(tools.error.contains(part), "\(part) is missing in \(tools.error)")
        }
        #expect(try await HostProgram.run(["call", "good", "echo", "text=x", "--config", file.path]).status == 0)
        let off = try await HostProgram.run(["call", "off", "t", "--config", file.path])
        #expect(off.status == 64 && off.error.contains("the server \"off\" is disabled in the configuration"))
        let servers = try await HostProgram.run(["servers", "--config", file.path])
        #expect(servers.out.contains("off") && servers.out.contains("disabled"))
        let http = try await HostProgram.run(["call", "http", "t", "--config", file.path])
        #expect(http.status == 64 && http.error.contains("remote servers are not supported yet"))
    }

    @Test("U18 a declared list that the server does not know is told, and no failure of what it has")
    func missingLists() async throws {
        let resources =
            #"{"resources":[{"uri":"a:b","name":"n","description":"first\nsecond","mimeType":"text/plain"}]}"#
        let file = try AnsweringServer.file(["s": ["resources/list": resources], "t": ["tools/list": #"{"tools":[]}"#]])
        let listed = try await HostProgram.run(["resources", "s", "--config", file])
        #expect(
            listed.status == 0 && listed.out.contains("a:b") && listed.out.contains("first")
                && !listed.out.contains("second")
        )
        let document = try JSONValue(
            parsing: try await HostProgram.run(["resources", "s", "--json", "--config", file]).out
        )
        let resource = document["resources"]?.array?.first?["resource"]
        #expect(resource?["mimeType"] == "text/plain" && resource?["description"] == "first\nsecond")
        let prompts = try await HostProgram.run(["prompts", "t", "--config", file])
        #expect(prompts.status == 0 && prompts.error.contains("prompts/list"))
    }

    @Test(
        "U19 U20 what a tool takes is in the list, and all of it beside the tool; lists as JSON have all that the server said"
    )
    func signatures() async throws {
        let tool = #"""
            {"name":"git_log","description":"\n Shows\tthe log.\nMore.","inputSchema":{"type":"object","$defs":{"D":{"type":"string","description":"a date"}},"required":["repo_path"],"properties":{"max_count":{"type":"integer","default":10},"repo_path":{"type":"string","description":"where"},"since":{"anyOf":[{"$ref":"#/$defs/D"},{"type":"null"}],"default":null},"tags":{"type":"array","items":{"enum":["a","b"]}}}}}
            """#
        let prompt =
            #"{"prompts":[{"name":"p","description":"d","arguments":[{"name":"x","required":true,"description":"dx"},{"name":"y"}]}]}"#
        let file = try AnsweringServer.file(["s": ["tools/list": #"{"tools":[\#(tool)]}"#, "prompts/list": prompt]])
        let list = try await HostProgram.run(["tools", "--config", file])
        #expect(
            list.out.contains(#"git_log(repo_path: str, max_count: int = 10, since: str?, tags: ["a"|"b"]?)"#),
            "\(list.out)"
        )
        #expect(list.out.contains("Shows the log.") && !list.out.contains("More.") && !list.out.contains("\\u{A}"))
        let one = try await HostProgram.run(["tools", "s", "git_log", "--config", file])
        for part in ["name for models: s__git_log", "More.", "repo_path: str  where", "since: str?"] {
            #expect(one.out.contains(part), "\(part) is missing in \(one.out)")
        }
        let prompts = try Self.document(try await HostProgram.run(["prompts", "--json", "--config", file]))
        let first = prompts["prompts"]?.array?.first?["prompt"]
        #expect(first?["description"] == "d" && first?["arguments"]?.array?.first?["required"] == true)
        let missing = try await HostProgram.run(["prompt", "s", "p", "y=1", "--config", file])
        #expect(missing.status == 64 && missing.error.contains("the prompt p needs x=…"))
    }

    @Test("U11 V16 limits and the era from the command line")
    func limits() async throws {
        let mute = try ScriptedServer.file([("mute", ["--mute"])])
        let start = try await HostProgram.run(["tools", "--start-timeout", "100ms", "--config", mute])
        #expect(start.status == 4 && start.error.contains("not ready within 0.1 seconds"), "\(start)")
        let file = try AnsweringServer.file(["s": ["tools/list": #"{"tools":[]}"#]])
        let legacy = try await HostProgram.run(["servers", "--era", "legacy", "--json", "--config", file])
        #expect(try Self.document(legacy)["servers"]?.array?.first?["revision"] == "2025-06-18")
        let modern = try await HostProgram.run(["servers", "--era", "modern", "--config", file])
        #expect(modern.status == 4 && modern.error.contains("nothing older is allowed"))
        for words in [["--timeout", "soon"], ["--start-timeout", "-1"], ["--era", "old"]] {
            #expect(try await HostProgram.run(["tools", "--config", file] + words).status == 64)
        }
    }
}
