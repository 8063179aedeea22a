import MCPClient
import MCPTransport
import MCPTypes

/// One conversation with a server of a host: one transport and one session, from their opening until nothing of them is left.
///
/// Made and run by the ``ManagedServer`` that it belongs to, once; after a restart there is another.
final class Connection: Sendable {
    /// Counted from 1 over the life of the server.
    let generation: Int
    let session: ClientSession
    /// Its server counts as ready on what is known of it from before.
    let isBelieved: Bool
    private let accounts: ResourceAccounts

    /// - Parameters:
    ///   - server: whose it is.
    ///   - configuration: how the conversation is held.
    ///   - runtime: what is added to that.
    ///   - generation: its number.
    ///   - endedLate: told when something that was given up has ended.
    init(
        _ server: ManagedServer,
        _ configuration: ClientConfiguration,
        _ runtime: SessionRuntime,
        generation: Int,
        endedLate: @escaping @Sendable (_ what: String, _ isClear: Bool) -> Void
    ) {
        self.generation = generation
        self.isBelieved = runtime.believedServer(configuration.era) != nil
        let (context, name) = (server.context, server.name)
        self.accounts = context.accounts
        let transport = server.endpoint.makeTransport(
            TransportContext(
                server: name,
                attempt: generation,
                accounts: context.accounts,
                clock: context.clock,
                standardError: context.onStandardError.map { tell in { @Sendable line in tell(name, line) } },
                endedLate: endedLate
            )
        )
        self.session = ClientSession(
            transport: transport,
            configuration: configuration,
            runtime: runtime,
            accounts: context.accounts,
            clock: context.clock
        )
    }

    /// Opens, serves until the end, frees everything. The only place where the transport is entered and left.
    /// - Parameter follow: follows the session beside it until it is ready, or will not be.
    func run(_ follow: @escaping @Sendable () async -> Void) async -> ClientSession.End {
        await withDiscardingTaskGroup { group in
            self.accounts.add(1, \.tasks)
            group.addTask(name: "MCP readiness") {
                await follow()
                self.accounts.add(-1, \.tasks)
            }
            return await self.session.run()
        }
    }
}
