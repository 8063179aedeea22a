import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What to start, and with which surroundings.
///
/// Written down (`Codable`), it holds its environment as it is, secrets included.
public struct ServerLaunch: Sendable, Hashable {
    /// The program: a path, or a name that is looked up in the server's `PATH`. Never given to a shell (S5).
    public var command: String
    /// Its arguments, one element each.
    public var arguments: [String]
    /// Variables for this server.
    public var environment: [String: String]
    /// Whether it gets what every server gets (``ServerEnvironment/base(from:adding:)``), with ``environment`` on top; otherwise that is its
    /// whole environment. Default true.
    public var inheritsEnvironment = true
    /// Variables that it does not get, though every server does.
    public var withheld: [String] = []
    /// What of its arguments and variables must not be shown in errors, journals and logs, besides what looks like a credential: the values of
    /// variables that a file has named, for example (U1).
    public var secrets: [String] = []
    /// The working directory; nil for the host's own.
    public var workingDirectory: String?

    /// Describes a server process.
    /// - Parameters:
    ///   - command: a path, or a name that is looked up in `PATH`; never a shell's text.
    ///   - arguments: one element each.
    ///   - environment: added to what every server gets.
    ///   - workingDirectory: nil for the host's own.
    public init(
        command: String,
        arguments: [String] = [],
        environment: [String: String] = [:],
        workingDirectory: String? = nil
    ) {
        self.command = command
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
    }

    /// All that the server gets, as things stand in this process now. It is read at each start, so `setenv` is not for a program that runs a
    /// host: the C library moves what is being read.
    package var wholeEnvironment: [String: String] {
        var whole = self.inheritsEnvironment ? ServerEnvironment.base(adding: self.environment) : self.environment
        for name in self.withheld { whole[name] = nil }
        return whole
    }
}

extension ServerLaunch: Codable {
    private static let settings: [Setting<Self>] = [
        Setting("arguments", \.arguments), Setting("environment", \.environment),
        Setting("inheritsEnvironment", \.inheritsEnvironment), Setting("withheld", \.withheld),
        Setting("secrets", \.secrets),
        Setting("workingDirectory", \.workingDirectory),
    ]
    private static let command = SettingName("command")

    /// Reads it; what is missing is the default.
    /// - Throws: `DecodingError`, also for a name that is not known.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: SettingName.self)
        self.init(command: try container.decode(String.self, forKey: Self.command))
        try Settings.read(Self.settings, into: &self, from: decoder, besides: [Self.command.stringValue])
    }

    /// Writes what differs from the defaults.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: SettingName.self)
        try container.encode(self.command, forKey: Self.command)
        try Settings.write(Self.settings, of: self, unlike: Self(command: self.command), to: encoder)
    }
}

/// The environment of a server, built from nothing (S22).
public enum ServerEnvironment {
    /// Names that pass from the host to every server. `LC_*` passes as well.
    public static let passed: Set<String> = [
        "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "TMPDIR", "LANG", "TZ",
    ]

    /// What every server gets: ``passed`` from `host`, `PYTHONUNBUFFERED=1` so that Python servers answer at once (B21), and
    /// `extra` on top.
    ///
    /// Shell functions (values that start with `()`) never pass. From `extra`, loader variables (`LD_*`, `DYLD_*`) pass too: whoever
    /// configures a server decides what it loads.
    /// - Parameters:
    ///   - host: the surroundings to choose from; nil for this process's.
    ///   - extra: what the configuration adds.
    public static func base(
        from host: [String: String]? = nil,
        adding extra: [String: String] = [:]
    ) -> [String: String] {
        var result = (host ?? self.current(where: self.passes)).filter { (name, value) in
            Self.passes(name) && !value.hasPrefix("()")
        }
        result["PYTHONUNBUFFERED"] = "1"
        return result.merging(extra) { $1 }
    }

    /// Whether a variable of the host's passes to every server.
    static func passes(_ name: String) -> Bool { self.passed.contains(name) || name.hasPrefix("LC_") }

    /// This process's environment.
    public static var current: [String: String] { self.current { _ in true } }

    /// Those variables of this process whose names are wanted.
    static func current(where isWanted: (String) -> Bool) -> [String: String] {
        var result: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            next += 1
            guard let equals = strchr(entry, Int32(UInt8(ascii: "="))) else { continue }
            let length = UnsafePointer(entry).distance(to: equals)
            let name = String(decoding: UnsafeRawBufferPointer(start: entry, count: length), as: UTF8.self)
            if isWanted(name) { result[name] = String(cString: equals + 1) }
        }
        return result
    }
}

