public import MCPJSON
public import MCPTypes

/// Why a call, a connection or a host could not do what was asked.
///
/// `message` is one sentence for a person: what failed, where, after how long, and what can be done about it.
public struct MCPError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is. More may be added: keep a `default` when switching.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        /// A stable name, also in JSON output.
        public let description: String

        /// A kind of your own, for a transport or a handler that fails in a way which is none of these.
        /// - Parameter name: a stable name in lower camel case.
        public init(_ name: String) { self.description = name }

        /// The server's program could not be started (B4 to B7).
        public static let launchFailed = Self("launchFailed")
        /// The server did not complete the handshake, or answered it with nonsense (B14).
        public static let handshakeFailed = Self("handshakeFailed")
        /// Client and server have no protocol revision in common.
        public static let unsupportedRevision = Self("unsupportedRevision")
        /// The connection ended while the call was waiting. It was not executed, or does no harm when it is made again.
        public static let connectionLost = Self("connectionLost")
        /// The request was on its way when the connection ended: it may have been executed (F15).
        public static let outcomeUnknown = Self("outcomeUnknown")
        /// The server died too often in too short a time, and is not started again (G10).
        public static let crashLoop = Self("crashLoop")
        /// The server wants to know who is there before it is used: somebody has to sign in, and to restart it then.
        public static let needsAuthorization = Self("needsAuthorization")
        /// A time limit passed; the message names which and how long it was.
        public static let timeout = Self("timeout")
        /// The calling task was cancelled.
        public static let cancelled = Self("cancelled")
        /// The host, or this connection, is closing or closed.
        public static let hostClosed = Self("hostClosed")
        /// Too many requests are waiting already.
        public static let busy = Self("busy")
        /// The server answered with a JSON-RPC error; see ``MCPError/rpcError``.
        public static let serverError = Self("serverError")
        /// The server's answer is not what the protocol says.
        public static let badResponse = Self("badResponse")
        /// A message exceeds the size limit (C6).
        public static let messageTooLarge = Self("messageTooLarge")
        /// The server does not offer what was asked for.
        public static let notSupported = Self("notSupported")
        /// The arguments of a call are not what the tool says it takes; it was not called.
        public static let invalidArguments = Self("invalidArguments")
        /// The tool was called, and says that it failed.
        public static let toolFailed = Self("toolFailed")
        /// A server asked for input, and the user or a handler said no.
        public static let rejected = Self("rejected")
        /// No such server, tool, prompt or resource in this host.
        public static let notFound = Self("notFound")
        /// The configuration cannot be used.
        public static let invalidConfiguration = Self("invalidConfiguration")
    }

    private struct Members: Sendable {
        var code: Code
        var message: String
        var server: String?
        var rpcError: JSONRPCErrorObject?
        var answer: RawJSON?
        var cause: (any Error)?
        var lastLine: String?
        var exitStatus: ProcessExitStatus?
        var wasSent = false
        var isOfOneRequest = false
        var isOfIdleStop = false
    }

    private final class Box: Sendable {
        let members: Members

        init(_ members: Members) { self.members = members }
    }

    /// Apart, because there is room for an error in every result and in every function that may throw one, used or not.
    private var box: Box
    private var members: Members {
        get { self.box.members }
        set { self.box = Box(newValue) }
    }

    /// What kind of failure it is.
    public var code: Code {
        get { self.box.members.code }
        set { self.members.code = newValue }
    }
    /// One sentence for a person.
    public var message: String {
        get { self.box.members.message }
        set { self.members.message = newValue }
    }
    /// The server concerned, by its name in the host.
    public var server: String? {
        get { self.box.members.server }
        set { self.members.server = newValue }
    }
    /// What the server said, for ``Code/serverError``.
    public var rpcError: JSONRPCErrorObject? {
        get { self.box.members.rpcError }
        set { self.members.rpcError = newValue }
    }
    /// What the server answered, where its answer breaks what its own tool promises (``Code/badResponse``): the call was made, and its
    /// result is not lost.
    public var answer: RawJSON? {
        get { self.box.members.answer }
        set { self.members.answer = newValue }
    }
    /// The error that this one follows from, where there is one: the system's, a library's.
    public var cause: (any Error)? {
        get { self.box.members.cause }
        set { self.members.cause = newValue }
    }
    /// The last line that the server wrote to standard error before it ended, as it may be shown; the message has more of them.
    public package(set) var lastLine: String? {
        get { self.box.members.lastLine }
        set { self.members.lastLine = newValue }
    }
    /// How the server's process has ended, where that is why.
    public package(set) var exitStatus: ProcessExitStatus? {
        get { self.box.members.exitStatus }
        set { self.members.exitStatus = newValue }
    }
    /// The request concerned had left when its connection was lost: the server may have begun with it.
    public package(set) var wasSent: Bool {
        get { self.box.members.wasSent }
        set { self.members.wasSent = newValue }
    }
    /// Only this request has failed: the connection goes on.
    package var isOfOneRequest: Bool {
        get { self.box.members.isOfOneRequest }
        set { self.members.isOfOneRequest = newValue }
    }
    /// Nothing has happened to the request: it came in the moment in which its server was stopped because nobody used it, and may be made in
    /// the next conversation.
    package var isOfIdleStop: Bool {
        get { self.box.members.isOfIdleStop }
        set { self.members.isOfIdleStop = newValue }
    }

    /// Makes an error.
    /// - Parameters:
    ///   - code: what kind of failure it is.
    ///   - message: one sentence for a person; no secrets.
    ///   - server: the server concerned, if it is known.
    ///   - rpcError: what the server said, for ``Code/serverError``.
    ///   - cause: the error that it follows from.
    public init(
        _ code: Code,
        _ message: String,
        server: String? = nil,
        rpcError: JSONRPCErrorObject? = nil,
        cause: (any Error)? = nil
    ) {
        self.box = Box(Members(code: code, message: message, server: server, rpcError: rpcError, cause: cause))
    }

    /// `server: message`
    public var description: String { self.server.map { "\($0): \(self.message)" } ?? self.message }

    /// The same error, with the server's name if it has none yet.
    package func naming(_ server: String?) -> MCPError {
        var copy = self
        copy.server = copy.server ?? server
        return copy
    }
}
