#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where hosts of this user keep what must survive them: the process journal and the lifecycle log. Nobody else may read it (S34). It is
/// to be on a local disk: on a file system that does not answer, starts and ends of servers would wait for it.
package enum StateDirectory {
    /// `MCP_HOST_STATE`, else `$XDG_STATE_HOME/mcp-host` or `~/.local/state/mcp-host`; on macOS
    /// `~/Library/Application Support/mcp-host`. Nil without a home directory.
    package static var path: String? {
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
    package static func folder(_ name: String) -> String? {
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
    package static func files(in folder: String, withHidden: Bool = false) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if withHidden || !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// A regular file of at most 4 MiB that belongs to this user and is no link.
    package static func contents(of path: String) -> [UInt8]? {
        guard let descriptor = self.openFile(path), let size = self.size(of: descriptor), size <= 4 << 20 else {
            return nil
        }
        defer { _ = close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: size)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        return count < 0 ? nil : Array(bytes[..<count])
    }

    /// Opens a regular file of this user for reading; nil for anything else. A FIFO in its place does not hold anybody up (T20).
    static func openFile(_ path: String) -> Int32? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        if self.size(of: descriptor) != nil { return descriptor }
        _ = close(descriptor)
        return nil
    }

    /// The size of a regular file of this user; nil for anything else.
    static func size(of descriptor: Int32) -> Int? {
        var info = stat()
        guard fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG, info.st_uid == geteuid() else {
            return nil
        }
        return Int(info.st_size)
    }

    /// Hands on a file line by line, however long it is (T12). A line over 64 KiB is none of ours and is handed on empty.
    /// - Parameter body: returns whether to go on.
    static func forEachLine(of descriptor: Int32, _ body: ([UInt8]) -> Bool) {
        var line: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        var isTooLong = false
        while true {
            let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            for piece in chunk[..<count].split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
                if piece.offset > 0 {
                    guard body(isTooLong ? [] : line) else { return }
                    line = []
                    isTooLong = false
                }
                if line.count + piece.element.count > 64 << 10 { isTooLong = true } else { line += piece.element }
            }
        }
    }

    /// Names the PID namespace of this process: numbers of another one mean nothing here (T1). Empty where there are none.
    static let pidNamespace: String = {
        #if os(Linux)
            var info = stat()
            return stat("/proc/self/ns/pid", &info) == 0 ? String(info.st_ino) : ""
        #else
            return ""
        #endif
    }()
}
