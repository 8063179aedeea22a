#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The program `mcp-guard`, which stands between this process and every server, so that a server does not outlive a killed host (E15).
package enum GuardProgram {
    /// Where it is: what `MCP_GUARD` names, or beside this program or the library's image (`swift run`, `swift test`, a copied
    /// folder), or in `../libexec` of the former (an installed tree). Nil if it is nowhere.
    ///
    /// Without it servers still run, in process groups of their own; what they leave is found by the launch token in their environment, and
    /// what a killed host leaves is ended by the next start (``Orphans``).
    package static let path: String? = {
        if let named = ServerEnvironment.current["MCP_GUARD"] { return Self.isProgram(named) ? named : nil }
        for folder in Self.folders {
            for candidate in ["\(folder)/mcp-guard", "\(folder)/../libexec/mcp-guard"] where Self.isProgram(candidate) {
                return candidate
            }
        }
        return nil
    }()

    private static func isProgram(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    /// The folders of the program and of the image with this code; a test bundle is some levels deeper than the products.
    private static var folders: [String] {
        var folders: [String] = []
        #if os(Linux)
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
            let program = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        #else
            let program = CommandLine.arguments[0]
        #endif
        folders += Self.ancestors(of: program, levels: 1)
        #if canImport(Darwin)
            var info = Dl_info()
            if dladdr(#dsohandle, &info) != 0, let name = info.dli_fname {
                folders += Self.ancestors(of: String(cString: name), levels: 4)
            }
        #endif
        return folders
    }

    private static func ancestors(of path: String, levels: Int) -> [String] {
        var rest = path[...]
        var result: [String] = []
        for _ in 0..<levels {
            guard let slash = rest.lastIndex(of: "/") else { break }
            rest = rest[..<slash]
            result.append(rest.isEmpty ? "/" : String(rest))
        }
        return result
    }
}
