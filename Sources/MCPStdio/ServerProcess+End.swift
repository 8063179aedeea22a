import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The end of a process and of all that it started. On the I/O thread, like the rest of `ServerProcess`.
extension ServerProcess {
    // MARK: Our child is the server itself

    /// It has ended. It stays unreaped until nothing of it is left: so long its process group's number is its own (E18).
    func processEnded(_ scratch: UnsafeMutableRawBufferPointer) {
        guard !self.hasEnded, !self.machine.isEnded else { return }
        var status: Int32 = 0
        switch mcp_child_look(self.process.pid, &status) {
        case MCP_CHILD_RUNS: return
        case MCP_CHILD_ENDED: self.ended(status, scratch, otherwise: "ended")
        default:
            // It has ended, a pidfd says so, and its status has gone to somebody else (T9).
            LiveGroups.shared.willReap(self.process)
            self.isUnreaped = false
            self.isGroupUnknown = true
            self.ended(
                nil,
                scratch,
                otherwise: "ended; how is not known, because something in this program reaps all children"
            )
        }
        self.leaveExitWatch()
        self.perform(self.machine.leaderEnded())
    }

    private func leaveExitWatch() {
        if let watch = self.exitWatch { self.unwatch(watch) }
        self.exitWatch = nil
    }

    private func unwatch(_ watch: IOThread.ExitWatch) {
        if watch.descriptor >= 0 { self.accounts.add(-1, \.descriptors) }
        self.io.unwatch(watch)
    }

    // MARK: Our child is the guard

    func readControl(_ scratch: UnsafeMutableRawBufferPointer) {
        guard let guardProcess = self.guardProcess else { return }
        var event = mcp_guard_event()
        while true {
            let count = read(guardProcess.control, &event, MemoryLayout.size(ofValue: event))
            // Nothing more now; or the guard has ended, which its exit watch tells: until then its closed end would call again and again.
            if count == 0 { return self.stopReadingControl() }
            guard count == MemoryLayout.size(ofValue: event) else { return }
            switch event.kind {
            case Int32(MCP_GUARD_DESCENDANT): self.processEnd.descendantsEnded.append(event.value)
            case Int32(MCP_GUARD_ENDED) where !self.hasEnded:
                self.ended(event.value, scratch, otherwise: "ended")
                self.perform(self.machine.leaderEnded())
            case Int32(MCP_GUARD_CLEAR): self.isClear = true
            default: break
            }
        }
    }

    /// The guard ends when nothing of its server is left; before that only if somebody kills it.
    func guardEnded(_ scratch: UnsafeMutableRawBufferPointer) {
        self.readControl(scratch)
        var status: Int32 = 0
        guard let guardProcess = self.guardProcess, mcp_child_look(guardProcess.pid, &status) != MCP_CHILD_RUNS else {
            return
        }
        LiveGroups.shared.willReap(self.process)
        while waitpid(guardProcess.pid, &status, 0) < 0, errno == EINTR {}
        // Its last word counts if it has ended after it by itself: somebody else may have spoken in its name.
        if status != 0 { self.isClear = false }
        self.releaseKeeper()
        if self.hasEnded, self.isClear { return self.perform(self.machine.othersEnded()) }
        // Nobody to ask any more. What is left is found by descent and by its launch token, and ended at once; what had left its parents and its
        // environment cannot be found (T18).
        if !self.isClear {
            self.end.doubt = "its mcp-guard was killed, so what it had detached from itself cannot be found"
        }
        if self.hasEnded { return self.sweep() }
        self.ended(nil, scratch, otherwise: self.isClear ? "ended" : "is lost: somebody killed its mcp-guard")
        self.perform(self.machine.leaderEnded())
    }

    private func releaseKeeper() {
        guard let guardProcess = self.guardProcess else { return }
        self.leaveExitWatch()
        self.stopReadingControl()
        self.giveBackControl(guardProcess)
        self.guardProcess = nil
    }

    /// It is our child and not reaped, so this reaches nobody else. A guard that runs does not notice.
    func wakeKeeper() {
        if let guardProcess = self.guardProcess { _ = kill(guardProcess.pid, SIGCONT) }
    }

    /// Does something a little later, once, unless all is over by then.
    private func again(_ job: @escaping @Sendable () -> Void) {
        guard !self.machine.isEnded else { return }
        self.laterJobs.append(job)
        guard self.laterTimer == nil else { return }
        self.accounts.add(1, \.timers)
        self.laterTimer = self.clock.makeTimer { [weak self] in
            guard let self else { return }
            self.io.execute { _ in self.cancelLater().forEach { $0() } }
        }
        self.laterTimer?.set(self.clock.now + .milliseconds(20))
    }

