import Dispatch
import MCPJSON
public import MCPTransport
import MCPTypes
import Testing

/// What every transport has to do, whoever made it: the promises of `Transport` and `TransportReceiver`, one after the other.
///
/// The other end of each transport that is made sends back what it gets, message by message, and ends after one with the method `bye`.
public struct TransportConformance: Sendable {
    /// Makes a transport to such an end.
    private let make: @Sendable (TransportContext) -> any Transport
    private let name: String

    /// - Parameters:
    ///   - name: what failures call it.
    ///   - make: makes a fresh transport, whose other end echoes.
    public init(_ name: String, make: @escaping @Sendable (TransportContext) -> any Transport) {
        self.name = name
        self.make = make
    }

    /// All of them.
    public func check() async throws {
        try await self.checkOneAtATime()
        try await self.checkOrder()
        try await self.checkThreads()
        try await self.checkSizes()
        for isAtOnce in [false, true] { try await self.checkBackPressure(isAtOnce: isAtOnce) }
        try await self.checkClosing()
        try await self.checkEarlyClose()
        try await self.checkEndOfPeer()
        try await self.checkCancellation()
    }

    // MARK: One promise each

    /// Its receiver is told one thing at a time: nothing while it is still being told of the opening, no end while a message is.
    private func checkOneAtATime() async throws {
        try await self.run(Listener(dawdles: true)) { transport, receiver in
            for number in 1...2 {
                // By somebody else: in memory, who sends is also who hands over the answer, once the one who opened has come back. It is
                // closed while that one is still busy.
                await receiver.wait(for: "the return of whoever told it") { $0.returned == number }
                DispatchQueue.global().async { try? transport.send(Self.message(number)) }
                await receiver.wait(forMessages: number)
            }
        }
    }

    /// It opens once, before anything arrives; messages arrive whole, once, in the order in which they were sent.
    private func checkOrder() async throws {
        try await self.run { transport, receiver in
            for number in 0..<500 { try await Self.send(Self.message(number), transport, receiver) }
            await receiver.wait(forMessages: 500)
            #expect(receiver.value.messages == (0..<500).map { Self.text($0) }, "\(self.name): order")
            #expect(receiver.value.opened == 1 && !receiver.value.wasEarly, "\(self.name): opened once, and first")
        }
    }

