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

    private let input: Int32
    let writer: LineWriter
    let hosts: ControlledHosts
    private let requests = InboundRequests(limit: maximumRequests)
    private let questions = Locked(Questions())

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

    struct Request: Sendable {
        var id: JSONRPCRequestID
        var method: String
        var params: RawJSON?
        /// Completed when the client wants no answer any more.
        var cancelled: OneShot<Void>
    }

    /// Talks to a client over two descriptors, which stay open.
    /// - Parameters:
    ///   - input: where the client writes.
    ///   - output: where it reads.
    ///   - shared: hosts that all clients may use, by their ids; they are not closed with the client.
    public init(input: Int32, output: Int32, shared: [String: MCPHost] = [:]) {
        self.input = input
        self.writer = LineWriter(input: input, output: output)
        self.hosts = ControlledHosts(shared: shared)
    }

    /// Serves the client until its input ends, nobody reads the answers any more, or the calling task is cancelled; returns when everything it had
    /// opened is closed.
    /// - Returns: how that went; nil where no host was left to close.
    /// - Throws: `launchFailed` where there is no thread for it.
    @discardableResult
    public func run() async throws(MCPError) -> [String: TeardownReport] {
        let (requests, continuation) = AsyncStream<Request>.makeStream(bufferingPolicy: .unbounded)
        self.writer.over.whenComplete { continuation.finish() }
        guard self.writer.start() == 0, SmallThread.start({ self.read(continuation) }) == 0 else {
            throw MCPError(.launchFailed, "there is no thread for a client of the control channel")
        }
        let reports = await withDiscardingTaskGroup { group in
            for await request in requests {
                group.addTask(name: "control: \(request.method)") { await self.perform(request) }
            }
            // Nobody answers any more; what runs may come to its end within the time that its host gives it.
            self.endQuestions()
            let reports = await self.hosts.close(cause: "the client has ended its input")
            self.requests.end()
            return reports
        }
        self.writer.finish()
        await self.writer.over.wait()
        return reports
    }

    // MARK: What comes

    /// Reads to the end, on a thread of its own.
    private func read(_ requests: AsyncStream<Request>.Continuation) {
        var framer = LineFramer(limit: Self.maximumMessageSize)
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            self.writer.waitForRoom()
            let count = chunk.withUnsafeMutableBytes { systemRead(self.input, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            chunk.withUnsafeBytes { bytes in
                framer.append(UnsafeRawBufferPointer(rebasing: bytes[..<count])) { frame in
                    switch frame {
                    case .message(let message): self.take(message, requests)
                    case .stray(_, let size): self.refuse(nil, .noMessage("a line of \(size) bytes is no JSON object"))
                    case .oversized(let start, let size):
                        let why = "a message of \(size) bytes exceeds the limit of \(Self.maximumMessageSize) bytes"
                        self.refuse(Self.id(inStart: start), .invalidRequest(why))
                    }
                }
            }
        }
        self.endQuestions()
        requests.finish()
    }

    private static func id(inStart start: RawJSON) -> JSONRPCRequestID? {
        guard case .request(let id, _)? = (try? Envelope(scanning: start))?.kind else { return nil }
        return id
    }

    private func take(_ message: RawJSON, _ requests: AsyncStream<Request>.Continuation) {
        let envelope: Envelope
        do throws(Envelope.Malformed) { envelope = try Envelope(scanning: message, isStrict: true) } catch {
            return self.refuse(error.isAnswer ? nil : error.id, .invalidRequest(error.reason))
        }
        switch envelope.kind {
        case .request(let id, let method):
            switch self.requests.admit(id) {
            case .begin(let cancelled):
                let request = Request(id: id, method: method, params: envelope.payload, cancelled: cancelled)
                requests.yield(request)
            case .refuse(let why): self.refuse(id, ControlError(MCPError(.busy, why)))
            }
        case .notification("cancel"):
            if let id = (try? envelope.payload?.decode(JSONObject.self))?["id"] { self.cancel(id) }
        case .notification: break
        case .result(let id): self.answered(id, .result(envelope.payload ?? [:]))
        case .error(let id?): self.answered(id, .error(envelope.payload ?? [:]))
        case .error(nil): break
        }
    }

    private func cancel(_ id: JSONValue) {
        if let number = id.int64 { self.requests.cancel(.integer(number)) }
        if let text = id.string { self.requests.cancel(.string(text)) }
    }

    private func refuse(_ id: JSONRPCRequestID?, _ error: ControlError) {
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
        switch outcome {
        case .success(let result)?: self.writer.write(ControlMessage.result(request.id, result))
        case .failure(let error)?: self.writer.write(ControlMessage.error(request.id, error))
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
            return .failure(ControlError(MCPError(.cancelled, "\(error)")))
        }
    }

    // MARK: What is asked of the client

    /// Asks the client for something that a server wants.
    /// - Throws: a rejection with the client's words, or that there is nobody any more.
    func ask(_ method: String, _ params: JSONObject) async throws -> RawJSON {
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

// The system's own, where a member of that name is in the way.
private func systemRead(_ descriptor: Int32, _ start: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, start, count)
}
