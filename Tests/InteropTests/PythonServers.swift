import Foundation
import MCPHost
import TestSupport

/// Real servers from PyPI in a virtual environment under `.build`, installed once.
enum PythonServers {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let environment = Self.root.appendingPathComponent(".build/interop-venv")
    private static let packages = ["mcp==2.3.0", "fastmcp>=4,<5", "mcp-server-time", "mcp-server-git"]

    static let absence =
        "needs Python 3.10 or later with venv, and PyPI, to install \(packages.joined(separator: ", "))"

    /// Whether the servers are there; installs them the first time.
    static let areInstalled: Bool = {
        let stamp = Self.environment.appendingPathComponent(
            "installed-\(Self.packages.joined(separator: "_").hashedForFileName)"
        )
        if FileManager.default.fileExists(atPath: stamp.path) { return true }
        guard Self.run("/usr/bin/env", ["python3", "-m", "venv", Self.environment.path]),
            Self.run(Self.program("pip"), ["install", "--quiet", "--disable-pip-version-check"] + Self.packages)
        else { return false }
        return FileManager.default.createFile(atPath: stamp.path, contents: nil)
    }()

    private static func run(_ path: String, _ arguments: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    static func program(_ name: String) -> String { Self.environment.appendingPathComponent("bin/\(name)").path }

    /// A folder of this test's own.
    static func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("interop-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// A server written in Python.
    static func script(_ text: String) throws -> (command: String, arguments: [String]) {
        let file = try Self.folder().appendingPathComponent("server.py")
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

    static let official = """
        from mcp.server import MCPServer
        server = MCPServer("official")
        @server.tool()
        def shout(text: str) -> str:
            "Say it loudly."
            return text.upper()
        @server.tool()
        def fail() -> str:
            raise ValueError("as asked")
        server.run()
        """

    /// A repository with one commit.
    static func repository() throws -> String {
        let folder = try Self.folder().path
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

extension String {
    /// Letters and digits only.
    fileprivate var hashedForFileName: String { String(self.filter { $0.isLetter || $0.isNumber }) }
}
