public import MCPJSON
import MCPTransport
public import MCPTypes

/// What a host does for its servers: asks its model, asks its user, names its roots.
///
/// What has no handler is not offered: no handler, no capability (`SAMP-03`, `ELI-06`, `ROOT-01`). A handler cannot tell how it was
/// asked: by a request in the legacy eras, by an `input_required` result since 2026-07-28, or by a task. It runs in a task of its own,
/// so it may take its time and may call the same server; that task is cancelled when the request is, or when the connection ends.
public struct ServerRequestHandlers: Sendable {
    /// Who asks.
    public struct Context: Sendable {
        /// The server, by its name in the host; nil without a host.
        public var server: String?
        /// The revision that is negotiated.
        public var revision: ProtocolRevision
        /// The task on whose behalf the server asks, if it says so.
        public var taskID: String?
        /// The caller whose own server it is, where a host has one for each (``RequestOptions/caller``).
        public var caller: String?
    }

    /// Asks the model. Throw ``Rejection`` when the user does not want that.
    public var sampling: (@Sendable (CreateMessageRequestParams, Context) async throws -> CreateMessageResult)?
    /// The model may be given tools (`SAMP-05`). Default false: such requests are refused.
    public var samplingOffersTools = false
    /// Asks the user by a form. The answer is checked against the form before it leaves (`ELI-59`); fields that are left out get the
    /// form's defaults.
    public var elicitationForm: (@Sendable (ElicitRequestFormParams, Context) async throws -> ElicitResult)?
    /// Asks the user to open a page: show the whole URL, ask for consent, open it outside this program. Nothing of it has been
    /// fetched (`ELI-50`).
    public var elicitationURL: (@Sendable (ElicitRequestURLParams, Context) async throws -> ElicitResult)?
    /// Names the roots: `file:` URLs only (`ROOT-04`).
    public var roots: (@Sendable (Context) async throws -> [Root])?
    /// Answers methods that this library does not know: those of extensions, and your own. Give the result as JSON; throw ``Rejection``, or an
    /// `MCPError` with an `rpcError` that is to be passed on.
    public var other: (@Sendable (_ method: String, _ params: RawJSON?, Context) async throws -> RawJSON)?
    /// Told of what a legacy server asks for and is not offered, besides the error that the server gets; a modern one cannot ask so. The
    /// method is as the server wrote it. Called from any thread, also the one that serves all servers: return at once.
    public var refused: (@Sendable (_ method: String, Context) -> Void)?
    /// The roots can change; ``ClientSession/rootsChanged()`` tells servers.
    public var rootsChange = true

    /// Offers nothing.
    public init() {}

    /// The user, or a policy, says no.
    public struct Rejection: Error, Sendable {
        /// Why, for the server.
        public var reason: String
        /// Says no.
        public init(_ reason: String = "the user rejected the request") { self.reason = reason }
    }

    /// What is offered to servers, as they are told.
    public var capabilities: ClientCapabilities {
        var capabilities = ClientCapabilities()
        if self.sampling != nil {
            capabilities.sampling = SamplingCapability(tools: self.samplingOffersTools ? [:] : nil)
        }
        if self.elicitationForm != nil || self.elicitationURL != nil {
            capabilities.elicitation = ElicitationCapability(
                form: self.elicitationForm != nil ? [:] : nil,
                url: self.elicitationURL != nil ? [:] : nil
            )
        }
        if self.roots != nil { capabilities.roots = RootsCapability(listChanged: self.rootsChange ? true : nil) }
        return capabilities
    }

    /// Whether a request of a server has somebody who answers it.
    func offers(_ method: Method) -> Bool {
        switch method {
        case .samplingCreateMessage: self.sampling != nil
        case .elicitationCreate: self.elicitationForm != nil || self.elicitationURL != nil
        case .rootsList: self.roots != nil
        default: self.other != nil
        }
    }

    /// These, and from `others` what is missing here.
    package func filled(from others: ServerRequestHandlers) -> ServerRequestHandlers {
        var result = self
        if result.sampling == nil {
            (result.sampling, result.samplingOffersTools) = (others.sampling, others.samplingOffersTools)
        }
        result.elicitationForm = result.elicitationForm ?? others.elicitationForm
        result.other = result.other ?? others.other
        result.refused = result.refused ?? others.refused
        result.elicitationURL = result.elicitationURL ?? others.elicitationURL
        if result.roots == nil { (result.roots, result.rootsChange) = (others.roots, others.rootsChange) }
        return result
    }
}
