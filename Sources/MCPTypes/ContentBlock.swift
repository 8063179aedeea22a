public import MCPJSON

/// One piece of content, told apart by its `type`.
public enum ContentBlock: ProtocolObject {
    /// Text.
    case text(TextContent)
    /// A picture.
    case image(ImageContent)
    /// Sound. Revisions 2025-03-26 and later.
    case audio(AudioContent)
    /// A resource that can be read. Revisions 2025-06-18 and later.
    case resourceLink(ResourceLink)
    /// A resource with its contents.
    case resource(EmbeddedResource)
    /// A type that this library does not know, kept as it came.
    case unknown(JSONObject)

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        if let block = try Self.loose(&reader) {
            self = block
            return
        }
        switch try reader.peekMember("type") {
        case "text"?: self = .text(try reader.read())
        case "image"?: self = .image(try reader.read())
        case "audio"?: self = .audio(try reader.read())
        case "resource_link"?: self = .resourceLink(try reader.read())
        case "resource"?: self = .resource(try reader.read())
        default: self = .unknown(try reader.read())
        }
    }

    /// A bare string, or a list where one block belongs, where the reader is lenient: some servers write prompts so.
    private static func loose(_ reader: inout JSONReader) throws(JSONError) -> ContentBlock? {
        switch try reader.peekKind() {
        case .string: try reader.readInstead("an object").map { .text(TextContent(text: $0)) }
        case .array: try reader.readFirstInstead("an object")
        default: nil
        }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .text(let content): content.encode(to: &writer, for: revision)
        case .image(let content): content.encode(to: &writer, for: revision)
        case .audio(let content): content.encode(to: &writer, for: revision)
        case .resourceLink(let content): content.encode(to: &writer, for: revision)
        case .resource(let content): content.encode(to: &writer, for: revision)
        case .unknown(let object): object.encode(to: &writer)
        }
    }

    /// The text, if it is text.
    public var text: String? { if case .text(let content) = self { content.text } else { nil } }
}

/// Contents of a resource: text or bytes, told apart by their members.
public enum ResourceContents: ProtocolObject {
    /// Text.
    case text(TextResourceContents)
    /// Bytes.
    case blob(BlobResourceContents)

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        if try reader.hasMember("blob") { self = .blob(try reader.read()) } else { self = .text(try reader.read()) }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .text(let contents): contents.encode(to: &writer, for: revision)
        case .blob(let contents): contents.encode(to: &writer, for: revision)
        }
    }

    /// Which resource it is of.
    public var uri: String {
        switch self {
        case .text(let contents): contents.uri
        case .blob(let contents): contents.uri
        }
    }
}

/// One piece of a message for the client's model. Tool use and tool results: revisions 2025-11-25 and later.
public enum SamplingMessageContentBlock: ProtocolObject {
    /// What may stand anywhere: text, a picture, sound.
    case content(ContentBlock)
    /// The model wants to use a tool.
    case toolUse(ToolUseContent)
    /// What a tool gave.
    case toolResult(ToolResultContent)

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        switch try reader.peekMember("type") {
        case "tool_use"?: self = .toolUse(try reader.read())
        case "tool_result"?: self = .toolResult(try reader.read())
        default: self = .content(try reader.read())
        }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .content(let content): content.encode(to: &writer, for: revision)
        case .toolUse(let content): content.encode(to: &writer, for: revision)
        case .toolResult(let content): content.encode(to: &writer, for: revision)
        }
    }
}

/// What a message for the client's model says: one block, or a list of them since 2025-11-25. Which of the two is kept.
public enum SamplingContent: ProtocolObject {
    /// One block.
    case single(SamplingMessageContentBlock)
    /// A list.
    case list([SamplingMessageContentBlock])

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        if try reader.peekKind() == .array {
            self = .list(try reader.read())
        } else {
            self = .single(try reader.read())
        }
    }

    /// Writes whichever it is; for a revision without lists, the first block.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .single(let block): block.encode(to: &writer, for: revision)
        case .list(let blocks):
            if let revision, revision < .v2025_11_25, let first = blocks.first {
                return first.encode(to: &writer, for: revision)
            }
            writer.beginArray()
            for block in blocks { block.encode(to: &writer, for: revision) }
            writer.endArray()
        }
    }

    /// The blocks, however they were written.
    public var blocks: [SamplingMessageContentBlock] {
        switch self {
        case .single(let block): [block]
        case .list(let blocks): blocks
        }
    }
}

/// What is to be completed: an argument of a prompt, or a variable of a resource template.
public enum CompletionReference: ProtocolObject {
    /// A prompt.
    case prompt(PromptReference)
    /// A resource template.
    case resource(ResourceTemplateReference)

    /// Reads whichever it is.
    public init(from reader: inout JSONReader) throws(JSONError) {
        if try reader.peekMember("type") == "ref/prompt" {
            self = .prompt(try reader.read())
        } else {
            self = .resource(try reader.read())
        }
    }

    /// Writes whichever it is.
    public func encode(to writer: inout JSONWriter, for revision: ProtocolRevision?) {
        switch self {
        case .prompt(let reference): reference.encode(to: &writer, for: revision)
        case .resource(let reference): reference.encode(to: &writer, for: revision)
        }
    }
}

extension JSONReader {
    /// The value of a string member of the object that comes next, without moving.
    package mutating func peekMember(_ name: StaticString) throws(JSONError) -> String? {
        let start = self.checkpoint
        defer { self.rewind(to: start) }
        try self.beginObject()
        while let key = try self.nextKey() {
            if name ~= key { return try self.peekKind() == .string ? try self.readString() : nil }
            try self.skipValue()
        }
        return nil
    }

    /// Whether the object that comes next has a member, without moving.
    mutating func hasMember(_ name: StaticString) throws(JSONError) -> Bool {
        let start = self.checkpoint
        defer { self.rewind(to: start) }
        try self.beginObject()
        while let key = try self.nextKey() {
            if name ~= key { return true }
            try self.skipValue()
        }
        return false
    }
}
