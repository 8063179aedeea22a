import MCPClient
import MCPJSON
import MCPTransport
import MCPTypes

/// What a server may send, line by line, into a session's inbound path and the types that callers decode.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSession(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let receiver = ClientSession(transport: Nowhere()).receiver
    var framer = LineFramer(limit: 1 << 16)
    framer.append(UnsafeRawBufferPointer(start: start, count: count)) { take($0, receiver) }
    framer.end { take($0, receiver) }
    receiver.transportDidDrain()
    receiver.transportDidBreak(MCPError(.connectionLost, "over"))
    return 0
}

private func take(_ frame: LineFramer.Frame, _ receiver: SessionReceiver) {
    switch frame {
    case .message(let message):
        receiver.transportDidReceive(message, from: .main)
        guard let payload = try? Envelope(scanning: message).payload else { return }
        _ = try? payload.decode(CallToolResult.self)
        _ = try? payload.decode(ListToolsResult.self)
        _ = try? payload.decode(InitializeResult.self)
        _ = try? payload.decode(DiscoverResult.self)
        _ = try? payload.decode(JSONRPCErrorObject.self)
        _ = try? payload.decode(ProgressNotificationParams.self)
    case .oversized(let start, let size):
        receiver.transportDidDropOversized(start: start, size: size, limit: 1 << 16, from: .main)
    case .stray: break
    }
}

/// Sends to nobody.
private struct Nowhere: Transport {
    func run(_ receiver: any TransportReceiver) async -> TransportEnd { TransportEnd() }
    func send(_ message: OutgoingMessage) throws(MCPError) {}
    func setReceiving(_ enabled: Bool) {}
    func close(_ mode: TeardownMode) {}
}