/// A process that was started, and our ends of its pipes.
struct LaunchedProcess {
    var pid: Int32
    var stdin: Int32
    var stdout: Int32
    var stderr: Int32
    /// Names the launch, in the journal and in the environment of all that it starts.
    var launchToken: String
    /// What has left the session stays (E6).
    var keepsDaemons: Bool
    /// The mcp-guard between this process and that one, if there is one.
    var guardProcess: GuardProcess?

    /// A running mcp-guard.
    struct GuardProcess {
        var pid: Int32
        /// Our end of the socket to it.
        var control: Int32
        /// It could not start its server.
        var hasRefused = false

        /// Whether its last word is that nothing is left, or it has never started anything. To be asked when it has ended.
        func hasSaidThatNothingIsLeft() -> Bool {
            var event = mcp_guard_event()
            var isClear = self.hasRefused
            while read(self.control, &event, MemoryLayout.size(ofValue: event)) == MemoryLayout.size(ofValue: event) {
                if event.kind == Int32(MCP_GUARD_CLEAR) || event.kind == Int32(MCP_GUARD_REFUSED) { isClear = true }
            }
            return isClear
        }
    }

    /// The process that is our child: the guard, or the server itself.
    var child: Int32 { self.guardProcess?.pid ?? self.pid }

    /// Who the server is now; nil if it has ended already. A guard may have reaped it, and its number be somebody else's: only the guard's
    /// child is the server (E18).
    var serverIdentity: ProcessIdentity? {
        // Before the guard has told of a server, the guard is all there is.
        guard let guardProcess = self.guardProcess, guardProcess.pid != self.pid else {
            return ProcessIdentity(of: self.pid)
        }
        return ProcessIdentity(of: self.pid, childOf: guardProcess.pid)
    }

    /// Gives back our ends of its pipes.
    func closePipes() {
        for descriptor in [self.stdin, self.stdout, self.stderr] { mcp_close(descriptor) }
    }

    /// Gives back our end of the socket to its guard, which ends then.
    func closeControl() {
        if let guardProcess = self.guardProcess { mcp_close(guardProcess.control) }
    }
}

extension ServerLaunch {
    /// How a process is looked after.
    struct StartOptions {
        /// The mcp-guard to put in between; nil for none.
        var guardProgram: String?
        /// What has left the server's session stays when the server has ended (E6).
        var keepsDaemons = false
        /// How long the guard has for its first word, the start of the server included (T4).
        var guardGrace: Duration = .seconds(10)
        /// Told, before the start fails, that it is not proved that nothing is left of it, and why.
        var unproved: @Sendable (String) -> Void = { _ in }
        /// Told when a guard that had not answered has been ended.
        var endedLate: EndedLate = { _, _ in }
    }

