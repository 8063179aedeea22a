public import MCPClient
import MCPHost
public import MCPJSON
import MCPSession
public import MCPTransport
public import MCPTypes
public import Testing

/// A server in this process, of any revision, that does message by message what a test says.
///
/// One script serves both eras: ``Call/input(_:)`` asks as the revision does, and ``tell(_:_:)`` tells only who has subscribed.
public final class ProtocolServer: Sendable {
    /// What a method does. Throw ``Failure`` to refuse.
    public typealias Handler = @Sendable (Call) async throws -> JSONValue

    /// A JSON-RPC error.
    public struct Failure: Error {
        var code: Int64
        var message: String
        var data: JSONValue?
        /// An error with this code.
        public init(_ code: Int64, _ message: String, data: JSONValue? = nil) {
            (self.code, self.message, self.data) = (code, message, data)
        }
    }

    private struct InputNeeded: Error {
        var requests: JSONObject
        var state: JSONValue?
    }

    private struct State {
        var end: InMemoryTransport?
        var received: [JSONValue] = []
        var asked: [String: OneShot<JSONValue>] = [:]
        var nextAsk = 0
        /// Filters by subscription id.
        var listening: [(id: JSONValue, filter: JSONValue)] = []
        var connections = 0
        /// Requests of this connection.
        var inbound = InboundRequests(limit: .max)
    }

    /// What it speaks.
    public let revision: ProtocolRevision
    private let capabilities: JSONValue
    private let handlers: [String: Handler]
    private let state = Watched(State())
    /// How many requests it has answered, or found cancelled when it had the answer.
    public let answers = Watched(0)

    /// A server with these methods; handshake, ping and subscriptions it knows by itself.
    public init(
        _ revision: ProtocolRevision,
        capabilities: JSONValue = ["tools": [:]],
        _ handlers: [String: Handler] = [:]
    ) {
        self.revision = revision
        self.capabilities = capabilities
        self.handlers = handlers
    }

    /// Everything that came, in order.
    public var received: [JSONValue] { self.state.value.received }
    /// The requests and notifications with this method.
    public func received(_ method: String) -> [JSONValue] { self.received.filter { $0["method"]?.string == method } }
    /// Waits until something holds of this server; see ``Watched``.
    public func wait(
        for what: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        until holds: @escaping @Sendable (ProtocolServer) -> Bool
    ) async {
        await self.state.wait(for: what, sourceLocation: sourceLocation) { _ in holds(self) }
    }

    /// Waits until it has got so many requests or notifications of a method.
    public func wait(
        forReceived method: String,
        times: Int = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        await self.wait(for: "\(times) \(method)", sourceLocation: sourceLocation) {
            $0.received(method).count >= times
        }
    }

    /// How often somebody connected.
    public var connections: Int { self.state.value.connections }

    /// An entry for a host; each start of it connects anew.
    public func configuration(_ name: String) -> ServerSetup {
        ServerSetup(name, Endpoint("in memory") { _ in self.transport() })
    }

    /// A client's end, with this server at the other.
    public func transport() -> any Transport { Joined(self) }

    /// Breaks the connection, as a crash would.
    public func crash() { self.state.value.end?.close(.immediate) }

    /// Sends any message.
    public func send(_ message: JSONValue) {
        guard let end = self.state.value.end else { return }
        try? end.send(RawJSON(encoding: message))
    }

    private func send(_ message: OutgoingMessage) { try? self.state.value.end?.send(message) }

    private static func json(_ id: JSONRPCRequestID) -> JSONValue {
        switch id {
        case .integer(let number): .number(JSONNumber(number))
        case .string(let text): .string(text)
        }
    }

    /// Sends a notification to a legacy client, and to a modern one on each subscription that wants it.
    public func tell(_ method: String, _ params: JSONObject = JSONObject()) {
        guard self.revision.isModern else {
            return self.send(["jsonrpc": "2.0", "method": .string(method), "params": .object(params)])
        }
        for (id, filter) in self.state.value.listening where Self.wants(filter, method, params) {
            var params = params
            params["_meta"] = ["io.modelcontextprotocol/subscriptionId": id]
            self.send(["jsonrpc": "2.0", "method": .string(method), "params": .object(params)])
        }
    }

