public import MCPJSON
public import MCPTypes

/// On whose behalf a request is made, where this program passes on what somebody else wants: a gateway gives what its own client gave it.
public struct CallerContext: Sendable {
    /// Members of `_meta` beside those that the protocol gives a meaning; of those, and of `progressToken`, ours count.
    public var meta: JSONObject?
    /// What the request says is offered, since 2026-07-28; nil for what ``handlers`` offer, if there are any, or the connection does. Earlier
    /// revisions say it once, in the handshake.
    public var capabilities: ClientCapabilities?
    /// Who the request says it is from, since 2026-07-28; nil for ``ClientConfiguration/clientInfo``.
    public var clientInfo: Implementation?
    /// What is done when the server asks for something before it answers, since 2026-07-28; nil for ``SessionRuntime/handlers``. Earlier
    /// revisions do not say for which request the server asks, so those of the connection answer.
    public var handlers: ServerRequestHandlers?
    /// Told of progress as it came, with our token: for whoever passes it on. One report at a time, before the request returns.
    public var onProgress: (@Sendable (RawJSON) -> Void)?

    /// Says nothing.
    public init() {}

    /// Who answers the server for this request, where that is not those of the connection: nobody for what the request does not offer.
    func responders(_ others: ServerRequestHandlers) -> ServerRequestHandlers? {
        guard let offered = self.capabilities else { return self.handlers }
        var handlers = self.handlers ?? others
        if offered.sampling == nil { handlers.sampling = nil }
        if offered.sampling?.tools == nil { handlers.samplingOffersTools = false }
        // Neither of the two ways means the form (`ELI-06`).
        let (form, url) = (offered.elicitation?.form, offered.elicitation?.url)
        if offered.elicitation == nil || form == nil && url != nil { handlers.elicitationForm = nil }
        if url == nil { handlers.elicitationURL = nil }
        if offered.roots == nil { handlers.roots = nil }
        return handlers
    }

    /// What is offered to the server by this request, where that is not what the connection offers.
    func offered(_ configuration: ClientConfiguration) -> ClientCapabilities? {
        if let capabilities = self.capabilities { return capabilities }
        return self.handlers.map(configuration.offered)
    }
}

/// A context in one word, so that the many requests that have none do not carry the room for one.
indirect enum BoxedContext: Sendable {
    case some(CallerContext)

    var value: CallerContext {
        switch self {
        case .some(let context): context
        }
    }
}
