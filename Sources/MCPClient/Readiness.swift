import MCPTransport
import MCPTypes

/// What came of the handshake, for everybody who needs to know.
final class Readiness: Sendable {
    /// What every message has to know, without copying all that the server said.
    struct Negotiated: Sendable {
        var revision: ProtocolRevision
        /// `tools/call` may be a task of the core protocol (`TASKL-02` to `TASKL-04`).
        var takesTasks: Bool

        init(_ server: ServerDescription) {
            self.revision = server.revision
            self.takesTasks = server.takesTasks
        }
    }

    /// The server, or why there is none.
    let outcome = OneShot<Result<ServerDescription, MCPError>>()
    private let known = Published<Negotiated>()

    /// The handshake is over; to be called once.
    func complete(_ result: Result<ServerDescription, MCPError>) {
        if case .success(let server) = result { self.known.set(Negotiated(server)) }
        self.outcome.complete(result)
    }

    /// What the server said about itself; nil until the conversation is ready.
    var server: ServerDescription? {
        if case .success(let server) = self.outcome.value { server } else { nil }
    }

    /// The revision that is spoken; nil before it is known.
    var revision: ProtocolRevision? { self.known.value?.revision }

    /// Whether the modern era is spoken; not before it is known.
    var isModern: Bool { self.revision?.isModern == true }

    /// Waits until the conversation is ready.
    /// - Throws: why it cannot be, or `cancelled` if the calling task is; the conversation goes on then.
    func wait() async throws(MCPError) -> ServerDescription {
        if let result = self.outcome.value { return try result.get() }
        guard let result = await self.outcome.waitUnlessCancelled() else {
            throw MCPError(.cancelled, "waiting for the server was cancelled")
        }
        return try result.get()
    }

    /// The same, for those who need no more than this.
    func negotiated() async throws(MCPError) -> Negotiated {
        if let known = self.known.value { return known }
        return Negotiated(try await self.wait())
    }
}

extension ServerDescription {
    /// Tasks of the core protocol: for `tools/call` only where the server says so (`TASKL-02` to `TASKL-05`).
    var takesTasks: Bool {
        self.revision == .v2025_11_25 && self.capabilities.tasks?.requests?["tools"]?["call"] != nil
    }
}
