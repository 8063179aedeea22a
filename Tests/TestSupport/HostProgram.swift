import CMCPProcess
import Foundation
import MCPHost
import MCPStdio
import MCPTransport
public import Testing

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
        return try await Self.start(words, environment: environment, signalsWhenReady: signals, path: path).end()
    }

    /// Starts a program and reads what it prints.
    /// - Parameters:
    ///   - words: its arguments.
    ///   - environment: added to this process's.
    ///   - signals: sent one right after the other, by the thread that has read that the servers are ready: no machine is so busy that
    ///     much happens in between.
    ///   - path: by default `mcp-host`.
    public static func start(
        _ words: [String],
        environment: [String: String] = [:],
        signalsWhenReady signals: [Int32] = [],
        path: String = Self.path
    ) throws -> Running {
        let variables = ServerEnvironment.current.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }
        return Running(try Child(path, [path] + words, variables), signals)
    }

    /// A program that runs.
    public final class Running: Sendable {
        private let child: Child
        private let out = Watched("")
        private let error = Watched("")
        private let outcome = OneShot<Outcome>()

        fileprivate init(_ child: Child, _ signals: [Int32]) {
            self.child = child
            // Both pipes are emptied side by side: either may be full.
            let group = DispatchGroup()
            for (descriptor, text) in [(child.out, self.out), (child.error, self.error)] {
                // Threads of our own: those of Dispatch would be used up by so many programs at once.
                group.enter()
                Thread.detachNewThread {
                    defer { group.leave() }
                    var bytes = Data()
                    var signals = descriptor == child.out ? signals : []
                    while Child.read(descriptor, &bytes) {
                        let all = String(decoding: bytes, as: UTF8.self)
                        if !signals.isEmpty, all.contains("servers ready") {
                            for signal in signals { kill(child.pid, signal) }
                            signals = []
                        }
                        text.withLock { $0 = all }
                    }
                }
            }
            group.notify(queue: .global()) { [self] in
                self.outcome.complete(Outcome(status: child.end(), out: self.out.value, error: self.error.value))
            }
        }

        /// Its number.
        public var pid: Int32 { self.child.pid }

        /// Waits until it has printed a text on standard output, or on standard error, or until it has ended.
        public func printed(
            _ text: String,
            onError: Bool = false,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async {
            let output = onError ? self.error : self.out
            await wait(for: "\"\(text)\" from the program", sourceLocation: sourceLocation) { () -> Void? in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await output.wait(for: text) { $0.contains(text) } }
                    group.addTask { _ = await self.outcome.waitUnlessCancelled() }
                    await group.next()
                    group.cancelAll()
                }
                return ()
            }
        }

        /// Waits until `mcp-host run` says that its servers are ready.
        public func ready(sourceLocation: SourceLocation = #_sourceLocation) async {
            await self.printed("servers ready", sourceLocation: sourceLocation)
        }

        /// Sends it a signal. It is not reaped before its pipes have ended, so its number is its own.
        public func signal(_ signal: Int32) {
            if self.outcome.value == nil { kill(self.child.pid, signal) }
        }

        /// Waits for its end. One that does not end within ``patience`` fails the test and gets SIGKILL: a broken rule is to fail, not hang.
        public func end(sourceLocation: SourceLocation = #_sourceLocation) async -> Outcome {
            let end: @Sendable () async -> Outcome? = { await self.outcome.waitUnlessCancelled() }
            if let outcome = await wait(for: "the end of program \(self.pid)", sourceLocation: sourceLocation, end) {
                return outcome
            }
            self.signal(SIGKILL)
            let what = "the end of program \(self.pid) after SIGKILL, and of its pipes"
            return await wait(for: what, sourceLocation: sourceLocation, end)
                ?? Outcome(status: SIGKILL, out: self.out.value, error: self.error.value)
        }
    }

    fileprivate struct Child: Sendable {
        let pid: pid_t
        let out: Int32
        let error: Int32

        init(_ path: String, _ words: [String], _ variables: [String]) throws {
            var (out, error): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
            guard mcp_pipe(&out, -1) == 0, mcp_pipe(&error, -1) == 0 else { throw POSIXError(.EMFILE) }
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
