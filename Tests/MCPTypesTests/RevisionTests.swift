import MCPJSON
import MCPTypes
import Testing

@Suite("One model, five revisions", .timeLimit(.minutes(5)))
struct RevisionTests {
    private func written(_ value: some ProtocolObject, _ revision: ProtocolRevision?) throws -> JSONObject {
        var writer = JSONWriter()
        value.encode(to: &writer, for: revision)
        return try writer.finish().decode(JSONObject.self)
    }

    @Test("a tool loses what a revision does not have, and nothing else")
    func tool() throws {
        let text = """
            {"name":"t","title":"T","description":"d","icons":[{"src":"data:,"}],"inputSchema":{"type":"object","x-own":1.0},\
            "outputSchema":{"type":"object"},"annotations":{"readOnlyHint":true},"execution":{"taskSupport":"optional"},\
            "_meta":{"k":1},"x-unknown":[1,{"deep":null}]}
            """
        let tool = try RawJSON(copying: text).decode(Tool.self)
        #expect(RawJSON(encoding: tool) == RawJSON(copying: text))
        let expected: [(ProtocolRevision, [String])] = [
            (.v2024_11_05, ["name", "description", "inputSchema", "x-unknown"]),
            (.v2025_03_26, ["name", "description", "inputSchema", "annotations", "x-unknown"]),
            (
                .v2025_06_18,
                ["name", "title", "description", "inputSchema", "outputSchema", "annotations", "_meta", "x-unknown"]
            ),
            (
                .v2026_07_28,
                [
                    "name", "title", "description", "icons", "inputSchema", "outputSchema", "annotations", "_meta",
                    "x-unknown",
                ]
            ),
        ]
        for (revision, members) in expected { #expect(Set(try self.written(tool, revision).keys) == Set(members)) }
        #expect(try self.written(tool, .v2025_11_25)["execution"] != nil)
        #expect(tool.inputSchema.description == #"{"type":"object","x-own":1.0}"#, "schemas stay byte for byte")
    }

    @Test("results of 2026-07-28 say what they are; older ones do not")
    func results() throws {
        let result = ListToolsResult(tools: [])
        #expect(
            try self.written(result, .v2026_07_28) == [
                "tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            ]
        )
        #expect(try self.written(result, .v2025_11_25) == ["tools": []])
        #expect(try self.written(result, nil) == ["tools": []])
    }

    @Test("1.12 sampling content: a list becomes its first block before 2025-11-25; errors without an id")
    func shapes() throws {
        let block = SamplingMessageContentBlock.content(.text(TextContent(text: "a")))
        let message = SamplingMessage(role: .user, content: .list([block, block]))
        #expect(try self.written(message, .v2025_06_18)["content"]?.kind == .object)
        #expect(try self.written(message, .v2026_07_28)["content"]?.array?.count == 2)
        let error = JSONRPCErrorResponse(id: nil, error: JSONRPCErrorObject(code: .parseError, message: "no"))
        #expect(try self.written(error, .v2025_06_18)["id"] == .null)
        #expect(try self.written(error, .v2026_07_28)["id"] == nil)
        let capabilities = try RawJSON(
            copying: #"{"roots":{"listChanged":true},"tasks":{"list":{}},"extensions":{"a/b":{}}}"#
        )
        .decode(ClientCapabilities.self)
        #expect(try self.written(capabilities, .v2026_07_28) == ["roots": [:], "extensions": ["a/b": [:]]])
        #expect(
            try self.written(capabilities, .v2025_11_25) == ["roots": ["listChanged": true], "tasks": ["list": [:]]]
        )
    }

    @Test("content of an unknown type survives a round trip")
    func unknownContent() throws {
        let text = #"{"content":[{"type":"hologram","depth":3},{"type":"text","text":"x","new":true}],"later":1}"#
        let result = try RawJSON(copying: text).decode(CallToolResult.self)
        guard case .unknown(let object)? = result.content.first else { return #expect(Bool(false), "not unknown") }
        #expect(object["depth"] == 3)
        #expect(RawJSON(encoding: result) == RawJSON(copying: text))
    }

    @Test("a missing member and a wrong type are named")
    func errors() {
        #expect { try RawJSON(copying: #"{"title":"x"}"#).decode(Tool.self) } throws: {
            "\($0)".contains("name is missing")
        }
        #expect { try RawJSON(copying: #"{"name":1}"#).decode(Tool.self) } throws: {
            "\($0)".contains("expected a string, found a number")
        }
    }

    @Test("errors give their details by code")
    func errorData() throws {
        let text = #"{"code":-32022,"message":"no","data":{"supported":["2026-07-28"],"requested":"x"}}"#
        let error = try RawJSON(copying: text).decode(JSONRPCErrorObject.self)
        #expect(
            error.code == .unsupportedProtocolVersion && error.supportedVersions == ["2026-07-28"] && error.uri == nil
        )
        let other = try RawJSON(copying: #"{"code":-32021,"data":{"requiredCapabilities":{"sampling":{}}}}"#).decode(
            JSONRPCErrorObject.self
        )
        #expect(other.requiredCapabilities?.sampling != nil && other.message == "")
    }

    @Test("revisions are ordered and know their era")
    func revisions() {
        #expect(ProtocolRevision.all == ProtocolRevision.all.sorted())
        #expect(ProtocolRevision.all.filter(\.isModern) == [.v2026_07_28])
        #expect(ProtocolRevision(rawValue: "2027-01-01") == nil)
    }

    @Test("_meta is read by name and kept whole")
    func meta() throws {
        let meta = try RawJSON(
            copying: #"{"progressToken":"a","io.modelcontextprotocol/serverInfo":{"name":"n","version":"1"},"x":1}"#
        )
        .decode(Meta.self)
        #expect(meta.progressToken == .string("a") && meta.serverInfo?.name == "n" && meta.clientInfo == nil)
        #expect(meta.members["x"] == 1)
    }
}
