public import MCPClient
public import MCPTransport
import MCPTypes

/// How a server is asked: counted, so that a shutdown can wait for it, and again where its connection was lost.
extension MCPHost {
    /// The server of that name, unless it has been found already.
    func server(_ name: String, unless found: ManagedServer?) throws(MCPError) -> ManagedServer {
        if let found { return found }
        return try self.server(name)
    }

    /// One call to one server, counted so that a shutdown can wait for it.
    /// - Parameters:
    ///   - name: the server's.
    ///   - caller: on whose behalf.
    func ask<R: Sendable>(
        _ name: String,
        for caller: String? = nil,
        _ body: (ClientSession) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        let found = try self.root.beginCall(toServerNamed: name)
        defer { self.root.endCall() }
        do throws(MCPError) {
            return try await self.ask(try self.server(name, unless: found), for: caller, Retry(), body)
        } catch {
            throw found?.shown(error) ?? error.naming(name)
        }
    }

    /// One call of a tool of one server, counted so that a shutdown can wait for it.
    /// - Parameters:
    ///   - name: the server's.
    ///   - caller: on whose behalf.
    ///   - tool: the host's name of the tool, apart from the server's.
    ///   - mayRepeat: it may be made twice where the tool says that this does no more than once.
    ///   - limit: how long it may be tried again after losses; nil: as long as one request may take at this server.
    ///   - body: gets the server's own name of the tool.
    /// - Throws: `notFound` for a tool that the host does not offer.
    func ask<R: Sendable>(
        _ name: String,
        for caller: String?,
        tool: String,
        mayRepeat: Bool = false,
        atMost limit: Duration? = nil,
        _ body: (ClientSession, _ tool: String) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        let found = try self.root.beginCall(toServerNamed: name)
        defer { self.root.endCall() }
        do throws(MCPError) {
            let server = try self.server(name, unless: found)
            guard let original = server.definition.tools.original(of: tool) else {
                throw MCPError(
                    .notFound,
                    "this host does not offer a tool \"\(tool)\" of this server; ServerDefinition.tools says which it does"
                )
            }
            let retry = Retry(limit: limit, tool: mayRepeat ? tool : nil)
            return try await self.ask(server, for: caller, retry) { session throws(MCPError) in
                try await body(session, original)
            }
        } catch {
            throw found?.shown(error) ?? error.naming(name)
        }
    }

    /// How a call may be made again.
    struct Retry {
        /// How long after the first loss; nil: as long as one request may take at the server.
        var limit: Duration?
        /// It does no more twice than once.
        var isIdempotent = false
        /// The same, if this tool says so.
        var tool: String?
        /// When it was lost first.
        var lostAt: Duration?
        /// Why it has to be made again.
        var loss: MCPError?
        /// None that may have been sent was made again.
        var maySendAgain = true
    }

    /// A request that has failed.
    struct Loss {
        let error: MCPError
        let server: ManagedServer
        let session: ClientSession

        init(error: MCPError, _ live: (server: ManagedServer, session: ClientSession)) {
            (self.error, self.server, self.session) = (error, live.server, live.session)
        }
    }

    /// Asks, and again when the connection was lost and nothing can have been done twice.
    /// - Parameters:
    ///   - server: which.
    ///   - caller: on whose behalf.
    ///   - retry: how it may be made again.
    ///   - loss: it has been made already, and this is what came of it.
    ///   - body: makes it.
    func ask<R: Sendable>(
        _ server: ManagedServer,
        for caller: String? = nil,
        _ retry: Retry,
        after loss: Loss? = nil,
        _ body: (ClientSession) async throws(MCPError) -> R
    ) async throws(MCPError) -> R {
        var retry = retry
        if let loss { try await self.mayAskAgain(after: loss, &retry) }
        while true {
            let live: (server: ManagedServer, session: ClientSession)
            do throws(MCPError) { live = try await self.session(of: server, for: caller) } catch {
                // What happened to the call says more than why there will be no other.
                throw error.code == .cancelled ? error : retry.loss ?? error
            }
            do throws(MCPError) {
                return try await body(live.session)
            } catch {
                try await self.mayAskAgain(after: Loss(error: error, live), &retry)
            }
        }
    }

    /// A request has failed: as often as that happens to one that had not been sent, it is made again, for as long after the first loss as one
    /// request may take; and once one that had been, or that failed alone. Returns when there may be another session.
    /// - Throws: its error, if it is not to be made again.
    private func mayAskAgain(after loss: Loss, _ retry: inout Retry) async throws(MCPError) {
        let (error, server) = (loss.error, loss.server)
        guard error.code == .connectionLost || error.code == .outcomeUnknown else { throw error }
        let now = self.root.context.clock.now
        let lostAt = retry.lostAt ?? now
        retry.lostAt = lostAt
        let isTimely = now < lostAt + (retry.limit ?? server.definition.client.hardTimeout)
        if error.isOfIdleStop, isTimely { return }
        if error.code == .outcomeUnknown {
            let isIdempotent = retry.isIdempotent || retry.tool.map { server.isIdempotent($0) } ?? false
            guard isIdempotent, server.definition.repeatsIdempotentCalls else { throw error }
        }
        if error.wasSent || error.isOfOneRequest {
            guard retry.maySendAgain else { throw error }
            retry.maySendAgain = false
        }
        guard isTimely else { throw error }
        // A connection that goes on is asked again, and not waited for to end.
        if !error.isOfOneRequest {
            guard await server.waitForLoss(of: loss.session) else { throw error }
        }
        retry.loss = error
    }

    /// The conversation with a server, also with one of the caller's own (``ServerPolicy/perCaller(idleStop:maximum:)``): for what the host has
    /// no method for. It is over when the server is restarted, or stopped because nobody uses it.
    /// - Parameters:
    ///   - server: the server's name in the host.
    ///   - caller: on whose behalf, as in `RequestOptions.caller`; nil is the program itself.
    /// - Throws: why the server cannot be used; `busy` if too many callers have one of their own.
    public func session(of server: String, for caller: String? = nil) async throws(MCPError) -> ClientSession {
        try await self.session(of: try self.server(server), for: caller).session
    }

    /// The conversation with the server that serves a caller, where it can be used at once.
    func liveSession(
        of server: ManagedServer,
        for caller: String?
    ) throws(MCPError) -> (server: ManagedServer, session: ClientSession)? {
        let one = try self.root.server(server, for: caller)
        return one.liveSession.map { (one, $0) }
    }

    private func session(
        of server: ManagedServer,
        for caller: String?
    ) async throws(MCPError) -> (server: ManagedServer, session: ClientSession) {
        while true {
            let one = try self.root.server(server, for: caller)
            do throws(MCPError) {
                return (one, try await one.session())
            } catch {
                // It has left because its caller did not use it: there will be another one.
                guard one !== server, one.isOver, error.code == .hostClosed else { throw error }
            }
        }
    }
}
