import CMCPProcess
import MCPTransport
import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One thread that waits for the pipes and the ends of all server processes of this program.
///
/// **Why not NIO, why not swift-subprocess.** Measured for the design of this package on one core, p50 of a round trip to an echo
/// child: blocking read and write 4.7 us, NIO handler 7.1, a session over NIO and swift-subprocess 15. What is left of the
/// difference are two wake-ups: a caller's write has to wake NIO's thread before it leaves. Here the caller's own thread writes to
/// the pipe, the first message after each reading at least, and this thread reads. Second, a process's end must be seen while a
/// grandchild still holds its pipes (E7, E8):
/// swift-subprocess tells the end only after the body that uses the process has returned. Third, a host that only speaks stdio
/// builds without NIO's 200 s. `Benchmarks/` prints what this reaches.
///
/// Registrations are closures under a number that is never used again: an event for something that is gone finds nobody. The thread
/// lives as long as the program, as NIO's singletons do.
package final class IOThread: Sendable {
    private static let running = Locked<IOThread?>(nil)

    /// The thread of this program, started when the first server is.
    /// - Throws: an errno, when there is no room for it now; the next call tries again (T14).
    package static func shared() throws(SystemFailure) -> IOThread {
        try self.running.withLock { running throws(SystemFailure) in
            if let thread = running { return thread }
            let thread = try IOThread()
            running = thread
            return thread
        }
    }

    private struct State {
        var nextToken: UInt64 = 1
        var handlers: [UInt64: Handler] = [:]
        var jobs: [@Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void] = []
    }

    /// Runs on the I/O thread; `scratch` is 64 KiB of memory that all handlers share, one at a time.
    package typealias Handler = @Sendable (_ ready: Readiness, _ scratch: UnsafeMutableRawBufferPointer) -> Void

    /// What a descriptor is ready for.
    package struct Readiness: Sendable {
        /// Reading will not block.
        package var readable: Bool
        /// Writing will not block.
        package var writable: Bool
        /// The other end has gone, or there is an error.
        package var broken: Bool
    }

    private let selector: Selector
    private let state = Locked(State())
    /// Whether there may be jobs: set under the lock, read without it after each wait.
    private let hasJobs = Atomic(false)
    /// Jobs of tasks that this thread itself has made ready.
    ///
    /// `nonisolated(unsafe)`: touched by this thread only, which ``isCurrent`` tells.
    private nonisolated(unsafe) var tasks: [UnownedJob] = []

    /// Whether the calling thread is this one.
    private var isCurrent: Bool { mcp_is_io_thread() != 0 }

    private init() throws(SystemFailure) {
        self.selector = try Selector()
        mcp_ignore_sigpipe()
        // Tasks may run on it.
        let failure = SmallThread.start(stackSize: 8 << 20) { [self] in self.loop() }
        guard failure == 0 else {
            self.selector.closeAll()
            throw SystemFailure(code: failure)
        }
    }

    private func loop() -> Never {
        mcp_name_thread("mcp-io")
        mcp_begin_io_thread()
        var events: [IOEvent] = []
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        while true {
            // What this thread has given itself to do is not waited for.
            self.selector.wait(&events, isBlocking: self.tasks.isEmpty && !self.hasJobs.load(ordering: .acquiring))
            for event in events {
                let handler = self.state.withLock { $0.handlers[event.token] }
                handler?(
                    Readiness(readable: event.readable, writable: event.writable, broken: event.broken),
                    scratch
                )
            }
            // Before the jobs: what they send leaves together in one of those. Those that they make ready come after the next look at the
            // descriptors.
            let tasks = self.tasks
            self.tasks.removeAll(keepingCapacity: true)
            for task in tasks { task.runSynchronously(on: self.asUnownedTaskExecutor()) }
            // Who adds one later wakes this thread again.
            guard self.hasJobs.load(ordering: .acquiring) else { continue }
            let jobs = self.state.withLock { state in
                defer { state.jobs.removeAll(keepingCapacity: true) }
                self.hasJobs.store(false, ordering: .relaxed)
                return state.jobs
            }
            for job in jobs { job(scratch) }
        }
    }

    /// Runs `job` on this thread, soon, in the order of the calls.
    package func execute(_ job: @escaping @Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void) {
        let isFirst = self.state.withLock { state in
            state.jobs.append(job)
            self.hasJobs.store(true, ordering: .releasing)
            return state.jobs.count == 1
        }
        if isFirst, !self.isCurrent { self.selector.wake() }
    }

    // MARK: Registrations

    /// Watches a descriptor. The handler runs on this thread, one event at a time, and must not block.
    /// - Returns: the registration, for the calls below.
    package func watch(
        _ descriptor: Int32,
        read: Bool = true,
        write: Bool = false,
        _ handler: @escaping Handler
    ) throws(SystemFailure) -> UInt64 {
        let token = self.enrol(handler)
        do throws(SystemFailure) {
            try self.selector.add(descriptor, token, read: read, write: write)
        } catch {
            self.state.withLock { _ = $0.handlers.removeValue(forKey: token) }
            throw error
        }
        return token
    }

    /// Changes what a descriptor is watched for.
    package func change(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
        self.selector.change(descriptor, token, read: read, write: write)
    }

    /// Stops watching; the descriptor may be closed afterwards. A handler that is running now runs to its end.
    package func unwatch(_ descriptor: Int32, _ token: UInt64) {
        self.selector.remove(descriptor)
        self.state.withLock { _ = $0.handlers.removeValue(forKey: token) }
    }

    private func enrol(_ handler: @escaping Handler) -> UInt64 {
        self.state.withLock { state in
            let token = state.nextToken
            state.nextToken += 1
            state.handlers[token] = handler
            return token
        }
    }

    // MARK: Ends of processes

    /// A process that is being watched for its end.
    package struct ExitWatch: Sendable {
        /// A pidfd on Linux: it names this very process, even when its number is used again (E18). -1 where there is none.
        package let descriptor: Int32
        fileprivate let token: UInt64
    }

    /// Watches a process for its end. The handler runs on this thread when the process has ended, and again until the watch is ended;
    /// the process is not reaped.
    /// - Parameters:
    ///   - pid: the process.
    ///   - isChild: a child of this program can always be watched: where there is no descriptor for a process, because the system knows
    ///     none (T22) or all are in use, a thread of its own waits for the child.
    /// - Throws: ESRCH if it has ended and was reaped; whatever the system says otherwise.
    package func watchExit(
        of pid: Int32,
        isChild: Bool,
        _ handler: @escaping @Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void
    ) throws(SystemFailure) -> ExitWatch {
        #if os(Linux)
            let descriptor = mcp_pidfd_watch(pid)
            guard descriptor >= 0 else {
                let failure = SystemFailure(code: errno)
                if !isChild || failure.code == ESRCH { throw failure }
                return try self.waitForChild(pid, handler)
            }
            do throws(SystemFailure) {
                return ExitWatch(descriptor: descriptor, token: try self.watch(descriptor) { handler($1) })
            } catch {
                _ = close(descriptor)
                if !isChild { throw error }
                return try self.waitForChild(pid, handler)
            }
        #else
            let token = self.enrol { handler($1) }
            do throws(SystemFailure) {
                try self.selector.addExit(pid, token)
            } catch {
                self.state.withLock { _ = $0.handlers.removeValue(forKey: token) }
                // A child that has ended and is not reaped counts as gone here.
                if error.code == ESRCH, isChild { return try self.waitForChild(pid, handler) }
                throw error
            }
            return ExitWatch(descriptor: -1, token: token)
        #endif
    }

    private func waitForChild(
        _ pid: Int32,
        _ handler: @escaping @Sendable (_ scratch: UnsafeMutableRawBufferPointer) -> Void
    ) throws(SystemFailure) -> ExitWatch {
        let token = self.enrol { handler($1) }
        let failure = SmallThread.start { [self] in
            // ECHILD too is an end: somebody else has reaped it.
            _ = mcp_child_wait(pid)
            self.execute { scratch in
                let handler = self.state.withLock { $0.handlers[token] }
                handler?(Readiness(readable: true, writable: false, broken: false), scratch)
            }
        }
        guard failure == 0 else {
            self.state.withLock { _ = $0.handlers.removeValue(forKey: token) }
            throw SystemFailure(code: failure)
        }
        return ExitWatch(descriptor: -1, token: token)
    }

    /// Ends a watch and gives its descriptor back.
    package func unwatch(_ watch: ExitWatch) {
        if watch.descriptor >= 0 { self.selector.remove(watch.descriptor) }
        self.state.withLock { _ = $0.handlers.removeValue(forKey: watch.token) }
        if watch.descriptor >= 0 { _ = close(watch.descriptor) }
    }
}

/// Tasks may run on the thread that serves the pipes: whoever asks a server from there is told of the answer by the very thread that has read
/// it. Such a task must not block.
extension IOThread: TaskExecutor {
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if self.isCurrent { return self.tasks.append(job) }
        self.execute { [self] _ in job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
