import Foundation
import MCPClient
import MCPHost
import MCPJSON
import MCPStdio
import MCPTransport
import MCPTypes
import TestSupport
import Testing

/// What a file says of servers, and what only a program can add.
@Suite("Definitions of servers", .timeLimit(.minutes(5)))
struct ServerDefinitionTests {
    /// One in which everything differs from the defaults.
    private static func everything() -> ServerDefinition {
        var server = ServerDefinition(
            name: "git",
            command: "uvx",
            arguments: ["mcp-server-git", "-v"],
            environment: ["TOKEN": "t"],
            workingDirectory: "/srv"
        )
        if var launch = server.transport.launch {
            (launch.inheritsEnvironment, launch.withheld, launch.secrets) = (false, ["HOME"], ["x"])
            server.transport = .stdio(launch)
        }
        server.client.clientInfo = Implementation(name: "me", title: "Me", version: "2")
        server.client.capabilities.experimental = [
            "a/b": ["n": 1, "x": 0.5, "t": true, "z": nil, "l": [1, "two", [:]], "big": 9_007_199_254_740_993]
        ]
        (server.client.usesTasks, server.client.checksToolCalls, server.client.caches) = (true, false, false)
        server.client.readsStrictly = true
        (server.client.logLevel, server.client.era) = (.warning, .modernOnly)
        (server.client.connectTimeout, server.client.probeTimeout) = (.seconds(31), .milliseconds(1))
        (server.client.idleTimeout, server.client.hardTimeout) = (.nanoseconds(1), .seconds(1 << 40))
        (server.client.maximumInFlight, server.client.inputRounds) = (1, 2)
        (server.client.maximumWaitingPerCaller, server.client.maximumWaiting) = (3, 4)
        (server.client.roundDelay, server.client.taskTimeout) = (.seconds(1), Duration(attoseconds: 1))
        server.client.pollInterval = .milliseconds(100) ... .seconds(3)
        (server.client.listenRetryDelay, server.client.listDebounce) = (.milliseconds(333), .zero)
        server.client.notificationBuffer = 5
        (server.client.listLimits.pages, server.client.listLimits.items) = (6, 7)
        server.client.listLimits.time = .seconds(8)
        (server.stdio.maximumMessageSize, server.stdio.maximumQueuedBytes, server.stdio.maximumStrayBytes) = (1, 2, 3)
        (server.stdio.flushGrace, server.stdio.endOfInputGrace) = (.seconds(1), .seconds(60))
        (server.stdio.terminateGrace, server.stdio.reapGrace) = (.seconds(3), .seconds(4))
        (server.stdio.guardGrace, server.stdio.startGrace) = (.seconds(5), .seconds(6))
        (server.stdio.keepsDaemons, server.stdio.isGuarded) = (true, false)
        server.tools = ToolSelection(allowed: ["a"], denied: ["b"], overrides: ["a": .init(name: "c")])
        server.policy = .perCaller(idleStop: .seconds(7), maximum: 8)
        (server.restart.isEnabled, server.restart.initialDelay) = (false, .seconds(1))
        (server.restart.maximumDelay, server.restart.jitter, server.restart.intensity) = (.seconds(2), 0.25, 3)
        (server.restart.period, server.restart.promptAfter) = (.seconds(4), .seconds(5))
        (server.restart.forgetAfter, server.restart.includesFailedStarts) = (.seconds(6), false)
        (server.repeatsIdempotentCalls, server.remembersEra) = (true, false)
        return server
    }

    /// Every member of everything, so that a setting that is added and not written down is noticed here.
    private static func members(_ value: Any, _ path: String = "") -> [String: String] {
        let mirror = Mirror(reflecting: value)
        guard mirror.displayStyle == .struct, !(value is Duration) else { return [path: "\(value)"] }
        var result: [String: String] = [:]
        for child in mirror.children { result.merge(self.members(child.value, "\(path).\(child.label ?? "")")) { $1 } }
        return result
    }

