import CMCPProcess
import Foundation
import MCPControl
import MCPHost
import MCPJSON
import MCPJSONSchema
import MCPTransport
import TestSupport
import Testing

/// A client of the control channel in this process: writes lines, reads lines, and holds both to docs/control.schema.json.
final class ControlClient: Sendable {
    private static let schemas: JSONValue = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/control.schema.json")
        return (try? JSONValue(parsing: Array(Data(contentsOf: file)))) ?? .null
    }()

    /// Each method that is documented.
    static var methods: [String] {
        (self.schemas["$defs"]?.object.map { Array($0.keys) } ?? []).filter { $0.hasSuffix(".params") }
            .map { String($0.dropLast(".params".count)) }
    }

    let connection: ControlConnection
    private let input: Int32
    private let output: Int32
    private let state = Watched<[JSONValue]>([])
    private let isDeaf: Bool
    private let last = Locked<Int64>(0)
    /// What the connection came to.
    let ended = OneShot<[TeardownReport]>()

    private init(isDeaf: Bool, shared: [String: MCPHost], maximumHosts: Int) throws {
        var (toHost, fromHost): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        precondition(mcp_pipe(&toHost, -1) == 0 && mcp_pipe(&fromHost, -1) == 0)
        self.connection = try ControlConnection(
            input: toHost[0],
            output: fromHost[1],
            shared: shared,
            maximumHosts: maximumHosts
        )
        (self.input, self.output) = (toHost[1], fromHost[0])
        self.isDeaf = isDeaf
        self.ends = (toHost[0], fromHost[1])
        if !isDeaf { Thread.detachNewThread { self.read() } }
    }

    private let ends: (Int32, Int32)

    /// Gives `body` a client, and checks at the end that the connection ends with its input.
    /// - Parameters:
    ///   - isDeaf: it never reads.
    ///   - shared: hosts that it may use, and not close.
    ///   - maximumHosts: how many it may start.
    static func with(
        isDeaf: Bool = false,
        shared: [String: MCPHost] = [:],
        maximumHosts: Int = 256,
        _ body: @escaping @Sendable (ControlClient) async throws -> Void
    ) async throws -> [TeardownReport] {
        let client = try ControlClient(isDeaf: isDeaf, shared: shared, maximumHosts: maximumHosts)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { client.ended.complete(try await client.connection.run()) }
            do {
                try await body(client)
            } catch {
                client.hangUp()
                throw error
            }
            client.hangUp()
            let reports = await client.end()
            close(client.ends.0)
            close(client.ends.1)
            if isDeaf { close(client.output) }
            return reports ?? []
        }
    }

    /// Waits for the end of the connection.
    func end() async -> [TeardownReport]? {
        await wait(for: "the end of the connection") { await self.ended.waitUnlessCancelled() }
    }

    /// The end of what it says.
    func hangUp() {
        let isOpen = self.last.withLock { last in
            defer { last = -1 }
            return last >= 0
        }
        if isOpen { close(self.input) }
    }

    /// Everything that has come.
    var received: [JSONValue] { self.state.value }

    private func read() {
        var bytes = Data()
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Foundation.read(self.output, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk[..<count]
            while let end = bytes.firstIndex(of: 0x0A) {
                if let message = try? JSONValue(parsing: Array(bytes[..<end])) {
                    self.state.withLock { $0.append(message) }
                }
                bytes = Data(bytes[(end + 1)...])
            }
        }
        close(self.output)
    }

    /// Writes bytes as they are.
    func send(_ text: String) { self.send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(self.input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// What is sent from now on is sent only if there is room for it.
    func setNonblocking() { _ = mcp_set_nonblocking(self.input) }

    /// Sends a line if the other side takes it within a second.
    /// - Returns: whether it did.
    func offer(_ text: String) async -> Bool {
        var entry = pollfd(fd: self.input, events: Int16(POLLOUT), revents: 0)
        guard poll(&entry, 1, 1000) == 1 else { return false }
        return text.utf8.withContiguousStorageIfAvailable { write(self.input, $0.baseAddress, $0.count) }
            == text.utf8.count
    }

    /// Begins a request.
    /// - Parameter isValid: its parameters are as they are documented.
    /// - Returns: its id.
    @discardableResult
    func begin(_ method: String, _ params: JSONObject = [:], isValid: Bool = true) -> Int64 {
        let id = self.last.withLock { last in
            last += 1
            return last
        }
        if isValid { Self.check(.object(params), "\(method).params") }
        self.send(
            "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(RawJSON(encoding: params))}\n"
        )
        return id
    }

    /// Waits for the answer to a request.
    func answer(_ id: Int64, _ method: String, sourceLocation: SourceLocation = #_sourceLocation) async -> JSONValue {
        let message = await self.message("the answer to \(method)", sourceLocation: sourceLocation) {
            $0["id"]?.int64 == id && $0["method"] == nil
        }
        if let error = message["error"] { Self.check(error, "error") }
        if let result = message["result"] { Self.check(result, "\(method).result") }
        return message
    }

    /// Asks, and gives the result.
    /// - Throws: the error, as it came.
    @discardableResult
    func call(_ method: String, _ params: JSONObject = [:], sourceLocation: SourceLocation = #_sourceLocation)
        async throws -> JSONValue
    {
        let message = await self.answer(self.begin(method, params), method, sourceLocation: sourceLocation)
        if let result = message["result"] { return result }
        throw Refusal(error: message["error"] ?? .null)
    }

    /// The kind of the error that a request comes to.
    func kind(
        _ method: String,
        _ params: JSONObject = [:],
        isValid: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async -> String? {
        let id = self.begin(method, params, isValid: isValid)
        let message = await self.answer(id, method, sourceLocation: sourceLocation)
        return message["error"]?["data"]?["kind"]?.string
    }

    /// Waits for a message.
    func message(
        _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ isIt: @escaping @Sendable (JSONValue) -> Bool
    ) async -> JSONValue {
        await self.state.wait(for: what, sourceLocation: sourceLocation) { $0.contains(where: isIt) }
        return self.state.value.first(where: isIt) ?? .null
    }

    /// Waits until what has come is as it should be.
    func messages(
        _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ areThey: @escaping @Sendable ([JSONValue]) -> Bool
    ) async -> [JSONValue] {
        await self.state.wait(for: what, sourceLocation: sourceLocation, until: areThey)
        return self.state.value
    }

    struct Refusal: Error {
        var error: JSONValue
        var kind: String? { self.error["data"]?["kind"]?.string }
    }

    /// Whether something is as it is documented.
    static func check(_ value: JSONValue, _ name: String) {
        guard var root = self.schemas.object else {
            Issue.record("docs/control.schema.json cannot be read")
            return
        }
        guard root["$defs"]?[name] != nil else { return }
        root["$ref"] = .string("#/$defs/" + name.replacingOccurrences(of: "/", with: "~1"))
        let violations = (try? JSONSchema(.object(root)))?.violations(in: value).map(\.description)
        #expect(violations == [], "\(name): \(value)")
    }
}
