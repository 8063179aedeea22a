import MCPJSON
import MCPSession
import MCPTransport
import MCPTypes

/// Finds out which era a server speaks, and begins the conversation in it (`STDIO-18` to `STDIO-20`, `VER-03`, `LIFE-07`).
///
/// One budget for everything (B9). Nothing is concluded from one error code: whatever is not an answer of a modern server means an
/// older one (B12), silence too where an older one is allowed, and a late answer to the probe finds nobody (B11).
struct Handshake {
    private let channel: RequestChannel
    private let start: Duration
    private var configuration: ClientConfiguration { self.channel.context.configuration }
    private var runtime: SessionRuntime { self.channel.context.runtime }

    /// From now on.
    init(_ channel: RequestChannel) {
        self.channel = channel
        self.start = channel.context.clock.now
    }

    private enum Verdict {
        case modern(ServerDescription)
        case legacy
        /// Nothing came within the probe's time: taken for legacy.
        case silence
        /// A modern server that wants another revision.
        case retry(ProtocolRevision)
    }

    /// Waits until the transport is open, which counts too, and asks. The owner's call, once.
    func negotiate() async throws(MCPError) -> ServerDescription {
        let isOpen = await self.channel.waitForOpening(atMost: self.remaining)
        guard let isOpen else {
            throw MCPError(
                .timeout,
                "not ready within \(self.configuration.connectTimeout) (connect timeout): the server's process has not come up yet"
            )
        }
        guard isOpen else {
            throw self.channel.brokenBy ?? MCPError(.connectionLost, "the connection did not open")
        }
        let (known, era) = (self.runtime.knownServer, self.configuration.era)
        if let believed = self.runtime.believedServer(era) { return believed }
        if let known, !known.revision.isModern, era == .automatic { return try await self.initialize(mayProbe: false) }
        if era == .legacyOnly { return try await self.initialize(mayProbe: false) }
        if let modern = try await self.discover() { return modern }
        guard self.configuration.era.mayFallBack else {
            throw MCPError(
                .unsupportedRevision,
                "the server does not speak \(ProtocolRevision.latest.rawValue), and nothing older is allowed"
            )
        }
        return try await self.initialize(mayProbe: true)
    }

    private var remaining: Duration {
        self.configuration.connectTimeout - self.runtime.connectTimeSpent
            - (self.channel.context.clock.now - self.start)
    }

    // MARK: Modern

    private func discover() async throws(MCPError) -> ServerDescription? {
        self.channel.state.withLock { $0.probes() }
        switch try await self.probe(.latest) {
        case .modern(let description): return description
        // One that has not answered the probe may still end because of it.
        case .silence: return nil
        case .legacy:
            self.channel.state.withLock { $0.probeAnswered() }
            return nil
        case .retry(let revision):
            // Once: a server that refuses what it has just offered would keep us here for ever.
            if case .modern(let description) = try await self.probe(revision) { return description }
            throw MCPError(.handshakeFailed, "the server offers \(revision.rawValue) and then refuses it")
        }
    }

    private func probe(_ revision: ProtocolRevision) async throws(MCPError) -> Verdict {
        // Where nothing older may be tried, silence has nothing to lead to: all of the time is the probe's.
        let mayFallBack = self.configuration.era.mayFallBack
        let limit = max(
            .milliseconds(1),
            mayFallBack ? min(self.configuration.probeTimeout, self.remaining) : self.remaining
        )
        let payload: RawJSON
        do throws(MCPError) {
            payload = try await self.channel.exchange(
                RequestHead(.serverDiscover),
                revision: revision,
                options: RequestOptions(idleTimeout: limit, hardTimeout: limit),
                isProbe: true,
                writeParams: { _ in }
            )
        } catch {
            switch error.code {
            case .serverError: return try self.verdict(on: error)
            case .timeout where mayFallBack && self.remaining > .zero: return .silence
            case .badResponse, .messageTooLarge: return .legacy
            // A server that refuses the very request is no modern one either (B12).
            case _ where error.isOfOneRequest && mayFallBack: return .legacy
            case .timeout:
                throw self.tooLate(
                    "server/discover",
                    mayFallBack ? "" : ", or an older server, none of which is allowed"
                )
            default: throw error  // the connection is gone, or closing
            }
        }
        let read: DiscoverResult? = try? self.channel.context.read(payload, Method.serverDiscover.rawValue)
        guard let result = read else { return .legacy }
        return try self.choose(from: result.supportedVersions) { chosen in
            guard chosen == revision else { return .retry(chosen) }
            return .modern(
                ServerDescription(
                    revision: chosen,
                    serverInfo: result.meta?.serverInfo,
                    capabilities: result.capabilities,
                    instructions: result.instructions
                )
            )
        }
    }

