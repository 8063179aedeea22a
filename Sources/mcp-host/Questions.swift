import Dispatch
import MCPClient
import MCPHost
import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// What servers ask of the user: answered by `--answer`, else by whoever sits at the terminal.
///
/// Where there is neither, nothing is offered to servers, and they know that they cannot ask.
final class Questions: Sendable {
    /// `field=value`, as they were typed.
    private let answers: [String]
    /// Whatever is asked is declined.
    private let declines: Bool
    private let isAtTerminal = System.isTerminal(0) && System.isTerminal(2) && System.isInForeground(0)
    private let used = Locked<Set<String>>([])
    private let failed = Locked(false)
    /// By server: what it was told no to.
    private let refused = Locked<[String: Set<String>]>([:])
    private static let refusalsLimit = 20
    /// A person is asked one thing at a time. A thread of its own: reading from a terminal blocks.
    private let conversation = DispatchQueue(label: "questions of servers")
    private let left = OneShot<Void>()
    private let beforeAsking: @Sendable () -> Void

    /// - Parameters:
    ///   - words: `key=value`, or `decline`.
    ///   - beforeAsking: what has to be done before something is written to the terminal.
    init(_ words: [String], beforeAsking: @escaping @Sendable () -> Void) throws(MCPError) {
        self.declines = words.contains("decline")
        self.answers = words.filter { $0 != "decline" }
        for word in self.answers where !word.contains("=") {
            throw MCPError(.invalidArguments, "--answer: \"\(Terminal.line(word))\" is not key=value")
        }
        self.beforeAsking = beforeAsking
    }

    /// What is offered to servers.
    var handlers: ServerRequestHandlers {
        var handlers = ServerRequestHandlers()
        if self.isAtTerminal || self.declines || !self.answers.isEmpty {
            handlers.elicitationForm = { form, context in
                try await self.whenItsTurnComes { self.fill(form, for: context.server ?? "the server", $0) }
            }
        }
        // A page needs somebody who looks at it, or does not want to.
        if self.isAtTerminal || self.declines {
            handlers.elicitationURL = { page, context in
                try await self.whenItsTurnComes { self.consent(to: page, of: context.server ?? "the server", $0) }
            }
        }
        handlers.refused = { method, context in self.tellRefused(method, of: context.server ?? "the server") }
        return handlers
    }

    /// A server that is told no may do less than the user expects. Once for each thing, and not into the middle of a question.
    private func tellRefused(_ method: String, of server: String) {
        let count = self.refused.withLock { refused in
            let known = refused[server]?.count ?? 0
            return known <= Self.refusalsLimit && refused[server, default: []].insert(method).inserted ? known : nil
        }
        guard let count else { return }
        let reason =
            switch Method(rawValue: method) {
            case .samplingCreateMessage: "mcp-host has no model"
            case .elicitationCreate where !self.answers.isEmpty: "--answer fills in forms, and opens no pages"
            case .elicitationCreate: "this runs in no terminal's foreground, and there is no --answer"
            case .rootsList: "mcp-host has no roots"
            default: "mcp-host does not know it"
            }
        self.conversation.async {
            self.beforeAsking()
            let asked = count < Self.refusalsLimit ? Terminal.line(method, limit: 60) : "more than is told here"
            Terminal.note("\(Terminal.line(server)) asked for \(asked) and was refused: \(reason)")
        }
    }

    /// A question was asked to which the answers of the command line do not fit, or are missing.
    var haveFailed: Bool { self.failed.withLock { $0 } }

