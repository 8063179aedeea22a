public import Foundation

/// The one way from a test to the project's shared data (official schemas, examples, suites). A stranger's clone has none, and the
/// tests that need it are skipped with ``absence`` as the reason.
public enum SharedData {
    /// `../shared` beside the package, or what `MCP_SHARED` names.
    public static let directory: URL = {
        if let named = ProcessInfo.processInfo.environment["MCP_SHARED"] { return URL(fileURLWithPath: named) }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared")
    }()

    /// Whether the data is there.
    public static var isPresent: Bool { FileManager.default.fileExists(atPath: self.directory.path) }

    /// Why a test is skipped without it.
    public static let absence =
        "needs the project's shared data, which this clone has not (set MCP_SHARED to its folder)"

    /// One file or folder of it, if it exists.
    public static func file(_ path: String) -> URL? {
        let url = self.directory.appendingPathComponent(path)
        return FileManager.default.fileExists(atPath: url.path) ? url : nil
    }
}