    @Test("a definition is what is written of it, in every member, whoever writes and reads it")
    func complete() throws {
        let server = Self.everything()
        let plain = Self.members(ServerDefinition(name: "", command: ""))
        let launch = try #require(server.transport.launch)
        let plainLaunch = Self.members(ServerLaunch(command: ""))
        for (path, value) in Self.members(launch) { #expect(plainLaunch[path] != value, "\(path) is as by default") }
        for (path, value) in Self.members(server) where plain[path] == value {
            // Parts of a value that are another's business.
            let isOther = path.contains(".clientInfo") || path.contains(".capabilities")
            #expect(isOther, "\(path) is as by default: this test does not see whether it is written")
        }
        let bytes = try JSONEncoder().encode(server)
        #expect(try JSONDecoder().decode(ServerDefinition.self, from: bytes) == server)
        let tree = try JSONValue(encodable: server)
        #expect(try tree.decode(ServerDefinition.self) == server)
        var host = HostConfiguration(servers: [server, ServerDefinition(name: "b", transport: .custom)])
        host.servers[1].policy = .onDemand(idleStop: nil)
        (host.drainTimeout, host.maximumStarts) = (.milliseconds(1), 3)
        (host.journalCapacity, host.reapsOrphans) = (7, false)
        (host.defaults.era, host.defaults.logLevel) = (.legacyOnly, .error)
        host.defaults.connectTimeout = .milliseconds(2500)
        (host.defaults.idleTimeout, host.defaults.hardTimeout) = (.seconds(3), .seconds(4))
        let plainHost = Self.members(HostConfiguration())
        for (path, value) in Self.members(host) { #expect(plainHost[path] != value, "\(path) is as by default") }
        #expect(try JSONDecoder().decode(HostConfiguration.self, from: try JSONEncoder().encode(host)) == host)
        #expect(try JSONValue(encodable: host).decode(HostConfiguration.self) == host)
        let list = try PropertyListEncoder().encode(host)
        #expect(try PropertyListDecoder().decode(HostConfiguration.self, from: list) == host)
    }

    @Test("what is as by default is not written; a file that says less, or an older one, means the defaults")
    func small() throws {
        let server = ServerDefinition(name: "a", command: "x")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(server), as: UTF8.self)
        #expect(text == #"{"name":"a","transport":{"stdio":{"command":"x"}}}"#)
        #expect(try self.read(text) == server)
        var custom = ServerDefinition(name: "b", transport: .custom)
        custom.stdio.endOfInputGrace = .milliseconds(1500)
        custom.policy = .onDemand(idleStop: nil)
        let other = String(decoding: try encoder.encode(custom), as: UTF8.self)
        #expect(
            other
                == #"{"name":"b","policy":{"idleStop":null,"start":"onDemand"},"stdio":{"endOfInputGrace":1.5},"transport":"custom"}"#
        )
        #expect(try self.read(other) == custom)
        for (policy, words) in [
            (ServerPolicy.eager, #"{"start":"eager"}"#), (.onDemand(), #"{"start":"onDemand"}"#),
            (.perCaller(), #"{"start":"perCaller"}"#), (.perCaller(maximum: 2), #"{"start":"perCaller","maximum":2}"#),
        ] { #expect(try JSONDecoder().decode(ServerPolicy.self, from: Data(words.utf8)) == policy) }
        #expect(try JSONDecoder().decode(HostConfiguration.self, from: Data("{}".utf8)) == HostConfiguration())
    }

    @Test("what holds for a whole host holds for a server that says nothing else itself, when it is added, too")
    func defaults() async throws {
        var configuration = HostConfiguration()
        (configuration.defaults.era, configuration.defaults.logLevel) = (.legacyOnly, .error)
        (configuration.defaults.connectTimeout, configuration.defaults.idleTimeout) = (.seconds(20), .seconds(21))
        configuration.defaults.hardTimeout = .seconds(22)
        var own = ServerDefinition(name: "own", command: ScriptedServer.path)
        (own.client.era, own.client.logLevel, own.client.connectTimeout) = (.modernOnly, .debug, .seconds(10))
        configuration.servers = [own]
        try await MCPHost.withHost(configuration) { host in
            let added = try await host.addServer(ServerDefinition(name: "added", command: ScriptedServer.path))
            let client = added.definition.client
            #expect(client.era == .legacyOnly && client.logLevel == .error && client.connectTimeout == .seconds(20))
            #expect(client.idleTimeout == .seconds(21) && client.hardTimeout == .seconds(22))
            #expect(added.server?.revision.isModern == false)
            let other = try host.server("own")
            #expect(other.definition.client.era == .modernOnly && other.definition.client.logLevel == .debug)
            #expect(other.definition.client.connectTimeout == .seconds(10))
            #expect(other.definition.client.idleTimeout == .seconds(21) && other.server?.revision.isModern == true)
        }
    }

    private func read(_ text: String) throws -> ServerDefinition {
        try JSONDecoder().decode(ServerDefinition.self, from: Data(text.utf8))
    }

    @Test(
        "a setting that nobody knows is no silence: it may be what forbids something",
        arguments: [
            (#"{"name":"a"}"#, "transport"),
            (#"{"name":"a","transport":"custom","tool":{}}"#, "there is no setting \"tool\""),
            (#"{"name":"a","transport":"custom","tools":{"denied":["x"],"forbidden":[]}}"#, "\"forbidden\""),
            (#"{"name":"a","transport":"custom","client":{"era":"eternal"}}"#, "eternal"),
            (#"{"name":"a","transport":"custom","client":{"pollInterval":[2,1]}}"#, "the smaller one first"),
            (#"{"name":"a","transport":"custom","client":{"idleTimeout":"soon"}}"#, "idleTimeout"),
            (#"{"name":"a","transport":{"stdio":{"command":"x","shell":true}}}"#, "\"shell\""),
            (#"{"name":"a","transport":"pigeon"}"#, "transport"),
            (#"{"name":"a","transport":"custom","policy":{"start":"perCaller","idleStop":null}}"#, "is not kept"),
            (#"{"name":"a","transport":"custom","policy":{"start":"onDemand","idlestop":60}}"#, "\"idlestop\""),
            (#"{"name":"a","transport":"custom","policy":{"start":"eager","idleStop":60}}"#, "\"idleStop\""),
            (#"{"name":"a","transport":{"stdio":{"command":"x"},"sandbox":{}}}"#, "\"sandbox\""),
            (#"{"name":"a","transport":"custom","tools":{"overrides":{"rm":{"descripton":"x"}}}}"#, "\"descripton\""),
            (#"{"name":"a","transport":"custom","client":{"idleTimeout":[9223372036854775807,0]}}"#, "1e15 seconds"),
        ]
    )
    func mistakes(text: String, problem: String) {
        let error = #expect(throws: DecodingError.self) { try self.read(text) }
        #expect("\(String(describing: error))".contains(problem), "\(String(describing: error))")
    }

    @Test("a server whose transport is the program's own needs one, and is told where; one that is given wins")
    func endpoints() async throws {
        let custom = ServerDefinition(name: "mine", transport: .custom)
        let missing = ServerDefinition(name: "mine", command: "/nonexistent")
        let error = await failure { try await MCPHost.start(HostConfiguration(servers: [custom])) }
        #expect(error?.code == .invalidConfiguration && error?.server == "mine")
        #expect(error?.message.contains("set the endpoint of its ServerRuntime") == true)
        let manager = HostManager(HostConfiguration(servers: [custom]))
        #expect(await failure { try await manager.initialize() }?.code == .invalidConfiguration)
        let twice = HostManager(HostConfiguration(servers: [missing, missing]))
        #expect(await failure { try await twice.initialize() }?.message.contains("two servers") == true)
        let server = ProtocolServer.echo("mine", isModern: true)
        var runtime = HostRuntime(servers: ["mine": server.added])
        // Not for anybody: it is said of no server that is here from the start.
        runtime.servers["later"] = server.added
        try await MCPHost.withHost(HostConfiguration(servers: [missing]), runtime: runtime) { [missing] host in
            var missing = missing
            #expect(try await text(host, "mine", "echo", ["text": "x"]) == "x")
            missing.name = "later"
            try await host.addServer(missing)
            #expect(try await text(host, "later", "echo", ["text": "y"]) == "y")
            missing.name = "nobody"
            let failed = await failure { try await host.addServer(missing) }
            #expect(failed?.code == .launchFailed)
            let unreachable = await failure {
                try await host.addServer(ServerDefinition(name: "z", transport: .custom))
            }
            #expect(unreachable?.code == .invalidConfiguration)
            #expect(host.servers.map(\.name) == ["mine", "later"])
        }
    }

    @Test("what is done for one server when it asks comes before what is done for all")
    func handlers() async throws {
        let ask: ProtocolServer.Handler = { call in
            let answers = try await call.input(["r": ["method": "roots/list"]])
            return ["content": [["type": "text", "text": answers["r"]?["roots"]?.array?.first?["uri"] ?? .null]]]
        }
        let servers = ["one", "two"].map { name in
            (name, ProtocolServer(.v2026_07_28, ["tools/call": ask]).configuration(name))
        }
        var setup = HostSetup(servers: servers.map(\.1))
        setup.handlers.roots = { context in [Root(uri: "file:///all/\(context.server ?? "")")] }
        setup.runtime.servers["two"]?.handlers.roots = { _ in [Root(uri: "file:///own")] }
        try await MCPHost.withHost(setup) { host in
            let said = [try await text(host, "one", "x"), try await text(host, "two", "x")]
            #expect(said == ["file:///all/one", "file:///own"])
        }
    }
}
