import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Looking before leaping: posix_spawn reports all of these as one number (B4 to B7).
extension ServerLaunch {
    /// C strings end at a NUL, and a name in an environment at its first `=`: what cannot be said to a program is not said in part (T20).
    func wordProblem() -> MCPError? {
        func hasNUL(_ text: String) -> Bool { text.utf8.contains(0) }
        if hasNUL(self.command) { return self.failure("\"command\" contains a NUL character; remove it") }
        if let place = self.arguments.firstIndex(where: hasNUL) {
            return self.failure("argument \(place + 1) contains a NUL character, which cannot be passed to a program")
        }
        if let directory = self.workingDirectory, hasNUL(directory) {
            return self.failure("\"cwd\" contains a NUL character; remove it")
        }
        for (name, value) in self.environment {
            if name.isEmpty { return self.failure("a variable of \"env\" has an empty name") }
            if name.utf8.contains(UInt8(ascii: "=")) || hasNUL(name) {
                return self.failure("the name of variable \"\(name)\" of \"env\" contains \"=\" or NUL; correct it")
            }
            if hasNUL(value) {
                return self.failure("the value of variable \(name) of \"env\" contains a NUL character")
            }
        }
        return nil
    }

    func directoryProblem() -> MCPError? {
        guard let directory = self.workingDirectory else { return nil }
        var info = stat()
        guard stat(directory, &info) == 0 else {
            return self.failure("working directory \(directory) does not exist; create it or correct \"cwd\"")
        }
        guard info.st_mode & S_IFMT == S_IFDIR else {
            return self.failure("working directory \(directory) is not a directory")
        }
        guard access(directory, X_OK) == 0 else {
            return self.failure("working directory \(directory) may not be entered")
        }
        return nil
    }

    /// The path of the program, by the rules of `execvp` on the server's own `PATH`.
    func resolvedCommand(searching path: String?) throws(MCPError) -> String {
        if self.command.isEmpty { throw self.failure("\"command\" is empty") }
        if self.command.contains("/") {
            if !self.command.hasPrefix("/"), let directory = self.workingDirectory {
                return directory + "/" + self.command
            }
            return self.command
        }
        let search = path ?? "/usr/local/bin:/usr/bin:/bin"
        var unusable: String?
        for directory in search.split(separator: ":", omittingEmptySubsequences: false) {
            let candidate = (directory.isEmpty ? "." : String(directory)) + "/" + self.command
            var info = stat()
            guard stat(candidate, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { continue }
            if access(candidate, X_OK) == 0 { return candidate }
            unusable = unusable ?? candidate
        }
        if let unusable { return unusable }
        throw self.failure(
            "command \"\(self.command)\" was not found; PATH searched: \(search). Install it, or give its full path as \"command\""
        )
    }

    func programProblem(_ path: String) -> MCPError? {
        var info = stat()
        guard stat(path, &info) == 0 else { return self.failure("command \(path) does not exist") }
        if info.st_mode & S_IFMT == S_IFDIR { return self.failure("command \(path) is a directory") }
        // A FIFO would hold up whoever opens it, for ever (T4).
        guard info.st_mode & S_IFMT == S_IFREG else {
            return self.failure("command \(path) is not a regular file; name the program itself")
        }
        guard access(path, X_OK) == 0 else {
            return self.failure("command \(path) is not executable; `chmod +x` it, or run it through its interpreter")
        }
        return self.contentProblem(path)
    }

    /// A script names its interpreter in its first line; anything else must be a program of this system.
    private func contentProblem(_ path: String) -> MCPError? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }  // executable without being readable is allowed
        defer { _ = close(descriptor) }
        var head = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &head, head.count)
        guard count > 1 else { return self.failure("command \(path) is empty: neither a program nor a script") }
        if head[0] == UInt8(ascii: "#"), head[1] == UInt8(ascii: "!") {
            let line = String(decoding: head[2..<count].prefix { $0 != 0x0A && $0 != 0 }, as: UTF8.self)
            let words = line.split { $0 == " " || $0 == "\t" || $0 == "\r" }
            guard let interpreter = words.first else { return self.failure("command \(path) has an empty #! line") }
            if line.hasSuffix("\r") {
                return self.failure(
                    "command \(path) has Windows line ends, so its #! line cannot be used; convert it to LF"
                )
            }
            if access(String(interpreter), X_OK) != 0 {
                return self.failure(
                    "command \(path) needs the interpreter \(interpreter), which does not exist or cannot be run"
                )
            }
            return nil
        }
        let magic = head.prefix(4)
        let isProgram =
            magic.elementsEqual([0x7F, 0x45, 0x4C, 0x46]) || magic.first == 0xCF || magic.first == 0xCA
            || magic.first == 0xFE
        if isProgram { return nil }
        return self.failure("command \(path) is neither a program for this system nor a script with a #! line")
    }
}
