import CMCPProcess
import Dispatch
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Children that nobody waits for any more: given up when their time was over, or started for somebody who had gone meanwhile.
///
/// Each is reaped whenever it ends, so that it never stays a zombie (T25): a zombie is a lie in every process list, and whoever waits for
/// just any child of this program stares at it for ever.
enum Custodian {
    /// Reaps a child when it ends, however long that takes.
    /// - Parameters:
    ///   - pid: a child of this program that nobody else reaps.
    ///   - ended: called once, on a thread of the custodian's, with its wait status; with nil if somebody else has reaped it.
    static func take(_ pid: Int32, ended: @escaping @Sendable (Int32?) -> Void) {
        guard let io = try? IOThread.shared() else { return self.waitInThread(pid, ended) }
        // On the I/O thread, so that the end cannot be told before the watch is known here.
        io.execute { _ in
            let box = Locked<IOThread.ExitWatch?>(nil)
            do throws(SystemFailure) {
                let watch = try io.watchExit(of: pid, isChild: true) { _ in
                    let watch = box.withLock { watch in
                        defer { watch = nil }
                        return watch
                    }
                    guard let watch else { return }
                    io.unwatch(watch)
                    let status = Self.reap(pid)
                    Self.tell { ended(status) }
                }
                box.withLock { $0 = watch }
            } catch {
                if error.code == ESRCH { Self.tell { ended(nil) } } else { self.waitInThread(pid, ended) }
            }
        }
    }

    /// On a thread of its own: it may write to a file, and the I/O thread has servers to serve.
    private static func tell(_ ended: @escaping @Sendable () -> Void) {
        if SmallThread.start(ended) != 0 { ended() }
    }

    /// No descriptor is left to watch with. A thread needs none; without even that it stays a zombie until this program ends.
    private static func waitInThread(_ pid: Int32, _ ended: @escaping @Sendable (Int32?) -> Void) {
        _ = SmallThread.start { ended(Self.reap(pid)) }
    }

    /// Ends a process that has come too late, or wrong, and all that belongs to it, and gives back our ends of its pipes. Does not wait for
    /// its end.
    /// - Parameter ended: told whether it is proved that nothing of it is left, once, on a thread of the custodian's.
    static func end(_ process: LaunchedProcess, ended: @escaping @Sendable (Bool) -> Void) {
        // First of all, so that there are descriptors to look with (T14).
        process.closePipes()
        let child = ProcessIdentity(of: process.child)
        if process.guardProcess != nil { process.signal(SIGKILL) }
        self.tell { self.finish(process, child, ended) }
    }

    /// The same, and waits for it. Blocks: not for the cooperative pool.
    /// - Parameters:
    ///   - limit: how long.
    ///   - ended: as above; before this returns, or whenever it has ended.
    /// - Returns: whether it is proved that nothing of it is left; nil if it has not ended yet.
    static func endAndWait(
        _ process: LaunchedProcess,
        atMost limit: DispatchTimeInterval = .seconds(6),
        ended: @escaping @Sendable (Bool) -> Void
    ) -> Bool? {
        let (isOver, result) = (DispatchSemaphore(value: 0), Locked<Bool?>(nil))
        self.end(process) { isClear in
            ended(isClear)
            result.withLock { $0 = isClear }
            isOver.signal()
        }
        _ = isOver.wait(timeout: .now() + limit)
        return result.withLock { $0 }
    }

    private static func finish(
        _ process: LaunchedProcess,
        _ child: ProcessIdentity?,
        _ ended: @escaping @Sendable (Bool) -> Void
    ) {
        // A guard ends when nothing of its server is left, and not before.
        let hasEnded = process.guardProcess != nil && self.waitForEnd(of: process.child, child)
        let hasLooked = !hasEnded && self.kill(process, child)
        // A status may go to somebody else (T9); a word does not.
        let hasSaidSo = hasEnded && process.guardProcess?.hasSaidThatNothingIsLeft() == true
        // Until all of it is gone, the end of this program ends what it has left (E14); but its number is given back now.
        LiveGroups.shared.willReap(process)
        process.closeControl()
        self.take(process.child) { status in
            // A guard that was killed cannot say any more what its server had detached (T18).
            let isProved = hasEnded && (status.map { $0 == 0 } ?? hasSaidSo)
            let isGone = isProved || self.endRest(process.rest())
            LiveGroups.shared.remove(process)
            ended(process.guardProcess == nil ? hasLooked && isGone : isProved)
        }
    }

    /// SIGKILL to our child and all below it. Below it first: what a guard has under it is somebody else's child once the guard is gone. So
    /// a guard below which nobody can look, for want of a descriptor, is not killed: it ends all of it by itself when its socket closes.
    /// - Returns: whether all was seen.
    private static func kill(_ process: LaunchedProcess, _ child: ProcessIdentity?) -> Bool {
        let found = child.flatMap { ProcessSearch.find([process.rest(below: $0)]) }
        for process in found?[0] ?? [] { process.signal(SIGKILL) }
        if found != nil || process.guardProcess == nil { process.killGroup() }
        return found != nil
    }

    /// SIGKILL to what is there, until a whole look finds nobody: who was killed may have had a child that no look has seen yet. A look that
    /// was not told of all is none: what kept it from seeing may be over at the next. Who has been looked for in vain three times cannot be proved to be
    /// gone.
    /// - Returns: whether nobody is left.
    private static func endRest(_ query: ProcessSearch.Query) -> Bool {
        var blindLooks = 0
        for _ in 0..<10 where blindLooks < 3 {
            guard let left = ProcessSearch.find([query])?[0] else {
                blindLooks += 1
                continue
            }
            if left.isEmpty { return true }
            for process in left { process.signal(SIGKILL) }
            _ = ProcessIdentity.waitForEnds(left, milliseconds: 1000)
            for process in left { process.reap() }
        }
        return false
    }

    /// - Returns: whether our child has ended within three seconds: on a busy machine a guard may need them (T26).
    private static func waitForEnd(of pid: Int32, _ identity: ProcessIdentity?) -> Bool {
        var status: Int32 = 0
        if let identity {
            _ = ProcessIdentity.waitForEnds([identity], milliseconds: 3000)
        } else {
            // No descriptor is left to wait with.
            for _ in 0..<600 where mcp_child_look(pid, &status) == MCP_CHILD_RUNS { _ = poll(nil, 0, 5) }
        }
        return mcp_child_look(pid, &status) != MCP_CHILD_RUNS
    }

    /// - Returns: its wait status, if it could be had.
    private static func reap(_ pid: Int32) -> Int32? {
        var status: Int32 = 0
        while true {
            let reaped = waitpid(pid, &status, 0)
            if reaped == pid { return status }
            if reaped >= 0 || errno != EINTR { return nil }
        }
    }
}
