public import MCPJSON
public import MCPTransport

/// Proof of what a shutdown left behind: nothing, or exactly what.
public struct TeardownReport: Sendable, CustomStringConvertible {
    /// One connection's end.
    public struct Server: Sendable {
        /// Its name in the host; `name/1` and so on for those of callers' own.
        public var name: String
        /// How many connections to it there were, counting restarts.
        public var generation: Int
        /// The step that ended its process.
        public var step: TeardownStep
        /// Time spent on each step that was entered.
        public var stepTimes: [TeardownStepTime]
        /// The process, if there was one.
        public var processID: Int32?
        /// How it ended.
        public var exitStatus: ProcessExitStatus?
        /// Members of its process group that outlived it and were ended.
        public var descendantsEnded: [Int32]
        /// Processes still there after everything.
        public var processesLeft: [Int32]
        /// Why it is not proved that nothing is left of it, in words for a person; nil when it is proved.
        public var doubt: String?
        /// Calls that ended with an error because of the end.
        public var callsFailed: Int
        /// Why it was not in use any more, if that came before the shutdown.
        public var failure: String?
        /// The last lines of its standard error.
        public var stderrTail: String
        /// A moment at which the process was there: who is born later with its number is somebody else (E18).
        package var startedAt: ContinuousClock.Instant?
        /// When each of the helpers was there: when the end of the process that it outlived was seen, in whichever generation.
        package var descendantsSeenAt: [Int32: ContinuousClock.Instant] = [:]
        /// Nothing of it is left, and that is proved.
        var isProved: Bool { self.processesLeft.isEmpty && self.doubt == nil }
    }

    /// The connections that the host had, in the order of their ends; of more than 1000 the newest, and those before them after which
    /// something may be left.
    public var servers: [Server]
    /// What the host still has open: all zero, or there is a bug.
    public var open: ResourceAccounts.Snapshot
    /// From the first request to shut down to the last process's end.
    public var duration: Duration
    /// False when the asking task was cancelled while it waited: the closing goes on without it, and asking again tells the rest.
    public var isComplete: Bool

    /// Processes that are still there.
    public var processesLeft: [Int32] { self.servers.flatMap(\.processesLeft) }

    /// Whether it is proved that nothing at all is left behind.
    public var isClean: Bool {
        self.isComplete && self.processesLeft.isEmpty && self.open.isEmpty
            && self.servers.allSatisfy(\.isProved)
    }

    /// `2 servers closed, 0 processes left`. Zero is said only when it is proved; otherwise what is known, and why that may not be all.
    public var description: String {
        let count = self.servers.count
        let left = self.processesLeft
        let doubts = self.servers.compactMap { server in server.doubt.map { "\(server.name): \($0)" } }
        var text = "\(count) \(count == 1 ? "server" : "servers") closed"
        if !left.isEmpty || doubts.isEmpty {
            text += ", \(left.count) \(left.count == 1 ? "process" : "processes") left"
        }
        if !left.isEmpty { text += " (\(left.map(String.init).joined(separator: ", ")))" }
        if !doubts.isEmpty { text += "; not proved that nothing is left: \(doubts.joined(separator: "; "))" }
        if !self.isComplete { text = "still closing: " + text }
        if self.isComplete, !self.open.isEmpty { text += "; still open: \(self.open)" }
        return text
    }
}

extension TeardownReport {
    /// What another host has left is left too.
    mutating func add(_ other: TeardownReport) {
        self.servers += other.servers
        self.open.processes += other.open.processes
        self.open.descriptors += other.open.descriptors
        self.open.timers += other.open.timers
        self.open.tasks += other.open.tasks
        self.open.requests += other.open.requests
        self.duration = max(self.duration, other.duration)
        self.isComplete = self.isComplete && other.isComplete
    }
}

extension TeardownReport: JSONEncodable {
    /// Writes the report, times in milliseconds.
    public func encode(to writer: inout JSONWriter) { self.json.encode(to: &writer) }

    private var json: JSONValue {
        [
            "complete": .bool(self.isComplete),
            "clean": .bool(self.isClean),
            "milliseconds": Self.milliseconds(self.duration),
            "processesLeft": .array(self.processesLeft.map { JSONValue(integerLiteral: Int64($0)) }),
            "open": [
                "processes": JSONValue(integerLiteral: Int64(self.open.processes)),
                "descriptors": JSONValue(integerLiteral: Int64(self.open.descriptors)),
                "timers": JSONValue(integerLiteral: Int64(self.open.timers)),
                "tasks": JSONValue(integerLiteral: Int64(self.open.tasks)),
                "requests": JSONValue(integerLiteral: Int64(self.open.requests)),
            ],
            "servers": .array(self.servers.map(\.json)),
        ]
    }

    fileprivate static func milliseconds(_ duration: Duration) -> JSONValue {
        let (seconds, attoseconds) = duration.components
        return .number(
            JSONNumber(Double(seconds * 1_000_000 + attoseconds / 1_000_000_000_000) / 1000) ?? JSONNumber(0)
        )
    }
}

extension TeardownReport.Server {
    /// The server, as a report writes it.
    package var json: JSONValue {
        var object: JSONObject = [
            "name": .string(self.name), "step": .string(self.step.description),
            "generation": .number(JSONNumber(Int64(self.generation))),
            "callsFailed": .number(JSONNumber(Int64(self.callsFailed))),
        ]
        if let pid = self.processID { object["pid"] = .number(JSONNumber(Int64(pid))) }
        if let status = self.exitStatus { object["exit"] = .string(status.description) }
        object["steps"] = .array(
            self.stepTimes.map {
                ["step": .string($0.step.description), "milliseconds": TeardownReport.milliseconds($0.time)]
            }
        )
        object["descendantsEnded"] = .array(self.descendantsEnded.map { .number(JSONNumber(Int64($0))) })
        object["processesLeft"] = .array(self.processesLeft.map { .number(JSONNumber(Int64($0))) })
        if let doubt = self.doubt { object["doubt"] = .string(doubt) }
        if let failure = self.failure { object["failure"] = .string(failure) }
        if !self.stderrTail.isEmpty { object["stderr"] = .string(self.stderrTail) }
        return .object(object)
    }
}