    private static func wants(_ filter: JSONValue, _ method: String, _ params: JSONObject) -> Bool {
        switch method {
        case "notifications/tools/list_changed": filter["toolsListChanged"]?.bool == true
        case "notifications/prompts/list_changed": filter["promptsListChanged"]?.bool == true
        case "notifications/resources/list_changed": filter["resourcesListChanged"]?.bool == true
        case "notifications/resources/updated":
            filter["resourceSubscriptions"]?.array?.contains(params["uri"] ?? .null) == true
        default: true
        }
    }

    /// Filters of the subscriptions that are open now.
    public var listening: [JSONValue] { self.state.value.listening.map(\.filter) }

    /// Ends all subscriptions as a modern server does that has had enough (`SUB-06`).
    public func endSubscriptions() {
        let ended = self.state.withLock { state in
            defer { state.listening = [] }
            return state.listening
        }
        for (id, _) in ended {
            let meta: JSONValue = ["io.modelcontextprotocol/subscriptionId": id]
            self.send(["jsonrpc": "2.0", "id": id, "result": ["resultType": "complete", "_meta": meta]])
        }
    }

    /// One request.
    public struct Call: Sendable {
        let server: ProtocolServer
        let wireID: JSONRPCRequestID
        let inbound: InboundRequests
        let cancelled: OneShot<Void>
        /// Its id.
        public var id: JSONValue { ProtocolServer.json(self.wireID) }
        /// Its method.
        public let method: String
        /// Its parameters.
        public let params: JSONValue

        /// What the request brings along for a tool.
        public var arguments: JSONValue { self.params["arguments"] ?? .null }

        /// Gets input from the client: by requests of its own in a legacy era, by an `input_required` result in the modern one, where
        /// the handler is left and entered again with the answers.
        public func input(_ requests: JSONObject, state: JSONValue? = nil) async throws -> JSONObject {
            if self.server.revision.isModern {
                if let responses = self.params["inputResponses"]?.object { return responses }
                throw InputNeeded(requests: requests, state: state)
            }
            var answers = JSONObject()
            for (key, request) in requests {
                let answer = await self.ask(request["method"]?.string ?? "", request["params"] ?? [:])
                guard let result = answer["result"] else {
                    throw Failure(answer["error"]?["code"]?.int64 ?? 0, answer["error"]?["message"]?.string ?? "")
                }
                answers[key] = result
            }
            return answers
        }

        /// Sends a request to the client, whatever the era, and waits for the whole answer.
        public func ask(_ method: String, _ params: JSONValue) async -> JSONValue {
            await self.server.ask(method, params)
        }

        /// Needs more rounds, in the modern era.
        public func again(state: JSONValue?, requests: JSONObject = JSONObject()) throws -> Never {
            throw InputNeeded(requests: requests, state: state)
        }

        /// Reports progress.
        public func progress(_ value: Double, message: String? = nil) {
            var params: JSONObject = ["progressToken": self.params["_meta"]?["progressToken"] ?? .null]
            params["progress"] = JSONNumber(value).map(JSONValue.number)
            params["message"] = message.map(JSONValue.string)
            self.server.send(["jsonrpc": "2.0", "method": "notifications/progress", "params": .object(params)])
        }

        /// Sends a notification.
        public func notify(_ method: String, _ params: JSONValue) {
            self.server.send(["jsonrpc": "2.0", "method": .string(method), "params": params])
        }

        /// Logs.
        public func log(_ level: String, _ data: JSONValue) {
            self.server.send([
                "jsonrpc": "2.0", "method": "notifications/message", "params": ["level": .string(level), "data": data],
            ])
        }

        /// Whether the client has said that it no longer wants the answer.
        public var isCancelled: Bool { self.cancelled.value != nil }
    }

    /// Sends a request to the client and waits for the whole answer.
    public func ask(_ method: String, _ params: JSONValue) async -> JSONValue {
        let id = self.state.withLock { state in
            state.nextAsk += 1
            return "ask-\(state.nextAsk)"
        }
        let answer = OneShot<JSONValue>()
        self.state.withLock { $0.asked[id] = answer }
        self.send(["jsonrpc": "2.0", "id": .string(id), "method": .string(method), "params": params])
        return await answer.wait()
    }

