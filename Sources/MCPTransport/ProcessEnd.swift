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

/// What is known of a server's process after its end.
public struct ProcessEnd: Sendable {
    /// Its number.
    public var processID: Int32
    /// How it ended, if that could be read.
    public var exitStatus: ProcessExitStatus?
    /// Other members of its process group that were still there when it had ended, and had to be ended too.
    public var descendantsEnded: [Int32] = []
    /// Processes that are still there after everything.
    public var processesLeft: [Int32] = []
    /// The last lines that it wrote to its standard error.
    public var stderrTail = ""
    /// Lines on its standard output that were not messages.
    public var strayLines = 0
    /// How long it, and what it had started, had used the processor when its end was asked for, if it had not said anything by then; nil where
    /// that is not known (U8).
    public var processorTime: Duration?
    /// A moment at which the process was there: who is born later with its number is somebody else (E18).
    package var startedAt: ContinuousClock.Instant?
    /// When its end was seen; helpers that outlived it were there.
    package var endedAt: ContinuousClock.Instant?

    /// A process of which nothing else is known.
    public init(processID: Int32) { self.processID = processID }
}
