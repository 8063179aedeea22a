#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where hosts of this user keep what must survive them: the process journal and the lifecycle log. Nobody else may read it (S34).
public enum StateDirectory {
    /// `MCP_HOST_STATE`, else `$XDG_STATE_HOME/mcp-host` or `~/.local/state/mcp-host`; on macOS
    /// `~/Library/Application Support/mcp-host`. Nil without a home directory.
    public static var path: String? {
        let environment = ServerEnvironment.current
        if let named = environment["MCP_HOST_STATE"], named.hasPrefix("/") { return named }
        #if canImport(Darwin)
            return environment["HOME"].map { $0 + "/Library/Application Support/mcp-host" }
        #else
            if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") { return state + "/mcp-host" }
            return environment["HOME"].map { $0 + "/.local/state/mcp-host" }
        #endif
    }

    /// Makes a folder in it, for this user only.
    /// - Parameter name: one path component.
    /// - Returns: its path; nil if it cannot be made or belongs to somebody else.
    public static func folder(_ name: String) -> String? {
        guard let path = self.path else { return nil }
        var made = ""
        for component in path.split(separator: "/") {
            made += "/" + component
            _ = mkdir(made, 0o700)
        }
        let folder = "\(path)/\(name)"
        _ = mkdir(folder, 0o700)
        var info = stat()
        guard lstat(folder, &info) == 0, info.st_mode & S_IFMT == S_IFDIR, info.st_uid == geteuid(),
            info.st_mode & 0o022 == 0
        else { return nil }
        return folder
    }

    /// The names of the files in a folder of it.
    static func files(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// A file of at most 4 MiB that belongs to this user and is no link.
    package static func contents(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { _ = close(descriptor) }
        var info = stat()
        guard fstat(descriptor, &info) == 0, info.st_uid == geteuid(), info.st_size <= 4 << 20 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(info.st_size))
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        return count < 0 ? nil : Array(bytes[..<count])
    }
}
