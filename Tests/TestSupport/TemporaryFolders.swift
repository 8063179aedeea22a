public import Foundation
import MCPTransport

/// Folders that go when this process ends.
public enum TemporaryFolders {
    private static let folders: Locked<[URL]> = {
        atexit {
            for folder in TemporaryFolders.folders.withLock({ $0 }) { try? FileManager.default.removeItem(at: folder) }
        }
        return Locked([])
    }()

    /// A new folder of the caller's own.
    public static func make() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "mcp-host-test-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.folders.withLock { $0.append(folder) }
        return folder
    }
}
