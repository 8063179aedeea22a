import MCPJSON
package import MCPSession
import MCPTransport
public import MCPTypes

/// What a server tells without being asked.
public enum ServerEvent: Sendable {
    /// Its tools have changed; ``ClientSession/listTools(options:)`` reads them anew.
    case toolsChanged
    /// Its prompts have changed.
    case promptsChanged
    /// Its resources, or their templates, have changed.
    case resourcesChanged
    /// A resource that is subscribed to has changed.
    case resourceUpdated(uri: String)
    /// A line for the log. Untrusted text.
    case log(LoggingMessageNotificationParams)
    /// A page that the user was sent to is done with. Revision 2025-11-25 only.
    case elicitationCompleted(id: String)
    /// A task has changed.
    case task(TaskState)
    /// Something that this library does not know.
    case other(ServerNotification)
}

/// Events in order, for one reader. Buffered; a slow reader loses the oldest, and ``dropped`` says how many.
public struct ServerEvents<Element: Sendable>: AsyncSequence, Sendable {
    let stream: AsyncStream<Element>
    let lost: Locked<Int>

    /// Listens; the sequence ends with the connection.
    /// - Parameter isCounted: the server has to know that somebody listens.
    package init(_ broadcast: Broadcast<Element>, buffer: Int, isCounted: Bool = true) {
        (self.stream, self.lost) = broadcast.listen(buffer: buffer, isCounted: isCounted)
    }

    /// How many events this reader has lost so far.
    public var dropped: Int { self.lost.withLock { $0 } }

    /// Goes through the events as they come.
    public func makeAsyncIterator() -> AsyncStream<Element>.Iterator { self.stream.makeAsyncIterator() }
}

extension ServerEvent {
    /// - Returns: nil where the parameters make no sense.
    init?(_ method: String, _ params: RawJSON?, _ context: SessionContext) {
        let name = NotificationMethod(rawValue: method)
        switch name {
        case .toolsListChanged: self = .toolsChanged
        case .promptsListChanged: self = .promptsChanged
        case .resourcesListChanged: self = .resourcesChanged
        case .resourcesUpdated:
            let read: ResourceUpdatedNotificationParams? = context.read(params, of: name)
            guard let update = read else { return nil }
            self = .resourceUpdated(uri: update.uri)
        case .message:
            let read: LoggingMessageNotificationParams? = context.read(params, of: name)
            guard let message = read else { return nil }
            self = .log(message)
        case .elicitationComplete:
            guard let id = try? params?.decode(JSONValue.self)["elicitationId"]?.string else { return nil }
            self = .elicitationCompleted(id: id)
        case .tasksStatus, .tasks:
            guard let value = try? params?.decode(JSONObject.self), let state = TaskState(value) else { return nil }
            self = .task(state)
        default: self = .other(ServerNotification(method: method, params: params))
        }
    }
}
