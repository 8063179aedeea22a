import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

struct Completions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print a shell's completions: verbs, options, servers, tools and their arguments.",
        usage: "mcp-host completions bash|zsh|fish",
        discussion: """
            bash: eval "$(mcp-host completions bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit; fish: mcp-host completions \
            fish > ~/.config/fish/completions/mcp-host.fish. To know the tools of a server it is opened and closed again.
            """
    )
    @Argument(help: "The shell.") var shell: Shell?
    @Option(name: .long, help: .hidden) var line: String?

    enum Shell: String, ExpressibleByArgument, CaseIterable { case bash, zsh, fish }

    func run() async throws {
        if let line {
            for candidate in await CompletionLine(line).candidates() { Terminal.out(candidate.description) }
        } else if let shell {
            Terminal.out(shell.script)
        } else {
            throw ValidationError("which shell? bash, zsh or fish")
        }
    }
}

extension Completions.Shell {
    /// The scripts know nothing of the verbs: they hand over the line and show what comes. A lone `:files` means a file's name.
    var script: String {
        switch self {
        case .bash:
            #"""
            # Completions of mcp-host for bash 3.2 and later.
            _mcp_host() {
                local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} whole candidate
                COMPREPLY=()
                # Bash takes a word with : or = in it for several; it wants what follows the last of them.
                whole=${line##*[[:space:]]}
                [[ $word == : || $word == = ]] && word=
                while IFS= read -r candidate; do
                    candidate=${candidate%%$'\t'*}
                    if [[ $candidate == :files ]]; then
                        [[ $word == @* ]] && whole=@ || whole=
                        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -P "$whole" -f -- "${word#@}")
                        compopt -o filenames 2>/dev/null
                        return
                    fi
                    # A server may call its tools what it likes; bash puts in what it is given, as it is.
                    COMPREPLY+=("$(printf %q "${candidate#"${whole%"$word"}"}")")
                    [[ $candidate == *= ]] && compopt -o nospace 2>/dev/null
                done < <(mcp-host completions --line "$line" 2>/dev/null)
            }
            complete -F _mcp_host mcp-host
            """#
        case .zsh:
            #"""
            #compdef mcp-host
            # Completions of mcp-host for zsh.
            _mcp-host() {
                local -a open closed
                local candidate
                for candidate in "${(@f)$(mcp-host completions --line "$LBUFFER" 2>/dev/null)}"; do
                    if [[ $candidate == :files ]]; then _files; return; fi
                    [[ -n $candidate ]] || continue
                    local value=${candidate%%$'\t'*}
                    local shown=${value//:/\\:}${${candidate#$value}/$'\t'/:}
                    if [[ $value == *= ]]; then open+=("$shown"); else closed+=("$shown"); fi
                done
                (( $#closed )) && _describe mcp-host closed
                (( $#open )) && _describe mcp-host open -S ''
            }
            if [[ $funcstack[1] == _mcp-host ]]; then _mcp-host "$@"; else compdef _mcp-host mcp-host; fi
            """#
        case .fish:
            #"""
            # Completions of mcp-host for fish.
            function __mcp_host_complete
                set -l candidates (mcp-host completions --line (commandline -cp | string collect) 2>/dev/null)
                if test "$candidates" = ":files"
                    __fish_complete_path (commandline -ct)
                else
                    printf '%s\n' $candidates
                end
            end
            complete -c mcp-host -f -a '(__mcp_host_complete)'
            """#
        }
    }
}

/// The line that is being typed, up to the cursor: what may come there.
struct CompletionLine {
    struct Candidate: CustomStringConvertible {
        static let files = ":files"
        var value: String
        var about = ""
        /// It stands for all files.
        var isFiles = false

        /// Whether it is a word that means what it says.
        var canBeTyped: Bool {
            !self.value.isEmpty && self.value != Self.files && VisibleText.line(self.value, limit: .max) == self.value
        }

        /// For the shell's script. Nothing in it may end the line.
        var description: String {
            let about = VisibleText.firstLine(self.about)
            return self.value + (about.isEmpty ? "" : "\t\(about)")
        }
    }

    private static let files = [Candidate(value: Candidate.files, isFiles: true)]
    private var words: [String]
    /// What has been typed of the word at the cursor.
    private let typed: String

    init(_ line: String) {
        var words = Self.words(line)
        self.typed = words.popLast() ?? ""
        self.words = Array(words.dropFirst())
    }

    /// As a shell would part it; what is open at the end is the last word.
    private static func words(_ line: String) -> [String] {
        var words = [""]
        var quote: Character?
        var isEscaped = false
        var isBetween = false
        for character in line {
            if isEscaped {
                words[words.count - 1].append(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { words[words.count - 1].append(character) }
            } else if character == "'" || character == "\"" {
                quote = character
            } else if character.isWhitespace {
                if !isBetween { words.append("") }
                isBetween = true
                continue
            } else {
                words[words.count - 1].append(character)
            }
            isBetween = false
        }
        return words
    }

    /// What may come at the cursor, and begins as what is there.
    func candidates() async -> [Candidate] {
        let all = await self.all()
        if all.first?.isFiles == true { return all }
        // What a server calls its things may be no word, or look like an option.
        let isOption = self.typed.hasPrefix("-")
        return all.filter { $0.value.hasPrefix(self.typed) && $0.canBeTyped && $0.value.hasPrefix("-") == isOption }
    }

    private func all() async -> [Candidate] {
        // Another program's words.
        if self.words.contains("--") { return Self.files }
        guard let help = try? JSONValue(parsing: MCPHostCommand._dumpHelp()),
            let commands = help["command"]?["subcommands"]?.array
        else { return [] }
        var line = TypedLine()
        line.read(self.words, commands)
        if let option = line.openOption { return self.values(of: option) }
        if self.typed.hasPrefix("--"), let equals = self.typed.firstIndex(of: "=") {
            let option = String(self.typed[..<equals])
            guard Self.options(of: line.verb).contains(where: { $0.value == option }) else { return [] }
            return self.values(of: option).filter { !$0.isFiles }.map { value in
                Candidate(value: "\(self.typed[...equals])\(value.value)", about: value.about)
            }
        }
        guard let verb = line.verb else {
            guard line.isKnown else { return [] }
            let verbs = commands.compactMap { command in
                command["commandName"]?.string.map { Candidate(value: $0, about: command["abstract"]?.string ?? "") }
            }
            return verbs
                + (self.typed.hasPrefix("-") ? Self.options(of: commands.first { $0["commandName"] == "servers" }) : [])
        }
        if self.typed.hasPrefix("-") { return Self.options(of: verb) }
        return await self.operands(verb["commandName"]?.string ?? "", line)
    }

    private static func options(of verb: JSONValue?) -> [Candidate] {
        (verb?["arguments"]?.array ?? []).compactMap { argument in
            guard argument["kind"] != "positional", argument["shouldDisplay"] != false,
                let name = argument["preferredName"]?["name"]?.string
            else { return nil }
            return Candidate(value: "--\(name)", about: argument["abstract"]?.string ?? "")
        }
    }

    private func values(of option: String) -> [Candidate] {
        switch option {
        case "--config", "--output", "--args": Self.files
        case "--era": ["auto", "legacy", "modern"].map { Candidate(value: $0) }
        case "--log-level": HostOptions.levels.map { Candidate(value: $0) }
        case "--answer": [Candidate(value: "decline", about: "refuse whatever servers ask")]
        default: []
        }
    }

    private func operands(_ verb: String, _ line: TypedLine) async -> [Candidate] {
        if verb == "completions" { return Completions.Shell.allCases.map { Candidate(value: $0.rawValue) } }
        guard ["servers", "tools", "resources", "prompts", "run", "call", "read", "prompt", "why"].contains(verb),
            let loaded = try? line.options?.load()
        else { return [] }
        let servers = loaded.configuration.servers.map {
            Candidate(value: $0.name, about: $0.transport.launch?.command ?? "")
        }
        guard let first = line.operands.first else { return servers }
        guard let server = loaded.configuration.servers.first(where: { $0.name == first }) else {
            return []
        }
        let open = OpenedServer(server)
        switch (verb, line.operands.count) {
        case ("call", 1): return await open.tools { $0.map { Candidate(value: $0.name, about: $0.description ?? "") } }
        case ("tools", 1):
            let others = servers.filter { $0.value != first }
            return await open.tools { $0.map { Candidate(value: $0.name, about: $0.description ?? "") } } + others
        case ("call", _):
            let name = line.operands[1]
            return await open.tools { tools in
                tools.first { $0.name == name }.map { self.arguments(of: $0, given: line.operands) } ?? []
            }
        case ("read", 1): return await open.resources()
        case ("prompt", 1):
            return await open.prompts { $0.map { Candidate(value: $0.name, about: $0.description ?? "") } }
        case ("prompt", _):
            let name = line.operands[1]
            return await open.prompts { prompts in
                (prompts.first { $0.name == name }?.arguments ?? []).map {
                    Candidate(value: "\($0.name)=", about: $0.description ?? "")
                }
            }
        case ("servers", _), ("run", _), ("resources", _), ("prompts", _), ("tools", _):
            return servers.filter { !line.operands.contains($0.value) }
        default: return []
        }
    }

    /// `key=`, and behind it the values where there is a choice.
    private func arguments(of tool: Tool, given: [String]) -> [Candidate] {
        let schema = (try? tool.inputSchema.decode(JSONValue.self)) ?? .null
        if let equals = self.typed.firstIndex(of: "=") {
            let key = String(self.typed[..<equals])
            let property = schema["properties"]?[key]
            let values = property?["enum"]?.array ?? (property?["type"] == "boolean" ? [true, false] : [])
            return values.map { Candidate(value: "\(key)=\($0.string ?? $0.description)") }
        }
        return Signature(tool).parameters.filter { parameter in !given.contains { $0.hasPrefix("\(parameter.name)=") } }
            .map { Candidate(value: "\($0.name)=", about: $0.description ?? $0.type) }
    }
}

/// What a line has said so far.
private struct TypedLine {
    /// nil where they cannot be understood.
    var options: HostOptions?
    var verb: JSONValue?
    var operands: [String] = []
    /// Every word has been understood.
    var isKnown = true
    /// An option whose value is next.
    var openOption: String?

    mutating func read(_ words: [String], _ commands: [JSONValue]) {
        var configuration: [String] = []
        let valued = Set(
            commands.flatMap { $0["arguments"]?.array ?? [] }.filter { $0["kind"] == "option" }
                .compactMap { $0["preferredName"]?["name"]?.string.map { "--\($0)" } }
        )
        for word in words {
            if let option = self.openOption {
                if option == "--config" { configuration.append(Self.expanded(word)) }
                self.openOption = nil
            } else if word.hasPrefix("--config=") {
                configuration.append(Self.expanded(String(word.dropFirst("--config=".count))))
            } else if valued.contains(word) {
                self.openOption = word
            } else if word.hasPrefix("-") {
                continue
            } else if self.verb == nil {
                self.verb = commands.first { $0["commandName"]?.string == word }
                // There is no such verb, and nothing to be said about what follows it.
                if self.verb == nil {
                    self.isKnown = false
                    return
                }
            } else {
                self.operands.append(word)
            }
        }
        // Standard input is the shell's, which has not looked at the words yet.
        let files = configuration.filter { $0 != "-" }
        self.options = try? HostOptions.parse(files.flatMap { ["--config", $0] })
    }
}

extension TypedLine {
    /// `~` as a shell means it.
    private static func expanded(_ word: String) -> String {
        guard word == "~" || word.hasPrefix("~/"), let home = System.variable("HOME") else { return word }
        return home + word.dropFirst()
    }
}

/// One server, opened for as long as it takes to see what it offers.
private struct OpenedServer {
    /// Nobody waits longer for a completion.
    private static let limit: Duration = .seconds(5)
    private let configuration: HostConfiguration

    init(_ server: ServerDefinition) {
        var server = server
        server.client.connectTimeout = Self.limit
        server.client.idleTimeout = Self.limit
        server.restart = .never
        (server.stdio.endOfInputGrace, server.stdio.terminateGrace) = (.milliseconds(300), .milliseconds(300))
        self.configuration = HostConfiguration(servers: [server])
    }

    func tools(_ choose: @escaping @Sendable ([Tool]) -> [CompletionLine.Candidate]) async -> [CompletionLine.Candidate]
    {
        await self.open { choose((try? await $0.tools().items.map(\.item)) ?? []) }
    }

    func prompts(_ choose: @escaping @Sendable ([Prompt]) -> [CompletionLine.Candidate]) async -> [CompletionLine
        .Candidate]
    {
        await self.open { choose((try? await $0.prompts().items.map(\.item)) ?? []) }
    }

    func resources() async -> [CompletionLine.Candidate] {
        await self.open { host in
            ((try? await host.resources().items.map(\.item)) ?? []).map {
                .init(value: $0.uri, about: $0.title ?? $0.name)
            }
        }
    }

    private func open(_ list: @escaping @Sendable (MCPHost) async -> [CompletionLine.Candidate]) async
        -> [CompletionLine.Candidate]
    {
        (try? await MCPHost.withHost(self.configuration) { await list($0) }) ?? []
    }
}