    @discardableResult
    func cancelLater() -> [@Sendable () -> Void] {
        guard let timer = self.laterTimer else { return [] }
        timer.cancel()
        self.laterTimer = nil
        self.accounts.add(-1, \.timers)
        defer { self.laterJobs = [] }
        return self.laterJobs
    }

    // MARK: Signals

    func signalAll(_ signal: Int32) {
        if let guardProcess = self.guardProcess {
            var command = UInt8(signal == SIGKILL ? MCP_GUARD_KILL : MCP_GUARD_TERMINATE)
            _ = mcp_send(guardProcess.control, &command, 1)
            self.wakeKeeper()
        } else if self.isUnreaped {
            ProcessGroup.signal(self.process.pid, signal)
        }
        for other in self.others.keys { other.signal(signal) }
    }

    /// The guard has been told, and a second later it has still not done it: it is stopped, or kept from its work (T17). While it lives,
    /// all of its server is below it, so from now on whatever is there gets SIGKILL from here, and the guard is told and woken, again and
    /// again. That nothing is left is for the guard alone to say: a look that finds nobody may have missed who was just forking (T19).
    func killDirectly() {
        guard let guardProcess = self.guardProcess, !self.machine.isEnded else { return }
        self.signalAll(SIGKILL)
        guard let guardian = ProcessIdentity(of: guardProcess.pid) else { return self.again { self.killDirectly() } }
        var query = self.query()
        query.roots = [guardian]
        query.except = guardian.pid
        ProcessSearch.shared.find(query) { found in
            for process in found ?? [] { process.signal(SIGKILL) }
            self.io.execute { _ in
                self.noteDescendants(found ?? [])
                self.again { self.killDirectly() }
            }
        }
    }

    func lookWhetherStuck() {
        var left = Array(self.others.keys)
        if !self.hasEnded, let server = self.server { left.append(server) }
        if let stuck = left.first(where: \.isUninterruptible), left.allSatisfy({ $0.isUninterruptible || !$0.isAlive })
        {
            self.end.doubt = "process \(stuck.pid) sleeps in the kernel (state D), where SIGKILL does not reach it"
            self.perform(self.machine.isStuck())
        }
    }

    // MARK: What the server has left

    private func query() -> ProcessSearch.Query {
        var query = ProcessSearch.Query(
            launchToken: self.process.launchToken,
            process: self.process.pid,
            includesGroup: self.isUnreaped,
            keepsDaemons: self.options.keepsDaemons
        )
        if self.process.guardProcess != nil, let server = self.server { query.roots = [server] }
        return query
    }

    /// What runs of it now, for whoever wants to know.
    func find(_ tell: @escaping @Sendable ([Int32]) -> Void) {
        let guardian = self.guardProcess?.pid
        ProcessSearch.shared.find(self.query()) { found in tell((found ?? []).map(\.pid).filter { $0 != guardian }) }
    }

    func search() {
        if self.guardProcess != nil {
            // The guard has named them all before it told of the end.
            return self.perform(
                self.machine.found(self.processEnd.descendantsEnded.isEmpty ? .guardProcess : .descendants)
            )
        }
        self.look { found in
            self.perform(self.machine.found(found.isEmpty ? .nobody : .descendants))
            guard !self.machine.isEnded else { return }
            self.watchOthers(found)
            if self.process.guardProcess != nil { self.perform(self.machine.close(.immediate, hasUnsent: false)) }
        }
    }

    /// Looks for what the server has left; again and again where the system does not tell, because that is no proof of anything.
    private func look(_ told: @escaping @Sendable ([ProcessIdentity]) -> Void) {
        ProcessSearch.shared.find(self.query()) { found in
            self.io.execute { _ in
                guard !self.machine.isEnded else { return }
                self.isBlind = found == nil
                if let found { told(found) } else { self.again { self.look(told) } }
            }
        }
    }

    private func noteDescendants(_ processes: [ProcessIdentity]) {
        let known = Set(self.processEnd.descendantsEnded)
        for process in processes where process.pid != self.process.pid && !known.contains(process.pid) {
            self.processEnd.descendantsEnded.append(process.pid)
        }
    }

