import MCPTransport

/// What all parts of a session share: how it is held, what the program adds, by whose clock, and in whose books.
final class SessionContext: Sendable {
    let configuration: ClientConfiguration
    let runtime: SessionRuntime
    let clock: any MonotonicClock
    let accounts: ResourceAccounts
    /// What was not as it has to be in what the server has said.
    let problems: ServerProblems

    init(
        _ configuration: ClientConfiguration,
        _ runtime: SessionRuntime,
        _ clock: any MonotonicClock,
        _ accounts: ResourceAccounts
    ) {
        self.configuration = configuration
        self.runtime = runtime
        self.clock = clock
        self.accounts = accounts
        self.problems = runtime.problems ?? ServerProblems(server: runtime.serverName)
    }

    /// Who answers what the server asks for in order to answer a request.
    func handlers(for options: RequestOptions) -> ServerRequestHandlers {
        options.context?.responders(self.runtime.handlers) ?? self.runtime.handlers
    }
}
