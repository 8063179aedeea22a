/// What a host tells a transport that it makes.
public struct TransportContext: Sendable {
    /// The server's name in the host.
    public var server: String
    /// Which connection to that server it is for, counted from 1.
    public var attempt: Int
    /// Where it enters what it opens, and takes it out again when it is closed.
    public var accounts: ResourceAccounts
    /// Where its time limits come from.
    public var clock: any MonotonicClock
    /// Told of each line that the server writes for people: on its standard error, where it has one. From one thread at a time, which it must
    /// not block; nil where nobody wants to know.
    public var standardError: (@Sendable (String) -> Void)?
    /// To be told when something that ``TransportEnd`` had to give up has ended after all: in words for the journal, and whether nothing
    /// of it is left now. From any thread.
    public var endedLate: @Sendable (_ what: String, _ isClear: Bool) -> Void

    /// A context without a host, for tests of a transport.
    /// - Parameters:
    ///   - server: the server's name.
    ///   - attempt: which connection it is for.
    ///   - accounts: what is open.
    ///   - clock: where time limits come from.
    ///   - standardError: told of lines for people.
    ///   - endedLate: told of what ended after it had been given up.
    public init(
        server: String,
        attempt: Int = 1,
        accounts: ResourceAccounts = ResourceAccounts(),
        clock: any MonotonicClock = SystemMonotonicClock(),
        standardError: (@Sendable (String) -> Void)? = nil,
        endedLate: @escaping @Sendable (_ what: String, _ isClear: Bool) -> Void = { _, _ in }
    ) {
        self.server = server
        self.standardError = standardError
        self.attempt = attempt
        self.accounts = accounts
        self.clock = clock
        self.endedLate = endedLate
    }
}

/// How to reach a server: what to call the way to it, and what makes a transport for each attempt to connect.
///
/// `Endpoint.stdio(_:options:)` of `MCPStdio` is one; one of your own can do all that it can.
public struct Endpoint: Sendable, CustomStringConvertible {
    /// What to call it in messages for people. No secrets: it stands in errors and journals (S23).
    public let description: String
    /// More of that, for the error of a failed start; nil for nothing.
    public var details: String? { self.makeDetails() }
    private let makeDetails: @Sendable () -> String?
    /// Each transport of it starts a subprocess: a host starts only so many at once.
    package var startsProcess = false
    /// Hides what must not be shown of it.
    package var mask = SecretMask()
    /// Where a program is looked for that it starts: for the error of one that was not found.
    package var searchPath: (@Sendable () -> String)?
    private let make: @Sendable (TransportContext) -> any Transport

    /// An endpoint of your own.
    /// - Parameters:
    ///   - description: what to call it in messages for people, without secrets.
    ///   - details: more of that, for the error of a failed start: made when there is one.
    ///   - make: makes a fresh transport for each attempt to connect; called on any thread, must not block.
    public init(
        _ description: String,
        details: @autoclosure @escaping @Sendable () -> String? = nil,
        make: @escaping @Sendable (TransportContext) -> any Transport
    ) {
        self.description = description
        self.makeDetails = details
        self.make = make
    }

    /// A fresh transport, which has not opened anything yet.
    public func makeTransport(_ context: TransportContext) -> any Transport { self.make(context) }
}
