public import MCPJSON

/// How far a task is, in either of its two shapes: the core feature of 2025-11-25 and the extension
/// `io.modelcontextprotocol/tasks` since 2026-07-28. They share method names and not results, so whoever reads one knows the era.
public struct TaskState: Sendable, Hashable {
    /// Its name, made by the server.
    public var id: String
    /// How far it is.
    public var status: TaskStatus
    /// The same for people. Untrusted.
    public var statusMessage: String?
    /// How long the server keeps it, in milliseconds; nil for ever.
    public var timeToLive: Int64?
    /// How often to ask, in milliseconds, if the server says so.
    public var pollInterval: Int64?
    /// What it needs, while it is `inputRequired`; extension only.
    public var inputRequests: InputRequests?
    /// What came of it, once it is `completed`; extension only.
    public var result: RawJSON?
    /// Why it is `failed`; extension only.
    public var error: JSONRPCErrorObject?

    /// Whether it will not change any more.
    public var isTerminal: Bool { self.status == .completed || self.status == .failed || self.status == .cancelled }

    /// Reads either shape.
    /// - Returns: nil where name or status is missing.
    public init?(_ members: JSONObject) {
        guard let id = members["taskId"]?.string, let status = members["status"]?.string else { return nil }
        self.id = id
        self.status = TaskStatus(rawValue: status)
        self.statusMessage = members["statusMessage"]?.string
        self.timeToLive = (members["ttlMs"] ?? members["ttl"])?.int64
        self.pollInterval = (members["pollIntervalMs"] ?? members["pollInterval"])?.int64
        self.inputRequests = members["inputRequests"].flatMap { try? RawJSON(encoding: $0).decode(InputRequests.self) }
        self.result = members["result"].map { RawJSON(encoding: $0) }
        self.error = members["error"].flatMap { try? RawJSON(encoding: $0).decode(JSONRPCErrorObject.self) }
    }
}

extension Method {
    /// Answers what a task asks for. Extension of 2026-07-28.
    public static let tasksUpdate = Method(rawValue: "tasks/update")
}

extension NotificationMethod {
    /// A task has changed. Extension of 2026-07-28.
    public static let tasks = NotificationMethod(rawValue: "notifications/tasks")
}

/// Identifiers of extensions, for ``ClientCapabilities/extensions`` and ``ServerCapabilities/extensions``.
public enum ExtensionName {
    /// Long calls as tasks.
    public static let tasks = "io.modelcontextprotocol/tasks"
}