    /// After the last server has gone, what is left to say: answers that nobody asked for are typing errors, or the tool was another one.
    func tellUnused() {
        self.conversation.sync {}
        let used = self.used.withLock { $0 }
        let left = Set(self.answers.filter { !used.contains($0) }.map { $0.prefix { $0 != "=" } }).sorted()
        guard !left.isEmpty else { return }
        Terminal.note(
            "--answer: no server asked for \(left.map { $0.isEmpty ? "\"\"" : Terminal.line(String($0)) }.joined(separator: ", "))"
        )
    }

    /// What was typed, by field. A name may have a `=` in it: the longest one that fits is meant.
    private func typed(for fields: [FormField]) -> [[UInt8]: [String]] {
        var typed: [[UInt8]: [String]] = [:]
        let names = fields.map(\.name)
        for word in self.answers {
            let meant = names.filter {
                word.utf8.starts(with: $0.utf8) && word.utf8.dropFirst($0.utf8.count).first == UInt8(ascii: "=")
            }
            .max { $0.utf8.count < $1.utf8.count }
            guard let meant else { continue }
            self.used.withLock { _ = $0.insert(word) }
            typed[Array(meant.utf8), default: []].append(
                String(decoding: word.utf8.dropFirst(meant.utf8.count + 1), as: UTF8.self)
            )
        }
        return typed
    }

    /// The person has gone: whatever is asked, or still will be, is neither answered nor declined.
    func leave() { self.left.complete(()) }

    private func whenItsTurnComes(_ ask: @escaping @Sendable (Keyboard) -> ElicitResult) async throws -> ElicitResult {
        let result = OneShot<ElicitResult>()
        self.left.whenComplete { result.complete(.cancel) }
        self.conversation.async {
            guard !result.isComplete, !self.left.isComplete else { return }
            let keyboard = Keyboard(isUsed: self.isAtTerminal)
            result.whenComplete { keyboard.leave() }
            result.complete(ask(keyboard))
            keyboard.close()
        }
        if let result = await result.waitUnlessCancelled() { return result }
        // Whoever asked does not want to know any more.
        result.complete(.cancel)
        throw CancellationError()
    }

    /// What a server says, so that nobody takes it for what this program says.
    private func show(_ text: String, of server: String, _ what: String) {
        self.beforeAsking()
        Terminal.note("\(Terminal.line(server)) \(what):")
        for row in VisibleText.rows(Terminal.block(text, limit: 4096), limit: 40) { Terminal.error(row) }
    }

    // MARK: Forms

    private func fill(_ form: ElicitRequestFormParams, for server: String, _ keyboard: Keyboard) -> ElicitResult {
        self.show(form.message, of: server, "asks")
        let fields = FormField.all(of: form.requestedSchema)
        let given = self.typed(for: fields)
        if self.declines { return .decline }
        var content = JSONObject()
        for field in fields {
            guard let typed = given[Array(field.name.utf8)] else { continue }
            do throws(MCPError) { content[field.name] = try field.read(typed) } catch {
                return self.fails("--answer: \(error.message)")
            }
        }
        let open = fields.filter { content[$0.name] == nil }
        if self.isAtTerminal {
            let result = self.ask(for: open, content, isConfirmation: fields.isEmpty, keyboard)
            return result.action == .accept ? self.checked(result, form) : result
        }
        let missing = open.filter { $0.isRequired && !$0.hasDefault }
        if missing.isEmpty { return self.checked(.accept(content), form) }
        let needed = missing.map { "\n  --answer \($0.quotedName)=…   \($0.question)" }
        return self.fails("not answered; it needs\(needed.joined())")
    }

    private static let needsForeground =
        "not answered: a question needs this program to be in the foreground, or --answer"

    private func fails(_ reason: String) -> ElicitResult {
        Terminal.error("mcp-host: \(reason)")
        self.failed.withLock { $0 = true }
        return .cancel
    }

    /// What would be refused on its way is told here: the server hears of it, and the person would not.
    private func checked(_ result: ElicitResult, _ form: ElicitRequestFormParams) -> ElicitResult {
        let fields = ElicitationForm(form.requestedSchema)
        let problem = fields.violations(in: fields.completed(result.content ?? JSONObject())).first
        guard let problem else { return result }
        return self.fails("not answered; it does not fit the form: \(Terminal.line("\(problem)"))")
    }

    /// Asks a person for the fields that have no answer yet. The end of input is neither yes nor no.
    private func ask(
        for fields: [FormField],
        _ known: JSONObject,
        isConfirmation: Bool,
        _ keyboard: Keyboard
    ) -> ElicitResult {
        var content = known
        if isConfirmation || !fields.isEmpty {
            guard keyboard.begin() else { return self.fails(Self.needsForeground) }
            let question = isConfirmation ? "Yes? [y/N] " : "Answer? (Ctrl-D cancels at any time) [Y/n] "
            guard let agrees = keyboard.agrees(question, else: !isConfirmation) else { return .cancel }
            if !agrees { return .decline }
        }
        for field in fields {
            while true {
                Terminal.prompt(VisibleText.rows(field.question).joined(separator: "\n") + "\n  > ")
                guard let line = keyboard.line() else { return .cancel }
                if line.isEmpty {
                    if field.hasDefault || !field.isRequired { break }
                    Terminal.prompt("  it is needed\n")
                    continue
                }
                do throws(MCPError) {
                    content[field.name] = try field.read([line])
                    break
                } catch {
                    Terminal.prompt(VisibleText.rows(error.message).joined(separator: "\n") + "\n")
                }
            }
        }
        return .accept(content)
    }

    // MARK: Pages

    /// Shows the whole address, and whose it is; nothing is opened or fetched (`ELI-50`).
    private func consent(to page: ElicitRequestURLParams, of server: String, _ keyboard: Keyboard) -> ElicitResult {
        self.show(page.message, of: server, "wants you to open a page in a browser")
        guard let host = PageAddress.host(of: page.url) else {
            Terminal.note("declined: what it gave is no address of a page (https://…)")
            return .decline
        }
        // As it is, however long: what would be masked may be what makes it work.
        Terminal.prompt("  \(PageAddress.plain(page.url.unicodeScalars))\n")
        if self.declines { return .decline }
        guard keyboard.begin() else { return self.fails(Self.needsForeground) }
        let question = "Do you open it, at \(host)? [y/N] "
        guard let agrees = keyboard.agrees(question, else: false) else { return .cancel }
        return agrees ? .accept() : .decline
    }
}

