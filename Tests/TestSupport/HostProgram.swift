import Foundation
import MCPHost

/// `mcp-host` as a user runs it: what it prints, and how it ends.
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
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program.first ?? Self.path)
        process.arguments =
            program.isEmpty
            ? words : program.dropFirst() + (trailing.isEmpty ? [Self.path] + words : words + [Self.path] + trailing)
        process.currentDirectoryURL = FileManager.default.temporaryDirectory
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (out, error) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = error
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                do {
                    try process.run()
                    var text = Data()
                    for signal in signals {
                        while !String(decoding: text, as: UTF8.self).contains("ready") {
                            text += out.fileHandleForReading.availableData
                        }
                        kill(process.processIdentifier, signal)
                    }
                    text += out.fileHandleForReading.readDataToEndOfFile()
                    let errors = error.fileHandleForReading.readDataToEndOfFile()
                    process.waitUntilExit()
                    continuation.resume(
                        returning: Outcome(
                            status: process.terminationStatus,
                            out: String(decoding: text, as: UTF8.self),
                            error: String(decoding: errors, as: UTF8.self)
                        )
                    )
                } catch { continuation.resume(throwing: error) }
            }
        }
    }
}
