import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call a tool.",
        usage: "mcp-host call [<options>] <server> <tool> [<key>=<value> ...] [-- <program> ...]",
        discussion: """
            A value is read as JSON where the tool's schema allows that, else as text; a key that is given several times is a list. The tool \
            may have its own name or the one for models; where there is one server only, the server can be left out.
            """
    )
    @Argument(parsing: .allUnrecognized, help: "The server, the tool, and its arguments as key=value.") var words:
        [String] = []
    @Option(name: .long, help: "All arguments as one JSON object, @file or - for standard input; key=value go on top.")
    var args: String?
    @Option(name: .long, help: "Write the answer to this file, byte for byte: its binary content, else its text.")
    var output: String?
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (json, output) = (self.options.json, self.output)
        let chosen = Locked<(target: Target, file: OutputFile?)?>(nil)
        let words = self.words
        let input = Locked<(JSONObject, [(key: String, value: String)])>((JSONObject(), []))
        let args = self.args
        if args == "-", self.options.config.contains("-") {
            throw ValidationError("--config - and --args - cannot both read standard input")
        }
        try OutputFile.check(output, beside: json)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            let target = try Target(words, "tool", in: loaded)
            let file = try OutputFile(output)
            let pairs = try KeyValue.parse(target.rest)
            let base = try args.map(ArgumentsObject.read) ?? JSONObject()
            input.withLock { $0 = (base, pairs) }
            chosen.withLock { $0 = (target, file) }
            return [target.server]
        } _: { host in
            guard let (target, file) = chosen.withLock({ $0 }) else { return Verdict([:]) }
            let (base, pairs) = input.withLock { $0 }
            let tools = try await host.tools()
            if let failure = tools.failures.first { throw failure.error }
            let found = try Self.tool(target, tools.items)
            let arguments = ToolArguments(found.item).filled(base, with: pairs)
            do throws(MCPError) {
                let result = try await host.callTool(
                    server: found.server,
                    name: found.item.name,
                    arguments: RawJSON(encoding: arguments),
                    options: RequestOptions(onProgress: Terminal.isForPeople ? Terminal.note(of: found.server) : nil)
                )
                return Self.verdict(result, on: found.server, json, file)
            } catch {
                if error.code == .invalidArguments {
                    let verdict = Verdict(error)
                    Terminal.note("it takes \(Terminal.line("\(Signature(found.item))"))")
                    return verdict
                }
                guard let answer = error.answer, let result = try? answer.decode(CallToolResult.self) else {
                    throw error
                }
                // The call was made, and this is what came of it, though it breaks the tool's own promise (U4).
                var verdict = Verdict(error)
                let shown = Self.verdict(result, on: found.server, json)
                verdict.document["result"] = shown.document["result"]
                verdict.code = ExitCodes.toolFailed
                return verdict
            }
        }
    }

    /// The tool of that name: its own, or the one for models.
    private static func tool(_ target: Target, _ tools: [ServerItem<Tool>]) throws(MCPError) -> ServerItem<Tool> {
        if let tool = tools.first(where: { $0.item.name.isSame(as: target.name) }) { return tool }
        if let tool = tools.first(where: { $0.qualifiedName.isSame(as: target.name) }) { return tool }
        let hint = Similarity.hint(for: target.name, among: tools.map(\.item.name))
        throw MCPError(.notFound, "no tool \"\(target.name)\"\(hint)", server: target.server)
    }

    /// - Parameter file: where it goes instead of standard output; what a tool says of its own failure is no such thing.
    private static func verdict(
        _ result: CallToolResult,
        on server: String,
        _ json: Bool,
        _ file: OutputFile? = nil
    ) -> Verdict {
        let isFailure = result.isError == true
        var verdict = Verdict(
            ["result": .document(result)],
            isFailure ? ExitCodes.toolFailed : nil
        )
        verdict.give(to: isFailure ? nil : file, of: server) { file throws(MCPError) in
            try file.write(result)
        } orShow: {
            if !json { Content.show(result) }
        }
        verdict.tell(about: result.problems, Method.toolsCall, of: server)
        return verdict
    }
}

extension Verdict {
    /// Writes what came into a file where there is one, and shows it where there is none, or where it cannot be written.
    mutating func give(
        to file: OutputFile?,
        of server: String,
        write: (OutputFile) throws(MCPError) -> Void,
        orShow show: () -> Void
    ) {
        guard let file else { return show() }
        do throws(MCPError) { try write(file) } catch {
            // Whoever reads standard output takes all of it for the content.
            if !file.isStandardOutput { show() }
            // That it could not be written is no fault of the server's.
            self.fail(error.code == .notWritten ? error : error.naming(server))
        }
    }

