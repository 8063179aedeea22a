package import MCPJSON
package import MCPTransport
package import MCPTypes

/// What a modern request carries, encoded once for the session.
package struct ModernMeta {
    package var protocolVersion: String
    package var clientInfo: RawJSON
    package var clientCapabilities: RawJSON
    package var logLevel: LoggingLevel?
    /// W3C names and values (`META-19`).
    package var trace: [(String, String)] = []
    /// Of the caller.
    package var others: JSONObject?

    package init(
        protocolVersion: String,
        clientInfo: RawJSON,
        clientCapabilities: RawJSON,
        logLevel: LoggingLevel?,
        trace: [(String, String)]
    ) {
        self.protocolVersion = protocolVersion
        self.clientInfo = clientInfo
        self.clientCapabilities = clientCapabilities
        self.logLevel = logLevel
        self.trace = trace
    }
}

/// The one writer of messages, for both ends of a conversation: straight into the bytes that leave.
package enum MessageWriter {
    /// What goes into `params._meta`.
    package enum Envelope {
        case none
        /// A progress token, so that a server can show signs of life; and members of the caller.
        case legacy(JSONObject?)
        /// That, and what the revision demands of every request (`META-07` to `META-09`).
        case modern(ModernMeta)
    }

    /// - Parameter revision: the one that is spoken, or asked for in it.
    package static func request(
        id: JSONRPCRequestID,
        method: Method,
        revision: ProtocolRevision?,
        meta: Envelope,
        token: Int64,
        writeParams: (inout JSONWriter) -> Void
    ) -> OutgoingMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("jsonrpc")
        writer.write("2.0")
        writer.key("id")
        writer.write(id)
        writer.key("method")
        writer.write(method.rawValue)
        writer.key("params")
        writer.beginObject()
        writeParams(&writer)
        switch meta {
        case .none: break
        case .legacy(let others):
            writer.key("_meta")
            writer.beginObject()
            if let others { self.write(others, except: [], &writer) }
            writer.key("progressToken")
            writer.write(token)
            writer.endObject()
        case .modern(let modern):
            writer.key("_meta")
            writer.beginObject()
            if let others = modern.others {
                let own = modern.trace.map(\.0) + (modern.logLevel == nil ? [] : [Meta.Name.logLevel])
                self.write(others, except: own, &writer)
            }
            writer.key("io.modelcontextprotocol/protocolVersion")
            writer.write(modern.protocolVersion)
            writer.key("io.modelcontextprotocol/clientInfo")
            writer.write(raw: modern.clientInfo)
            writer.key("io.modelcontextprotocol/clientCapabilities")
            writer.write(raw: modern.clientCapabilities)
            if let level = modern.logLevel {
                writer.key("io.modelcontextprotocol/logLevel")
                writer.write(level.rawValue)
            }
            for (name, value) in modern.trace {
                writer.key(name)
                writer.write(value)
            }
            writer.key("progressToken")
            writer.write(token)
            writer.endObject()
        }
        writer.endObject()
        writer.endObject()
        return OutgoingMessage(
            writer.finish(),
            kind: .request(id),
            method: method.rawValue,
            revision: revision
        )
    }

    /// What a caller wants in `_meta`, without what is ours to say.
    private static func write(_ others: JSONObject, except own: [String], _ writer: inout JSONWriter) {
        let ours =
            [Meta.Name.protocolVersion, Meta.Name.clientInfo, Meta.Name.clientCapabilities, "progressToken"] + own
        for (key, value) in others where !ours.contains(where: { $0.isSame(as: key) }) {
            writer.key(key)
            writer.write(value)
        }
    }

    package static func notification(
        _ method: NotificationMethod,
        revision: ProtocolRevision?,
        writeParams: ((inout JSONWriter) -> Void)? = nil
    ) -> OutgoingMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("jsonrpc")
        writer.write("2.0")
        writer.key("method")
        writer.write(method.rawValue)
        if let writeParams {
            writer.key("params")
            writer.beginObject()
            writeParams(&writer)
            writer.endObject()
        }
        writer.endObject()
        return OutgoingMessage(writer.finish(), kind: .notification, method: method.rawValue, revision: revision)
    }

    package static func cancelled(
        _ id: JSONRPCRequestID,
        reason: String,
        revision: ProtocolRevision?
    ) -> OutgoingMessage {
        self.notification(.cancelled, revision: revision) { writer in
            writer.key("requestId")
            writer.write(id)
            writer.key("reason")
            writer.write(reason)
        }
    }

    package static func emptyResult(_ id: JSONRPCRequestID) -> OutgoingMessage {
        self.response(id) { writer in
            writer.key("result")
            writer.beginObject()
            writer.endObject()
        }
    }

    package static func result(_ id: JSONRPCRequestID, _ write: (inout JSONWriter) -> Void) -> OutgoingMessage {
        self.response(id) { writer in
            writer.key("result")
            write(&writer)
        }
    }

    /// - Parameter id: nil where it could not be read.
    package static func error(
        _ id: JSONRPCRequestID?,
        _ code: ErrorCode,
        _ message: String,
        data: JSONValue? = nil
    ) -> OutgoingMessage {
        self.response(id) { writer in
            writer.key("error")
            writer.beginObject()
            writer.key("code")
            writer.write(Int64(code.rawValue))
            writer.key("message")
            writer.write(message)
            if let data {
                writer.key("data")
                writer.write(data)
            }
            writer.endObject()
        }
    }

    private static func response(_ id: JSONRPCRequestID?, _ write: (inout JSONWriter) -> Void) -> OutgoingMessage {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("jsonrpc")
        writer.write("2.0")
        if let id {
            writer.key("id")
            writer.write(id)
        }
        write(&writer)
        writer.endObject()
        return OutgoingMessage(writer.finish(), kind: .response(to: id))
    }
}
