import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// The tools that a server has listed, with their schemas ready for use.
final class ToolCatalog: Sendable {
    private struct State {
        var tools: [WireString: Tool] = [:]
        /// Compiled when first needed.
        var schemas: [WireString: (input: JSONSchema?, output: JSONSchema?)] = [:]
        var problems: [WireString: String] = [:]
    }

    private let state = Locked(State())

    func update(_ tools: [Tool]) {
        let byName = Dictionary(tools.map { (WireString($0.name), $0) }, uniquingKeysWith: { first, _ in first })
        self.state.withLock { state in
            let unchanged = state.schemas.keys.filter { state.tools[$0] == byName[$0] }
            state.schemas = state.schemas.filter { unchanged.contains($0.key) }
            state.problems = state.problems.filter { unchanged.contains($0.key) }
            state.tools = byName
        }
    }

    func tool(_ name: String) -> Tool? { self.state.withLock { $0.tools[WireString(name)] } }

    /// Schemas that cannot be used, and why: those tools are called unchecked.
    var problems: [String: String] {
        let problems = self.state.withLock { $0.problems }
        return Dictionary(problems.map { ($0.key.text, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    func schemas(_ name: String) -> (input: JSONSchema?, output: JSONSchema?) {
        let name = WireString(name)
        let (known, tool) = self.state.withLock { state in
            state.schemas[name].map { ($0, nil) } ?? (nil, state.tools[name])
        }
        if let known { return known }
        guard let tool else { return (nil, nil) }
        var problem: String?
        let input = Self.compile(tool.inputSchema, "inputSchema", &problem)
        let output = tool.outputSchema.flatMap { Self.compile($0, "outputSchema", &problem) }
        self.state.withLock { state in
            guard state.tools[name] == tool else { return }
            state.schemas[name] = (input, output)
            state.problems[name] = problem
        }
        return (input, output)
    }

    private static func compile(_ schema: RawJSON, _ name: String, _ problem: inout String?) -> JSONSchema? {
        do {
            let value = try schema.decode(JSONValue.self)
            do {
                return try JSONSchema(value)
            } catch let error {
                // Older servers write draft-07 and do not say so.
                var options = JSONSchema.Options()
                options.dialect = .draft07
                if value["$schema"] == nil, let older = try? JSONSchema(value, options: options) { return older }
                throw error
            }
        } catch {
            problem = "\(name): \(error)"
            return nil
        }
    }

    /// - Throws: `invalidArguments` naming what is wrong with them.
    func check(arguments: RawJSON?, of name: String) throws(MCPError) {
        guard let schema = self.schemas(name).input else { return }
        let value: JSONValue
        do { value = try (arguments ?? [:]).decode() } catch {
            throw MCPError(.invalidArguments, "the arguments of \(name) are no JSON: \(error)")
        }
        let violations = schema.violations(in: value)
        guard violations.isEmpty else {
            let reasons = violations.map(\.description).joined(separator: "; ")
            throw MCPError(
                .invalidArguments,
                "the arguments do not fit the tool \(name), which was not called: \(reasons)"
            )
        }
    }

    /// - Throws: `badResponse` where a tool breaks its own promise.
    func check(result: CallToolResult, of name: String) throws(MCPError) {
        guard result.isError != true, let schema = self.schemas(name).output else { return }
        guard let content = result.structuredContent else {
            throw MCPError(.badResponse, "\(name) has an output schema and sent no structured content")
        }
        let value: JSONValue
        do { value = try content.decode() } catch {
            throw MCPError(.badResponse, "the structured content of \(name) is no JSON: \(error)")
        }
        let violations = schema.violations(in: value)
        guard violations.isEmpty else {
            let reasons = violations.map(\.description).joined(separator: "; ")
            throw MCPError(.badResponse, "the structured content of \(name) does not fit its output schema: \(reasons)")
        }
    }
}
