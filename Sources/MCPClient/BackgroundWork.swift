import MCPSession
import MCPTransport

/// What runs beside a conversation: begun for it, and waited for at its end. And how long something waits there.
final class BackgroundWork: Sendable {
    private let context: SessionContext
    private let broken: OneShot<MCPError>
    private let running = Gathering()
    private let works: AsyncStream<@Sendable () async -> Void>
    private let work: AsyncStream<@Sendable () async -> Void>.Continuation

    /// - Parameter broken: completed when nothing will come any more.
    init(_ context: SessionContext, _ broken: OneShot<MCPError>) {
        self.context = context
        self.broken = broken
        (self.works, self.work) = AsyncStream.makeStream()
    }

    /// Runs what is begun, until ``finish()``; for one task of the session.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await work in self.works { group.addTask { await work() } }
        }
    }

    /// Nothing is begun any more.
    func finish() { self.work.finish() }

    /// Waits for those that run elsewhere. Handlers of the user end when they like: nobody can make them, and nobody waits for long.
    func waitForEnd() async {
        await self.running.end().wait(atMost: .seconds(1), by: self.context.clock, late: ())
    }

    /// Runs something beside the conversation.
    /// - Parameter left: called when it is over and off the books, also if it is too late for it to begin.
    func begin(_ work: @escaping @Sendable () async -> Void, left: @escaping @Sendable () -> Void = {}) {
        self.context.accounts.add(1, \.tasks)
        self.running.begin()
        let over: @Sendable () -> Void = {
            self.context.accounts.add(-1, \.tasks)
            left()
            self.running.leave()
        }
        let counted: @Sendable () async -> Void = {
            await work()
            over()
        }
        if let launch = self.context.runtime.launch { return launch(counted) }
        if case .terminated = self.work.yield(counted) { over() }
    }

    /// Waits, or until something else happens, or the connection or the calling task ends.
    func pause(_ delay: Duration, or event: OneShot<Void>? = nil) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                _ = await OneShot<Void>().waitUnlessCancelled(atMost: delay, by: self.context.clock, late: ())
            }
            group.addTask { _ = await self.broken.waitUnlessCancelled() }
            if let event { group.addTask { _ = await event.waitUnlessCancelled() } }
            _ = await group.next()
            group.cancelAll()
        }
    }

    /// Waits for an event, or until a time or the connection is over.
    /// - Returns: whether the event came.
    func wait(
        _ limit: Duration,
        for events: ServerEvents<ServerEvent>,
        until isIt: @escaping @Sendable (ServerEvent) -> Bool
    ) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await event in events where isIt(event) { return true }
                return false
            }
            group.addTask {
                await self.pause(limit)
                return false
            }
            let came = await group.next() ?? false
            group.cancelAll()
            return came
        }
    }
}
