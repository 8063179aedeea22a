import Dispatch
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// What servers ask of the user: answered by `--answer`, else by whoever sits at the terminal.
///
/// Where there is neither, nothing is offered to servers, and they know that they cannot ask.
final class Questions: Sendable {
    /// By field, as they were typed.
    private let answers: [String: [String]]
    /// Whatever is asked is declined.
    private let declines: Bool
    private let isAtTerminal = System.isTerminal(0) && System.isTerminal(2)
    private let used = Locked<Set<String>>([])
    /// A person is asked one thing at a time. A thread of its own: reading from a terminal blocks.
    private let conversation = DispatchQueue(label: "questions of servers")
    private let left = OneShot<Void>()
    private let beforeAsking: @Sendable () -> Void

    /// - Parameters:
    ///   - words: `key=value`, or `decline`.
    ///   - beforeAsking: what has to be done before something is written to the terminal.
    init(_ words: [String], beforeAsking: @escaping @Sendable () -> Void) throws(MCPError) {
        self.declines = words.contains("decline")
        let pairs = try KeyValue.parse(words.filter { $0 != "decline" }, "--answer")
        self.answers = Dictionary(grouping: pairs, by: \.key).mapValues { $0.map(\.value) }
        self.beforeAsking = beforeAsking
    }

    /// What is offered to servers.
    var handlers: ServerRequestHandlers {
        var handlers = ServerRequestHandlers()
        if self.isAtTerminal || self.declines || !self.answers.isEmpty {
            handlers.elicitationForm = { form, context in
                try await self.whenItsTurnComes { self.fill(form, for: context.server ?? "the server") }
            }
        }
        // A page needs somebody who looks at it.
        if self.isAtTerminal {
            handlers.elicitationURL = { page, context in
                try await self.whenItsTurnComes { self.consent(to: page, of: context.server ?? "the server") }
            }
        }
        return handlers
    }

    /// Answers that nobody asked for are typing errors, or the tool was another one.
    func tellUnused() {
        let used = self.used.withLock { $0 }
        let left = self.answers.keys.filter { !used.contains($0) }.sorted()
        guard !left.isEmpty else { return }
        Terminal.note("--answer: no server asked for \(left.map { VisibleText.line($0) }.joined(separator: ", "))")
    }

    /// The person has gone: whatever is asked, or still will be, is neither answered nor declined.
    func leave() { self.left.complete(()) }

    private func whenItsTurnComes(_ ask: @escaping @Sendable () -> ElicitResult) async throws -> ElicitResult {
        let result = OneShot<ElicitResult>()
        self.left.whenComplete { result.complete(.cancel) }
        self.conversation.async { if !result.isComplete { result.complete(ask()) } }
        guard let result = await result.waitUnlessCancelled() else { throw CancellationError() }
        return result
    }

    // MARK: Forms

    private func fill(_ form: ElicitRequestFormParams, for server: String) -> ElicitResult {
        self.beforeAsking()
        Terminal.note("\(VisibleText.line(server)) asks: \(VisibleText.block(form.message))")
        if self.declines { return .decline }
        let fields = FormField.all(of: form.requestedSchema)
        self.used.withLock { $0.formUnion(fields.map(\.name)) }
        var content = JSONObject()
        for field in fields {
            guard let typed = self.answers[field.name] else { continue }
            do throws(MCPError) { content[field.name] = try field.read(typed) } catch {
                Terminal.error("mcp-host: --answer: \(error.message)")
                return .cancel
            }
        }
        let open = fields.filter { content[$0.name] == nil }
        if self.isAtTerminal { return self.ask(for: open, content, isConfirmation: fields.isEmpty) }
        let missing = open.filter { $0.isRequired && !$0.hasDefault }
        if missing.isEmpty { return .accept(content) }
        Terminal.error("mcp-host: not answered; it needs")
        for field in missing { Terminal.error("  --answer \(VisibleText.line(field.name))=…   \(field.question)") }
        return .cancel
    }

    /// Asks a person for the fields that have no answer yet. The end of input is neither yes nor no.
    private func ask(for fields: [FormField], _ known: JSONObject, isConfirmation: Bool) -> ElicitResult {
        var content = known
        if isConfirmation || !fields.isEmpty {
            guard let agrees = self.agrees(isConfirmation ? "Yes? [y/N] " : "Answer? [Y/n] ", else: !isConfirmation)
            else {
                return .cancel
            }
            if !agrees { return .decline }
        }
        for field in fields {
            while true {
                Terminal.prompt("  \(field.question)\n  > ")
                guard let line = readLine() else { return .cancel }
                if line.isEmpty, field.hasDefault || !field.isRequired { break }
                do throws(MCPError) {
                    content[field.name] = try field.read([line])
                    break
                } catch {
                    Terminal.prompt("  \(error.message)\n")
                }
            }
        }
        return .accept(content)
    }

    // MARK: Pages

    /// Shows the whole address, and whose it is; nothing is opened or fetched (`ELI-50`).
    private func consent(to page: ElicitRequestURLParams, of server: String) -> ElicitResult {
        self.beforeAsking()
        Terminal.note(
            "\(VisibleText.line(server)) wants you to open a page in a browser: \(VisibleText.block(page.message))"
        )
        let host = Self.host(of: page.url).map { "at \(VisibleText.line($0)): " } ?? ""
        // As it is, however long: what would be masked may be what makes it work.
        Terminal.prompt("  \(host)\(VisibleText.line(page.url, limit: .max))\n")
        guard let agrees = self.agrees("Do you open it? [y/N] ", else: false) else { return .cancel }
        return agrees ? .accept() : .decline
    }

    /// Whose page it is: what comes before an `@` is no part of that, and may be there to look like it.
    private static func host(of url: String) -> String? {
        let parts = url.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].hasSuffix(":"), parts[1].isEmpty else { return nil }
        let authority = parts[2].prefix { !"/?#\\".contains($0) }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        return host.isEmpty ? nil : String(host)
    }

    /// - Parameter standard: what an empty line means.
    /// - Returns: nil at the end of input.
    private func agrees(_ question: String, else standard: Bool) -> Bool? {
        while true {
            Terminal.prompt("  \(question)")
            guard let line = readLine() else { return nil }
            switch line.lowercased() {
            case "": return standard
            case "y", "yes": return true
            case "n", "no": return false
            default: continue
            }
        }
    }
}
