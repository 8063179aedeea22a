import CMCPProcess
public import MCPHost
import MCPJSON
import MCPSession
public import MCPTransport
import MCPTypes

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One client of the control channel: a program that wants hosts opened, used and closed, and says so in JSON-RPC 2.0, a line for each message
/// (docs/control.md).
///
/// What a client has opened is its own: it ends with the end of its input, be it because the client has closed it or because the client is gone.
public final class ControlConnection: Sendable {
    /// Requests of one client that are worked on at once; beyond that `busy`.
    static let maximumRequests = 1024
    /// Bytes of one message of a client.
    static let maximumMessageSize = 64 << 20
    /// Bytes of all requests of one client that are worked on; one alone may have more.
    static let maximumHeld = 128 << 20

    private let input: Int32
    private let ending: Ending
    let writer: LineWriter
    let hosts: ControlledHosts
    private let requests = InboundRequests(limit: maximumRequests)
    private let questions = Locked(Questions())
    private let held = Locked(0)
    private let watched = Locked<Int32?>(nil)
    /// What is to be done beside answering.
    private let jobs: (stream: AsyncStream<Job>, continuation: AsyncStream<Job>.Continuation)
    /// Nobody reads from the client any more.
    private let hasRead = OneShot<Void>()

    private struct Questions {
        var last: Int64 = 0
        var open: [String: OneShot<Answer>] = [:]
        var isOver = false
    }

    enum Answer {
        case result(RawJSON)
        case error(RawJSON)
        /// The client has gone.
        case none
    }

    private enum Job: Sendable {
        case answer(Request)
        /// Nobody waits for its end.
        case close(ControlledHost)
    }

    struct Request: Sendable {
        var id: JSONRPCRequestID
        var method: String
        var params: RawJSON?
        /// Of the message.
        var size: Int
        /// Completed when the client wants no answer any more.
        var cancelled: OneShot<Void>
    }

    /// Talks to a client over two descriptors, which stay open.
    /// - Parameters:
    ///   - input: where the client writes.
    ///   - output: where it reads.
    ///   - shared: hosts that all clients may use, by their ids; they are not closed with the client.
    /// - Throws: `launchFailed` where no descriptors are left.
    public convenience init(input: Int32, output: Int32, shared: [String: MCPHost] = [:]) throws(MCPError) {
        try self.init(input: input, output: output, shared: shared, maximumHosts: ControlledHosts.maximum)
    }

    /// The same for a client that may start so many hosts at once.
    package init(input: Int32, output: Int32, shared: [String: MCPHost], maximumHosts: Int) throws(MCPError) {
        self.input = input
        self.ending = try Ending()
        self.writer = try LineWriter(output: output, ending: self.ending)
        self.hosts = ControlledHosts(shared: shared, maximum: maximumHosts)
        self.jobs = AsyncStream<Job>.makeStream(bufferingPolicy: .unbounded)
    }

    /// Ends it, as the end of the client's input does: nothing more is read, what runs may come to its end, what was opened is closed. From anywhere,
    /// any number of times.
    /// - Parameter isNow: what is open gets no time to end.
    public func end(now isNow: Bool = false) {
        self.ending.begin()
        if isNow { self.hosts.endNow() }
    }