    /// The id of the newest question to the client.
    public var lastAsked: JSONValue { .string("ask-\(self.state.value.nextAsk)") }

    // MARK: -

    private func answer(_ call: Call) async {
        let reply: OutgoingMessage
        do {
            guard let result = try await self.result(of: call) else { return }
            reply = MessageWriter.result(call.wireID) { self.dressed(result).encode(to: &$0) }
        } catch let needed as InputNeeded {
            var result: JSONObject = ["resultType": "input_required"]
            if !needed.requests.isEmpty { result["inputRequests"] = .object(needed.requests) }
            result["requestState"] = needed.state
            reply = MessageWriter.result(call.wireID) { JSONValue.object(result).encode(to: &$0) }
        } catch let failure as Failure {
            let code = ErrorCode(rawValue: Int(failure.code))
            reply = MessageWriter.error(call.wireID, code, failure.message, data: failure.data)
        } catch {
            reply = MessageWriter.error(call.wireID, .internalError, "\(error)")
        }
        call.inbound.left(call.wireID)
        if !call.isCancelled { self.send(reply) }
        self.answers.withLock { $0 += 1 }
    }

    /// What a modern result says of itself (`RPC-21`).
    private func dressed(_ result: JSONValue) -> JSONValue {
        guard self.revision.isModern, var object = result.object, object["resultType"] == nil else { return result }
        object["resultType"] = "complete"
        return .object(object)
    }

    private func result(of call: Call) async throws -> JSONValue? {
        if let handler = self.handlers[call.method] { return try await handler(call) }
        switch call.method {
        case "server/discover" where self.revision.isModern:
            return [
                "supportedVersions": [.string(self.revision.rawValue)], "capabilities": self.capabilities, "ttlMs": 0,
                "cacheScope": "private",
                "_meta": ["io.modelcontextprotocol/serverInfo": ["name": "memory", "version": "1"]],
            ]
        case "initialize" where !self.revision.isModern:
            return [
                "protocolVersion": .string(self.revision.rawValue), "capabilities": self.capabilities,
                "serverInfo": ["name": "memory", "version": "1"],
            ]
        case "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
            if self.revision.isModern { throw Failure(-32601, "Method not found: \(call.method)") }
            return [:]
        case "subscriptions/listen" where self.revision.isModern:
            let filter = call.params["notifications"] ?? [:]
            self.state.withLock { $0.listening.append((call.id, filter)) }
            let meta: JSONValue = ["io.modelcontextprotocol/subscriptionId": call.id]
            self.send([
                "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": ["notifications": filter, "_meta": meta],
            ])
            return nil
        default: throw Failure(-32601, "Method not found: \(call.method)")
        }
    }

    /// - Returns: work that takes its time.
    private func receive(_ message: RawJSON) -> (@Sendable () async -> Void)? {
        guard let value = try? message.decode(JSONValue.self) else { return nil }
        self.state.withLock { $0.received.append(value) }
        guard let method = value["method"]?.string else {
            if let id = value["id"]?.string, let waiter = self.state.withLock({ $0.asked.removeValue(forKey: id) }) {
                waiter.complete(value)
            }
            return nil
        }
        if method == "notifications/cancelled", let id = value["params"]?["requestId"] {
            if let wireID = try? RawJSON(encoding: id).decode(JSONRPCRequestID.self) {
                self.state.value.inbound.cancel(wireID)
            }
            self.state.withLock { $0.listening.removeAll { $0.id == id } }
        }
        guard case .request(let id, _)? = (try? Envelope(scanning: message))?.kind else { return nil }
        let inbound = self.state.value.inbound
        guard case .begin(let cancelled) = inbound.admit(id) else { return nil }
        let call = Call(
            server: self,
            wireID: id,
            inbound: inbound,
            cancelled: cancelled,
            method: method,
            params: value["params"] ?? [:]
        )
        return { await self.answer(call) }
    }

