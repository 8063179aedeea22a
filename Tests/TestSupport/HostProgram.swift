import CMCPProcess
import Foundation
import MCPHost
import MCPStdio
import MCPTransport

/// `mcp-host` as a user runs it: what it prints, and how it ends.
///
/// Not by Foundation's `Process`, which crashed beside some hundred open descriptors.
public struct HostProgram: Sendable {
    /// How it ended.
    public struct Outcome: Sendable {
        /// Its exit code, or the signal that ended it.
        public var status: Int32
        /// Standard output.
        public var out: String
        /// Standard error.
        public var error: String
    }

    /// Beside the test bundle.
    public static let path = URL(fileURLWithPath: ScriptedServer.path).deletingLastPathComponent()
        .appendingPathComponent("mcp-host").path

    /// Runs it to its end.
    /// - Parameters:
    ///   - arguments: its words.
    ///   - servers: written to a configuration file that is passed with `--config`, if there are any.
    ///   - signals: sent when it has said that it is ready, one after the other.
    ///   - environment: added to this process's.
    ///   - program: run instead: its words, then `arguments`, then the path of `mcp-host`, then `trailing`; without `trailing` the path
    ///     comes before `arguments`.
    ///   - trailing: see `program`.
    public static func run(
        _ arguments: [String],
        servers: [(name: String, arguments: [String])] = [],
        signalsWhenReady signals: [Int32] = [],
        environment: [String: String] = [:],
        under program: [String] = [],
        trailing: [String] = []
    ) async throws -> Outcome {
        var words = arguments
        if !servers.isEmpty { words += ["--config", try ScriptedServer.file(servers)] }
        if !program.isEmpty {
            words = program.dropFirst() + (trailing.isEmpty ? [Self.path] + words : words + [Self.path] + trailing)
        }
        let path = program.first ?? Self.path
        let variables = ServerEnvironment.current.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }
        let child = try Child(path, [path] + words, variables)
        return await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                var text = Data()
                for signal in signals {
                    while !String(decoding: text, as: UTF8.self).contains("ready"), Child.read(child.out, &text) {}
                    kill(child.pid, signal)
                }
                // Both pipes are emptied side by side: either may be full.
                var errors = Data()
                let group = DispatchGroup()
                let said = Locked(Data())
                DispatchQueue.global().async(group: group) {
                    var bytes = Data()
                    while Child.read(child.error, &bytes) {}
                    said.withLock { $0 = bytes }
                }
                while Child.read(child.out, &text) {}
                group.wait()
                errors = said.withLock { $0 }
                continuation.resume(
                    returning: Outcome(
                        status: child.end(),
                        out: String(decoding: text, as: UTF8.self),
                        error: String(decoding: errors, as: UTF8.self)
                    )
                )
            }
        }
    }

    private struct Child: Sendable {
        let pid: pid_t
        let out: Int32
        let error: Int32

        init(_ path: String, _ words: [String], _ variables: [String]) throws {
            var (out, error): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
            guard mcp_pipe(&out) == 0, mcp_pipe(&error) == 0 else { throw POSIXError(.EMFILE) }
            let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
            let argv = words.map { strdup($0) } + [nil]
            let envp = variables.map { strdup($0) } + [nil]
            var pid: pid_t = 0
            let failure = mcp_spawn(path, argv, envp, "/tmp", null, out[1], error[1], -1, &pid)
            for pointer in argv + envp { free(pointer) }
            for descriptor in [null, out[1], error[1]] { close(descriptor) }
            guard failure == 0 else {
                close(out[0])
                close(error[0])
                throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .ENOENT)
            }
            (self.pid, self.out, self.error) = (pid, out[0], error[0])
        }

        static func read(_ descriptor: Int32, _ bytes: inout Data) -> Bool {
            var chunk = [UInt8](repeating: 0, count: 4096)
            let count = Foundation.read(descriptor, &chunk, chunk.count)
            if count > 0 { bytes += chunk[..<count] }
            return count > 0 || (count < 0 && errno == EINTR)
        }

        func end() -> Int32 {
            var status: Int32 = 0
            while waitpid(self.pid, &status, 0) < 0, errno == EINTR {}
            close(self.out)
            close(self.error)
            return status & 0x7F == 0 ? (status >> 8) & 0xFF : status & 0x7F
        }
    }
}