    private func verdict(on error: MCPError) throws(MCPError) -> Verdict {
        guard let refusal = error.rpcError else { return .legacy }
        switch refusal.code {
        case .unsupportedProtocolVersion:
            guard let supported = refusal.supportedVersions, !supported.isEmpty else { return .legacy }
            return try self.choose(from: supported) { .retry($0) }
        case .headerMismatch, .missingRequiredClientCapability:
            throw MCPError(
                .handshakeFailed,
                "the server refuses server/discover: \(refusal.message)",
                rpcError: refusal
            )
        default: return .legacy
        }
    }

    /// The newest modern revision that both know; the older era if the server names only such; else the user has to know.
    private func choose(from versions: [String], _ modern: (ProtocolRevision) -> Verdict) throws(MCPError) -> Verdict {
        let known = versions.compactMap { ProtocolRevision(rawValue: $0) }
        if let best = known.filter(\.isModern).max() { return modern(best) }
        if !known.isEmpty { return .legacy }
        throw MCPError(
            .unsupportedRevision,
            "no common revision: the server speaks \(versions.joined(separator: ", ")), this host "
                + ProtocolRevision.all.map(\.rawValue).joined(separator: ", ")
        )
    }

    // MARK: Legacy

    private func initialize(mayProbe: Bool) async throws(MCPError) -> ServerDescription {
        self.channel.isLegacy.complete(true)
        let limit = max(.milliseconds(1), self.remaining)
        let params = InitializeRequestParams(
            protocolVersion: ProtocolRevision.latestLegacy.rawValue,
            capabilities: self.configuration.offered(self.runtime.handlers),
            clientInfo: self.configuration.clientInfo
        )
        let payload: RawJSON
        do throws(MCPError) {
            payload = try await self.channel.exchange(
                RequestHead(.initialize),
                revision: .latestLegacy,
                options: RequestOptions(idleTimeout: limit, hardTimeout: limit),
                writeParams: { writer in
                    writer.key("protocolVersion")
                    writer.write(params.protocolVersion)
                    writer.key("capabilities")
                    params.capabilities.encode(to: &writer, for: .latestLegacy)
                    writer.key("clientInfo")
                    params.clientInfo.encode(to: &writer, for: .latestLegacy)
                }
            )
        } catch {
            if error.code == .timeout { throw self.tooLate("initialize") }
            if error.code == .badResponse { throw MCPError(.handshakeFailed, "initialize: \(error.message)") }
            guard error.code == .serverError else { throw error }
            if mayProbe, error.rpcError?.code == .unsupportedProtocolVersion, let modern = try await self.discover() {
                return modern  // a slow server that had meanwhile made up its mind
            }
            throw MCPError(.handshakeFailed, "the server refuses to start: \(error.message)", rpcError: error.rpcError)
        }
        let result: InitializeResult
        do {
            result = try self.channel.context.read(payload, Method.initialize.rawValue)
        } catch {
            let reason = payload.explanation(of: error)
            throw MCPError(.handshakeFailed, "the answer to initialize is unusable: \(reason)")
        }
        guard let revision = ProtocolRevision(rawValue: result.protocolVersion), !revision.isModern else {
            throw MCPError(
                .unsupportedRevision,
                "the server answers initialize with revision \"\(result.protocolVersion)\", which this host cannot speak there"
            )
        }
        self.channel.post(MessageWriter.notification(.initialized, revision: revision))
        return ServerDescription(
            revision: revision,
            serverInfo: result.serverInfo,
            capabilities: result.capabilities,
            instructions: result.instructions
        )
    }

    private func tooLate(_ phase: String, _ alternative: String = "") -> MCPError {
        MCPError(
            .timeout,
            "not ready within \(self.configuration.connectTimeout) (connect timeout), still waiting for the answer to \(phase). "
                + "A server that does not flush its output\(alternative) looks like this too"
        )
    }
}