    /// It was done, and this went wrong after it.
    mutating func fail(_ error: MCPError) {
        let failure = Verdict(error)
        self.document["error"] = failure.document["error"]
        self.code = failure.code
    }

    /// Tells what had to be passed over in an answer; it has been shown, so that is no failure.
    mutating func tell(about problems: [JSONProblem], _ method: Method, of server: String) {
        guard !problems.isEmpty else { return }
        let before = self.code
        self.tell(problems.map { ServerProblem(server: server, method: method.rawValue, problem: $0) })
        self.code = before
    }
}

struct Read: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read",
        abstract: "Read a resource.",
        usage: "mcp-host read [<options>] <server> <uri> [-- <program> ...]"
    )
    @Argument(help: "The server, and the resource's URI.") var words: [String] = []
    @Option(name: .long, help: "Write the contents to this file, byte for byte.") var output: String?
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json, output) = (self.words, self.options.json, self.output)
        try OutputFile.check(output, beside: json)
        let chosen = Locked<(target: Target, file: OutputFile?)?>(nil)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            let target = try Target(words, "uri", in: loaded)
            let file = try OutputFile(output)
            if let more = target.rest.first {
                throw MCPError(
                    .invalidArguments,
                    "\"\(VisibleText.line(more))\" is too much: one address at a time is read"
                )
            }
            chosen.withLock { $0 = (target, file) }
            return [target.server]
        } _: { host in
            guard let (target, file) = chosen.withLock({ $0 }) else { return Verdict([:]) }
            let result = try await host.readResource(server: target.server, uri: target.name)
            var verdict = Verdict(["result": .document(result)])
            verdict.give(to: file, of: target.server) { file throws(MCPError) in
                try file.write(result)
            } orShow: {
                if !json { for contents in result.contents { Content.show(contents) } }
            }
            verdict.tell(about: result.problems, .resourcesRead, of: target.server)
            return verdict
        }
    }
}

struct GetPrompt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prompt",
        abstract: "Fill in a prompt.",
        usage: "mcp-host prompt [<options>] <server> <prompt> [<key>=<value> ...] [-- <program> ...]"
    )
    @Argument(parsing: .allUnrecognized, help: "The server, the prompt, and its arguments as key=value.") var words:
        [String] = []
    @OptionGroup var options: HostOptions

    func run() async throws {
        let (words, json) = (self.words, self.options.json)
        let chosen = Locked<(Target, [String: String])?>(nil)
        try await HostCommand(options: self.options).run { loaded throws(MCPError) in
            let target = try Target(words, "prompt", in: loaded)
            let arguments = Dictionary(try KeyValue.parse(target.rest).map { ($0.key, $0.value) }) { $1 }
            chosen.withLock { $0 = (target, arguments) }
            return [target.server]
        } _: { host in
            guard let (target, arguments) = chosen.withLock({ $0 }) else { return Verdict([:]) }
            try await Self.check(target, arguments, host)
            let result = try await host.getPrompt(server: target.server, name: target.name, arguments: arguments)
            if !json {
                for message in result.messages {
                    Terminal.out("[\(VisibleText.line(message.role.rawValue))]")
                    Content.show(message.content)
                }
            }
            var verdict = Verdict(["result": .document(result)])
            verdict.tell(about: result.problems, .promptsGet, of: target.server)
            return verdict
        }
    }

    /// A prompt that the server has not listed may exist all the same; one that it has says what it needs.
    private static func check(_ target: Target, _ arguments: [String: String], _ host: MCPHost) async throws(MCPError) {
        let prompts = try await host.prompts().items.map(\.item)
        guard let prompt = prompts.first(where: { $0.name.isSame(as: target.name) }) else {
            guard !prompts.isEmpty else { return }
            let hint = Similarity.hint(for: target.name, among: prompts.map(\.name))
            throw MCPError(.notFound, "no prompt \"\(target.name)\"\(hint)", server: target.server)
        }
        let missing = (prompt.arguments ?? []).filter { $0.required == true && arguments[$0.name] == nil }
        guard missing.isEmpty else {
            let names = missing.map { "\($0.name)=…" }.joined(separator: " ")
            throw MCPError(.invalidArguments, "the prompt \(prompt.name) needs \(names)", server: target.server)
        }
    }
}
