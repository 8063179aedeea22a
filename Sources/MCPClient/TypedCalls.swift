import MCPJSON
public import MCPTransport
public import MCPTypes

extension ClientSession {
    /// Calls a tool with a value of your own, and reads its answer into another.
    ///
    /// Read is the structured content; of a tool that has none, its only text, if that is JSON.
    /// - Parameters:
    ///   - name: as the server lists it.
    ///   - arguments: encoded as an object.
    ///   - type: what to read.
    ///   - options: time limits and progress of this call.
    /// - Throws: `invalidArguments` if `arguments` cannot be encoded or do not fit, `toolFailed` with the tool's own words if it
    ///   failed, `badResponse` if its answer cannot be read as `type`.
    public func callTool<Arguments: Encodable & Sendable, Value: Decodable>(
        _ name: String,
        arguments: Arguments,
        returning type: Value.Type = Value.self,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> Value {
        let encoded: RawJSON
        do { encoded = RawJSON(encoding: try JSONValue(encodable: arguments)) } catch {
            throw MCPError(.invalidArguments, "the arguments of \(name) cannot be encoded: \(error)")
        }
        return try await self.callTool(name, arguments: encoded, options: options).value(of: name)
    }
}

extension CallToolResult {
    /// The answer as a value of your own; see ``ClientSession/callTool(_:arguments:returning:options:)``.
    /// - Parameters:
    ///   - type: what to read.
    ///   - tool: its name, for errors.
    public func value<Value: Decodable>(
        _ type: Value.Type = Value.self,
        of tool: String = "the tool"
    ) throws(MCPError) -> Value {
        if self.isError == true {
            let words = self.content.compactMap(\.text).joined(separator: "\n")
            throw MCPError(.toolFailed, "\(tool) failed: \(words.isEmpty ? "it does not say why" : words)")
        }
        do {
            if let structured = self.structuredContent { return try structured.decode(Value.self) }
            if self.content.count == 1, let text = self.content[0].text {
                return try RawJSON(copying: text).decode(Value.self)
            }
        } catch {
            throw MCPError(.badResponse, "the answer of \(tool) is no \(Value.self): \(error)")
        }
        throw MCPError(.badResponse, "\(tool) answered with nothing that can be read as \(Value.self)")
    }
}
