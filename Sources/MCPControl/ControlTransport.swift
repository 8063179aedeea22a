import CMCPProcess
import MCPHost
import MCPJSON
import MCPSession
public import MCPTransport
import MCPTypes

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A server that another mcp-host holds, by the socket of its control channel.
///
/// What a handshake would bring is known from the other host; everything else is passed on as it is (`forward`).
public final class ControlTransport: Transport {
    private struct State {
        var descriptor: Int32 = -1
        var writer: LineWriter?
        var receiver: (any TransportReceiver)?
        var last: Int64 = 0
        /// Requests that are with the other host, by the numbers that they have there.
        var open: [Int64: JSONRPCRequestID] = [:]
        var isClosed = false
    }

    private let socket: String
    private let server: JSONObject
    private let state = Locked(State())
    private let end = OneShot<MCPError>()

    /// - Parameters:
    ///   - socket: its path.
    ///   - server: as the other host tells of it (`servers/list`).
    init(socket: String, server: JSONObject) { (self.socket, self.server) = (socket, server) }

    /// The servers that a host holds which listens at a socket, and how to reach them.
    /// - Parameter socket: its path.
    /// - Throws: `notFound` where nobody listens, and what the other host says.
    public static func servers(at socket: String) throws(MCPError) -> [(name: String, endpoint: Endpoint)] {
        let list = try ControlClient(socket: socket).call("servers/list")
        return (list["servers"]?.array ?? []).compactMap { server in
            guard let object = server.object, let name = object["name"]?.string else { return nil }
            let endpoint = Endpoint("the host at \(socket)") { _ in ControlTransport(socket: socket, server: object) }
            return (name, endpoint)
        }
    }

    /// Connects, and stays until it is closed, or the other host is gone.
    public func run(_ receiver: any TransportReceiver) async -> TransportEnd {
        let descriptor: Int32
        // One that the other host cannot use cannot be used here, for the same reason.
        if self.server["status"] != "ready", let failure = self.server["failure"], failure != .null {
            let error = ControlClient.error([
                "message": failure["message"] ?? .null, "data": failure,
            ])
            receiver.transportDidBreak(error)
            return TransportEnd(launchError: error)
        }
        do throws(MCPError) { descriptor = try ControlClient.connect(self.socket) } catch {
            receiver.transportDidBreak(error)
            return TransportEnd(launchError: error)
        }
        let ending: Ending, writer: LineWriter
        do throws(MCPError) {
            ending = try Ending()
            writer = try LineWriter(output: descriptor, ending: ending)
        } catch {
            _ = systemClose(descriptor)
            receiver.transportDidBreak(error)
            return TransportEnd(launchError: error)
        }
        let isClosed = self.state.withLock { state in
            (state.descriptor, state.writer, state.receiver) = (descriptor, writer, receiver)
            return state.isClosed
        }
        let hasThreads = writer.start() && SmallThread.start { self.read(descriptor) } == 0
        if !hasThreads {
            self.end.complete(MCPError(.launchFailed, "there is no thread for talking to the other host"))
        }
        if !isClosed, hasThreads { receiver.transportDidOpen() }
        if isClosed { self.close(.graceful) }
        let error = await self.end.wait()
        ending.begin()
        writer.finish()
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
        await writer.over.wait()
        if hasThreads { await self.hasRead.wait() }
        self.state.withLock { state in (state.descriptor, state.writer, state.receiver) = (-1, nil, nil) }
        _ = systemClose(descriptor)
        self.telling.withLock { isOver in
            isOver = true
            receiver.transportDidBreak(error)
        }
        return TransportEnd(step: .endOfInput)
    }

    private let hasRead = OneShot<Void>()
    /// A receiver is told one thing at a time.
    /// Whether it has been told of the end; held while it is told anything.
    private let telling = Locked(false)

    /// Answers what it knows, and passes on the rest.
    public func send(_ message: OutgoingMessage) throws(MCPError) {
        switch message.kind {
        case .request(let id): try self.ask(id, message)
        case .notification:
            // The rest of a handshake, or of what the other host tells its servers by itself.
            guard message.method == NotificationMethod.cancelled.rawValue else { return }
            let id = message.payload["params"]?["requestId"]
            let number = self.state.withLock { state in state.open.first { ControlDocument.value($0.value) == id }?.key
            }
            if let number { self.write(ControlMessage.notification("cancel", ["id": .number(JSONNumber(number))])) }
        case .response: break
        }
    }

