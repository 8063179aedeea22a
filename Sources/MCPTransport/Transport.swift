public import MCPJSON
public import MCPTypes

/// How messages travel between one client and one server: a pair in memory, a subprocess, HTTP.
///
/// A transport is used once. Its owner calls ``run(_:)`` and stays in it for the transport's whole life; everybody else only sends,
/// or asks for the end. So whatever `run` opens, `run` closes, in the owner's task and nowhere else.
public protocol Transport: Sendable {
    /// Opens, delivers messages until the end, frees everything, and only then returns.
    ///
    /// Cancelling the task that runs it does nothing by itself: call ``close(_:)``.
    /// - Parameter receiver: told of everything that happens, one call at a time, on threads of the transport.
    /// - Returns: how it ended.
    func run(_ receiver: any TransportReceiver) async -> TransportEnd

    /// Queues one whole message. From any thread; never blocks. Messages of one stream go out in the order of the calls, each whole.
    ///
    /// What fails later, and concerns this request only, is told by ``TransportReceiver/transportDidFail(_:_:wasSent:)``.
    /// - Throws: `busy` when the queue is full (``TransportReceiver/transportDidDrain()`` says when to try again),
    ///   `messageTooLarge`, or `connectionLost`.
    func send(_ message: OutgoingMessage) throws(MCPError)

    /// Nobody waits for the answer to a request any more. Where requests have streams of their own the stream is closed; where not, which
    /// is what is done unless you say otherwise, the notification is sent.
    /// - Parameters:
    ///   - request: the id of the request, as it was sent.
    ///   - notification: `notifications/cancelled` about it, in the revision that is spoken.
    /// - Throws: as ``send(_:)``; after `busy` it is asked again.
    func cancel(_ request: JSONRPCRequestID, _ notification: OutgoingMessage) throws(MCPError)

    /// Stops or resumes delivering messages, so that a receiver that cannot keep up slows the server down instead of filling memory.
    func setReceiving(_ enabled: Bool)

    /// Asks for the end. From any thread, any number of times; returns at once, ``run(_:)`` returns when it is done.
    func close(_ mode: TeardownMode)
}

extension Transport {
    /// Sends the notification, as everything else.
    public func cancel(_ request: JSONRPCRequestID, _ notification: OutgoingMessage) throws(MCPError) {
        try self.send(notification)
    }
}

/// How to end a connection.
public enum TeardownMode: Sendable, Comparable {
    /// Step by step: flush, end of input, SIGTERM, SIGKILL, each with its time.
    case graceful
    /// At once: SIGKILL.
    case immediate
}

/// What a transport tells its owner. Calls come one at a time and must not block.
public protocol TransportReceiver: AnyObject, Sendable {
    /// The way is open: messages may be sent.
    func transportDidOpen()
    /// One message arrived. It starts with `{` or `[`; more is not known about it.
    /// - Parameters:
    ///   - message: all of it.
    ///   - stream: on which stream it came; ``MessageStream/main`` where there is only one.
    func transportDidReceive(_ message: RawJSON, from stream: MessageStream)
    /// One request has failed, and the connection goes on: a server refused it before it read it, its stream broke for good. Never from inside
    /// ``Transport/send(_:)``, which throws what it knows at once.
    /// - Parameters:
    ///   - request: its id, as it was sent.
    ///   - error: why, in words for whoever waits for it.
    ///   - wasSent: whether the server may have begun to work on it.
    func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool)
    /// A message was larger than the limit and was thrown away.
    /// - Parameters:
    ///   - start: what is known of it: a message with its id and its method, as far as it had them (`Envelope.id(inStart:)`); an
    ///     array of such for a batch.
    ///   - size: its length in bytes.
    ///   - limit: the limit in bytes.
    ///   - stream: on which stream it came.
    func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream)
    /// Something came where messages come, and was none. It is for a person who wants to know why an answer is missing; by default nothing is done.
    /// - Parameter line: makes its beginning, without what must not be shown; called only where it is shown, from any thread, or never.
    func transportDidReceiveStray(_ line: @escaping @Sendable () -> String)
    /// The outgoing queue has room again after a `busy`.
    func transportDidDrain()
    /// Nothing will arrive any more. Comes exactly once, before ``Transport/run(_:)`` returns, also when opening failed.
    /// - Parameter error: why, in words for the calls that are waiting.
    func transportDidBreak(_ error: MCPError)
}

extension TransportReceiver {
    /// Does nothing.
    public func transportDidReceiveStray(_ line: @escaping @Sendable () -> String) {}
}

/// The steps of closing (docs/architecture.md, section 7). The one that ended the server is reported. More may be added.
public struct TeardownStep: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// In the order in which they are tried.
    private enum Kind: String, CaseIterable {
        case none, alreadyGone, flush, endOfInput, terminate, kill, abandoned
    }

    private let kind: Kind

    /// Nothing had to be ended: it never started, or was in memory.
    public static let none = Self(kind: .none)
    /// It had ended by itself before anybody asked.
    public static let alreadyGone = Self(kind: .alreadyGone)
    /// Queued messages went out first (0.5 s).
    public static let flush = Self(kind: .flush)
    /// It ended when its input ended (2 s).
    public static let endOfInput = Self(kind: .endOfInput)
    /// It ended on SIGTERM to its process group (2 s).
    public static let terminate = Self(kind: .terminate)
    /// It ended on SIGKILL to its process group (10 s to reap).
    public static let kill = Self(kind: .kill)
    /// Even SIGKILL did not end it in time.
    public static let abandoned = Self(kind: .abandoned)

    /// A stable name, also in JSON output.
    public var description: String { self.kind.rawValue }

    /// In the order in which they are tried.
    public static func < (a: Self, b: Self) -> Bool { a.place < b.place }
    private var place: Int { Kind.allCases.firstIndex(of: self.kind) ?? 0 }
}

/// How long one step of closing took.
public struct TeardownStepTime: Sendable, Hashable {
    /// The step.
    public var step: TeardownStep
    /// How long it took.
    public var time: Duration

    /// Says how long a step took.
    public init(_ step: TeardownStep, _ time: Duration) { (self.step, self.time) = (step, time) }
}

/// How one transport ended, told by the code that closed it.
public struct TransportEnd: Sendable {
    /// Why opening failed, if it did; also why it cannot go on, where it is to stay down (`needsAuthorization`).
    public var launchError: MCPError?
    /// The step that ended the connection.
    public var step: TeardownStep
    /// Time spent on each step that was entered.
    public var stepTimes: [TeardownStepTime]
    /// Why it is not proved that nothing else is left; nil when it is.
    public var doubt: String?
    /// How its process ended; nil for a transport that has none, or did not get as far.
    public var process: ProcessEnd?

    /// The end of a connection.
    public init(
        launchError: MCPError? = nil,
        step: TeardownStep = .none,
        stepTimes: [TeardownStepTime] = [],
        doubt: String? = nil,
        process: ProcessEnd? = nil
    ) {
        self.launchError = launchError
        self.step = step
        self.stepTimes = stepTimes
        self.doubt = doubt
        self.process = process
    }

    /// Nothing that it opened is left, and that is certain.
    package var isProved: Bool { self.doubt == nil && self.process?.processesLeft.isEmpty ?? true }
}
