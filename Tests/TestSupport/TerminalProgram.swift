import CMCPProcess
import CTestSupport
import Foundation
import MCPHost
import MCPStdio
import MCPTransport
import Testing

/// A program at a terminal, before which somebody sits and types.
public enum TerminalProgram {
    /// Runs it to its end.
    /// - Parameters:
    ///   - words: its arguments.
    ///   - environment: added to this process's.
    ///   - path: by default `mcp-host`.
    ///   - typing: what is typed, in order, each as soon as a text has been shown after what was typed before it. Ctrl-C (U+0003) is a SIGINT:
    ///     the terminal is not one that controls the program.
    /// - Returns: how it ended, as in ``HostProgram/Outcome``, and all that was shown, what was typed included.
    public static func run(
        _ words: [String],
        environment: [String: String] = [:],
        path: String = HostProgram.path,
        typing: [(after: String, text: String)]
    ) async throws -> (
        status: Int32, shown: String
    ) {
        var screen: Int32 = -1
        let terminal = test_open_terminal(&screen)
        guard terminal >= 0 else { throw POSIXError(.EMFILE) }
        let argv = ([path] + words).map { strdup($0) } + [nil]
        let envp = ServerEnvironment.current.merging(environment) { $1 }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        var pid: pid_t = 0
        let failure = mcp_spawn(path, argv, envp, "/tmp", screen, screen, screen, -1, &pid)
        for pointer in argv + envp { free(pointer) }
        close(screen)
        guard failure == 0 else {
            close(terminal)
            throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .ENOENT)
        }
        let (end, child) = (OneShot<(status: Int32, shown: String)>(), pid)
        // A terminal is read by blocking.
        Thread.detachNewThread {
            let shown = self.converse(terminal, child, typing)
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            close(terminal)
            end.complete((status & 0x7F == 0 ? (status >> 8) & 0xFF : status & 0x7F, shown))
        }
        if let end = await wait(for: "the end of the program at the terminal", { await end.waitUnlessCancelled() }) {
            return end
        }
        kill(child, SIGKILL)
        return await end.wait()
    }

    /// Reads until nobody writes any more, and types meanwhile.
    private static func converse(_ terminal: Int32, _ child: pid_t, _ typing: [(after: String, text: String)])
        -> String
    {
        var bytes = Data()
        var (next, seen) = (0, 0)
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(terminal, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            // EIO is its end.
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
            while next < typing.count,
                let place = bytes[seen...].range(of: Data(typing[next].after.utf8))
            {
                seen = place.upperBound
                let text = Array(typing[next].text.utf8)
                next += 1
                // It is not reaped yet, so the number is its own. The terminal itself would throw away what has just been shown.
                if text == [3] { kill(child, SIGINT) }
                if text != [3] { _ = text.withUnsafeBytes { write(terminal, $0.baseAddress, $0.count) } }
            }
        }
    }
}
