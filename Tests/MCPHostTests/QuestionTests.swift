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
                #"s asks: Who are\u{1B} you?"#
            ),
            (
                ["name=12", "color=r", "tags=a", "tags=b", "nmae=x"],
                #"{"action":"accept","content":{"name":"12","color":"r","tags":["a","b"],"age":30}}"#,
                "--answer: no server asked for nmae"
            ),
            (["decline", "name=Ann"], #"{"action":"decline"}"#, "asks: "),
            (["name=Ann"], #"{"action":"cancel"}"#, "  --answer color=…   color, one of r (Red), g (Green)"),
            (["name=A", "color=r"], #"{"action":"cancel"}"#, "--answer: name is text, at least 2 characters"),
            (["name=Ann", "color=blue"], #"{"action":"cancel"}"#, "--answer: color is one of r (Red), g (Green)"),
        ] {
            let outcome = try await HostProgram.run(words + given.flatMap { ["--answer", $0] })
            let told = try Self.told(outcome.out)["result"]
            #expect(try told == JSONValue(parsing: expected), "\(given): \(outcome)")
            #expect(outcome.status == 0 && outcome.error.contains(note), "\(given): \(outcome)")
        }
        let unfit = try await HostProgram.run(words + ["--answer", "name"])
        #expect(unfit.status == 64 && unfit.error.contains(#"--answer: "name" is not key=value"#))
    }

    @Test("where nobody can answer nothing is offered")
    func nobody() async throws {
        let outcome = try await HostProgram.run(try Self.asks(Self.form))
        #expect(try Self.told(outcome.out)["error"]?["code"] == -32601)
        // A page needs somebody who looks at it.
        let page = #"?{"mode":"url","message":"m","elicitationId":"e","url":"https://x.example/a"}"#
        let scripted = try await HostProgram.run(try Self.asks(page) + ["--answer", "name=Ann"])
        #expect(try Self.told(scripted.out)["error"] != nil)
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
        for (typed, action) in [("\n", "decline"), ("y\n", "accept")] {
            let outcome = try await TerminalProgram.run(try Self.asks(empty), typing: [("Yes? [y/N] ", typed)])
            #expect(try Self.told(outcome.shown)["result"]?["action"]?.string == action, "\(outcome)")
        }
    }

    @Test("ELI-49 ELI-50 a page is shown with its whole address and whose it is, and only a word opens it")
    func pages() async throws {
        let address = "https://login.example.org/a?state=" + String(repeating: "x1", count: 600)
        let page = #"?{"mode":"url","message":"Log in","elicitationId":"e","url":"\#(address)"}"#
        for (typed, action) in [("\n", "decline"), ("y\n", "accept")] {
            let outcome = try await TerminalProgram.run(try Self.asks(page), typing: [("open it? [y/N] ", typed)])
            #expect(try Self.told(outcome.shown)["result"]?["action"]?.string == action, "\(outcome)")
            #expect(outcome.shown.contains("at login.example.org: \(address)"))
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
}