    private func ask(_ id: JSONRPCRequestID, _ message: OutgoingMessage) throws(MCPError) {
        let revision = self.server["revision"]?.string.flatMap(ProtocolRevision.init) ?? .latestLegacy
        switch message.method {
        case Method.serverDiscover.rawValue where !revision.isModern:
            return self.deliver(MessageWriter.error(id, .methodNotFound, "Method not found").payload)
        case Method.serverDiscover.rawValue, Method.initialize.rawValue:
            return self.deliver(self.greeting(id, revision))
        default: break
        }
        let params = message.payload["params"] ?? .object([:])
        let number: Int64? = self.state.withLock { state in
            guard state.writer != nil, !state.isClosed else { return nil }
            state.last += 1
            state.open[state.last] = id
            return state.last
        }
        guard let number else { throw MCPError(.connectionLost, "the connection to the other host is closed") }
        self.write(
            ControlMessage.request(
                .integer(number),
                "forward",
                [
                    // The limits of this side count, and it takes back what runs into them.
                    "server": self.server["name"] ?? .null, "method": .string(message.method ?? ""), "params": params,
                    "timeout": 31_536_000,
                ]
            )
        )
    }

    /// What the server said when the other host met it.
    private func greeting(_ id: JSONRPCRequestID, _ revision: ProtocolRevision) -> RawJSON {
        var result: JSONObject = ["capabilities": self.server["capabilities"] ?? .object([:])]
        if let instructions = self.server["instructions"], instructions != .null {
            result["instructions"] = instructions
        }
        if revision.isModern {
            result["supportedVersions"] = [.string(revision.rawValue)]
            result["resultType"] = "complete"
            if let info = self.server["serverInfo"], info != .null {
                result["_meta"] = ["io.modelcontextprotocol/serverInfo": info]
            }
        } else {
            result["protocolVersion"] = .string(revision.rawValue)
            result["serverInfo"] = self.server["serverInfo"] ?? .null
        }
        return ControlMessage.result(id, RawJSON(encoding: result))
    }

    private func write(_ line: RawJSON) { self.state.withLock { $0.writer }?.write(line) }

    private func deliver(_ message: RawJSON) {
        // Never from inside `send`: whoever sends may hold what the receiver needs.
        let failure = SmallThread.start {
            let receiver = self.state.withLock { $0.receiver }
            self.telling.withLock { isOver in if !isOver { receiver?.transportDidReceive(message, from: .main) } }
        }
        if failure != 0 {
            self.end.complete(MCPError(.launchFailed, "there is no thread for talking to the other host"))
        }
    }

    private func read(_ descriptor: Int32) {
        var framer = LineFramer(limit: ControlConnection.maximumMessageSize)
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            chunk.withUnsafeBytes { bytes in
                framer.append(UnsafeRawBufferPointer(rebasing: bytes[..<count])) { frame in
                    switch frame {
                    case .message(let message): self.answered(message)
                    case .oversized(let start, let size): self.failed(start, size)
                    case .stray: break
                    }
                }
            }
        }
        self.end.complete(MCPError(.connectionLost, "the host at \(self.socket) has ended, or let go of us"))
        self.hasRead.complete(())
    }

    /// An answer was too large to be taken.
    private func failed(_ start: RawJSON, _ size: Int) {
        guard case .integer(let number)? = Envelope.id(inStart: start) else { return }
        let (receiver, id) = self.state.withLock { ($0.receiver, $0.open.removeValue(forKey: number)) }
        guard let receiver, let id else { return }
        let why = "the answer has \(size) bytes, more than the limit of \(ControlConnection.maximumMessageSize)"
        self.telling.withLock { _ in receiver.transportDidFail(id, MCPError(.messageTooLarge, why), wasSent: true) }
    }

    private func answered(_ message: RawJSON) {
        guard let envelope = try? Envelope(scanning: message) else { return }
        let (receiver, id): ((any TransportReceiver)?, JSONRPCRequestID?) = self.state.withLock { state in
            switch envelope.kind {
            case .result(.integer(let number)), .error(.integer(let number)?):
                (state.receiver, state.open.removeValue(forKey: number))
            default: (nil, nil)
            }
        }
        guard let receiver, let id else { return }
        let payload = envelope.payload ?? [:]
        self.telling.withLock { _ in
            guard case .error = envelope.kind else {
                return receiver.transportDidReceive(ControlMessage.result(id, payload), from: .main)
            }
            let error = ControlClient.error(payload)
            guard let refusal = error.rpcError else { return receiver.transportDidFail(id, error, wasSent: true) }
            let answer = MessageWriter.error(id, refusal.code, refusal.message, data: refusal.data)
            receiver.transportDidReceive(answer.payload, from: .main)
        }
    }

    /// Everything that comes is taken.
    public func setReceiving(_ enabled: Bool) {}

    /// Lets go of the other host, which keeps its server.
    public func close(_ mode: TeardownMode) {
        self.state.withLock { $0.isClosed = true }
        self.end.complete(MCPError(.hostClosed, "the connection to the other host is closed"))
    }
}

