import Foundation
import TestSupport
import Testing

/// What a shell offers while a command is typed.
@Suite("mcp-host: completions", .timeLimit(.minutes(5)))
struct CompletionTests {
    private static func file() throws -> String {
        try AnsweringServer.file([
            "git": [
                "tools/list": #"""
                {"tools":[{"name":"git_log","description":"Shows\n the log","inputSchema":{"type":"object","properties":
                {"order":{"enum":["up","down"]},"all":{"type":"boolean"},"n":{"type":"integer","description":"how many"}}}},
                {"name":"git:diff","inputSchema":{"type":"object"}},{"name":"`x`$(y) z","inputSchema":{"type":"object"}},
                {"name":":files","inputSchema":{}},{"name":"new\nline","inputSchema":{}},
                {"name":"--config=x","inputSchema":{}},{"name":"","inputSchema":{}}]}
                """#.filter { $0 != "\n" },
                "resources/list":
                    #"{"resources":[{"uri":"git://head","name":"head"},{"uri":"git://tail","name":"tail"}]}"#,
                "prompts/list": #"{"prompts":[{"name":"p","arguments":[{"name":"topic"}]}]}"#,
            ], "good": [:],
        ])
    }

    private static func candidates(_ line: String) async throws -> [String] {
        let outcome = try await HostProgram.run(["completions", "--line", line])
        #expect(outcome.status == 0, "\(line): \(outcome)")
        return outcome.out.split(separator: "\n").map(String.init)
    }

    @Test("verbs, options and their values, servers, tools, keys, choices, addresses, prompts")
    func candidates() async throws {
        let config = "--config \(try Self.file())"
        for (line, expected) in [
            ("mcp-host --config ", [":files"]), ("mcp-host call --output ", [":files"]),
            ("mcp-host call --era l", ["legacy"]),
            ("mcp-host call --era=l", ["--era=legacy"]), ("mcp-host why --era=l", []),
            ("mcp-host call --log-level e", ["error", "emergency"]),
            ("mcp-host completions z", ["zsh"]), ("mcp-host nonsense ", []), ("mcp-host ca", ["call\tCall a tool."]),
            ("mcp-host \(config) call g", ["git\tperl", "good\tperl"]),
            ("mcp-host call \(config) git git_", ["git_log\tShows"]),
            ("mcp-host call \(config) 'git' \"git_log\" ", ["order=\t\"up\"|\"down\"", "all=\tbool", "n=\thow many"]),
            ("mcp-host call \(config) git git_log n=3 o", ["order=\t\"up\"|\"down\""]),
            ("mcp-host call \(config) git git_log order=", ["order=up", "order=down"]),
            ("mcp-host call \(config) git git_log all=t", ["all=true"]),
            ("mcp-host read \(config) git git://h", ["git://head\thead"]),
            ("mcp-host prompt \(config) git ", ["p"]), ("mcp-host prompt \(config) git p ", ["topic="]),
            ("mcp-host tools \(config) git ", ["git_log\tShows", "git:diff", "`x`$(y) z", "good\tperl"]),
            ("mcp-host run \(config) git ", ["good\tperl"]), ("mcp-host call \(config) nobody ", []),
            ("mcp-host tools -- pyth", [":files"]),
        ] {
            let found = try await Self.candidates(line)
            #expect(found == expected, "\(line)")
        }
        let options = try await Self.candidates("mcp-host call --")
        #expect(options.contains { $0.hasPrefix("--args\t") } && options.contains { $0.hasPrefix("--answer\t") })
        let verbs = try await Self.candidates("mcp-host ")
        #expect(verbs.contains("servers\tOpen the servers, except those on demand, and say what each is."))
    }

    @Test("bash: what follows the last colon or equals sign is what it wants, and nothing that it would run")
    func bash() async throws {
        let script = #"""
            PATH=${MCP_HOST%/*}:$PATH; source <("$MCP_HOST" completions bash)
            try() { COMP_LINE="$1 $2" COMP_POINT=${#COMP_LINE} COMP_WORDS=("$3") COMP_CWORD=0; _mcp_host; echo "${COMPREPLY[*]}"; }
            COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
            try "mcp-host call --config $FILE git" git_ git_
            try "mcp-host call --config $FILE git" git:d d
            try "mcp-host call --config $FILE git git_log" order= =
            try "mcp-host call --config $FILE git git_log" order=d d
            try "mcp-host read --config $FILE git" git: :
            try "mcp-host call --config $FILE git" "\`x" "\`x"
            try "mcp-host call --args" @/etc/hostn @/etc/hostn
            HOME=${FILE%/*}
            try "mcp-host call --config ~/mcp.json git" git_ git_
            """#.split(separator: "\n").map { $0.drop { $0 == " " } }.joined(separator: "\n")
        let outcome = try await HostProgram.start(
            ["-c", script],
            environment: ["MCP_HOST": HostProgram.path, "FILE": try Self.file()],
            path: "/bin/bash"
        ).end()
        #expect(
            outcome.out
                == "git_log\ndiff\nup down\ndown\n//head //tail\n\\`x\\`\\$\\(y\\)\\ z\n@/etc/hostname\ngit_log\n",
            "\(outcome)"
        )
    }

    /// Where Debian and macOS have a shell.
    private static func path(of shell: String) -> String? {
        ["/bin/", "/usr/bin/", "/usr/local/bin/", "/opt/homebrew/bin/"].map { $0 + shell }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// A folder with the completions of a shell in `name`.
    private static func folder(_ shell: String, _ name: String) async throws -> String {
        let folder = try TemporaryFolders.make().path
        let script = try await HostProgram.run(["completions", shell])
        try script.out.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        return folder
    }

    @Test(
        "zsh: TAB writes what it is offered, quoted, and runs none of it",
        .enabled(if: path(of: "zsh") != nil, "zsh is not installed")
    )
    func zsh() async throws {
        let folder = try await Self.folder("zsh", "_mcp-host")
        let start = """
            unsetopt zle_bracketed_paste 2> /dev/null; PS1='ready> '; LISTMAX=100
            PATH=\(URL(fileURLWithPath: HostProgram.path).deletingLastPathComponent().path):$PATH
            fpath=(\(folder) $fpath); autoload -Uz compinit; compinit -u -d \(folder)/dump

            """
        try start.write(toFile: "\(folder)/.zshrc", atomically: true, encoding: .utf8)
        let line = "mcp-host call --config \(try Self.file())"
        // Ctrl-U lets go of a line.
        let outcome = try await TerminalProgram.run(
            ["-i"],
            environment: ["ZDOTDIR": folder, "TERM": "dumb"],
            path: try #require(Self.path(of: "zsh")),
            typing: [
                ("ready> ", "mcp-host tool\t"), ("s ", "\u{15}\(line) git git_\t"),
                ("log ", "\u{15}\(line) git git:\t"),
                ("diff ", "\u{15}\(line) git \\`\t"), (#"x\`\$\(y\)\ z"#, "\u{15}\(line) git git_log ord\t"),
                ("er=", "d\t"), ("own ", "\u{15}\(line) git git_log \t"), ("how many", "\u{15}exit\n"),
            ]
        )
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test(
        "fish: what is offered, and what it is",
        .enabled(if: path(of: "fish") != nil, "fish is not installed")
    )
    func fish() async throws {
        let script = #"""
            set PATH (path dirname $MCP_HOST) $PATH; source $FOLDER/mcp-host.fish
            for words in "tool" "call --config $FILE git g" "call --config $FILE git git_log order=" "read --config $FILE git git://h"
                complete -C "mcp-host $words"
            end
            """#
        let outcome = try await HostProgram.start(
            ["--no-config", "-c", script],
            environment: [
                "MCP_HOST": HostProgram.path, "FILE": try Self.file(),
                "FOLDER": try await Self.folder("fish", "mcp-host.fish"),
            ],
            path: try #require(Self.path(of: "fish"))
        ).end()
        let offered = outcome.out.split(separator: "\n").map(String.init)
        #expect(offered.first?.hasPrefix("tools\tList the tools") == true, "\(outcome)")
        #expect(
            offered.dropFirst() == ["git:diff", "git_log\tShows", "order=down", "order=up", "git://head\thead"],
            "\(outcome)"
        )
    }

    @Test("each shell has a script, and no other")
    func scripts() async throws {
        for shell in ["bash", "zsh", "fish"] {
            let outcome = try await HostProgram.run(["completions", shell])
            #expect(outcome.status == 0 && outcome.out.contains("mcp-host completions --line"))
        }
        for words in [["completions", "tcsh"], ["completions"]] {
            #expect(try await HostProgram.run(words).status == 64)
        }
    }
}
