import MCPJSON
package import MCPSession
import MCPTransport
public import MCPTypes

/// What a program adds to the configuration of a conversation: what it does for servers, and what it knows of them.
public struct SessionRuntime: Sendable {
    /// What is done for servers when they ask.
    public var handlers = ServerRequestHandlers()
    /// What the server is known to say about itself, from an earlier ``ClientSession/server``: one of 2026-07-28 is not asked again, so that a
    /// start costs no traffic, and counts as ready before it has said anything; one of an earlier revision is spoken to in its era at once.
    /// What ``ClientConfiguration/era`` excludes is not believed. A host believes it at the first start of the server only.
    public var knownServer: ServerDescription?

    /// The server's name in the host.
    package var serverName: String?
    /// The caller whose own server it is.
    package var caller: String?
    /// How much of ``ClientConfiguration/connectTimeout`` earlier attempts have taken.
    package var connectTimeSpent: Duration = .zero
    /// The tools are listed before the first call, and again after a change (V4).
    package var listsTools = false
    /// The subscriptions that callers want, which outlive a session.
    package var desiredSubscriptions: DesiredSubscriptions?
    /// Where events go besides, which outlives a session too.
    package var events: Broadcast<ServerEvent>?
    /// Told of every event.
    package var onEvent: (@Sendable (ServerEvent) -> Void)?
    /// Told of every change when what was known has been forgotten, whoever else is told of it.
    package var onChange: (@Sendable (ServerEvent) -> Void)?
    /// Told of the tools whenever the server has listed them all, of how many changes it had told before, and whether of none since.
    package var onTools: (@Sendable ([Tool], _ changes: Int, _ isCurrent: Bool) -> Void)?
    /// Where what is not as it has to be is noted, which outlives a session too.
    package var problems: ServerProblems?
    /// Runs a handler where the end of the connection need not wait for it.
    package var launch: (@Sendable (@escaping @Sendable () async -> Void) -> Void)?

    /// Adds nothing.
    /// - Parameters:
    ///   - handlers: what is done for servers when they ask.
    ///   - knownServer: what the server is known to say about itself.
    public init(handlers: ServerRequestHandlers = ServerRequestHandlers(), knownServer: ServerDescription? = nil) {
        self.handlers = handlers
        self.knownServer = knownServer
    }

    /// ``knownServer``, where it spares the handshake.
    package func believedServer(_ era: ClientConfiguration.EraPreference) -> ServerDescription? {
        self.knownServer.flatMap { $0.revision.isModern && era != .legacyOnly ? $0 : nil }
    }
}

extension ClientConfiguration {
    /// What servers are told that we offer, with these handlers.
    func offered(_ handlers: ServerRequestHandlers) -> ClientCapabilities {
        var offered = self.capabilities
        let handled = handlers.capabilities
        (offered.sampling, offered.elicitation, offered.roots) = (handled.sampling, handled.elicitation, handled.roots)
        if self.usesTasks {
            var extensions = offered.extensions ?? JSONObject()
            extensions[ExtensionName.tasks] = .object(JSONObject())
            offered.extensions = extensions
        }
        return offered
    }
}

/// What a server said about itself when the conversation began.
public struct ServerDescription: Sendable {
    /// The revision that is negotiated.
    public var revision: ProtocolRevision
    /// Its name and version, if it told.
    public var serverInfo: Implementation?
    /// What it offers.
    public var capabilities: ServerCapabilities
    /// How it wants to be used, for the model. Untrusted text.
    public var instructions: String?

    /// Describes a server that is known already; see ``SessionRuntime/knownServer``.
    public init(
        revision: ProtocolRevision,
        serverInfo: Implementation? = nil,
        capabilities: ServerCapabilities = ServerCapabilities(),
        instructions: String? = nil
    ) {
        self.revision = revision
        self.serverInfo = serverInfo
        self.capabilities = capabilities
        self.instructions = instructions
    }
}

/// A notification that the session does not handle itself.
public struct ServerNotification: Sendable {
    /// Its method.
    public var method: String
    /// Its parameters, unread.
    public var params: RawJSON?
}
