import Foundation
import TestSupport
import Testing

/// The README's tour of the command line, as it stands there.
@Suite("README", .timeLimit(.minutes(2)))
struct TourTests {
    /// What is typed, and what is shown then.
    private static func steps() throws -> [(words: [String], shown: [Substring])] {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("README.md")
        let lines = try String(contentsOf: file, encoding: .utf8).split(
            separator: "\n",
            omittingEmptySubsequences: false
        )
        var steps: [(words: [String], shown: [Substring])] = []
        for line in lines.drop(while: { $0 != "```console" }).dropFirst().prefix(while: { $0 != "```" }) {
            if line.hasPrefix("$ mcp-host ") {
                steps.append((Self.words(line.dropFirst("$ mcp-host ".count)), []))
            } else {
                steps[steps.count - 1].shown.append(line)
            }
        }
        return steps
    }

    /// The words of a line; what stands in quotes is one.
    private static func words(_ line: Substring) -> [String] {
        var words = [""]
        var isQuoted = false
        for character in line {
            switch character {
            case "'": isQuoted.toggle()
            case " " where !isQuoted: words.append("")
            default: words[words.count - 1].append(character)
            }
        }
        return words
    }

    /// Whether a line is as it is told; `…` stands for any text.
    private static func fits(_ line: Substring, _ told: Substring) -> Bool {
        let parts = told.split(separator: "…", omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first, let last = parts.last else { return line == told }
        guard line.hasPrefix(first), line.dropFirst(first.count).hasSuffix(last) else { return false }
        var rest = line.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() {
            guard let place = rest.firstRange(of: part) else { return false }
            rest = rest[place.upperBound...]
        }
        return true
    }

    @Test("each command of the tour shows what it says there")
    func tour() async throws {
        let folder = try TemporaryFolders.make()
        // The program as the tour has it, found on the path, and nobody's state but its own.
        let bin = folder.appendingPathComponent("bin")
        try FileManager.default.createDirectory(at: bin, withIntermediateDirectories: true)
        let program = URL(fileURLWithPath: HostProgram.path)
        for name in ["mcp-host", "mcp-guard"] {
            let file = program.deletingLastPathComponent().appendingPathComponent(name)
            try FileManager.default.createSymbolicLink(at: bin.appendingPathComponent(name), withDestinationURL: file)
        }
        let environment = [
            "PATH": "\(bin.path):/usr/bin:/bin", "MCP_HOST_STATE": folder.appendingPathComponent("state").path,
        ]
        let steps = try Self.steps()
        #expect(steps.count > 10)
        for (words, told) in steps {
            let outcome = try await HostProgram.start(words, environment: environment).end()
            // Both go to a terminal; what is noted before the result comes before it.
            let lines = { (text: String) in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() }
            let isNote = { (line: Substring) in
                (line.hasPrefix("mcp-host: ") || line.hasPrefix("  | ")) && !words.contains("--report")
            }
            let error = lines(outcome.error)
            let shown = error.filter(isNote) + lines(outcome.out) + error.filter { !isNote($0) }
            #expect(shown.count == told.count && zip(shown, told).allSatisfy(Self.fits), "\(words): \(outcome)")
        }
    }
}
