package import MCPJSON
package import MCPTransport
import MCPTypes
import Synchronization

/// What the transport of a session talks to: gives each message to the part that it is for, an answer unread.
package final class SessionReceiver: TransportReceiver {
    private let channel: RequestChannel
    private let requests: ServerRequests
    private let subscriptions: SubscriptionKeeper
    private let tasks: TaskFollower
    private let hub: ServerEventHub
    private let heard = Atomic(false)

    init(
        _ channel: RequestChannel,
        _ requests: ServerRequests,
        _ subscriptions: SubscriptionKeeper,
        _ tasks: TaskFollower,
        _ hub: ServerEventHub
    ) {
        self.channel = channel
        self.requests = requests
        self.subscriptions = subscriptions
        self.tasks = tasks
        self.hub = hub
    }

    /// The server has said something.
    var hasHeard: Bool { self.heard.load(ordering: .relaxed) }

    package func transportDidOpen() { self.channel.opened() }

    package func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
        if message.withUnsafeBytes({ $0.first == UInt8(ascii: "[") }) { return self.receiveBatch(message, stream) }
        do throws(Envelope.Malformed) {
            let envelope = try Envelope(scanning: message, isStrict: self.channel.context.configuration.readsStrictly)
            if envelope.lacksVersion { self.noteMissingVersion() }
            if !self.heard.load(ordering: .relaxed) { self.heard.store(true, ordering: .relaxed) }
            switch envelope.kind {
            case .result(let id):
                if !self.channel.answer(id, .result(envelope.payload)), self.channel.wasGivenUp(id),
                    let result = envelope.payload
                {
                    self.tasks.cameLate(result)
                }
            case .error(let id?): self.channel.answer(id, .error(envelope.payload))
            case .error(nil):
                // About a message that the server could not read. Where only one is out, it is that (V15); else it belongs to nobody.
                self.channel.answerProbe(.error(envelope.payload))
            case .request(let id, let method): self.requests.received(id, method, envelope.payload, on: stream)
            case .notification(let method): self.notified(method, envelope.payload)
            }
        } catch {
            guard error.isAnswer, let id = error.id else {
                // Without its id, which may be as long as a message.
                let reason = error.reason
                return self.channel.noteStray { "a message that is none: \(reason)" }
            }
            self.channel.answer(
                id,
                .failure(MCPError(.badResponse, "the server's answer is malformed: \(error.reason)"))
            )
        }
    }

    /// What it means is clear, and it is told once.
    private func noteMissingVersion() {
        let problem = JSONProblem(path: "jsonrpc", message: "is missing", remedy: .standard)
        self.channel.context.problems.note("requests", [problem])
    }

    /// A batch, which one old revision allows (C20): each element counts.
    private func receiveBatch(_ batch: RawJSON, _ stream: MessageStream) {
        guard let messages = try? batch.decode([RawJSON].self) else { return }
        for message in messages where message.withUnsafeBytes({ $0.first == UInt8(ascii: "{") }) {
            self.transportDidReceive(message, from: stream)
        }
    }

    private func notified(_ method: String, _ params: RawJSON?) {
        switch NotificationMethod(rawValue: method) {
        case .progress:
            let read: ProgressNotificationParams? = self.channel.context.read(params, of: .progress)
            guard let params, let progress = read, let token = Self.number(of: progress.progressToken) else { return }
            let handler =
                self.channel.progressed(token, progress.progress) ?? self.tasks.progressHandler(for: token)
            handler?.tell(progress, params)
        case .cancelled:
            let read: CancelledNotificationParams? = self.channel.context.read(params, of: .cancelled)
            guard let id = read?.requestId else { return }
            // A legacy server wants no answer any more, or a modern one ends a subscription (`CAN-08`, `SUB-06`).
            self.requests.cancelled(id)
            self.subscriptions.cancelled(id)
        case .subscriptionsAcknowledged: self.subscriptions.acknowledged(params)
        case .toolsListChanged, .promptsListChanged, .resourcesListChanged, .resourcesUpdated, .tasks:
            guard self.channel.readiness.isModern else { return self.hub.notified(method, params) }
            // Nothing of a subscription that has been closed, or that never was.
            guard let listening = self.subscriptions.listening(for: params), listening.allows(method, params) else {
                return self.hub.drop()
            }
            self.hub.notified(method, params, reader: listening.reader)
        default: self.hub.notified(method, params)
        }
    }

    /// A token that comes back as a string of the same digits is the number that was sent, as with ids (V9, F5).
    private static func number(of token: ProgressToken) -> Int64? {
        switch token {
        case .integer(let number): number
        case .string(let text): Int64(text).flatMap { String($0).utf8.elementsEqual(text.utf8) ? $0 : nil }
        }
    }

    package func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
        self.channel.failed(request, error, wasSent: wasSent)
    }

    /// A message was too large: the request that it answers fails, the others go on (C6); a request is refused.
    package func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {
        if start.withUnsafeBytes({ $0.first == UInt8(ascii: "[") }) {
            for element in (try? start.decode([RawJSON].self)) ?? [] {
                self.transportDidDropOversized(start: element, size: size, limit: limit, from: stream)
            }
            return
        }
        let problem = "has \(size) bytes, more than the limit of \(limit)"
        if let id = Envelope.id(inStart: start) {
            self.channel.answer(id, .failure(MCPError(.messageTooLarge, "the answer \(problem)")))
            return
        }
        if let envelope = try? Envelope(scanning: start), case .request(let id, _) = envelope.kind {
            self.requests.refuse(id, "the request \(problem)", on: stream)
        }
    }

    package func transportDidReceiveStray(_ line: @escaping @Sendable () -> String) { self.channel.noteStray(line) }
    package func transportDidDrain() { self.channel.drained() }
    package func transportDidBreak(_ error: MCPError) { self.channel.fail(error) }
}
