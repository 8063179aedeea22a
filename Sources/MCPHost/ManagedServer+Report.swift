import MCPClient
import MCPStdio
import MCPTransport

extension ManagedServer.State {
    /// The end of a connection goes into the report.
    mutating func enter(_ end: ClientSession.End, _ generation: Int) {
        let transport = end.transport
        self.report.generation = generation
        self.report.step = transport.step
        self.report.stepTimes = transport.stepTimes
        let process = transport.process
        self.report.processID = process?.processID
        self.report.exitStatus = process?.exitStatus
        self.report.stderrTail = process?.stderrTail ?? ""
        self.report.startedAt = process?.startedAt
        for descendant in process?.descendantsEnded ?? [] {
            self.report.descendantsEnded.append(descendant)
            self.report.descendantsSeenAt[descendant] = process?.endedAt
        }
        if !transport.isProved, !self.cleared.contains(generation) {
            self.remains[generation] = .init(processes: process?.processesLeft ?? [], doubt: transport.doubt)
        }
        self.report.callsFailed += end.requestsFailed
    }

    /// What was given up of a generation is gone.
    mutating func clear(_ generation: Int) {
        if self.remains.removeValue(forKey: generation) == nil { self.cleared.insert(generation) }
    }
}

extension TeardownReport.Server {
    /// Nothing has happened yet.
    init(name: String) {
        self.init(
            name: name,
            generation: 0,
            step: .none,
            stepTimes: [],
            processID: nil,
            exitStatus: nil,
            descendantsEnded: [],
            processesLeft: [],
            doubt: nil,
            callsFailed: 0,
            failure: nil,
            stderrTail: ""
        )
    }

    /// What another one has left is added, and the calls that it has cost.
    mutating func add(_ other: Self) {
        self.processesLeft += other.processesLeft
        self.descendantsEnded += other.descendantsEnded
        self.descendantsSeenAt.merge(other.descendantsSeenAt) { $1 }
        self.callsFailed += other.callsFailed
        self.failure = self.failure ?? other.failure
        // The rest is that of the one that was hardest to end.
        if other.step > self.step {
            (self.step, self.stepTimes) = (other.step, other.stepTimes)
            (self.processID, self.startedAt, self.exitStatus) = (other.processID, other.startedAt, other.exitStatus)
            self.stderrTail = other.stderrTail
        }
        if let doubt = other.doubt { self.doubt = self.doubt.map { "\($0); \(doubt)" } ?? doubt }
    }

    mutating func finish(_ remains: [Int: ManagedServer.Remains]) {
        let remains = remains.sorted { $0.key < $1.key }.map(\.value)
        self.processesLeft = remains.flatMap(\.processes)
        // The same doubt after each of many restarts is one doubt.
        var doubts: [String] = []
        for doubt in remains.compactMap(\.doubt) where !doubts.contains(doubt) { doubts.append(doubt) }
        self.doubt = doubts.isEmpty ? nil : doubts.joined(separator: "; ")
    }
}

extension ManagedServer {
    private var process: StdioTransport? {
        self.state.withLock { $0.connection }?.session.transport as? StdioTransport
    }

    /// Its process, while there is one.
    package var processID: Int32? { self.process?.processID }

    /// All processes of it that run now, its own among them, and how each was started.
    package func processes() async -> [(pid: Int32, command: String)] { await self.process?.processes() ?? [] }

    /// SIGKILL to its process and to nothing else, as if it had crashed: it is restarted, as its policy has it.
    /// - Returns: which of its connections that was; nil where there is no process.
    package func crash() -> Int? {
        guard let connection = self.state.withLock({ $0.connection }),
            let process = connection.session.transport as? StdioTransport, process.processID != nil
        else { return nil }
        process.crash()
        return connection.generation
    }
}
