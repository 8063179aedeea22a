import MCPJSON
import MCPTypes

/// Content from a server, for people.
enum Content {
    /// What a tool has answered. An answer that is in the structured content alone is shown too (U5).
    static func show(_ result: CallToolResult) {
        for block in result.content { self.show(block) }
        guard result.content.isEmpty, let structured = result.structuredContent else { return }
        Terminal.out(VisibleText.block(structured.description))
    }

    static func show(_ block: ContentBlock) {
        switch block {
        case .text(let text): Terminal.out(VisibleText.block(text.text))
        case .image(let image):
            Terminal.out("[image \(VisibleText.line(image.mimeType)), \(Self.size(ofBase64: image.data)) bytes]")
        case .audio(let audio):
            Terminal.out("[audio \(VisibleText.line(audio.mimeType)), \(Self.size(ofBase64: audio.data)) bytes]")
        case .resourceLink(let link): Terminal.out("[resource \(VisibleText.line(link.uri))]")
        case .resource(let embedded): self.show(embedded.resource)
        case .unknown(let object): Terminal.out(VisibleText.block(object.description))
        }
    }

    static func show(_ contents: ResourceContents) {
        switch contents {
        case .text(let text): Terminal.out(VisibleText.block(text.text))
        case .blob(let blob):
            let type = VisibleText.line(blob.mimeType ?? "unknown type")
            Terminal.out("[\(VisibleText.line(blob.uri)): \(type), \(Self.size(ofBase64: blob.blob)) bytes]")
        }
    }

    /// How many bytes a text in Base64 stands for.
    private static func size(ofBase64 text: String) -> Int {
        let digits = text.utf8.filter { $0 > 0x20 }
        let padding = digits.suffix(2).count { $0 == UInt8(ascii: "=") }
        return (digits.count - padding) * 3 / 4
    }
}
