import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes
import Synchronization

/// What goes along with every request: who we are, what we offer, from which level on the server is to log.
final class RequestMetadata: Sendable {
    private let context: SessionContext
    /// What is the same in every modern request, encoded once.
    private let clientInfo: RawJSON
    private let capabilities: RawJSON
    private let level: Locked<LoggingLevel?>
    /// Whether there is one: nearly always there is none, and then a request does not ask under the lock.
    private let hasLevel: Atomic<Bool>

    init(_ context: SessionContext) {
        self.context = context
        let configuration = context.configuration
        self.clientInfo = RawJSON(encoding: configuration.clientInfo)
        self.capabilities = Self.encoded(configuration.offered(context.runtime.handlers), for: .latest)
        self.level = Locked(configuration.logLevel)
        self.hasLevel = Atomic(configuration.logLevel != nil)
    }

    /// From which level on the server is to log from now on, where a request does not say.
    func setLogLevel(_ level: LoggingLevel) {
        self.level.withLock { $0 = level }
        self.hasLevel.store(true, ordering: .releasing)
    }

    /// The `_meta` of a request.
    /// - Parameter revision: nil before one is negotiated.
    func meta(_ revision: ProtocolRevision?, _ options: RequestOptions) -> MessageWriter.Envelope {
        revision?.isModern == true ? .modern(self.modern(revision, options)) : .legacy(options.context?.meta)
    }

    private func modern(_ revision: ProtocolRevision?, _ options: RequestOptions) -> ModernMeta {
        let standardLevel = self.hasLevel.load(ordering: .acquiring) ? self.level.withLock { $0 } : nil
        var meta = ModernMeta(
            protocolVersion: (revision ?? .latest).rawValue,
            clientInfo: self.clientInfo,
            clientCapabilities: self.capabilities,
            logLevel: options.logLevel ?? standardLevel,
            trace: TraceContext.current
        )
        guard let context = options.context else { return meta }
        meta.others = context.meta
        if let info = context.clientInfo { meta.clientInfo = RawJSON(encoding: info) }
        if let offered = context.offered(self.context.configuration) {
            meta.clientCapabilities = Self.encoded(offered, for: revision ?? .latest)
        }
        return meta
    }

    private static func encoded(_ capabilities: ClientCapabilities, for revision: ProtocolRevision) -> RawJSON {
        var writer = JSONWriter()
        capabilities.encode(to: &writer, for: revision)
        return writer.finish()
    }
}
