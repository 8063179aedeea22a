import Foundation
import MCPJSON
import MCPTypes
import TestSupport
import Testing

/// Every official example message decodes into its type and encodes back to equal JSON.
@Suite("Official examples", .timeLimit(.minutes(5)))
struct ExampleTests {
    private typealias RoundTrip = @Sendable (RawJSON) throws -> RawJSON

    private static func of<T: ProtocolObject>(_ type: T.Type) -> RoundTrip {
        { RawJSON(encoding: try $0.decode(T.self)) }
    }
    private static func request<R: MCPRequest>(_ type: R.Type) -> RoundTrip { Self.of(JSONRPCRequest<R.Params>.self) }
    private static func notification<N: MCPNotification>(_ type: N.Type) -> RoundTrip {
        Self.of(JSONRPCNotification<N.Params>.self)
    }
    private static func response<R: MCPRequest>(_ type: R.Type) -> RoundTrip {
        Self.of(JSONRPCResultResponse<R.Result>.self)
    }
    /// An error alone, or in its response.
    private static let error: RoundTrip = { raw in
        if let response = try? raw.decode(JSONRPCErrorResponse.self) { return RawJSON(encoding: response) }
        return RawJSON(encoding: try raw.decode(JSONRPCErrorObject.self))
    }

    private static let types: [String: RoundTrip] = [
        "AudioContent": of(AudioContent.self), "BlobResourceContents": of(BlobResourceContents.self),
        "BooleanSchema": of(BooleanSchema.self),
        "CallToolRequest": request(CallToolRequest.self), "CallToolRequestParams": of(CallToolRequestParams.self),
        "CallToolResult": of(CallToolResult.self), "CallToolResultResponse": response(CallToolRequest.self),
        "CancelledNotification": notification(CancelledNotification.self),
        "CancelledNotificationParams": of(CancelledNotificationParams.self),
        "ClientCapabilities": of(ClientCapabilities.self),
        "CompleteRequest": request(CompleteRequest.self), "CompleteRequestParams": of(CompleteRequestParams.self),
        "CompleteResult": of(CompleteResult.self), "CompleteResultResponse": response(CompleteRequest.self),
        "CreateMessageRequest": of(InputRequest.self),
        "CreateMessageRequestParams": of(CreateMessageRequestParams.self),
        "CreateMessageResult": of(CreateMessageResult.self), "DiscoverRequest": request(DiscoverRequest.self),
        "DiscoverResult": of(DiscoverResult.self), "DiscoverResultResponse": response(DiscoverRequest.self),
        "ElicitRequest": of(InputRequest.self), "ElicitRequestFormParams": of(ElicitRequestFormParams.self),
        "ElicitRequestURLParams": of(ElicitRequestURLParams.self), "ElicitResult": of(ElicitResult.self),
        "EmbeddedResource": of(EmbeddedResource.self), "GetPromptRequest": request(GetPromptRequest.self),
        "GetPromptRequestParams": of(GetPromptRequestParams.self), "GetPromptResult": of(GetPromptResult.self),
        "GetPromptResultResponse": response(GetPromptRequest.self), "HeaderMismatchError": error,
        "ImageContent": of(ImageContent.self),
        "InputRequests": of(InputRequests.self), "InputRequiredResult": of(InputRequiredResult.self),
        "InputResponses": of(InputResponses.self),
        "InternalError": error, "InvalidParamsError": error, "ListPromptsRequest": request(ListPromptsRequest.self),
        "ListPromptsResult": of(ListPromptsResult.self), "ListPromptsResultResponse": response(ListPromptsRequest.self),
        "ListResourceTemplatesRequest": request(ListResourceTemplatesRequest.self),
        "ListResourceTemplatesResult": of(ListResourceTemplatesResult.self),
        "ListResourceTemplatesResultResponse": response(ListResourceTemplatesRequest.self),
        "ListResourcesRequest": request(ListResourcesRequest.self), "ListResourcesResult": of(ListResourcesResult.self),
        "ListResourcesResultResponse": response(ListResourcesRequest.self), "ListRootsRequest": of(InputRequest.self),
        "ListRootsResult": of(ListRootsResult.self), "ListToolsRequest": request(ListToolsRequest.self),
        "ListToolsResult": of(ListToolsResult.self), "ListToolsResultResponse": response(ListToolsRequest.self),
        "LoggingMessageNotification": notification(LoggingMessageNotification.self),
        "LoggingMessageNotificationParams": of(LoggingMessageNotificationParams.self), "MethodNotFoundError": error,
        "MissingRequiredClientCapabilityError": error, "ModelPreferences": of(ModelPreferences.self),
        "NumberSchema": of(NumberSchema.self),
        "PaginatedRequestParams": of(PaginatedRequestParams.self), "ParseError": error,
        "ProgressNotification": notification(ProgressNotification.self),
        "ProgressNotificationParams": of(ProgressNotificationParams.self),
        "PromptListChangedNotification": notification(PromptListChangedNotification.self),
        "ReadResourceRequest": request(ReadResourceRequest.self), "ReadResourceResult": of(ReadResourceResult.self),
        "ReadResourceResultResponse": response(ReadResourceRequest.self), "Resource": of(Resource.self),
        "ResourceLink": of(ResourceLink.self),
        "ResourceListChangedNotification": notification(ResourceListChangedNotification.self),
        "ResourceUpdatedNotification": notification(ResourceUpdatedNotification.self),
        "ResourceUpdatedNotificationParams": of(ResourceUpdatedNotificationParams.self), "Root": of(Root.self),
        "SamplingMessage": of(SamplingMessage.self), "ServerCapabilities": of(ServerCapabilities.self),
        "StringSchema": of(StringSchema.self),
        "SubscriptionsAcknowledgedNotification": notification(SubscriptionsAcknowledgedNotification.self),
        "SubscriptionsListenRequest": request(SubscriptionsListenRequest.self),
        "SubscriptionsListenResult": of(SubscriptionsListenResult.self),
        "SubscriptionsListenResultResponse": response(SubscriptionsListenRequest.self),
        "TextContent": of(TextContent.self),
        "TextResourceContents": of(TextResourceContents.self),
        "TitledMultiSelectEnumSchema": of(TitledMultiSelectEnumSchema.self),
        "TitledSingleSelectEnumSchema": of(TitledSingleSelectEnumSchema.self), "Tool": of(Tool.self),
        "ToolListChangedNotification": notification(ToolListChangedNotification.self),
        "ToolResultContent": of(ToolResultContent.self),
        "ToolUseContent": of(ToolUseContent.self), "UnsupportedProtocolVersionError": error,
        "UntitledMultiSelectEnumSchema": of(UntitledMultiSelectEnumSchema.self),
        "UntitledSingleSelectEnumSchema": of(UntitledSingleSelectEnumSchema.self),
    ]

    @Test(
        "all 129 examples decode and encode back to equal JSON",
        .enabled(if: SharedData.isPresent, "\(SharedData.absence)")
    )
    func roundTrips() throws {
        let root = try #require(SharedData.file("spec/examples/2026-07-28"))
        var count = 0
        for folder in try FileManager.default.contentsOfDirectory(atPath: root.path) {
            let directory = root.appendingPathComponent(folder)
            for file in try FileManager.default.contentsOfDirectory(atPath: directory.path) {
                count += 1
                let raw = RawJSON(copying: try Data(contentsOf: directory.appendingPathComponent(file)))
                guard let roundTrip = Self.types[folder] else {
                    Issue.record("no type for the examples of \(folder)")
                    continue
                }
                do {
                    let back = try roundTrip(raw)
                    #expect(back == raw, "\(folder)/\(file): \(back)")
                } catch {
                    Issue.record("\(folder)/\(file): \(error)")
                }
            }
        }
        #expect(count == 129)
    }
}