/// Whose page an address is.
enum PageAddress {
    /// What a browser would go to, as it may be shown: letters that only look like others are shown by their numbers. What comes before an `@` is no
    /// part of it, and may be there to look like it.
    /// - Returns: nil where it is no page on the web, or browsers and this program may not agree on whose it is.
    static func host(of url: String) -> String? {
        // By code points: to a `String`, a slash with an accent on it is no slash.
        let scalars = url.unicodeScalars
        let parts = scalars.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, ["http:", "https:"].contains(String(parts[0]).lowercased()), parts[1].isEmpty,
            !scalars.contains(where: { $0.value <= 0x20 || $0.value == 0x7F || $0 == "\\" })
        else { return nil }
        let authority = parts[2].prefix { !["/", "?", "#"].contains($0) }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? authority[...]
        guard host.contains(where: { $0.properties.isAlphabetic || $0.properties.numericType != nil }) else {
            return nil
        }
        return self.plain(host)
    }

    /// Letters that only look like others, and what is no letter, by their numbers.
    static func plain(_ scalars: some Sequence<UnicodeScalar>) -> String {
        scalars.reduce(into: "") { text, scalar in
            text += scalar.isASCII ? String(scalar) : "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
        }
    }
}

/// What a person types in answer to one question, until that has gone.
private final class Keyboard: Sendable {
    /// Becomes readable when the question has gone; -1 where there is no pipe.
    private let wake: Int32
    private let waker: Locked<Int32>

    /// - Parameter isUsed: somebody will be asked.
    init(isUsed: Bool) {
        let pipe = isUsed ? System.pipe() : nil
        self.wake = pipe?.read ?? -1
        self.waker = Locked(pipe?.write ?? -1)
    }

    /// Somebody will be asked. What was typed before the question was there is no answer to it.
    /// - Returns: false where the keyboard is another program's: who works in the foreground types for that.
    func begin() -> Bool {
        guard System.isInForeground(0) else { return false }
        System.dropInput(0)
        return true
    }

    /// The question has gone: nobody is waited for any more.
    func leave() { self.waker.withLock { if $0 >= 0 { System.write([0], to: $0) } } }

    func close() {
        self.waker.withLock { descriptor in
            if descriptor >= 0 { System.close(descriptor) }
            descriptor = -1
        }
        if self.wake >= 0 { System.close(self.wake) }
    }

    /// - Returns: nil at the end of input, or when the question has gone.
    func line() -> String? {
        var bytes: [UInt8] = []
        while true {
            guard System.waitForInput(0, unless: self.wake) else {
                Terminal.prompt("\n")
                Terminal.note("the question has gone")
                return nil
            }
            // A terminal gives a line at a time. What the end of input cuts off was not meant to be one.
            guard let next = System.read(0), !next.isEmpty else { return nil }
            bytes += next
            if let end = bytes.firstIndex(of: 0x0A) { return String(decoding: bytes[..<end], as: UTF8.self) }
        }
    }

    /// - Parameter standard: what an empty line means.
    /// - Returns: nil at the end of input, or when the question has gone.
    func agrees(_ question: String, else standard: Bool) -> Bool? {
        while true {
            Terminal.prompt("  \(question)")
            guard let line = self.line() else { return nil }
            switch line.lowercased() {
            case "": return standard
            case "y", "yes": return true
            case "n", "no": return false
            default: continue
            }
        }
    }
}