    /// Any thread may send; no message tears another.
    private func checkThreads() async throws {
        try await self.run { transport, receiver in
            await withTaskGroup(of: Void.self) { group in
                for sender in 0..<8 {
                    group.addTask {
                        for number in 0..<30 {
                            let message = Self.message(sender * 1000 + number, size: 2000)
                            do { try await Self.send(message, transport, receiver) } catch {
                                Issue.record("\(self.name): \(error)")
                            }
                        }
                    }
                }
            }
            await receiver.wait(forMessages: 240)
            let numbers = receiver.value.messages.compactMap(Self.number(of:))
            for sender in 0..<8 {
                #expect(
                    numbers.filter { $0 / 1000 == sender } == (0..<30).map { sender * 1000 + $0 },
                    "\(self.name): what one sends stays in order"
                )
            }
        }
    }

    /// Messages of a few bytes and of some megabytes.
    private func checkSizes() async throws {
        try await self.run { transport, receiver in
            for (place, size) in [0, 1, 65_535, 65_536, 3_000_000].enumerated() {
                try transport.send(Self.message(place, size: size))
                await receiver.wait(forMessages: place + 1)
                #expect(receiver.value.messages.last == Self.text(place, size: size), "\(size) bytes")
            }
        }
    }

    /// While it is not to deliver, nothing arrives that was not on its way; a full queue says busy and later that there is room; nothing is
    /// lost, and nothing comes twice.
    /// - Parameter isAtOnce: it is told so while it tells that it is open.
    private func checkBackPressure(isAtOnce: Bool) async throws {
        try await self.run(Listener(stopsAtOnce: isAtOnce)) { transport, receiver in
            if !isAtOnce { transport.setReceiving(false) }
            var sent = 0
            var refusal: MCPError?
            while refusal == nil, sent < 20_000 {
                do throws(MCPError) {
                    try transport.send(Self.message(sent, size: 60_000))
                    sent += 1
                } catch {
                    refusal = error
                }
            }
            #expect(refusal?.code == .busy, "\(self.name): \(String(describing: refusal)) after \(sent)")
            transport.setReceiving(true)
            await receiver.wait(for: "room after busy") { $0.drained > 0 }
            await receiver.wait(forMessages: sent)
            try transport.send(Self.message(sent))
            await receiver.wait(forMessages: sent + 1)
            #expect(
                receiver.value.messages.compactMap(Self.number(of:)) == Array(0...sent),
                "\(self.name): lost or twice"
            )
        }
    }

    /// Closing may be asked for from anywhere, any number of times; afterwards nothing can be sent, and nothing arrives.
    private func checkClosing() async throws {
        for mode in [TeardownMode.graceful, .immediate] {
            try await self.run { transport, receiver in
                try transport.send(Self.message(1))
                await receiver.wait(forMessages: 1)
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<8 { group.addTask { transport.close(mode) } }
                }
                await receiver.wait(for: "the break") { $0.broken != nil }
                let code = Self.refusal { () throws(MCPError) in try transport.send(Self.message(2)) }
                #expect(code == .connectionLost || code == .hostClosed, "\(self.name): sent after the end")
                transport.close(.immediate)
            }
        }
    }

    /// Closed before it is run, or while it opens.
    private func checkEarlyClose() async throws {
        for isBefore in [true, false] {
            let accounts = ResourceAccounts()
            let transport = self.make(TransportContext(server: self.name, accounts: accounts))
            let receiver = Listener()
            if isBefore { transport.close(.graceful) }
            async let end = transport.run(receiver)
            transport.close(.immediate)
            _ = await end
            #expect(receiver.value.breaks == 1, "\(self.name): told of the end \(receiver.value.breaks) times")
            #expect(accounts.snapshot.isEmpty, "\(self.name): still open: \(accounts.snapshot)")
        }
    }

    /// The other end goes away: what it sent before arrives, and then the break.
    private func checkEndOfPeer() async throws {
        try await self.run { transport, receiver in
            try transport.send(Self.message(1))
            let bye = OutgoingMessage(#"{"jsonrpc":"2.0","method":"bye"}"#, kind: .notification, method: "bye")
            try transport.send(bye)
            await receiver.wait(for: "the break") { $0.broken != nil }
            #expect(
                receiver.value.broken?.code == .connectionLost,
                "\(self.name): \(String(describing: receiver.value.broken))"
            )
            #expect(receiver.value.messages.first == Self.text(1))
        }
    }

    /// Giving up a request hurts nothing else: the next one is answered, and the connection stays.
    private func checkCancellation() async throws {
        try await self.run { transport, receiver in
            try transport.send(Self.message(1))
            let payload: RawJSON = #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
            let notification = OutgoingMessage(payload, kind: .notification, method: "notifications/cancelled")
            try transport.cancel(.integer(1), notification)
            try transport.send(Self.message(2))
            await receiver.wait(for: "the answer to the next one") { $0.messages.contains(Self.text(2)) }
            #expect(
                receiver.value.broken == nil && !receiver.value.failed.contains(.integer(2)),
                "\(self.name): cancel"
            )
        }
    }

    // MARK: -

    private func run(
        _ receiver: Listener = Listener(),
        _ body: @escaping @Sendable (any Transport, Listener) async throws -> Void
    ) async throws {
        let accounts = ResourceAccounts()
        let transport = self.make(TransportContext(server: self.name, accounts: accounts))
        receiver.transport.withLock { $0 = transport }
        async let end = transport.run(receiver)
        await receiver.wait(for: "the opening") { $0.opened > 0 || $0.broken != nil }
        let result: Result<Void, any Error>
        do { result = .success(try await body(transport, receiver)) } catch { result = .failure(error) }
        transport.close(.immediate)
        let ended = await end
        receiver.transport.withLock { $0 = nil }
        let state = receiver.value
        #expect(state.breaks == 1, "\(self.name): told of the end \(state.breaks) times")
        #expect(!state.wasLate, "\(self.name): something came after the end")
        #expect(!state.overlapped, "\(self.name): two calls to the receiver at once")
        #expect(ended.launchError == nil && ended.isProved, "\(self.name): \(ended)")
        #expect(accounts.snapshot.isEmpty, "\(self.name): still open: \(accounts.snapshot)")
        try result.get()
    }

    /// Sends it as soon as there is room.
    private static func send(_ message: OutgoingMessage, _ transport: any Transport, _ receiver: Listener) async throws
    {
        while true {
            let drained = receiver.value.drained
            do throws(MCPError) { return try transport.send(message) } catch {
                guard error.code == .busy else { throw error }
            }
            await receiver.wait(for: "room after busy") { $0.drained > drained || $0.broken != nil }
        }
    }

    private static func message(_ number: Int, size: Int = 10) -> OutgoingMessage {
        let text =
            #"{"jsonrpc":"2.0","id":\#(number),"method":"echo","params":"\#(String(repeating: "x", count: size))"}"#
        return OutgoingMessage(RawJSON(copying: text), kind: .request(.integer(Int64(number))), method: "echo")
    }

    private static func text(_ number: Int, size: Int = 10) -> String {
        self.message(number, size: size).payload.description
    }

    private static func number(of message: String) -> Int? {
        message.split(separator: ",", maxSplits: 2).dropFirst().first.flatMap { Int($0.drop { !$0.isNumber }) }
    }

    private static func refusal(_ body: () throws(MCPError) -> Void) -> MCPError.Code? {
        do throws(MCPError) { try body() } catch { return error.code }
        return nil
    }

    /// Keeps what it is told, and whether that broke a rule.
    private final class Listener: TransportReceiver {
        struct State: Sendable {
            var opened = 0
            var messages: [String] = []
            var drained = 0
            var failed: [JSONRPCRequestID] = []
            var broken: MCPError?
            var breaks = 0
            var wasEarly = false
            var wasLate = false
            var overlapped = false
            var returned = 0
        }

        private let state = Watched(State())
        private let isBeingTold = Locked(false)
        private let dawdles: Bool
        private let interruption = DispatchSemaphore(value: 0)

        private let stopsAtOnce: Bool
        /// The one that it listens to.
        let transport = Locked<(any Transport)?>(nil)

        /// - Parameters:
        ///   - dawdles: it takes its time with each thing, so that the next one comes meanwhile if it can.
        ///   - stopsAtOnce: it stops the delivery as soon as it hears of the opening.
        init(dawdles: Bool = false, stopsAtOnce: Bool = false) {
            (self.dawdles, self.stopsAtOnce) = (dawdles, stopsAtOnce)
        }

        var value: State { self.state.value }

        func wait(for what: String, until holds: @escaping @Sendable (State) -> Bool) async {
            await self.state.wait(for: what, until: holds)
        }

        func wait(forMessages count: Int) async {
            await self.wait(for: "\(count) messages") { $0.messages.count >= count || $0.broken != nil }
        }

        private func tell(_ body: (inout State) -> Void) {
            let overlaps = self.isBeingTold.withLock { told in
                defer { told = true }
                return told
            }
            self.state.withLock { state in
                state.overlapped = state.overlapped || overlaps
                state.wasLate = state.wasLate || state.broken != nil
                body(&state)
            }
            if overlaps { self.interruption.signal() }
            if self.dawdles { _ = self.interruption.wait(timeout: .now() + .milliseconds(300)) }
            self.isBeingTold.withLock { $0 = false }
            self.state.withLock { $0.returned += 1 }
        }

        func transportDidOpen() {
            if self.stopsAtOnce { self.transport.withLock { $0 }?.setReceiving(false) }
            self.tell { $0.opened += 1 }
        }
        func transportDidReceive(_ message: RawJSON, from stream: MessageStream) {
            let text = message.description
            self.tell { state in
                state.wasEarly = state.wasEarly || state.opened == 0
                state.messages.append(text)
            }
        }
        func transportDidFail(_ request: JSONRPCRequestID, _ error: MCPError, wasSent: Bool) {
            self.tell { $0.failed.append(request) }
        }
        func transportDidDropOversized(start: RawJSON, size: Int, limit: Int, from stream: MessageStream) {
            Issue.record("\(size) bytes are too many for this transport, which takes \(limit)")
        }
        func transportDidDrain() { self.tell { $0.drained += 1 } }
        func transportDidBreak(_ error: MCPError) {
            self.tell { state in
                state.breaks += 1
                state.broken = error
            }
        }
    }
}
