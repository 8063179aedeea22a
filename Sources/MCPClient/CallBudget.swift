import MCPTransport

/// The hard limit of a call, which is that of all its rounds together and not of each (V6).
struct CallBudget {
    /// How the first round is asked.
    let options: RequestOptions
    private let context: SessionContext
    private let start: Duration

    /// From now on, or from when the options say that it began.
    init(_ context: SessionContext, _ options: RequestOptions) {
        self.context = context
        self.start = options.startedAt ?? context.clock.now
        var options = options
        options.startedAt = self.start
        self.options = options
    }

    /// How a later round is asked.
    /// - Throws: `timeout` if there is nothing left.
    func rest() throws(MCPError) -> RequestOptions {
        _ = try self.left()
        return self.options
    }

    /// What is left of the limit.
    /// - Throws: `timeout` if that is nothing.
    func left() throws(MCPError) -> Duration {
        let limit = self.options.hardTimeout ?? self.context.configuration.hardTimeout
        let left = limit - (self.context.clock.now - self.start)
        guard left > .zero else {
            throw MCPError(.timeout, "timeout: no result within \(limit), the limit for one request, in all its rounds")
        }
        return left
    }
}