    private func watchOthers(_ processes: [ProcessIdentity]) {
        self.noteDescendants(processes)
        for process in processes where self.others[process] == nil {
            do throws(SystemFailure) {
                let watch = try self.io.watchExit(of: process.pid, isChild: false) { [weak self] _ in
                    self?.otherEnded(process)
                }
                // Between looking and watching its number may have passed on to somebody else, who may live for ever.
                guard process.isAlive else {
                    self.io.unwatch(watch)
                    continue
                }
                if watch.descriptor >= 0 { self.accounts.add(1, \.descriptors) }
                self.others[process] = .some(watch)
            } catch {
                // Gone already, or nothing to watch it with: then it is looked at again after a while.
                if error.code != ESRCH { self.others[process] = .some(nil) }
            }
        }
        // Without its guard nothing of it is given time.
        let signal = self.machine.isKilling || self.process.guardProcess != nil ? SIGKILL : SIGTERM
        for process in processes { process.signal(signal) }
        if self.others.isEmpty { return self.sweep() }
        if self.others.values.contains(where: { $0 == nil }) { self.again { self.lookAtUnwatched() } }
    }

    /// Where the system has no descriptor for a process that is not our child (T22), its end is seen by looking.
    private func lookAtUnwatched() {
        for (process, watch) in self.others where watch == nil && !process.isAlive { self.otherEnded(process) }
        if self.others.values.contains(where: { $0 == nil }) { self.again { self.lookAtUnwatched() } }
    }

    private func otherEnded(_ process: ProcessIdentity) {
        guard let watch = self.others.removeValue(forKey: process) else { return }
        if let watch { self.unwatch(watch) }
        process.reap()
        if self.others.isEmpty { self.sweep() }
    }

    /// All that were seen are gone; look once more, they may have had children.
    private func sweep() {
        guard !self.machine.isEnded, self.guardProcess == nil else { return }
        self.look { found in
            let more = found.filter { self.others[$0] == nil }
            if more.isEmpty, self.others.isEmpty { return self.perform(self.machine.othersEnded()) }
            if !more.isEmpty { self.watchOthers(more) }
        }
    }

    // MARK: What is left when everything has been tried

    /// Says what is still there, and hands what is our child to somebody who reaps it whenever it ends (T25).
    func giveUpRest() {
        LiveGroups.shared.remove(self.process)
        if self.isUnreaped, self.hasEnded {
            var status: Int32 = 0
            while waitpid(self.process.pid, &status, 0) < 0, errno == EINTR {}
            self.isUnreaped = false
        }
        if self.machine.isAbandoned { self.noteRest() }
        // Whoever is in a group of that number now may be of this server, or of somebody else who has got the number since.
        if self.isGroupUnknown, self.end.doubt == nil, kill(-self.process.pid, 0) == 0 || errno != ESRCH {
            self.end.doubt =
                "its exit status went to somebody else in this program, and there are processes in a group of its number"
        }
        if self.guardProcess != nil || self.isUnreaped {
            let (child, launchToken, endedLate) = (self.process.child, self.process.launchToken, self.endedLate)
            let what = self.guardProcess == nil ? "the server's process" : "the server's mcp-guard"
            var query = self.query()
            query.includesGroup = false
            let isKept = self.guardProcess != nil
            Custodian.take(child) { [query] status in
                ProcessSearch.shared.find(query) { left in
                    // A guard that was killed cannot say any more what its server had detached (T18).
                    let isClear = left?.isEmpty == true && (!isKept || status == 0)
                    if isClear { ProcessJournal.shared.ended(launchToken) }
                    endedLate("\(what) \(child) ended after it had been given up", isClear)
                }
            }
        }
        self.releaseKeeper()
        self.leaveExitWatch()
        for watch in self.others.values { if let watch { self.unwatch(watch) } }
        self.others = [:]
    }

    private func noteRest() {
        var left = self.others.keys.filter(\.isAlive).map(\.pid)
        if let guardProcess = self.guardProcess {
            let below = ProcessIdentity(of: guardProcess.pid)?.descendants
            if below == nil { self.isBlind = true }
            left += [guardProcess.pid] + (below ?? []).map(\.pid).filter { !left.contains($0) }
        } else if self.isUnreaped {
            left.append(self.process.pid)
        }
        self.processEnd.processesLeft = left
        if self.end.doubt == nil {
            self.end.doubt =
                self.isBlind
                ? "the list of processes could not be read to its end: no descriptors are left, or somebody forks all the time"
                : left.isEmpty
                    ? "the search for what it left was not over in time"
                    : "still there \(self.options.reapGrace) after SIGKILL"
        }
    }
}