    fileprivate func connected(_ end: InMemoryTransport) {
        let before = self.state.withLock { state in
            defer { state.inbound = InboundRequests(limit: .max) }
            state.end = end
            state.connections += 1
            state.listening = []
            return state.inbound
        }
        before.end()
    }

    /// Whoever asked gets no answer any more.
    fileprivate func disconnected() {
        let waiters = self.state.withLock { state in
            defer { state.asked = [:] }
            return Array(state.asked.values)
        }
        for waiter in waiters { waiter.complete(["error": ["code": 0, "message": "disconnected"]]) }
    }

    /// A client's end that runs the server's end beside itself.
    private final class Joined: Transport, TransportReceiver {
        private let pair = InMemoryTransport.pair()
        private let server: ProtocolServer
        private let jobs: AsyncStream<@Sendable () async -> Void>
        private let job: AsyncStream<@Sendable () async -> Void>.Continuation

        init(_ server: ProtocolServer) {
            self.server = server
            (self.jobs, self.job) = AsyncStream.makeStream()
        }

        func run(_ receiver: any TransportReceiver) async -> TransportEnd {
            self.server.connected(self.pair.server)
            return await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = await self.pair.server.run(self)
                    self.server.disconnected()
                    self.job.finish()
                }
                group.addTask {
                    await withTaskGroup(of: Void.self) { calls in
                        for await job in self.jobs { calls.addTask { await job() } }
                        calls.cancelAll()
                    }
                }
                let end = await self.pair.client.run(receiver)
                await group.waitForAll()
                return end
            }
        }

        func send(_ message: OutgoingMessage) throws(MCPError) { try self.pair.client.send(message) }
        func setReceiving(_ enabled: Bool) { self.pair.client.setReceiving(enabled) }
        func close(_ mode: TeardownMode) { self.pair.client.close(mode) }

        func transportDidOpen() {}
        func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
            if let work = self.server.receive(message) { self.job.yield(work) }
        }
        func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {}
        func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {}
        func transportDidDrain() {}
        func transportDidBreak(_ error: MCPError) {}
    }
}

extension ProtocolServer {
    /// A host's entry for a server in memory with two tools, one that echoes and one that never answers; each start of it is a new one.
    public static func echo(_ name: String, isModern: Bool) -> ServerSetup {
        // A busy machine is no legacy server: with the regular five seconds a modern server whose answer was late had failed to open, and
        // whoever waited for a call to it waited for ever.
        ServerSetup(
            name,
            Endpoint("in memory") { _ in
                let server = ProtocolServer(
                    isModern ? .v2026_07_28 : .v2025_11_25,
                    [
                        "tools/list": { _ in ["tools": [["name": "echo", "inputSchema": ["type": "object"]]]] },
                        "tools/call": { call in
                            if call.params["name"] == "hang" { await untilCancelled() }
                            return ["content": [["type": "text", "text": call.arguments["text"] ?? ""]]]
                        },
                    ]
                )
                return server.transport()
            }
        )
    }
}

/// Waits for the calling task's cancellation.
public func untilCancelled() async { _ = await OneShot<Void>().waitUnlessCancelled() }

/// Runs a conversation with a server in memory, and closes it.
public func withSession<R: Sendable>(
    _ server: ProtocolServer,
    clock: any MonotonicClock = SystemMonotonicClock(),
    _ change: (inout SessionSetup) -> Void = { _ in },
    _ body: @Sendable (ClientSession) async throws -> R
) async throws -> R {
    var setup = SessionSetup()
    if !server.revision.isModern { setup.era = .legacyOnly }
    // A busy machine is no legacy server.
    setup.probeTimeout = setup.connectTimeout
    change(&setup)
    let accounts = ResourceAccounts()
    let session = ClientSession(
        transport: server.transport(),
        configuration: setup.configuration,
        runtime: setup.runtime,
        accounts: accounts,
        clock: clock
    )
    let result = try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { _ = await session.run() }
        let result: Result<R, any Error>
        do { result = .success(try await body(session)) } catch { result = .failure(error) }
        session.close()
        try await group.waitForAll()
        return try result.get()
    }
    return result
}
