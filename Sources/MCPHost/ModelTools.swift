public import MCPJSON
import MCPTransport
public import MCPTypes

/// A maker of models, whose programming interface says how tools are told to a model and how it asks for them.
public struct ModelInterface: Sendable, Hashable, CustomStringConvertible {
    enum Kind: String, Sendable { case anthropic, openAI, gemini }
    let kind: Kind
    /// Anthropic's Messages: `name`, `description`, `input_schema`; `tool_use` and `tool_result`.
    public static let anthropic = Self(kind: .anthropic)
    /// OpenAI's Chat Completions and Responses: `function` with `name`, `description`, `parameters`.
    public static let openAI = Self(kind: .openAI)
    /// Google's Gemini: a function declaration with `name`, `description`, `parameters` in its subset of OpenAPI.
    public static let gemini = Self(kind: .gemini)

    /// Its name.
    public var description: String { self.kind.rawValue }

    /// Longest name of a tool, in characters.
    var longestName: Int { 64 }
    /// Longest description, in characters.
    var longestDescription: Int { self.kind == .openAI ? 1024 : 100_000 }
}

/// Tools as a model is told of them.
public struct ModelDefinitions: Sendable {
    /// One tool.
    public struct Definition: Sendable {
        /// The name that the model uses, which `MCPHost.call(_:options:)` takes back.
        public var name: String
        /// The tool's server.
        public var server: String
        /// The server's name of it.
        public var tool: String
        /// What to put into the request's list of tools.
        public var json: JSONValue
        /// What had to be changed about it for this interface, a line each.
        public var changes: [String]
    }

    /// For whom they are.
    public var interface: ModelInterface
    /// All of them.
    public var definitions: [Definition]
    /// The list for the request.
    public var json: [JSONValue] { self.definitions.map(\.json) }
    /// All that had to be changed, with the names of the tools.
    public var changes: [String] { self.definitions.flatMap { tool in tool.changes.map { "\(tool.name): \($0)" } } }
}

extension HostListing where Item == Tool {
    /// The tools as a model is told of them: names, lengths and schemas within what its interface takes.
    ///
    /// What cannot be said there is left out of the schema, never of the call: arguments are checked against the tool's own schema.
    /// - Parameter interface: whose.
    /// - Returns: a definition for each tool, and what had to be changed. Of two tools with the same name only the first is there.
    public func definitions(for interface: ModelInterface) -> ModelDefinitions {
        var seen: Set<WireString> = []
        var definitions: [ModelDefinitions.Definition] = []
        for item in self.items where seen.insert(WireString(item.qualifiedName)).inserted {
            definitions.append(Self.definition(item, interface))
        }
        return ModelDefinitions(interface: interface, definitions: definitions)
    }

    private static func definition(_ item: ServerItem<Tool>, _ interface: ModelInterface) -> ModelDefinitions.Definition
    {
        var schema = ModelSchema(interface)
        let parameters = schema.converted(item.item.inputSchema)
        var changes = schema.changes
        let name = item.qualifiedName
        if !name.isSame(as: "\(item.server)__\(item.item.name)") {
            changes.insert("its server calls it \"\(item.item.name)\"", at: 0)
        }
        var description = item.item.description ?? item.item.title ?? item.item.annotations?.title ?? ""
        if description.count > interface.longestDescription {
            description = description.prefix(interface.longestDescription - 1) + "…"
            changes.append("its description was cut to \(interface.longestDescription) characters")
        }
        var function: JSONObject = ["name": .string(name)]
        if !description.isEmpty { function["description"] = .string(description) }
        let json: JSONValue
        switch interface.kind {
        case .anthropic:
            function["input_schema"] = parameters
            json = .object(function)
        case .openAI:
            function["parameters"] = parameters
            json = ["type": "function", "function": .object(function)]
        case .gemini:
            // It takes no object without members.
            if parameters["properties"]?.object?.isEmpty == false { function["parameters"] = parameters }
            json = .object(function)
        }
        return .init(name: name, server: item.server, tool: item.item.name, json: json, changes: changes)
    }
}
