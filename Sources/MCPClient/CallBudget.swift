import MCPTransport

/// The hard limit of a call, which is that of all its rounds together and not of each (V6).
struct CallBudget {
    let options: RequestOptions
    private let clock: any MonotonicClock
    private let start: Duration
    private let spentBefore: Duration
    private let limit: Duration

    /// From now on.
    init(_ context: SessionContext, _ options: RequestOptions) {
        self.options = options
        self.clock = context.clock
        self.start = context.clock.now
        self.spentBefore = options.timeSpent
        self.limit = options.hardTimeout ?? context.configuration.hardTimeout
    }

    /// How the next round is to be asked: with what the earlier ones have taken.
    /// - Throws: `timeout` if there is nothing left.
    func rest() throws(MCPError) -> RequestOptions {
        var options = self.options
        options.timeSpent = self.spentBefore + (self.clock.now - self.start)
        guard options.timeSpent < self.limit else {
            throw MCPError(
                .timeout,
                "timeout: no result within \(self.limit), the limit for one request, in all its rounds"
            )
        }
        return options
    }

    /// What is left of the limit.
    func left() throws(MCPError) -> Duration { self.limit - (try self.rest().timeSpent) }
}
