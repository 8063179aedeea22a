import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// What goes to standard output and standard error.
enum Terminal {
    static func out(_ text: String) { self.write(text, to: 1) }
    static func error(_ text: String) { self.write(self.masked(text), to: 2) }

    /// A question for whoever sits at the terminal: as it is, and without an end of line of its own.
    static func prompt(_ text: String) { System.write(Array(text.utf8), to: 2) }

    /// Why something did not come to standard output.
    static var lostOutput: String? { self.lost.withLock { $0 }.map { System.description(of: $0) } }
    private static let lost = Locked<Int32?>(nil)

    private static let mask = Locked(SecretMask())

    /// Keeps the secrets of some servers from standard error, and from the errors of `--json` (U1).
    static func hide(in configuration: HostConfiguration) {
        let masks = configuration.servers.compactMap { $0.transport.launch?.mask }
        self.mask.withLock { $0 = SecretMask(joining: masks) }
    }

    /// What a server says, in one line that may be shown. First masked, then cut: a part of a secret looks like nothing.
    static func line(_ text: String, limit: Int = 500) -> String { VisibleText.line(self.masked(text), limit: limit) }

    /// The same in several lines.
    static func block(_ text: String, limit: Int = 1 << 20) -> String {
        VisibleText.block(self.masked(text), limit: limit)
    }

    /// An error, whose further lines may be what a server says: they do not begin like one of this program's.
    static func paragraph(_ text: String) -> String {
        self.block(text).split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n  ")
    }

    static func masked(_ text: String) -> String { self.mask.withLock { $0 }.masked(text) }

    /// A line for whoever looks on, on standard error.
    /// - Parameter onTerminal: only where somebody does.
    static func note(_ text: String, onTerminal: Bool = false) {
        if !onTerminal || self.isForPeople { self.error("mcp-host: \(text)") }
    }

    /// Tells how far a call has come.
    static func note(of server: String) -> @Sendable (ProgressNotificationParams) -> Void {
        { progress in
            let number = { (value: Double) in Int64(exactly: value).map { "\($0)" } ?? "\(value)" }
            let total = progress.total.map { " of \(number($0))" } ?? ""
            let message = progress.message ?? ""
            self.note(
                "\(self.line(server)): \(number(progress.progress))\(total)\(message.isEmpty ? "" : ",")",
                saying: message
            )
        }
    }

    /// Tells what a server has logged.
    static func note(_ message: LoggingMessageNotificationParams, of server: String) {
        let logger = message.logger.map { " \(self.line($0, limit: 60))" } ?? ""
        let text = message.data.string ?? message.data.description
        self.note("\(self.line(server)): [\(message.level.rawValue)\(logger)]", saying: text)
    }

    /// What a server says, in the same line as whose it is; at a terminal in rows of their own where it would run over the edge.
    private static func note(_ head: String, saying text: String) {
        let text = self.line(text, limit: 2000)
        let rows = VisibleText.rows(text)
        if self.isForPeople, rows.count > 1 || VisibleText.rows("mcp-host: \(head) \(text)").count > 1 {
            self.note(head)
            for row in rows { self.error(row) }
        } else {
            self.note(text.isEmpty ? head : "\(head) \(text)")
        }
    }

    /// Whether somebody looks at standard error.
    static var isForPeople: Bool { System.isTerminal(2) }

    /// A reader that has gone is no reason to try again, or to crash (M5).
    private static func write(_ text: String, to descriptor: Int32) {
        let failure = System.write(Array((text + "\n").utf8), to: descriptor)
        if failure != 0, descriptor == 1, !System.isGone(failure) { self.lost.withLock { $0 = failure } }
    }

    /// A JSON document, nothing else.
    static func out(_ value: JSONValue) { self.out(RawJSON(encoding: value).description) }

    /// Rows under a heading, in columns as wide as they need to be; the last one is cut to the terminal's width.
    static func table(_ heading: [String], _ rows: [[String]]) {
        let widths = heading.indices.map { column in ([heading] + rows).map { $0[column].count }.max() ?? 0 }
        let width = Self.width
        for row in [heading.map { $0.uppercased() }] + rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let isLast = column == row.count - 1
                line += isLast ? cell : cell + String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            // An empty cell leaves nothing behind it.
            while line.last == " " { line.removeLast() }
            self.out(width.map { line.count > $0 ? String(line.prefix($0 - 1)) + "…" : line } ?? line)
        }
    }

    /// Columns of the terminal; nil when standard output is none.
    static var width: Int? {
        guard System.isTerminal(1) else { return nil }
        guard let columns = System.columns(1), columns > 20 else { return 80 }
        return columns
    }
}

/// Turns while servers start; only on a terminal.
final class Spinner: Sendable {
    private static let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
    private let clock = SystemMonotonicClock()
    private let state = Locked((turn: 0, timer: (any DeadlineTimer)?.none))

    /// - Parameter text: what is done meanwhile.
    func start(_ text: String) {
        guard System.isTerminal(2) else { return }
        let timer = self.clock.makeTimer { [weak self] in self?.turn(text) }
        self.state.withLock { $0.timer = timer }
        timer.set(self.clock.now)
    }

    private func turn(_ text: String) {
        let (turn, timer) = self.state.withLock { state in
            state.turn += 1
            return (state.turn, state.timer)
        }
        guard let timer else { return }
        Terminal.prompt("\r\(Self.frames[turn % Self.frames.count]) \(text)")
        timer.set(self.clock.now + .milliseconds(80))
    }

    func stop() {
        let timer = self.state.withLock { state in
            defer { state.timer = nil }
            return state.timer
        }
        guard let timer else { return }
        timer.cancel()
        Terminal.prompt("\r\u{1B}[K")
    }
}
