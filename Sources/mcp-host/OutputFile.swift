import ArgumentParser
import MCPJSON
import MCPTransport
import MCPTypes

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `--output` names: a file for what a server gives, byte for byte.
struct OutputFile {
    private let path: String

    /// It is standard output.
    var isStandardOutput: Bool { self.path == "-" }

    /// - Throws: where the document of `--json` would be written there, too.
    static func check(_ path: String?, beside json: Bool) throws(ValidationError) {
        if json, path == "-" { throw ValidationError("--json and --output - cannot both write to standard output") }
    }

    /// - Throws: `invalidArguments` where no file could be written. A call may have effects: so it is found out before.
    init?(_ path: String?) throws(MCPError) {
        guard let path else { return nil }
        self.path = path
        if self.isStandardOutput { return }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let problem: String? =
            switch System.kind(of: path) {
            case _ where path.isEmpty: "is empty"
            case .directory?: "is a directory"
            case .nowhere?: "is a link to what is not there"
            case .other?: System.isWritable(path) ? nil : "cannot be written"
            case nil where !System.isWritable(folder): "is in a directory that is not there, or cannot be written"
            case nil: nil
            }
        if let problem {
            throw MCPError(.invalidArguments, "--output: \"\(VisibleText.line(path))\" \(problem)")
        }
    }

    /// Writes what a tool has answered.
    func write(_ result: CallToolResult) throws(MCPError) {
        try self.write(result.content.compactMap(Piece.init))
    }

    /// Writes what a resource holds.
    func write(_ result: ReadResourceResult) throws(MCPError) {
        try self.write(result.contents.map(Piece.init))
    }

    /// What has a place in a file.
    private enum Piece {
        case text(String)
        case binary(String, type: String?)

        init?(_ block: ContentBlock) {
            switch block {
            case .text(let text): self = .text(text.text)
            case .image(let image): self = .binary(image.data, type: image.mimeType)
            case .audio(let audio): self = .binary(audio.data, type: audio.mimeType)
            case .resource(let embedded): self.init(embedded.resource)
            case .resourceLink, .unknown: return nil
            }
        }

        init(_ contents: ResourceContents) {
            switch contents {
            case .text(let text): self = .text(text.text)
            case .blob(let blob): self = .binary(blob.blob, type: blob.mimeType)
            }
        }
    }

    /// The binary content where there is some: what is said beside a picture is no part of it. Else the texts, in lines.
    private func write(_ pieces: [Piece]) throws(MCPError) {
        var binary: [(text: String, type: String?)] = []
        var texts: [String] = []
        for piece in pieces {
            switch piece {
            case .text(let text): texts.append(text)
            case .binary(let text, let type): binary.append((text, type))
            }
        }
        guard binary.count < 2 else {
            throw MCPError(
                .badResponse,
                "\(binary.count) binary contents do not go into one file; --json prints them all"
            )
        }
        guard !pieces.isEmpty else { throw MCPError(.badResponse, "there is nothing to be written") }
        var data = Array(texts.joined(separator: "\n").utf8)
        if let content = binary.first {
            guard let decoded = Data(base64Encoded: Data(content.text.utf8.filter { $0 > 0x20 })) else {
                throw MCPError(.badResponse, "the binary content is no Base64; --json prints it as it came")
            }
            data = Array(decoded)
        }
        let shown = self.isStandardOutput ? "standard output" : VisibleText.line(self.path)
        if let problem = self.isStandardOutput ? System.writeOut(data) : System.write(data, toFile: self.path) {
            throw MCPError(.notWritten, "--output: \(shown) cannot be written: \(problem)")
        }
        let type = binary.first?.type.map { " of \(Terminal.line($0))" } ?? ""
        Terminal.note("\(data.count) bytes\(type) in \(shown)")
    }
}

extension MCPError.Code {
    /// The answer came, and could not be put where it was wanted.
    static let notWritten = Self("notWritten")
}
