import MCPHost
import Testing

@Suite("Configuration files", .timeLimit(.minutes(5)))
struct ConfigurationFileTests {
    private func parse(_ text: String, _ environment: [String: String] = ["PATH": "/bin"]) throws -> HostConfiguration {
        try HostConfiguration(parsing: Array(text.utf8), file: "mcp.json", environment: environment)
    }

    private func message(_ text: String) -> String {
        let error = #expect(throws: MCPError.self) { try self.parse(text) }
        #expect(error?.code == .invalidConfiguration)
        return error?.message ?? ""
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
            #expect(self.message(#"{"mcpServers":{"a":{"command":"x",\#(members)}}}"#).contains(problem))
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
    func mistakes() {
        #expect(self.message("{\n \"mcpServers\": {,}\n}").hasPrefix("mcp.json:2:17:"))
        #expect(self.message("").contains("mcp.json:1:1:"))
        #expect(self.message("[]").contains("top level: expected an object, found array"))
        #expect(self.message(#"{"servers":{}}"#).contains("rename \"servers\" to \"mcpServers\""))
        #expect(self.message(#"{"mcpServers":[]}"#).contains("mcpServers: expected an object"))
        #expect(self.message(#"{"mcpServers":{"a":{}}}"#).contains("mcpServers.a: no member \"command\""))
        #expect(
            self.message(#"{"mcpServers":{"a":{"command":"x","args":"y"}}}"#).contains(
                "mcpServers.a.args: expected an array"
            )
        )
        #expect(
            self.message(#"{"mcpServers":{"a":{"command":"x","args":[{}]}}}"#).contains(
                "mcpServers.a.args[0]: expected a string"
            )
        )
        #expect(
            self.message(#"{"mcpServers":{"a":{"command":"x","env":{"K":"${NOPE}"}}}}"#).contains(
                "mcpServers.a.env.K: variable NOPE is not set"
            )
        )
        #expect(self.message(#"{"mcpServers":{"a":{"url":"https://x"}}}"#).contains("not supported yet"))
        #expect(self.message("{\"mcpServers\":{\"a\":{\"command\":\"x\\u0000y\"}}}").contains("NUL"))
    }

    @Test("K4 a file that is not there")
    func missingFile() {
        let error = #expect(throws: MCPError.self) { try HostConfiguration(contentsOf: "/no/such/file.json") }
        #expect(error?.message.contains("/no/such/file.json") == true)
    }
}
