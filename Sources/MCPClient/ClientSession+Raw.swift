public import MCPJSON
import MCPSession
public import MCPTransport
import MCPTypes

/// The raw door: methods of one's own, and those of the protocol as they are, for whoever passes them on.
extension ClientSession {
    /// Sends a request as it is given, and gives its result as it came: without rounds, tasks, caches, checks or decoding.
    /// - Parameters:
    ///   - method: of the protocol, or of your own.
    ///   - params: a JSON object, or nil. Its `_meta` goes along; what the protocol wants in there is ours.
    ///   - options: time limits, and on whose behalf (``RequestOptions/context``).
    /// - Returns: the member `result`, unread.
    /// - Throws: `serverError` with what the server said; `notSupported` for what belongs to the session itself: `initialize`, and
    ///   `subscriptions/listen`, for which there is ``listen(to:options:buffer:)``, and for names of notifications; `invalidArguments` where
    ///   `params` is no JSON object in every letter, for a server is not to be sent what only some can read.
    public func forward(
        _ method: String,
        params: RawJSON? = nil,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> RawJSON {
        let members = try Members(params, of: method)
        let kind = Method(rawValue: method)
        let instead: String? =
            switch kind {
            case .initialize: "the session has begun"
            case .subscriptionsListen: "use ClientSession.listen(to:)"
            default: method.hasPrefix("notifications/") ? "it is no request; use ClientSession.notify" : nil
            }
        if let instead { throw MCPError(.notSupported, "\(method) cannot be passed on: \(instead)") }
        var options = options
        if let meta = members.meta {
            var context = options.context ?? CallerContext()
            context.meta = JSONObject(Array(meta) + Array(context.meta ?? JSONObject()))
            options.context = context
        }
        let name = members.subject(of: kind)
        let mirrored =
            kind == .toolsCall
            ? name.flatMap { self.tools.catalog.lookUp($0).entry?.mirrored(members["arguments"]) } : nil
        return try await self.channel.request(
            RequestHead(kind, about: name, mirroring: mirrored ?? []),
            options: options,
            writeParams: members.write
        )
    }

    /// Tells the server something.
    /// - Parameters:
    ///   - method: of your own; those of the protocol belong to the session.
    ///   - params: a JSON object, or nil.
    /// - Throws: `notSupported` for what the protocol itself has; `invalidArguments` where `params` is no JSON object; `busy` where the server does
    ///   not read: nobody waits for a notification, so it is not kept; `messageTooLarge`; why the conversation is not ready.
    public func notify(_ method: String, params: RawJSON? = nil) async throws(MCPError) {
        let kind = NotificationMethod(rawValue: method)
        let isOfProtocol =
            NotificationMethod.all.contains(kind) || Method.all.contains(Method(rawValue: method))
            || kind == .tasks || Method(rawValue: method) == .tasksUpdate
        guard !isOfProtocol else {
            throw MCPError(.notSupported, "\(method) cannot be sent by hand: it belongs to the session")
        }
        let members = try Members(params, of: method)
        let revision = try await self.channel.readiness.negotiated().revision
        if let error = self.channel.broken.value { throw error }
        let notification = MessageWriter.notification(kind, revision: revision) { writer in
            members.write(&writer)
            if let meta = members.meta {
                writer.key("_meta")
                meta.encode(to: &writer)
            }
        }
        // What is posted waits for room; what somebody else wants said must not fill that, and must not overtake it either.
        guard self.channel.state.withLock({ $0.hasNoPosts }) else {
            throw MCPError(.busy, "the server does not read its input; \(method) was not sent")
        }
        try self.channel.transport.send(notification)
    }

    /// The members of `params`, unread but for `_meta`.
    private struct Members {
        private var all: [(key: String, value: RawJSON)] = []
        private var places: [WireString: Int] = [:]
        private(set) var meta: JSONObject?

        init(_ params: RawJSON?, of method: String) throws(MCPError) {
            guard let params else { return }
            do {
                var reader = try JSONReader(params)
                try reader.beginObject()
                while let name = try reader.nextCheckedName() {
                    let value = try reader.readChecked()
                    // Two readers could see two different requests (C19).
                    guard self.places.updateValue(self.all.count, forKey: WireString(name)) == nil else {
                        throw reader.error("the member \"\(name)\" occurs twice")
                    }
                    self.all.append((name, value))
                    if name == "_meta" { self.meta = try value.decode() }
                }
                try reader.expectEnd()
            } catch {
                throw MCPError(
                    .invalidArguments,
                    "the parameters of \(method) are no JSON object: \(error)",
                    cause: error
                )
            }
        }

        subscript(name: String) -> RawJSON? { self.places[WireString(name)].map { self.all[$0].value } }

        func write(_ writer: inout JSONWriter) {
            for (key, value) in self.all where key != "_meta" {
                writer.key(key)
                writer.write(raw: value)
            }
        }

        /// What a request is about, for the transport.
        func subject(of method: Method) -> String? {
            let member: String
            switch method {
            case .toolsCall, .promptsGet: member = "name"
            case .resourcesRead, .resourcesSubscribe, .resourcesUnsubscribe: member = "uri"
            case .tasksGet, .tasksUpdate, .tasksCancel, .tasksResult: member = "taskId"
            default: return nil
            }
            return try? self[member]?.decode(String.self)
        }
    }
}

/// One page of a list, for whoever goes through it by himself: nothing is kept, and nothing is counted.
extension ClientSession {
    /// One page of the tools.
    /// - Parameters:
    ///   - cursor: `nextCursor` of the page before; nil for the first.
    ///   - options: time limits, and on whose behalf.
    public func toolsPage(
        after cursor: String?,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ListToolsResult { try await self.lists.page(.toolsList, cursor, options) }

    /// One page of the resources.
    /// - Parameters:
    ///   - cursor: `nextCursor` of the page before; nil for the first.
    ///   - options: time limits, and on whose behalf.
    public func resourcesPage(
        after cursor: String?,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ListResourcesResult { try await self.lists.page(.resourcesList, cursor, options) }

    /// One page of the resource templates.
    /// - Parameters:
    ///   - cursor: `nextCursor` of the page before; nil for the first.
    ///   - options: time limits, and on whose behalf.
    public func resourceTemplatesPage(
        after cursor: String?,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ListResourceTemplatesResult {
        try await self.lists.page(.resourcesTemplatesList, cursor, options)
    }

    /// One page of the prompts.
    /// - Parameters:
    ///   - cursor: `nextCursor` of the page before; nil for the first.
    ///   - options: time limits, and on whose behalf.
    public func promptsPage(
        after cursor: String?,
        options: RequestOptions = RequestOptions()
    ) async throws(MCPError) -> ListPromptsResult { try await self.lists.page(.promptsList, cursor, options) }
}