    /// Starts the process. Blocks for the time of two `vfork` and `exec`, about a millisecond, longer on a file system that does not
    /// answer: not for the cooperative pool, and whoever closes does not wait for it (T4).
    /// - Throws: `launchFailed`, telling a missing program (B4) from a missing directory (B5), interpreter (B6) or permission (B7).
    func start(_ options: StartOptions) throws(MCPError) -> LaunchedProcess {
        if let failure = self.wordProblem() ?? self.directoryProblem() { throw failure }
        let environment = self.wholeEnvironment
        let path = try self.resolvedCommand(searching: environment["PATH"])
        if let failure = self.programProblem(path) { throw failure }

        var pipes: [Int32] = []
        func closeAll() {
            for descriptor in pipes { mcp_close(descriptor) }
        }
        // A forked child of this program must neither keep the server's input open nor stand for the host before the guard (T5).
        for privateEnd: Int32 in [1, -1, -1] {
            var ends: [Int32] = [-1, -1]
            let failure = mcp_pipe(&ends, privateEnd)
            guard failure == 0 else {
                closeAll()
                throw self.failure("no pipe could be made: \(SystemFailure(code: failure).explanation)")
            }
            pipes += ends
        }
        let (inRead, inWrite, outRead, outWrite, errRead, errWrite) = (
            pipes[0], pipes[1], pipes[2], pipes[3], pipes[4], pipes[5]
        )
        var control: [Int32] = [-1, -1]
        if options.guardProgram != nil {
            let failure = mcp_socket_pair(&control, 0)
            guard failure == 0 else {
                closeAll()
                throw self.failure("no socket could be made: \(SystemFailure(code: failure).explanation)")
            }
            pipes += control
        }
        let launchToken = LaunchToken.make()
        var program = path
        var words = [self.command] + self.arguments
        let journal = ProcessJournal.shared.launching(launchToken, command: words, keepsDaemons: options.keepsDaemons)
        if let guardPath = options.guardProgram {
            let mode = options.keepsDaemons ? "keep-daemons" : "all"
            words = [guardPath, String(getpid()), mode, journal, launchToken, path] + words
            program = guardPath
        }
        let variables = environment.map { "\($0.key)=\($0.value)" } + ["\(LaunchToken.variable)=\(launchToken)"]
        var problem = "this program is ending"
        // From here on it is ended should this program end.
        let started = LiveGroups.shared.starting {
            var pid: pid_t = 0
            let failure = Self.withCStrings(words) { argv in
                Self.withCStrings(variables) { envp in
                    mcp_spawn(program, argv, envp, self.workingDirectory, inRead, outWrite, errWrite, control[1], &pid)
                }
            }
            guard failure == 0 else {
                problem = SystemFailure(code: failure).explanation
                return nil
            }
            var process = LaunchedProcess(
                pid: pid,
                stdin: inWrite,
                stdout: outRead,
                stderr: errRead,
                launchToken: launchToken,
                keepsDaemons: options.keepsDaemons
            )
            if options.guardProgram != nil {
                process.guardProcess = LaunchedProcess.GuardProcess(pid: pid, control: control[0])
            }
            return process
        }
        guard var process = started else {
            closeAll()
            ProcessJournal.shared.ended(launchToken)
            throw self.failure("cannot start \(program): \(problem)")
        }
        for childEnd in [inRead, outWrite, errWrite, control[1]] where childEnd >= 0 { _ = close(childEnd) }
        for ownEnd in [inWrite, outRead, errRead] { _ = mcp_set_nonblocking(ownEnd) }
        if options.guardProgram != nil {
            if let problem = Self.begin(&process, options) {
                let child = process.child
                let isClear = Custodian.endAndWait(process) { isClear in
                    ProcessJournal.shared.over(launchToken, isProved: isClear)
                    options.endedLate("mcp-guard \(child), whose start had failed, was ended", isClear)
                }
                if isClear != true {
                    let what = isClear == nil ? "has not ended yet" : "did not say that nothing is left"
                    options.unproved("its start failed, and its mcp-guard (process \(child)) \(what)")
                }
                throw self.failure("cannot start \(path): \(problem)")
            }
        }
        if let identity = process.serverIdentity {
            ProcessJournal.shared.started(launchToken, identity, isGuard: false)
        }
        return process
    }

    /// Lets a guard start its server.
    /// - Returns: what went wrong; the guard is to be ended then.
    private static func begin(_ process: inout LaunchedProcess, _ options: StartOptions) -> String? {
        guard let guardProcess = process.guardProcess else { return nil }
        if let identity = ProcessIdentity(of: guardProcess.pid) {
            ProcessJournal.shared.started(process.launchToken, identity, isGuard: true)
        }
        var go = UInt8(MCP_GUARD_GO)
        _ = mcp_send(guardProcess.control, &go, 1)
        _ = mcp_set_nonblocking(guardProcess.control)
        var event = mcp_guard_event()
        let size = MemoryLayout.size(ofValue: event)
        guard self.waitForInput(guardProcess.control, options.guardGrace) else {
            return "mcp-guard (\(options.guardProgram ?? "")) did not answer within \(options.guardGrace)"
        }
        var count: Int
        repeat { count = read(guardProcess.control, &event, size) } while count < 0 && errno == EINTR
        guard count == size else { return "mcp-guard ended before its server was there" }
        guard event.kind == Int32(MCP_GUARD_STARTED) else {
            process.guardProcess?.hasRefused = event.kind == Int32(MCP_GUARD_REFUSED)
            return SystemFailure(code: event.value).explanation
        }
        process.pid = event.value
        return nil
    }

    private static func waitForInput(_ descriptor: Int32, _ limit: Duration) -> Bool {
        let milliseconds = Int32(clamping: Int(limit / .milliseconds(1)))
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            // An interruption starts the time anew; nothing interrupts a thread of the spawning queue again and again.
            let result = poll(&entry, 1, milliseconds)
            if result < 0, errno == EINTR { continue }
            return result > 0
        }
    }

    func failure(_ message: String) -> MCPError { MCPError(.launchFailed, message) }

    private static func withCStrings<R>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        let pointers = strings.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else {
                preconditionFailure("an array with at least one element has a base")
            }
            return body(base)
        }
    }
}
