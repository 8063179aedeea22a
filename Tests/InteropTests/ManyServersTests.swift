import Foundation
import MCPHost
import TestSupport
import Testing

/// What people have in their files: a dozen servers by other people, on several versions of several libraries, one of which is broken.
@Suite(
    "A dozen real servers from one file",
    .serialized,
    .enabled(if: PythonServers.areAllInstalled, "\(PythonServers.absence)"),
    .timeLimit(.minutes(5))
)
struct ManyServersTests {
    private static let old = """
        from mcp.server.fastmcp import FastMCP
        mcp = FastMCP("old")
        @mcp.tool()
        def add(a: int, b: int) -> int:
            return a + b
        mcp.run()
        """

    /// A file with all of them, and where they may write.
    private static func file() throws -> (path: String, folder: URL) {
        let folder = try TemporaryFolders.make()
        func entry(_ environment: PythonEnvironment, _ program: String, _ arguments: String...) -> JSONValue {
            ["command": .string(environment.program(program)), "args": .array(arguments.map { .string($0) })]
        }
        let script = folder.appendingPathComponent("old.py")
        try Data(Self.old.utf8).write(to: script)
        let servers: JSONObject = [
            "time": entry(.mcp1, "mcp-server-time"), "git": entry(.mcp1, "mcp-server-git"),
            "fetch": entry(.mcp1, "mcp-server-fetch"), "calculator": entry(.mcp1, "mcp-server-calculator"),
            "excel": entry(.mcp1, "excel-mcp-server", "stdio"),
            "motherduck": entry(.mcp1, "mcp-server-motherduck", "--db-path", ":memory:", "--read-write"),
            "duckduckgo": entry(.mcp1, "duckduckgo-mcp-server"),
            "arxiv": entry(.mcp1, "arxiv-mcp-server", "--storage-path", folder.path),
            "markitdown": entry(.mcp1, "markitdown-mcp"), "word": entry(.mcp1, "word_mcp_server"),
            "memory": entry(.mcp1, "mcp-memory"),
            "fast": entry(.current, "python", try PythonServers.script(PythonServers.fastMCP).arguments[0]),
            "time2": entry(.current, "mcp-server-time"), "old": entry(.mcp16, "python", script.path),
            "sqlite": entry(.current, "mcp-server-sqlite", "--db-path", folder.appendingPathComponent("a.db").path),
        ]
        let path = folder.appendingPathComponent("mcp.json")
        try Data(RawJSON(encoding: ["mcpServers": .object(servers)] as JSONObject).bytes).write(to: path)
        return (path.path, folder)
    }

    @Test("fourteen come up together, the one that dies at its start is failed with its last words, and all are closed")
    func together() async throws {
        var configuration = try HostConfiguration(contentsOf: try Self.file().path)
        configuration.defaults.connectTimeout = patience
        let host = try await MCPHost.start(configuration)
        #expect(await host.ready())
        let failed = host.servers.filter { $0.failure != nil }
        #expect(failed.map(\.name) == ["sqlite"], "\(failed.compactMap(\.failure))")
        let words = failed.first?.failure.map { "\($0)" } ?? ""
        #expect(words.contains("AttributeError: 'Server' object has no attribute"), "\(words)")
        let listed = try await host.tools()
        #expect(Set(listed.items.map(\.server)).count == 14 && listed.failures.map(\.server) == ["sqlite"])
        #expect(try await host.callTool("old__add", arguments: ["a": 1, "b": 2]).text == "3")
        expectClean(await host.shutdown(), servers: 15)
    }

    @Test("the verbs do real work on them")
    func tour() async throws {
        let (file, folder) = try Self.file()
        let repository = try PythonServers.repository()
        func run(_ words: String..., expecting text: String) async throws {
            let outcome = try await HostProgram.run(words + ["--config", file, "--start-timeout", "90s"])
            #expect(outcome.status == 0 && outcome.out.contains(text), "\(words): \(outcome)")
        }
        try await run("servers", "calculator", "memory", expecting: "ready")
        try await run("tools", "git", expecting: "git_log(repo_path: str")
        try await run("tools", "time", "convert_time", expecting: "source_timezone")
        let conversion = ["source_timezone=UTC", "time=12:00", "target_timezone=Asia/Tokyo"]
        let converted = try await HostProgram.run(["call", "time", "convert_time"] + conversion + ["--config", file])
        #expect(converted.status == 0 && converted.out.contains("T21:00:00+09:00"), "\(converted)")
        try await run("call", "git", "git_log", "repo_path=\(repository)", expecting: "the first commit")
        try await run("call", "calculator__calculate", "expression=2**10", expecting: "1024")
        try await run("call", "motherduck", "execute_query", "sql=select 6*7 as answer", expecting: "42")
        let book = folder.appendingPathComponent("b.xlsx").path
        try await run("call", "excel", "create_workbook", "filepath=\(book)", expecting: "Created")
        try await run(
            "call",
            "excel",
            "write_data_to_excel",
            "filepath=\(book)",
            "sheet_name=Sheet1",
            "data=[[1,2]]",
            expecting: "written"
        )
        #expect(FileManager.default.fileExists(atPath: book))
        let page = folder.appendingPathComponent("a.html")
        try Data("<h1>Hello</h1>".utf8).write(to: page)
        try await run("call", "markitdown", "convert_to_markdown", "uri=\(page.absoluteString)", expecting: "# Hello")
        try await run("prompts", "memory", expecting: "summarize-notes")
        try await run("prompt", "memory", "summarize-notes", expecting: "[user]")
        try await run("resources", "fast", expecting: "data://greeting")
        try await run("read", "fast", "data://greeting", expecting: "hello")
    }
}
