public import MCPJSON

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

    /// Queues one whole message. From any thread; never blocks. Messages go out in the order of the calls, each whole.
    /// - Throws: `busy` when the queue is full (``TransportReceiver/transportDidDrain()`` says when to try again),
    ///   `messageTooLarge`, or `connectionLost`.
    func send(_ message: RawJSON) throws(MCPError)

    /// Stops or resumes delivering messages, so that a receiver that cannot keep up slows the server down instead of filling memory.
    func setReceiving(_ enabled: Bool)

    /// Asks for the end. From any thread, any number of times; returns at once, ``run(_:)`` returns when it is done.
    func close(_ mode: TeardownMode)
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
    func transportDidReceive(_ message: RawJSON)
    /// A message was larger than the limit and was thrown away.
    /// - Parameters:
    ///   - start: what is known of it: a message with its id and its method, as far as it had them (`Envelope.id(inStart:)`); an
    ///     array of such for a batch.
    ///   - size: its length in bytes.
    ///   - limit: the limit in bytes.
    func transportDidDropOversized(start: RawJSON, size: Int, limit: Int)
    /// The outgoing queue has room again after a `busy`.
    func transportDidDrain()
    /// Nothing will arrive any more. Comes exactly once, before ``Transport/run(_:)`` returns, also when opening failed.
    /// - Parameter error: why, in words for the calls that are waiting.
    func transportDidBreak(_ error: MCPError)
}

/// How a process ended.
public enum ProcessExitStatus: Sendable, Hashable, CustomStringConvertible {
    /// It called `exit` with this code.
    case exited(Int32)
    /// A signal ended it.
    case signalled(Int32)

    /// `exit status 7`, `signal 9 (SIGKILL)`.
    public var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let signal): "signal \(signal)\(Self.names[signal].map { " (\($0))" } ?? "")"
        }
    }

    private static let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
        13: "SIGPIPE",
        14: "SIGALRM", 15: "SIGTERM",
    ]
}

/// The steps of closing, in order (docs/architecture.md, section 7). The one that ended the server is reported.
public enum TeardownStep: String, Sendable, Comparable, CaseIterable {
    /// Nothing had to be ended: it never started, or was in memory.
    case none
    /// It had ended by itself before anybody asked.
    case alreadyGone
    /// Queued messages went out first (0.5 s).
    case flush
    /// It ended when its input ended (2 s).
    case endOfInput
    /// It ended on SIGTERM to its process group (2 s).
    case terminate
    /// It ended on SIGKILL to its process group (10 s to reap).
    case kill
    /// Even SIGKILL did not end it in time.
    case abandoned

    /// In the order of the enumeration.
    public static func < (a: Self, b: Self) -> Bool { a.order < b.order }
    private var order: Int { Self.allCases.firstIndex(of: self) ?? 0 }
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
    /// Why opening failed, if it did.
    public var launchError: MCPError?
    /// The step that ended the server.
    public var step: TeardownStep
    /// Time spent on each step that was entered.
    public var stepTimes: [TeardownStepTime]
    /// How the process ended, if there was one and it could be reaped.
    public var exitStatus: ProcessExitStatus?
    /// The process, if there was one.
    public var processID: Int32?
    /// Other members of its process group that were still there when it had ended, and had to be ended too.
    public var descendantsEnded: [Int32]
    /// Processes that are still there after everything.
    public var processesLeft: [Int32]
    /// Why it is not proved that nothing else is left; nil when it is.
    public var doubt: String?
    /// The last lines that the server wrote to its standard error.
    public var stderrTail: String
    /// Lines on standard output that were not messages.
    public var strayLines: Int
    /// A moment at which the process was there: who is born later with its number is somebody else (E18).
    package var startedAt: ContinuousClock.Instant?
    /// When its end was seen; helpers that outlived it were there.
    package var endedAt: ContinuousClock.Instant?

    /// An end without a process.
    public init(
        launchError: MCPError? = nil,
        step: TeardownStep = .none,
        stepTimes: [TeardownStepTime] = [],
        exitStatus: ProcessExitStatus? = nil,
        processID: Int32? = nil,
        descendantsEnded: [Int32] = [],
        processesLeft: [Int32] = [],
        doubt: String? = nil,
        stderrTail: String = "",
        strayLines: Int = 0
    ) {
        self.launchError = launchError
        self.step = step
        self.stepTimes = stepTimes
        self.exitStatus = exitStatus
        self.processID = processID
        self.descendantsEnded = descendantsEnded
        self.processesLeft = processesLeft
        self.doubt = doubt
        self.stderrTail = stderrTail
        self.strayLines = strayLines
    }
}
