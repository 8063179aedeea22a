import CMCPProcess
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Conversations that come to nothing, and what can be told of them. On the I/O thread, like the rest of `ServerProcess`.
extension ServerProcess {
    /// The conversation makes no sense any more: tell the waiting calls now, end the process step by step.
    func fail(_ error: MCPError) {
        self.breakOff(error)
        self.close(.graceful)
    }

    func breakOff(_ error: MCPError) {
        guard !self.isBroken else { return }
        self.isBroken = true
        self.output.isMuted = true
        var error = error
        let tail = self.output.lastWords
        if !tail.isEmpty { error.message += "\nlast lines of its standard error:\n" + tail }
        error.lastLine = tail.split(separator: "\n").last { !$0.allSatisfy(\.isWhitespace) }.map(String.init)
        error.exitStatus = self.processEnd.exitStatus
        self.receiver.transportDidBreak(error)
    }

    /// Its end is asked for before it has said anything: whether it was working or waiting says what to do about that (U8).
    func noteWork() {
        guard !self.hasEnded, !self.output.hasMessages, self.processEnd.processorTime == nil else { return }
        var list: UnsafeMutablePointer<mcp_process>?
        let count = mcp_process_descendants(self.process.pid, &list, nil)
        defer { free(list) }
        let pids = [self.process.pid] + UnsafeBufferPointer(start: list, count: max(0, count)).map(\.pid)
        let times = pids.map { mcp_process_worked($0) }.filter { $0 >= 0 }
        if !times.isEmpty { self.processEnd.processorTime = .microseconds(times.reduce(0, +)) }
    }
}
