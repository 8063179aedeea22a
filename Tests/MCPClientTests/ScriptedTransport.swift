import MCPJSON
import MCPTransport
import MCPTypes
import TestSupport
import Testing

@testable import MCPClient

/// A transport whose other end is the test: it sees every message, and says what comes back.
final class ScriptedTransport: Transport {
    typealias Answer = @Sendable (ScriptedTransport, JSONRPCRequestID?, String, JSONValue) -> Void

    private struct State {
        var receiver: (any TransportReceiver)?
        var sent: [JSONValue] = []
        var texts: [String] = []
        var messages: [OutgoingMessage] = []
        var cancelled: [JSONRPCRequestID] = []
        /// The methods of those messages that the script has seen to their end.
        var played: [String] = []
        var finish: CheckedContinuation<TransportEnd, Never>?
        var isClosed = false
    }

    private let state = Watched(State())
    private let answer: Answer

    init(_ answer: @escaping Answer) { self.answer = answer }

    /// Everything that the session has sent.
    var sent: [JSONValue] { self.state.value.sent }

    /// The same, byte for byte.
    var texts: [String] { self.state.value.texts }

    /// The same, as the transport was told of them.
    var messages: [OutgoingMessage] { self.state.value.messages }

    /// The requests that the session has given up.
    var cancelled: [JSONRPCRequestID] { self.state.value.cancelled }

    /// Waits until so many messages of a method have been sent, and the script has done with them: what it notes may be read then.
    func wait(forSent method: String, times: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async {
        await self.state.wait(for: "\(times) \(method) from the session", sourceLocation: sourceLocation) { state in
            state.played.count { $0 == method } >= times
        }
    }

    func methods() -> [String] { self.sent.compactMap { $0["method"]?.string } }

    /// Lets a message arrive.
    func deliver(_ text: String, from stream: MessageStream = .main) {
        self.state.value.receiver?.transportDidReceive(RawJSON(copying: text), from: stream)
    }

    /// Lets one request fail.
    func fail(_ id: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
        self.state.value.receiver?.transportDidFail(id, error, wasSent: wasSent)
    }

    func reply(_ id: JSONRPCRequestID?, result: String) {
        self.deliver(#"{"jsonrpc":"2.0","id":\#(id.map { "\($0)" } ?? "null"),"result":\#(result)}"#)
    }

    func refuse(_ id: JSONRPCRequestID?, code: Int, data: String = "null") {
        self.deliver(
            #"{"jsonrpc":"2.0","id":\#(id.map { "\($0)" } ?? "null"),"error":{"code":\#(code),"message":"no","data":\#(data)}}"#
        )
    }

    func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        self.state.withLock { $0.receiver = receiver }
        receiver.transportDidOpen()
        let end = await withCheckedContinuation { (continuation: CheckedContinuation<TransportEnd, Never>) in
            let isClosed = self.state.withLock { state in
                if !state.isClosed { state.finish = continuation }
                return state.isClosed
            }
            if isClosed { continuation.resume(returning: TransportEnd()) }
        }
        self.state.withLock { $0.receiver = nil }
        receiver.transportDidBreak(MCPError(.connectionLost, "the scripted server went away"))
        return end
    }

    func send(_ message: OutgoingMessage) throws(MCPError) {
        let value = (try? message.payload.decode(JSONValue.self)) ?? .null
        self.state.withLock { state in
            state.sent.append(value)
            state.texts.append(message.payload.description)
            state.messages.append(message)
        }
        guard let method = value["method"]?.string else { return }  // an answer of ours is not answered
        let id = value["id"].flatMap { try? RawJSON(encoding: $0).decode(JSONRPCRequestID.self) }
        self.answer(self, id, method, value["params"] ?? .null)
        self.state.withLock { $0.played.append(method) }
    }

    func cancel(_ request: JSONRPCRequestID, _ notification: OutgoingMessage) throws(MCPError) {
        self.state.withLock { $0.cancelled.append(request) }
        try self.send(notification)
    }

    func setReceiving(_ enabled: Bool) {}

    func close(_ mode: TeardownMode) {
        let finish = self.state.withLock { state in
            state.isClosed = true
            defer { state.finish = nil }
            return state.finish
        }
        finish?.resume(returning: TransportEnd())
    }

    /// A polite answer to the handshake of either era, for tests that are about what comes after.
    static func shakeHands(_ transport: ScriptedTransport, _ id: JSONRPCRequestID?, _ method: String, isModern: Bool)
        -> Bool
    {
        switch method {
        case "server/discover" where isModern:
            transport.reply(id, result: #"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#)
        case "server/discover": transport.refuse(id, code: -32601)
        case "initialize" where !isModern:
            transport.reply(
                id,
                result: #"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}"#
            )
        case "notifications/initialized", "notifications/cancelled": break
        default: return false
        }
        return true
    }
}

/// Runs a session beside `body`, closes it, and gives its end.
@discardableResult
func withSession(
    _ transport: ScriptedTransport,
    _ configuration: ClientConfiguration = ClientConfiguration(),
    clock: any MonotonicClock = SystemMonotonicClock(),
    _ body: @escaping @Sendable (ClientSession) async throws -> Void
) async throws -> ClientSession.End {
    let accounts = ResourceAccounts()
    let session = ClientSession(
        transport: transport,
        configuration: configuration,
        accounts: accounts,
        clock: clock
    )
    async let end = session.run()
    let result: Result<Void, any Error>
    do { result = .success(try await body(session)) } catch { result = .failure(error) }
    session.close()
    let ended = await end
    precondition(accounts.snapshot.isEmpty, "still open: \(accounts.snapshot)")
    try result.get()
    return ended
}
