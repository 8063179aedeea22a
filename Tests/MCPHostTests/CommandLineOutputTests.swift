import Foundation
import MCPJSON
import TestSupport
import Testing

/// Where the command line puts what is no text, and what servers say meanwhile.
@Suite("mcp-host: files, logs, and options before the verb", .timeLimit(.minutes(5)))
struct CommandLineOutputTests {
    private static let answers = [
        // A line for the log stands behind the list, so before the next answer.
        "tools/list": #"""
        {"tools":[{"name":"t","inputSchema":{"type":"object"}}]}}
        {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"l","data":{"a":1}}
        """#,
        "tools/call":
            #"{"content":[{"type":"text","text":"a picture"},{"type":"image","data":"AAEC\n/w==","mimeType":"image/png"}]}"#,
        "resources/list": #"{"resources":[{"uri":"a:b","name":"b"}]}"#,
        "resources/read": #"{"contents":[{"uri":"a:b","text":"l1"},{"uri":"a:c","text":"l2\n"}]}"#,
    ]

    private static func output() throws -> URL { try TemporaryFolders.make().appendingPathComponent("out") }

    @Test("--output holds what came, byte for byte; standard output has nothing but the document")
    func output() async throws {
        let file = try AnsweringServer.file(["s": Self.answers])
        let output = try Self.output()
        let picture = try await HostProgram.run(["call", "s", "t", "--config", file, "--output", output.path])
        #expect(picture.status == 0 && picture.out.isEmpty && picture.error.contains("4 bytes of image/png in "))
        #expect(try Data(contentsOf: output) == Data([0, 1, 2, 255]))
        let text = try await HostProgram.run(["read", "s", "a:b", "--config", file, "--output", output.path, "--json"])
        #expect(text.status == 0)
        #expect(try JSONValue(parsing: text.out)["result"]?["contents"]?.array?.count == 2)
        #expect(try Data(contentsOf: output) == Data("l1\nl2\n".utf8))
    }

    @Test("what cannot be written is said before the call; what does not go into one file is shown instead")
    func refusals() async throws {
        let two =
            #"{"content":[{"type":"image","data":"AA==","mimeType":"i"},{"type":"image","data":"AA==","mimeType":"i"}]}"#
        let wrong = #"{"content":[{"type":"audio","data":"?","mimeType":"i"}]}"#
        let failed = #"{"content":[{"type":"text","text":"it broke"}],"isError":true}"#
        let list = #"{"tools":[{"name":"t","inputSchema":{}}]}"#
        for (answer, path, status, words) in [
            (two, nil, 4, "2 binary contents"), (wrong, nil, 4, "no Base64"), (failed, nil, 5, ""),
            (#"{"content":[]}"#, nil, 4, "nothing to be written"),
            (two, "/nowhere/at/all", 64, "--output: \"/nowhere/at/all\""),
            (two, "/", 64, "is a directory"), (two, "", 64, "is empty"),
        ] {
            let file = try AnsweringServer.file(["s": ["tools/list": list, "tools/call": answer]])
            let output = try Self.output()
            let outcome = try await HostProgram.run([
                "call", "s", "t", "--config", file, "--output", path ?? output.path,
            ])
            #expect(outcome.status == Int32(status) && (words.isEmpty || outcome.error.contains(words)), "\(outcome)")
            #expect(!FileManager.default.fileExists(atPath: output.path))
            if status == 5 { #expect(outcome.out == "it broke\n") }
        }
    }

    @Test("output that cannot be written is an error of its own, which is not the server's; - is standard output")
    func unwritable() async throws {
        let call = ["call", "demo", "echo", "text=hello"]
        let full = try await HostProgram.run(call + ["--output", "/dev/full", "--json"])
        let error = try JSONValue(parsing: full.out)["error"]
        #expect(full.status == 74 && error?["kind"] == "notWritten" && error?["server"] == .null, "\(full)")
        let out = try await HostProgram.run(call + ["--output", "-"])
        #expect(out.out == "hello" && out.status == 0, "\(out)")
        let both = try await HostProgram.run(call + ["--output", "-", "--json"])
        #expect(both.status == 64, "\(both)")
        for words in [call, call + ["--output", "-"], ["--help"], ["--version"], ["tools", "--help"]] {
            let lost = try await HostProgram.run(words, under: ["/bin/sh", "-c", #""$0" "$@" > /dev/full"#])
            #expect(lost.status == 74 && lost.error.contains("standard output cannot be written"), "\(lost)")
        }
    }

    @Test("standard descriptors that are closed are nobody else's")
    func closed() async throws {
        let call = ["call", "demo", "echo"]
        // Eight bytes with the end of the line: the next descriptor of a host's own takes just that many without a word.
        let out = try await HostProgram.run(call + ["text=hello12"], under: ["/bin/sh", "-c", #""$0" "$@" <&- >&-"#])
        #expect(out.status == 74 && out.error.contains("standard output cannot be written"), "\(out)")
        let input = try await HostProgram.run(call + ["--args", "-"], under: ["/bin/sh", "-c", #""$0" "$@" <&-"#])
        #expect(input.status == 64 && input.error.contains("standard input cannot be read"), "\(input)")
        let error = try await HostProgram.run(call + ["text=hello"], under: ["/bin/sh", "-c", #""$0" "$@" 2>&-"#])
        #expect(error.status == 0 && error.out == "hello\n", "\(error)")
    }

    @Test("--log-level tells what servers log; options may stand before the verb")
    func logs() async throws {
        let file = try AnsweringServer.file(["s": Self.answers])
        let outcome = try await HostProgram.run(["--config", file, "--log-level=info", "--json", "call", "s", "t"])
        #expect(outcome.status == 0 && outcome.error.contains(#"mcp-host: s: [warning l] {"a":1}"#), "\(outcome)")
        #expect(try JSONValue(parsing: outcome.out)["result"] != nil)
        let quiet = try await HostProgram.run(["--config", file, "call", "s", "t"])
        #expect(quiet.status == 0 && !quiet.error.contains("warning"))
        let wrong = try await HostProgram.run(["tools", "--log-level", "loud"])
        #expect(wrong.status == 64 && wrong.error.contains("--log-level is one of debug, info"))
    }
}