/// One request at a time to the control channel at a socket.
struct ControlClient {
    let socket: String

    /// - Throws: `notFound` where nobody listens, and what the other host says.
    func call(_ method: String, _ params: JSONObject = [:]) throws(MCPError) -> JSONValue {
        let descriptor = try Self.connect(self.socket)
        defer { _ = systemClose(descriptor) }
        Self.limit(descriptor, [SO_RCVTIMEO])
        let line = ControlMessage.request(.integer(1), method, params).bytes + [0x0A]
        var rest = line[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw self.gone }
            rest = rest.dropFirst(count)
        }
        var framer = LineFramer(limit: ControlConnection.maximumMessageSize)
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        var answer: RawJSON?
        var isOversized = false
        while answer == nil, !isOversized {
            let count = chunk.withUnsafeMutableBytes { systemRead(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw self.gone }
            chunk.withUnsafeBytes { bytes in
                framer.append(UnsafeRawBufferPointer(rebasing: bytes[..<count])) { frame in
                    if case .message(let message) = frame, answer == nil { answer = message }
                    if case .oversized = frame { isOversized = true }
                }
            }
        }
        guard let answer, let envelope = try? Envelope(scanning: answer) else { throw self.gone }
        if case .error = envelope.kind { throw Self.error(envelope.payload ?? [:]) }
        return (try? envelope.payload?.decode(JSONValue.self)) ?? .null
    }

    private var gone: MCPError { MCPError(.connectionLost, "the host at \(self.socket) did not answer") }

    /// Whoever listens there may be stopped, or be something else.
    private static func limit(_ descriptor: Int32, _ options: [Int32]) {
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        for option in options {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    static func connect(_ path: String) throws(MCPError) -> Int32 {
        guard var address = LocalSocket.address(path), let descriptor = LocalSocket.make() else {
            throw MCPError(.notFound, "\(path) is no name for a socket, or there are no descriptors left")
        }
        mcp_ignore_sigpipe()
        self.limit(descriptor, [SO_SNDTIMEO])
        guard LocalSocket.with(&address, { systemConnect(descriptor, $0, $1) }) == 0 else {
            let why =
                errno == ENOENT || errno == ECONNREFUSED ? "nobody listens there" : String(cString: strerror(errno))
            _ = systemClose(descriptor)
            throw MCPError(.notFound, "\(path): \(why); `mcp-host run --socket \(path)` does")
        }
        guard mcp_peer_is_own(descriptor) == 1 else {
            _ = systemClose(descriptor)
            throw MCPError(.notFound, "\(path): somebody else listens there")
        }
        return descriptor
    }

    /// The error that an answer stands for.
    static func error(_ payload: RawJSON) -> MCPError {
        let value = (try? payload.decode(JSONObject.self)) ?? JSONObject()
        let data = value["data"]
        var refusal: JSONRPCErrorObject?
        let message = value["message"]?.string ?? "an error without words"
        if let code = data?["code"]?.int64 {
            refusal = JSONRPCErrorObject(code: ErrorCode(rawValue: Int(code)), message: message, data: data?["data"])
        }
        var error = MCPError(
            .init(data?["kind"]?.string ?? "failed"),
            message,
            server: data?["server"]?.string,
            rpcError: refusal
        )
        error.lastLine = data?["lastLine"]?.string
        return error
    }
}

// The system's own, where a member of that name is in the way.
private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
private func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ size: socklen_t) -> Int32 {
    connect(descriptor, address, size)
}
