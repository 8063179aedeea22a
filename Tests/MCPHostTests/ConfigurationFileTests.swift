import Foundation
import MCPClient
import MCPHost
import MCPStdio
import MCPTransport
import TestSupport
import Testing

@Suite("Configuration files", .timeLimit(.minutes(5)))
struct ConfigurationFileTests {
    private func parse(_ text: String, _ environment: [String: String] = ["PATH": "/bin"]) throws -> HostConfiguration {
        try HostConfiguration(parsing: Array(text.utf8), file: "mcp.json", environment: environment)
    }

    /// Why nothing of a file can be used.
    private func message(_ text: String) -> String {
        let error = #expect(throws: MCPError.self) { try self.parse(text) }
        #expect(error?.code == .invalidConfiguration)
        return error?.message ?? ""
    }

    private func file(_ text: String, _ environment: [String: String] = ["PATH": "/bin"]) throws -> ConfigurationFile {
        try ConfigurationFile(parsing: Array(text.utf8), file: "mcp.json", environment: environment)
    }

    /// Why the one server of a file cannot be used.
    private func reason(_ text: String) throws -> String {
        let servers = try self.file(text).configuration.servers
        #expect(servers.count == 1)
        return try #require(servers.first?.transport.reason, "\(text)")
    }

    /// What is to be told of a file, and what is started; its one server is called `a`.
    private func entry(
        _ members: String,
        _ environment: [String: String] = ["PATH": "/bin", "HOME": "/home/u", "X": "x"]
    ) throws -> (ServerDefinition, remarks: [String]) {
        let file = try self.file(#"{"mcpServers":{"a":{\#(members)}}}"#, environment)
        return (try #require(file.configuration.servers.first), file.remarks)
    }

    @Test("the mcpServers form, with variables and defaults, members of other clients ignored")
    func complete() throws {
        let text = #"""
            {"mcpServers": {
              "b": {"type": "stdio", "command": "${BIN}/x", "args": ["--p=${PORT:-80}", 7, true, "$HOME", "${"], "env": {"T": "${T:-}", "N": 1},
                    "cwd": "/${D}", "autoApprove": ["*"]},
              "a": {"command": "y"},
              "off": {"command": "z", "disabled": true}
            }, "inputs": []}
            """#
        let configuration = try self.parse(text, ["BIN": "/opt", "D": "d", "PATH": "/bin", "SECRET": "s"])
        #expect(configuration.servers.map(\.name) == ["b", "a"])
        #expect(configuration.servers[0].transport.description == "/opt/x --p=80 7 true $HOME ${")
        // The surroundings that were given are the servers' too, as far as they pass.
        let launch = try #require(configuration.servers[0].transport.launch)
        let passed = ["PATH": "/bin", "PYTHONUNBUFFERED": "1", "T": "", "N": "1"]
        #expect(!launch.inheritsEnvironment && launch.environment == passed && launch.wholeEnvironment == passed)
        let own = try HostConfiguration(
            parsing: Array(text.replacing("${BIN}", with: "").replacing("${D}", with: "").utf8),
            file: "f"
        )
        #expect(own.servers[1].transport.launch == ServerLaunch(command: "y"))
    }

    @Test("a server that is started on demand, one for each caller, and for how long they are kept")
    func policies() throws {
        func policy(_ members: String) throws -> ServerPolicy? {
            try self.parse(#"{"mcpServers":{"a":{"command":"x"\#(members)}}}"#).servers.first?.policy
        }
        #expect(
            try policy("") == .eager && policy(#","onDemand":false"#) == .eager
                && policy(#","idleStop":null"#) == .eager
        )
        #expect(try policy(#","onDemand":true"#) == .onDemand(idleStop: .seconds(300)))
        #expect(try policy(#","onDemand":true,"idleStop":1.5"#) == .onDemand(idleStop: .milliseconds(1500)))
        #expect(try policy(#","perCaller":true"#) == .perCaller(idleStop: .seconds(300), maximum: 64))
        #expect(try policy(#","perCaller":true,"onDemand":true,"idleStop":2"#)?.idleStop == .seconds(2))
        for (members, problem) in [
            (#""onDemand":1"#, "a.onDemand: expected true or false"),
            (#""idleStop":5"#, "a.idleStop: only a server that is started when it is needed"),
            (#""onDemand":true,"idleStop":0"#, "a.idleStop: expected seconds, at least 1"),
            (#""onDemand":true,"idleStop":"1m""#, "a.idleStop: expected seconds, at least 1"),
            (#""onDemand":true,"idleStop":1e10"#, "at most 1e9, found 1e10"),
            (#""perCaller":true,"onDemand":false"#, "a.onDemand: a server for each caller"),
        ] {
            #expect(try self.reason(#"{"mcpServers":{"a":{"command":"x",\#(members)}}}"#).contains(problem))
        }
    }

    @Test("S23 secrets on the command line are not shown")
    func masked() throws {
        let configuration = try self.parse(
            #"{"mcpServers":{"a":{"command":"x","args":["--token","canary","--api-key=canary","-v"]}}}"#
        )
        #expect(configuration.servers[0].transport.description == "x --token *** --api-key=*** -v")
    }

    @Test("K4 K7 each mistake says where it is and what to do")
    func mistakes() throws {
        #expect(self.message("{\n \"mcpServers\": {,}\n}").hasPrefix("mcp.json:2:17: a comma too many"))
        #expect(self.message("").contains("mcp.json:1:1: the file is empty"))
        #expect(self.message("[]").contains("top level: expected an object, found array"))
        #expect(self.message(#"{"mcpserver":{}}"#).contains("rename \"mcpserver\" to \"mcpServers\""))
        #expect(self.message(#"{"mcpServers":7}"#).contains("mcpServers: expected an object"))
        #expect(
            try self.reason(#"{"mcpServers":[{"command":"x"}]}"#)
                == #"mcp.json: mcpServers[0]: a server in a list is an object with a "name""#
        )
        #expect(self.message(#"{"command":"x"}"#).contains("this is one server"))
        #expect(self.message(#"{"projects":{"/p":{"mcpServers":{}}}}"#).contains("Claude Code's own state"))
        for (entry, reason) in [
            ("{}", "mcp.json: mcpServers.a: no member \"command\""),
            ("7", "mcpServers.a: expected an object, found number"),
            (#"{"command":""}"#, "mcpServers.a.command: is empty"),
            (#"{"command":"x","args":"y"}"#, #"mcpServers.a.args: expected an array, found string; write ["y"]"#),
            (#"{"command":"x","args":[{}]}"#, "mcpServers.a.args[0]: expected a string"),
            (#"{"command":"x","env":{"K":"${NOPE}"}}"#, "mcpServers.a.env.K: variable NOPE is not set"),
            (
                #"{"command":"x","env":["A=1"]}"#,
                #"mcpServers.a.env: expected an object, found array; write {"A": "…"}"#
            ),
            (#"{"command":"x","env":{"A=B":"1"}}"#, "\"A=B\" is no name of a variable"),
            (#"{"url":"https://x"}"#, "remote servers are not supported yet"),
            (#"{"httpUrl":"https://x"}"#, "httpUrl: remote servers are not supported yet"),
            (#"{"serverUrl":"https://x"}"#, "serverUrl: remote servers are not supported yet"),
            (#"{"url":"https://x","command":"x"}"#, "has \"url\" and \"command\""),
            (#"{"type":"http","command":"x"}"#, "\"http\" is a remote server, and there is a \"command\""),
            (
                #"{"type":"studio","command":"x"}"#,
                "mcpServers.a.type: \"studio\" is no kind of server; did you mean \"stdio\"?"
            ),
            (#"{"type":1,"command":"x"}"#, "mcpServers.a.type: expected a string"),
            (#"{"command":"x\u0000y"}"#, "NUL"), (#"{"command":[]}"#, "mcpServers.a.command: is empty"),
            (#"{"command":"npx -y x"}"#, #"write "command": "npx", "args": ["-y", "x"]"#),
            (#"{"command":"\"/bin/sh\""}"#, "has quotation marks of its own"),
            (#"{"command":"cmd","args":["/c","npx"]}"#, "is of a Windows form"),
            (#"{"command":"C:\\nodejs\\npx.cmd"}"#, "is of a Windows form"),
            (#"{"command":"x","disabled":"true"}"#, "mcpServers.a.disabled: expected true or false, found string"),
            (#"{"command":"x","enabled":1}"#, "mcpServers.a.enabled: expected true or false, found number"),
            (#"{"command":"x","era":"old"}"#, "mcpServers.a.era: expected \"auto\""),
            (#"{"command":"x","callTimeout":"soon"}"#, "mcpServers.a.callTimeout: expected a time"),
            (#"{"command":"x","startTimeout":-1}"#, "mcpServers.a.startTimeout: expected a time"),
            (#"{"command":"x","disabledTools":"rm"}"#, "mcpServers.a.disabledTools: expected names of tools"),
        ] {
            let found = try self.reason(#"{"mcpServers":{"a":\#(entry)}}"#)
            #expect(found.contains(reason), "\(entry): \(found)")
        }
    }

    @Test(
        "U2 entries fail one by one: the others are there, and the host tells why each that cannot be used has failed"
    )
    func oneBadEntry() async throws {
        let text = #"""
            {"mcpServers":{"remote":{"type":"http","url":"https://x"},"good":{"command":"\#(ScriptedServer.path)"},
            "unset":{"command":"x","env":{"T":"${NO_SUCH}"}},"odd":{"command":"x","args":7},"nothing":null}}
            """#
        let configuration = try HostConfiguration(parsing: Array(text.utf8), file: "f")
        #expect(configuration.servers.map(\.name) == ["remote", "good", "unset", "odd", "nothing"])
        try await MCPHost.withHost(configuration) { host in
            #expect(host.servers.map(\.status) == [.failed, .ready, .failed, .failed, .failed])
            #expect(
                host.servers[2].failure?.message
                    == "f: mcpServers.unset.env.T: variable NO_SUCH is not set; set it, or write ${NO_SUCH:-default}"
            )
            let tools = try await host.tools()
            #expect(!tools.items.isEmpty && tools.failures.map(\.server) == ["remote", "unset", "odd", "nothing"])
            #expect(tools.failures.allSatisfy { $0.error.code == .invalidConfiguration })
            _ = try await host.callTool(server: "good", name: "echo", arguments: ["text": "x"])
            await #expect {
                try await host.callTool(server: "odd", name: "echo")
            } throws: {
                ($0 as? MCPError)?.message.contains("f: mcpServers.odd.args") == true
            }
        }
    }

    @Test("U15 comments, trailing commas, a byte order mark, other line ends: read; other encodings: named")
    func texts() throws {
        for text in [
            "{\n  // one\n  \"mcpServers\": { /* two \n lines */ \"a\": {\"command\": \"x\", \"args\": [\"//\", \"/*\",],},\n},}",
            "\u{FEFF}{\"mcpServers\":{\"a\":{\"command\":\"x\",\"args\":[\"//\",\"/*\"]}}}",
            "{\"mcpServers\":\r\n{\"a\":{\"command\":\"x\",\r\n\"args\":[\"//\",\"/*\" , /**/ ]}}}//",
        ] {
            let configuration = try self.parse(text)
            #expect(configuration.servers.first?.transport.launch?.arguments == ["//", "/*"], "\(text)")
        }
        for (text, problem) in [
            ("{'mcpServers': {}}", #"1:2: strings are written with " and not with '"#),
            ("{\n“mcpServers”: {}}", "2:1: typographic quotes"),
            (#"{"mcpServers":{"a":{"command":"C:\Program"}}}"#, #"a backslash in a string has to be doubled"#),
            ("{\"mcpServers\":{\"a\":{\"command\":\"x\"\n \"args\":[]}}}", "2:2: a comma is missing before this"),
            ("{\"mcpServers\":{\"a\":{\"command\":\"pyth\n", "the text ends in the middle"),
            ("{\"mcpServers\":{}", "the text ends in the middle"),
            ("/* x", "1:1: a comment that begins here does not end"),
            ("  \n", "the file is empty"), ("{\"mcpServers\":{} /", "not valid JSON"),
        ] {
            let message = self.message(text)
            #expect(message.contains(problem), "\(text): \(message)")
        }
        for (bytes, name) in [
            ([0xFF, 0xFE, 0x7B, 0], "UTF-16"), ([0xFE, 0xFF, 0, 0x7B], "UTF-16"), ([0x7B, 0, 0x22, 0], "UTF-16"),
            ([0xFF, 0xFE, 0, 0], "UTF-32"),
        ] as [([UInt8], String)] {
            let error = #expect(throws: MCPError.self) { try HostConfiguration(parsing: bytes, file: "f") }
            #expect(error?.message.contains("the file is \(name)") == true)
        }
    }

    @Test("U14 the forms of other clients are read")
    func dialects() throws {
        for text in [
            #"{"servers":{"a":{"command":"x","args":["y"]}}}"#,
            #"{"context_servers":{"a":{"command":"x","args":["y"]}}}"#,
            #"{"mcp":{"servers":{"a":{"command":"x","args":["y"]}}}}"#,
            #"{"mcp":{"a":{"type":"local","command":["x","y"]}}}"#,
            #"{"mcpServers":[{"name":"a","command":"x","args":["y"]}]}"#, #"{"a":{"command":"x","args":["y"]}}"#,
            #"{"mcpServers":{"a":{"type":"STDIO","command":"x","args":["y"]}}}"#,
            #"{"mcpServers":{"a":{"transport":"stdio","type":null,"command":"x","args":["y"]}}}"#,
            #"{"context_servers":{"a":{"source":"custom","command":{"path":"x","args":["y"]}}}}"#,
        ] {
            let file = try self.file(text)
            #expect(file.configuration.servers.map(\.name) == ["a"] && file.remarks.isEmpty, "\(text): \(file.remarks)")
            #expect(file.configuration.servers.first?.transport.description == "x y", "\(text)")
        }
        #expect(try self.file(#"{"mcpServers":null}"#).configuration.servers.isEmpty)
        let openCode = try self.file(#"{"mcp":{"a":{"command":["x"],"environment":{"K":"v"}}}}"#)
        #expect(openCode.configuration.servers[0].transport.launch?.environment["K"] == "v")
    }

    @Test("U9 what is switched off is not there, and told apart from what does not exist")
    func disabled() throws {
        let file = try self.file(
            #"{"mcpServers":{"a":{"command":"x","disabled":true},"b":{"enabled":false},"c":{"command":"x","disabled":false,"enabled":true}}}"#
        )
        #expect(file.configuration.servers.map(\.name) == ["c"])
        #expect(file.disabled == ["a": "disabled", "b": "enabled"])
    }

    @Test("U9 of several files the last word counts, also that a server is switched off")
    func files() throws {
        var all = try self.file(#"{"mcpServers":{"a":{"command":"x"},"b":{"command":"x"},"c":{"disabled":true}}}"#)
        all.add(
            try self.file(#"{"mcpServers":{"a":{"command":"y"},"b":{"disabled":true},"c":{"command":"z"}}}"#),
            named: "2"
        )
        #expect(all.configuration.servers.map(\.transport.description) == ["y", "z"])
        #expect(all.disabled == ["b": "disabled"])
        #expect(
            all.remarks == [
                "2: a is in an earlier file too; this one counts", "2: c is in an earlier file too; this one counts",
            ]
        )
    }

    @Test("U12 variables: nested defaults, a literal, words of other clients")
    func variables() throws {
        let environment = ["A": "1", "EMPTY": "", "HOME": "/home/u", "PATH": "/bin"]
        for (text, value) in [
            ("${A}", "1"), ("${NO:-2}", "2"), ("${NO:-${A}}", "1"), ("${NO:-${NO2:-${A}x}y}z", "1xyz"), ("${NO:-}", ""),
            ("${EMPTY}", ""), ("${EMPTY:-x}", ""), ("$${A}", "${A}"), ("a$${A}b${A}", "a${A}b1"), ("${env:A}", "1"),
            ("${env://A}", "1"), ("${env:NO:-d}", "d"), ("${userHome}/x", "/home/u/x"), ("$A %A% {A}", "$A %A% {A}"),
            ("${", "${"),
            ("${A", "${A"), ("x${A}${A}", "x11"), ("~/x", "/home/u/x"), ("~", "/home/u"), ("a~/x", "a~/x"),
            ("~x", "~x"),
            ("${NO:-~/x}", "~/x"),
        ] {
            let (server, _) = try self.entry(#""command":"c","args":["\#(text)"]"#, environment)
            #expect(server.transport.launch?.arguments == [value], "\(text)")
        }
        for (text, problem) in [
            ("${input:key}", "VS Code asks its user"), ("${workspaceFolder}", "an editor has open"),
            ("${file:/x}", "a file's text in other clients"), ("${cmd: ls}", "a command's output"),
            ("${keyring:x}", "a stored secret"), ("${NO}", "variable NO is not set"),
            ("${NO:-${NO2}}", "variable NO2 is not set"),
            ("${}", "${} is no variable"), ("${A B}", "${A B} is no variable"),
            ("${CLAUDE_PLUGIN_ROOT}", "word of another client"),
        ] {
            let (server, _) = try self.entry(#""command":"c","args":["\#(text)"]"#, environment)
            let reason = server.transport.reason ?? ""
            #expect(reason.contains("mcpServers.a.args[0]: ") && reason.contains(problem), "\(text): \(reason)")
        }
    }

    @Test("U13 what is not used, written twice, or still to be filled in is told once each")
    func remarks() throws {
        for (members, remark) in [
            (#""environment":{"X":"1"}"#, #"mcpServers.a.environment: is not used here; did you mean "env"?"#),
            (#""envFile":".env""#, "mcpServers.a.envFile: is not used here; its variables are not read"),
            (#""workingDirectory":"/""#, #"did you mean "cwd"?"#),
            (#""keepDaemons":true"#, #"did you mean "keepsDaemons"?"#),
            (#""frobnicate":1"#, "mcpServers.a.frobnicate: is not used here"),
            (#""headers":{}"#, "it is for remote servers"),
            (#""env":{"K":"<YOUR_KEY>"}"#, "mcpServers.a.env.K: \"<YOUR_KEY>\" looks as if"),
            (#""env":{"K":"YOUR_API_KEY_HERE"}"#, "looks as if"),
            (#""args":["$X"]"#, "$X is not replaced here; write ${X}"),
            (#""cwd":"""#, "mcpServers.a.cwd: is empty and counts as absent"),
            (#""timeout":120"#, "mcpServers.a.timeout: is taken as 120"),
        ] {
            let (server, remarks) = try self.entry(#""command":"x",\#(members)"#)
            #expect(
                remarks.count == 1 && remarks[0].hasPrefix("mcp.json: mcpServers.a.") && remarks[0].contains(remark),
                "\(remarks)"
            )
            #expect(server.transport.reason == nil)
        }
        for members in [
            #""autoApprove":["x"],"alwaysAllow":[],"description":"d","tools":["*"],"trust":true"#,
            #""args":["$NOT_SET","$1","a$X","$$X","-c","echo $HOME"]"#, #""env":{"K":"key","L":"<html></html>"}"#,
        ] {
            let (_, remarks) = try self.entry(#""command":"x",\#(members)"#)
            #expect(remarks.isEmpty, "\(remarks)")
        }
        let twice = try self.file(
            #"{"mcpServers":{"a":{"command":"x"},"b":{"command":"x","args":[],"args":["1"]},"a":{"command":"y"}}}"#
        )
        #expect(
            twice.remarks == [
                "mcp.json: mcpServers.b.args is written twice; the last one counts",
                "mcp.json: mcpServers.a is written twice; the last one counts",
            ]
        )
        #expect(twice.configuration.servers.map(\.transport.description) == ["y", "x 1"])
        let list = try self.file(#"{"mcpServers":[{"name":"a","command":"x"},{"name":"a","command":"y"}]}"#)
        #expect(list.configuration.servers.map(\.transport.description) == ["y"] && list.remarks.count == 1)
    }

    @Test("U11 V16 time limits, each in its unit; the era; which tools are offered")
    func limits() throws {
        for (members, start, call) in [
            (#""startTimeout":"90s""#, 90, nil), (#""startTimeout":90"#, 90, nil), (#""callTimeout":"10m""#, nil, 600),
            (#""callTimeout":"1500ms""#, nil, 1.5), (#""timeout":600000"#, nil, 600), (#""timeout":45"#, nil, 45),
            (#""startup_timeout_sec":33,"tool_timeout_sec":7"#, 33, 7), (#""startup_timeout_ms":5000"#, 5, nil),
            (#""request_timeout_ms":800"#, nil, 0.8), (#""timeout":5000,"callTimeout":"1h""#, nil, 3600),
        ] as [(String, Double?, Double?)] {
            let client = try self.entry(#""command":"x",\#(members)"#).0.client
            let plain = ClientConfiguration()
            #expect(client.connectTimeout == start.map { .seconds($0) } ?? plain.connectTimeout, "\(members)")
            #expect(client.hardTimeout == call.map { .seconds($0) } ?? plain.hardTimeout, "\(members)")
            #expect(client.idleTimeout == call.map { .seconds($0) } ?? plain.idleTimeout, "\(members)")
        }
        #expect(try self.entry(#""command":"x","era":"legacy""#).0.client.era == .legacyOnly)
        #expect(try self.entry(#""command":"x","era":"modern""#).0.client.era == .modernOnly)
        #expect(try self.entry(#""command":"x","era":"auto""#).0.client.era == .automatic)
        let tools = try self.entry(
            #""command":"x","includeTools":["a","b"],"disabledTools":["b"],"excludeTools":["c"]"#
        ).0.tools
        #expect(tools.allowed == ["a", "b"] && tools.denied == ["c", "b"])
        #expect(try self.entry(#""command":"x","enabled_tools":["*"]"#).0.tools == ToolSelection())
    }

    @Test("U16 paths are taken from the folder of the file; what lies beside it and is looked for elsewhere is told")
    func paths() throws {
        let folder = try TemporaryFolders.make()
        let file = folder.path + "/mcp.json"
        #expect(FileManager.default.createFile(atPath: folder.path + "/server.py", contents: nil))
        func read(_ members: String) throws -> (ServerLaunch, [String]) {
            try Data(#"{"mcpServers":{"a":{\#(members)}}}"#.utf8).write(to: URL(fileURLWithPath: file))
            let read = try ConfigurationFile(contentsOf: file)
            return (try #require(read.configuration.servers.first?.transport.launch), read.remarks)
        }
        let real = URL(fileURLWithPath: folder.path).resolvingSymlinksInPath().path
        #expect(try read(#""command":"./run.sh""#).0.command == real + "/run.sh")
        #expect(try read(#""command":"bin/run""#).0.command == real + "/bin/run")
        #expect(try read(#""command":"/bin/sh""#).0.command == "/bin/sh")
        #expect(try read(#""command":"sh""#).0.command == "sh")
        #expect(try read(#""command":"sh","cwd":".""#).0.workingDirectory == real)
        #expect(try read(#""command":"sh","cwd":"sub""#).0.workingDirectory == real + "/sub")
        #expect(try read(#""command":"./x","cwd":"/opt""#).0.command == "/opt/x")
        let (_, remarks) = try read(#""command":"python3","args":["server.py","other.py","-u"]"#)
        #expect(remarks.count == 1 && remarks[0].contains("a.args[0]: is a file beside this one"))
        #expect(try read(#""command":"python3","args":["server.py"],"cwd":".""#).1.isEmpty)
    }

    @Test("U9 variables of the environment: null takes one away, an empty list is none, passEnv passes what is set")
    func environment() throws {
        let (server, _) = try self.entry(
            #""command":"x","env":{"HOME":null,"N":8080,"B":true},"passEnv":["X","NOT_SET"]"#
        )
        #expect(
            server.transport.launch?.environment == [
                "PATH": "/bin", "PYTHONUNBUFFERED": "1", "N": "8080", "B": "true", "X": "x",
            ]
        )
        let own = try HostConfiguration(parsing: Array(#"{"a":{"command":"x","env":{"HOME":null}}}"#.utf8), file: "f")
        let launch = try #require(own.servers[0].transport.launch)
        #expect(
            launch.withheld == ["HOME"] && launch.wholeEnvironment["HOME"] == nil
                && launch.wholeEnvironment["PATH"] != nil
        )
        #expect(try self.entry(#""command":"x","env":[]"#).0.transport.reason == nil)
    }

    @Test("K4 a file that is not there")
    func missingFile() {
        let error = #expect(throws: MCPError.self) { try HostConfiguration(contentsOf: "/no/such/file.json") }
        #expect(error?.message.contains("/no/such/file.json") == true)
    }
}
