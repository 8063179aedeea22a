import Foundation
import MCPJSON
import TestSupport
import Testing

/// What servers ask of whoever uses the command line.
@Suite("mcp-host: questions of servers", .timeLimit(.minutes(5)))
struct QuestionTests {
    private static let form = #"""
        ?{"message":"Who are\u001b you?","requestedSchema":{"type":"object","required":["name","color"],"properties":{
        "name":{"type":"string","title":"Full name","minLength":2},"age":{"type":"integer","minimum":1,"maximum":99,"default":30},
        "color":{"type":"string","enum":["r","g"],"enumNames":["Red","Green"]},"ok":{"type":"boolean"},
        "tags":{"type":"array","items":{"type":"string","enum":["a","b","c"]}}}}}
        """#.filter { $0 != "\n" }

    private static func asks(_ question: String) throws -> [String] {
        let answers = [
            "initialize":
                #"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"odd","version":"1"}}"#,
            "tools/list": #"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#, "tools/call": question,
        ]
        return ["call", "s", "t", "--config", try AnsweringServer.file(["s": answers])]
    }

    /// What the server was told.
    private static func told(_ shown: String) throws -> JSONValue {
        let line = try #require(
            shown.split(whereSeparator: \.isNewline).last { $0.contains(#"{"jsonrpc""#) },
            "no answer in \(shown)"
        )
        // What is typed is shown, but not the end of input.
        return try JSONValue(parsing: String(line.drop { $0 != "{" }))
    }

    @Test("scripts answer by --answer: by value or by title, with the form's own values, lists, and no")
    func answers() async throws {
        let words = try Self.asks(Self.form)
        for (given, expected, note) in [
            (
                ["name=Ann", "color=green", "ok=yes", "tags=a,c", "age=31"],
                #"{"action":"accept","content":{"name":"Ann","age":31,"color":"g","ok":true,"tags":["a","c"]}}"#,
                "mcp-host: s asks:\n  | Who are\\u{1B} you?\n"
            ),
            (
                ["name=12", "color=r", "tags=a", "tags=b", "nmae=x"],
                #"{"action":"accept","content":{"name":"12","color":"r","tags":["a","b"],"age":30}}"#,
                "--answer: no server asked for nmae"
            ),
            (["decline", "name=Ann"], #"{"action":"decline"}"#, "asks:\n"),
            (["name=Ann"], #"{"action":"cancel"}"#, "  --answer color=…   color, one of r (Red), g (Green)"),
            (["name=A", "color=r"], #"{"action":"cancel"}"#, "--answer: name is text, at least 2 characters"),
            (["name=Ann", "color=blue"], #"{"action":"cancel"}"#, "--answer: color is one of r (Red), g (Green)"),
        ] {
            let outcome = try await HostProgram.run(words + given.flatMap { ["--answer", $0] })
            let told = try Self.told(outcome.out)["result"]
            #expect(try told == JSONValue(parsing: expected), "\(given): \(outcome)")
            // What a script has answered and cannot be used is an error of its words.
            let status: Int32 = told?["action"] == "cancel" ? 64 : 0
            #expect(outcome.status == status && outcome.error.contains(note), "\(given): \(outcome)")
        }
        let unfit = try await HostProgram.run(words + ["--answer", "name"])
        #expect(unfit.status == 64 && unfit.error.contains(#"--answer: "name" is not key=value"#))
    }

    @Test("where nobody can answer nothing is offered, and what was refused is told")
    func nobody() async throws {
        for (asked, refusal) in [
            (
                Self.form,
                "s asked for elicitation/create and was refused: this runs in no terminal's foreground, and there is no --answer"
            ),
            (
                #"?sampling/createMessage{"messages":[],"maxTokens":1}"#,
                "s asked for sampling/createMessage and was refused: mcp-host has no model"
            ),
            (
                "?\(String(repeating: "x", count: 90)){}",
                "s asked for \(String(repeating: "x", count: 60))… and was refused: mcp-host does not know it"
            ),
            ("?roots/list{}", "s asked for roots/list and was refused: mcp-host has no roots"),
            ("?x/y{}", "s asked for x/y and was refused: mcp-host does not know it"),
        ] {
            let outcome = try await HostProgram.run(try Self.asks(asked))
            #expect(try Self.told(outcome.out)["error"]?["code"] == -32601)
            #expect(outcome.status == 0 && outcome.error.contains("mcp-host: \(refusal)\n"), "\(outcome)")
        }
        // A page needs somebody who looks at it.
        let page = #"?{"mode":"url","message":"m","elicitationId":"e","url":"https://x.example/a"}"#
        let scripted = try await HostProgram.run(try Self.asks(page) + ["--answer", "name=Ann"])
        #expect(try Self.told(scripted.out)["error"] != nil)
        #expect(scripted.error.contains("was refused: --answer fills in forms, and opens no pages"), "\(scripted)")
    }

    @Test(
        "ELI-04 ELI-41 at a terminal each field is asked for, again where it does not fit; no and the end of input are answers"
    )
    func terminal() async throws {
        let words = try Self.asks(Self.form)
        let filled = try await TerminalProgram.run(
            words + ["--answer", "ok=no"],
            typing: [
                ("[Y/n] ", "\n"), ("> ", "A\n"), ("name is text, at least 2 characters", ""), ("> ", "Ann\n"),
                ("age, whole number, 1 to 99, optional [30]", ""), ("> ", "\n"), ("> ", "GREEN\n"), ("> ", "b, c\n"),
            ]
        )
        let told = try Self.told(filled.shown)["result"]
        let expected =
            #"{"action":"accept","content":{"ok":false,"name":"Ann","color":"g","tags":["b","c"],"age":30}}"#
        #expect(try told == JSONValue(parsing: expected), "\(filled)")
        #expect(filled.status == 0 && filled.shown.contains("1 server closed, 0 processes left"))
        for (typed, action) in [(["n\n"], "decline"), (["what\n", "no\n"], "decline"), (["\u{4}"], "cancel")] {
            let outcome = try await TerminalProgram.run(words, typing: typed.map { ("[Y/n] ", $0) })
            #expect(try Self.told(outcome.shown)["result"]?["action"]?.string == action, "\(outcome)")
        }
        let empty = #"?{"message":"Sure?","requestedSchema":{"type":"object","properties":{}}}"#
        // What the end of input cuts off is no word.
        for (typed, action) in [("\n", "decline"), ("y\n", "accept"), ("y\u{4}\u{4}", "cancel")] {
            let outcome = try await TerminalProgram.run(try Self.asks(empty), typing: [("Yes? [y/N] ", typed)])
            #expect(try Self.told(outcome.shown)["result"]?["action"]?.string == action, "\(outcome)")
        }
    }

    @Test("ELI-59 what does not fit a field is asked for again, and a default that does not fit is none")
    func askedAgain() async throws {
        let form = #"""
            ?{"message":"m","requestedSchema":{"type":"object","required":["when","n","text"],"properties":{
            "when":{"type":"string","format":"date"},"n":{"type":"integer","default":"x"},"text":{"type":"string","default":null}}}}
            """#.filter { $0 != "\n" }
        let outcome = try await TerminalProgram.run(
            try Self.asks(form),
            typing: [
                ("[Y/n] ", "\n"), ("> ", "soon\n"), ("when is date", ""), ("> ", "2026-01-02\n"),
                ("n, whole number\r\n  > ", "\n"), ("it is needed", ""), ("> ", "3\n"), ("> ", "\n"),
                ("it is needed", ""), ("> ", "t\n"),
            ]
        )
        let content = try Self.told(outcome.shown)["result"]?["content"]
        #expect(content == ["when": "2026-01-02", "n": 3, "text": "t"], "\(outcome)")
    }

    @Test("ELI-13 ELI-59 a default that does not fit is not sent, and does not cost the person's answer")
    func unfitDefault() async throws {
        let form = #"""
            ?{"message":"m","requestedSchema":{"type":"object","properties":{"n":{"type":"integer","maximum":5,"default":9},
            "a":{"type":"string"}}}}
            """#.filter { $0 != "\n" }
        let outcome = try await HostProgram.run(try Self.asks(form) + ["--answer", "a=1"])
        #expect(try Self.told(outcome.out)["result"]?["content"] == ["a": "1"], "\(outcome)")
    }

    @Test("ELI-49 ELI-50 a page is shown with its whole address and whose it is, and only a word opens it")
    func pages() async throws {
        let address = "https://login.example.org/a?state=" + String(repeating: "x1", count: 600)
        let page = #"?{"mode":"url","message":"Log in","elicitationId":"e","url":"\#(address)"}"#
        for (typed, action) in [("\n", "decline"), ("y\n", "accept")] {
            let outcome = try await TerminalProgram.run(try Self.asks(page), typing: [("[y/N] ", typed)])
            #expect(try Self.told(outcome.shown)["result"]?["action"]?.string == action, "\(outcome)")
            #expect(outcome.shown.contains("  \(address)") && outcome.shown.contains("at login.example.org? [y/N]"))
        }
    }

    @Test("--answer decline declines pages, too")
    func declinedPage() async throws {
        let page = #"?{"mode":"url","message":"m","elicitationId":"e","url":"https://x.example/a"}"#
        let words = try Self.asks(page) + ["--answer", "decline"]
        for outcome in [
            try await TerminalProgram.run(words, typing: []).shown, try await HostProgram.run(words).out,
        ] {
            #expect(try Self.told(outcome)["result"]?["action"] == "decline", "\(outcome)")
        }
    }

    @Test("a signal ends the waiting for a person")
    func interrupted() async throws {
        let outcome = try await TerminalProgram.run(try Self.asks(Self.form), typing: [("[Y/n] ", "\u{3}")])
        // The server is told, and answers: nobody has to wait until its time is over.
        #expect(try Self.told(outcome.shown)["result"]?["action"] == "cancel", "\(outcome)")
        #expect(outcome.status == 130 && outcome.shown.contains("closing; again to kill"), "\(outcome)")
        #expect(outcome.shown.contains("1 server closed, 0 processes left"))
    }

    @Test(
        "a question that the server does not want answered any more goes, and takes nothing of what is typed for the next"
    )
    func withdrawn() async throws {
        let program = #"""
            $| = 1;
            sub put { print "{\"jsonrpc\":\"2.0\",$_[0]}\n" }
            sub ask { put(qq("id":"$_[0]","method":"elicitation/create","params":{"message":"$_[0]","requestedSchema":{"type":"object","properties":{"$_[0]":{"type":"string"}},"required":["$_[0]"]}})) }
            my $call;
            while (my $line = <STDIN>) {
                my ($id) = $line =~ /"id":("[^"]*"|\d+)/;
                my ($method) = $line =~ /"method":"([^"]+)"/;
                if (!$method && $id eq '"second"') { $line =~ s/(["\\])/\\$1/g; chomp $line; put(qq("id":$call,"result":{"content":[{"type":"text","text":"$line"}]})); }
                next unless $method && $id;
                if ($method eq "initialize") { put(qq("id":$id,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"odd","version":"1"}})) }
                elsif ($method eq "tools/list") { put(qq("id":$id,"result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]})) }
                elsif ($method eq "tools/call") { $call = $id; ask("first"); sleep 1; put(qq("method":"notifications/cancelled","params":{"requestId":"first"})); ask("second") }
                else { put(qq("id":$id,"error":{"code":-32601,"message":"no"})) }
            }
            """#
        let outcome = try await TerminalProgram.run(
            ["call", "t", "--", "perl", "-e", program],
            typing: [
                ("| first", ""), ("[Y/n] ", "\n"), ("> ", ""), ("the question has gone", ""), ("| second", ""),
                ("[Y/n] ", "y\n"),
                ("> ", "mine\n"),
            ]
        )
        #expect(try Self.told(outcome.shown)["result"]?["content"] == ["second": "mine"], "\(outcome)")
    }

    @Test("ELI-04 what a server says cannot be taken for what the program says, and nothing secret is in it")
    func imitation() async throws {
        let form = #"""
            ?{"message":"hi\nmcp-host: bank asks: password","requestedSchema":{"type":"object","required":["$(x)"],"properties":
            {"$(x)":{"type":"string","description":"the canary-77 is\nhere"}}}}
            """#.filter { $0 != "\n" }
        let words = try Self.asks(form)
        let outcome = try await HostProgram.run(words + ["--answer", "y=1"])
        #expect(outcome.error.contains("mcp-host: s asks:\n  | hi\n  | mcp-host: bank asks: password\n"), "\(outcome)")
        #expect(outcome.error.contains("  --answer '$(x)'=…") && outcome.status == 64)
        let file = try AnsweringServer.file([
            "s": ["tools/list": #"{"tools":[{"name":"t","inputSchema":{}}]}"#, "tools/call": form]
        ])
        var text = try String(contentsOfFile: file, encoding: .utf8)
        text = text.replacingOccurrences(
            of: #""command":"perl""#,
            with: #""env":{"TOKEN":"${CANARY}"},"command":"perl""#
        )
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        let secret = try await TerminalProgram.run(
            ["call", "s", "t", "--config", file],
            environment: ["CANARY": "canary-77"],
            typing: [("[Y/n] ", "y\n"), ("> ", "x\n")]
        )
        #expect(secret.shown.contains("the *** is") && secret.status == 0, "\(secret)")
    }

    @Test("ELI-04 a row that runs over the terminal's edge does not begin like one of the program's")
    func wrapped() async throws {
        let text = String(repeating: "x", count: 78) + "mcp-host: checked" + String(repeating: "\\n", count: 100)
        let form = #"?{"message":"\#(text)","requestedSchema":{"type":"object","properties":{}}}"#
        let outcome = try await TerminalProgram.run(try Self.asks(form), typing: [("Yes? [y/N] ", "n\n")])
        let rows = outcome.shown.split(separator: "\r\n")
        #expect(rows.contains { $0.hasPrefix("  | xxx") && $0.utf8.count == 79 }, "\(outcome)")
        #expect(rows.contains("  | xxxmcp-host: checked") && rows.contains("  | … (62 more rows)"), "\(outcome)")
        #expect(rows.count { $0.hasPrefix("  | ") } == 41, "\(outcome)")
    }

    @Test("U1 a secret that a limit would cut is hidden whole: in a form, in a field, in what is logged")
    func cutSecret() async throws {
        let secret = "AbCdEfGhIjKlMnOpQrStUvWx"
        let long = { (limit: Int) in String(repeating: ".", count: limit - 20) + secret }
        let form = #"""
            ?{"message":"\#(long(4096))","requestedSchema":{"type":"object","required":["f"],"properties":
            {"f":{"type":"string","description":"\#(long(500 - 10))"}}}}
            """#.filter { $0 != "\n" }
        let file = try AnsweringServer.file([
            "s": ["tools/list": #"{"tools":[{"name":"t","inputSchema":{}}]}"#, "tools/call": form]
        ])
        let text = try String(contentsOfFile: file, encoding: .utf8).replacingOccurrences(
            of: #""command":"perl""#,
            with: #""env":{"TOKEN":"${CANARY}"},"command":"perl""#
        )
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        let outcome = try await HostProgram.run(
            ["call", "s", "t", "--config", file, "--answer", "g=1"],
            environment: ["CANARY": secret]
        )
        #expect(outcome.error.contains("--answer f=…") && outcome.error.contains("...***"), "\(outcome)")
        #expect(!outcome.error.contains("AbCdEf"), "\(outcome)")
    }

    @Test("--answer: fields of any name, choices with commas, answers that do not fit together, declined ones")
    func odd() async throws {
        let form = #"""
            ?{"message":"m","requestedSchema":{"type":"object","properties":{"--x":{"type":"string"},"k:":{"type":"string"},
            "l":{"type":"array","items":{"type":"string","enum":["a,b","c"]}},"n":{"type":"integer","maximum":5,"default":9}},"required":["n"]}}
            """#.filter { $0 != "\n" }
        let words = try Self.asks(form)
        let fits = try await HostProgram.run(words + ["--x=1", "k:=2", "l=a,b", "n=5"].flatMap { ["--answer", $0] })
        let content = try Self.told(fits.out)["result"]?["content"]
        #expect(content == ["--x": "1", "k:": "2", "l": ["a,b"], "n": 5], "\(fits)")
        let unfit = try await HostProgram.run(words + ["--answer", "l=c", "--json"])
        #expect(unfit.status == 64 && unfit.error.contains("it needs\n  --answer n=…"), "\(unfit)")
        #expect(try JSONValue(parsing: unfit.out)["error"]?["kind"] == "invalidArguments", "\(unfit)")
        let names = #"""
            ?{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string"},"a=b":{"type":"string"},
            "":{"type":"string"},"n":{"type":"array","items":{"type":"integer"}}}}}
            """#.filter { $0 != "\n" }
        let named = try await HostProgram.run(
            try Self.asks(names) + ["a=1", "a=b=2", "=3", "n=4,5"].flatMap { ["--answer", $0] }
        )
        #expect(
            try Self.told(named.out)["result"]?["content"] == ["a": "1", "a=b": "2", "": "3", "n": [4, 5]],
            "\(named)"
        )
        let declined = try await HostProgram.run(words + ["--answer", "decline", "--answer", "l=c"])
        #expect(declined.status == 0 && !declined.error.contains("no server asked"), "\(declined)")
    }

    @Test(
        "ELI-49 whose page it is: where a browser would go, not where it seems to; what is no page is declined",
        arguments: [
            ("https://login.example.org/a", "login.example.org"), ("https://bank.com@evil.example/x", "evil.example"),
            ("HTTPS://evil.example:8443?bank.com", "evil.example:8443"),
            ("https://\u{430}pple.com/", #"\u{430}pple.com"#),
            ("https://evil.example/\u{301}@bank.com/login", "evil.example"),
            ("https://evil.example?\u{301}@bank.com", "evil.example"),
            ("https://evil.example#\u{FE0F}@bank.com", "evil.example"),
            ("https://evil.example\\\\\u{301}@bank.com/", nil), ("https:evil.example/login", nil),
            (#"https:\\\\evil.example/x"#, nil), ("https:///evil.example", nil),
            ("javascript:alert(1)", nil), ("file:///etc/passwd", nil), (#"https://good.example\\@evil.example/"#, nil),
        ]
    )
    func addresses(url: String, host: String?) async throws {
        let page = #"?{"mode":"url","message":"m","elicitationId":"e","url":"\#(url)"}"#
        let outcome = try await TerminalProgram.run(try Self.asks(page), typing: [("open it, at ", "y\n")])
        let action = try Self.told(outcome.shown)["result"]?["action"]
        #expect(action == (host == nil ? "decline" : "accept"), "\(outcome)")
        if let host { #expect(outcome.shown.contains("Do you open it, at \(host)? [y/N]"), "\(outcome)") }
    }
}
