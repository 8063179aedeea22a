import MCPJSON
import MCPTransport
import MCPTypes

/// Which tools of a server the host offers, and what it says of them.
///
/// It holds for everything that goes through the host: lists, calls by name, calls by server and tool. Names are compared byte by byte. What asks
/// a server's ``ManagedServer/session()`` asks the server.
public struct ToolSelection: Sendable, Hashable {
    /// What is said of a tool in the place of what its server says; nil leaves that.
    public struct Override: Sendable, Hashable {
        /// The name under which it is offered.
        public var name: String?
        /// Its title.
        public var title: String?
        /// What it does, for the model.
        public var description: String?

        /// Says nothing else than the server.
        /// - Parameters:
        ///   - name: the name under which it is offered.
        ///   - title: its title.
        ///   - description: what it does.
        public init(name: String? = nil, title: String? = nil, description: String? = nil) {
            self.name = name
            self.title = title
            self.description = description
        }
    }

    /// Only these tools, by the server's names; nil, the default, for all.
    public var allowed: [String]?
    /// Not these tools, by the server's names, also where they are allowed.
    public var denied: [String]
    /// What is said of tools, by the server's names.
    public var overrides: [String: Override]

    /// Offers all tools as they are.
    /// - Parameters:
    ///   - allowed: only these; nil for all.
    ///   - denied: not these.
    ///   - overrides: what is said of them.
    public init(allowed: [String]? = nil, denied: [String] = [], overrides: [String: Override] = [:]) {
        self.allowed = allowed
        self.denied = denied
        self.overrides = overrides
    }

    /// Everything is offered as it is.
    var isEverything: Bool { self.allowed == nil && self.denied.isEmpty && self.overrides.isEmpty }

    /// Whether the host offers a tool, by its server's name.
    func offers(_ name: String) -> Bool {
        self.allowed?.contains { $0.isSame(as: name) } != false && !self.denied.contains { $0.isSame(as: name) }
    }

    private func override(of name: String) -> Override? { self.overrides.first { $0.key.isSame(as: name) }?.value }

    /// A tool as the host offers it; nil where it does not.
    func offered(_ tool: Tool) -> Tool? {
        guard self.offers(tool.name) else { return nil }
        guard let override = self.override(of: tool.name) else { return tool }
        var tool = tool
        tool.name = override.name ?? tool.name
        tool.title = override.title ?? tool.title
        tool.description = override.description ?? tool.description
        return tool
    }

    /// The server's name of a tool that the host offers under `name`; nil where it offers none.
    func original(of name: String) -> String? {
        if self.isEverything { return name }
        // Of several that have been given one name, always the same.
        let renamed = self.overrides.filter { $0.value.name?.isSame(as: name) == true && self.offers($0.key) }
        if let original = renamed.keys.map({ WireString($0) }).min() { return original.text }
        guard self.offers(name), self.override(of: name)?.name.map({ $0.isSame(as: name) }) != false else { return nil }
        return name
    }
}

extension ToolSelection.Override: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("name", \.name), Setting("title", \.title), Setting("description", \.description),
    ]

    /// Reads it; what is missing is nil.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what there is.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}

extension ToolSelection: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("allowed", \.allowed), Setting("denied", \.denied), Setting("overrides", \.overrides),
    ]

    /// Reads it; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        self.init()
        try Settings.read(Self.settings, into: &self, from: decoder)
    }

    /// Writes what differs from the defaults.
    public func encode(to encoder: any Encoder) throws {
        try Settings.write(Self.settings, of: self, unlike: Self(), to: encoder)
    }
}