    /// Serves the client until its input ends, nobody reads the answers any more, or somebody asks for the end; returns when everything it had
    /// opened is closed.
    /// - Returns: of the hosts that it had, those of which something may be left.
    /// - Throws: `launchFailed` where there is no thread for it.
    @discardableResult
    public func run() async throws(MCPError) -> [TeardownReport] {
        self.writer.over.whenComplete { self.ending.begin() }
        guard self.writer.start(), SmallThread.start({ self.read() }) == 0 else {
            self.writer.finish()
            throw MCPError(.launchFailed, "there is no thread for a client of the control channel")
        }
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                for await job in self.jobs.stream {
                    switch job {
                    case .answer(let request):
                        group.addTask(name: "control: \(request.method)") { await self.perform(request) }
                    case .close(let host): group.addTask { await self.hosts.close(host) }
                    }
                }
                // Nobody answers any more; what runs may come to its end within the time that its host gives it.
                await self.hosts.close(cause: "the client has ended its input")
                self.requests.end()
            }
        } onCancel: {
            self.ending.begin()
        }
        await self.hasRead.wait()
        self.writer.finish()
        await self.writer.over.wait()
        return self.hosts.unclean
    }

    /// Ends it also when a process ends, of which a child may have the input open: one for each client.
    /// - Returns: whether that can be seen here; where not, the end of the input has to do.
    func watch(_ pid: Int32) -> Bool {
        self.watched.withLock { watched in
            if let watched { return watched == pid }
            let descriptor = mcp_pidfd_watch(pid)
            if descriptor < 0 {
                let isGone = errno == ESRCH
                if isGone { self.ending.begin() }
                return isGone
            }
            let failure = SmallThread.start { [ending = self.ending] in
                if Readiness.wait(for: descriptor, POLLIN, ending) == .ready { ending.begin() }
                mcp_close(descriptor)
            }
            if failure != 0 { mcp_close(descriptor) } else { watched = pid }
            return failure == 0
        }
    }

    /// Sees to the end of a host for which nobody waits.
    func closeLater(_ host: ControlledHost) { self.jobs.continuation.yield(.close(host)) }

    // MARK: What comes

    /// Reads to the end, on a thread of its own.
    private func read() {
        var framer = LineFramer(limit: Self.maximumMessageSize)
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            self.writer.waitForRoom(self.input)
            guard Readiness.wait(for: self.input, POLLIN, self.ending) == .ready else { break }
            let count = chunk.withUnsafeMutableBytes { systemRead(self.input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { break }
            chunk.withUnsafeBytes { bytes in
                framer.append(UnsafeRawBufferPointer(rebasing: bytes[..<count])) { self.take($0) }
            }
        }
        self.ending.begin()
        self.endQuestions()
        self.jobs.continuation.finish()
        self.hasRead.complete(())
    }

    private func take(_ frame: LineFramer.Frame) {
        switch frame {
        case .message(let message): self.take(message)
        case .stray(_, let size): self.refuse(nil, .noMessage("a line of \(size) bytes is no JSON object"))
        case .oversized(let start, let size):
            let why = "a message of \(size) bytes exceeds the limit of \(Self.maximumMessageSize) bytes"
            self.refuse(Self.id(inStart: start), .invalidRequest(why))
        }
    }

    private static func id(inStart start: RawJSON) -> JSONRPCRequestID? {
        guard case .request(let id, _)? = (try? Envelope(scanning: start))?.kind else { return nil }
        return id
    }

    private func take(_ message: RawJSON) {
        let envelope: Envelope
        do throws(Envelope.Malformed) { envelope = try Envelope(scanning: message, isStrict: true) } catch {
            return self.refuse(error.isAnswer ? nil : error.id, .invalidRequest(error.reason))
        }
        switch envelope.kind {
        case .request(let id, let method):
            let size = message.count
            guard self.hold(size) else {
                return self.refuse(
                    id,
                    ControlError(MCPError(.busy, "too much is under way: \(Self.maximumHeld) bytes"))
                )
            }
            switch self.requests.admit(id) {
            case .begin(let cancelled):
                let request = Request(
                    id: id,
                    method: method,
                    params: envelope.payload,
                    size: size,
                    cancelled: cancelled
                )
                if case .terminated = self.jobs.continuation.yield(.answer(request)) {
                    self.requests.left(id)
                    self.held.withLock { $0 -= size }
                    self.refuse(id, ControlError(MCPError(.hostClosed, "this is the end")))
                }
            case .refuse(let why):
                self.held.withLock { $0 -= size }
                self.refuse(id, ControlError(MCPError(.busy, why)))
            }
        case .notification("cancel"):
            // Not decoded: this thread has not the room for a value as deep as a client may make it.
            if let id = envelope.payload.flatMap({ Envelope.id(inStart: $0) }) { self.requests.cancel(id) }
        // Where a child of the client has the input open as well, its end does not come.
        case .notification("end"): self.ending.begin()
        case .notification: break
        case .result(let id): self.answered(id, .result(envelope.payload ?? [:]))
        case .error(let id?): self.answered(id, .error(envelope.payload ?? [:]))
        case .error(nil): break
        }
    }

    /// Whether there is room for one more request.
    private func hold(_ size: Int) -> Bool {
        self.held.withLock { held in
            if held > 0, held + size > Self.maximumHeld { return false }
            held += size
            return true
        }
    }

    /// - Parameter id: of the message that is refused. One that belongs to a request which is under way would end that for the client.
    private func refuse(_ id: JSONRPCRequestID?, _ error: ControlError) {
        var error = error
        var id = id
        if let known = id, self.requests.isRunning(known) {
            error.data["id"] = ControlDocument.value(known)
            id = nil
        }
        self.writer.write(ControlMessage.error(id, error))
    }

    // MARK: What is done

    private func perform(_ request: Request) async {
        let outcome = await withTaskGroup(of: Result<RawJSON, ControlError>?.self) { group in
            group.addTask { await self.outcome(of: request) }
            group.addTask {
                _ = await request.cancelled.waitUnlessCancelled()
                return nil
            }
            var outcome = await group.next() ?? nil
            group.cancelAll()
            // Who wants no answer any more gets that for an answer.
            if outcome == nil { outcome = await group.next() ?? nil }
            return outcome
        }
        self.requests.left(request.id)
        self.held.withLock { $0 -= request.size }
        switch outcome {
        case .success(let result)?: self.writer.write(ControlMessage.result(request.id, result))
        case .failure(let error)?:
            let isTakenBack = request.cancelled.isComplete
            let error = isTakenBack ? ControlError(MCPError(.cancelled, "the request was taken back")) : error
            self.writer.write(ControlMessage.error(request.id, error))
        case nil: break
        }
    }

    private func outcome(of request: Request) async -> Result<RawJSON, ControlError> {
        do {
            return .success(try await self.answer(request))
        } catch let error as ControlError {
            return .failure(error)
        } catch let error as MCPError {
            return .failure(ControlError(error))
        } catch {
            return .failure(
                ControlError(MCPError(error is CancellationError ? .cancelled : .init("failed"), "\(error)"))
            )
        }
    }

    // MARK: What is asked of the client

    /// Asks the client for something that a server wants.
    /// - Throws: a rejection with the client's words, or that there is nobody any more.
    func ask(_ method: String, _ params: JSONObject) async throws -> RawJSON {
        guard self.writer.hasRoom else { throw MCPError(.busy, "the client does not read what it is asked") }
        let answer = OneShot<Answer>()
        let id: String? = self.questions.withLock { questions in
            if questions.isOver { return nil }
            questions.last += 1
            questions.open["q\(questions.last)"] = answer
            return "q\(questions.last)"
        }
        guard let id else { throw Self.gone }
        self.writer.write(ControlMessage.request(.string(id), method, params))
        let outcome = await answer.waitUnlessCancelled()
        switch outcome {
        case .result(let result)?: return result
        case .error(let error)?: throw MCPError(.rejected, Self.words(error))
        case Answer.none?: throw Self.gone
        case nil:
            if self.questions.withLock({ $0.open.removeValue(forKey: id) }) != nil {
                self.writer.write(ControlMessage.notification("cancel", ["id": .string(id)]))
            }
            throw CancellationError()
        }
    }

    private static let gone = MCPError(.hostClosed, "the client of the control channel has gone")

    private static func words(_ error: RawJSON) -> String {
        error["message"]?.string ?? "the client has refused"
    }

    private func answered(_ id: JSONRPCRequestID, _ answer: Answer) {
        guard case .string(let id) = id else { return }
        self.questions.withLock { $0.open.removeValue(forKey: id) }?.complete(answer)
    }

    private func endQuestions() {
        let open = self.questions.withLock { questions in
            questions.isOver = true
            defer { questions.open = [:] }
            return Array(questions.open.values)
        }
        for question in open { question.complete(.none) }
    }
}
