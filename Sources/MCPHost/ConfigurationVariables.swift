import MCPStdio
import MCPTransport

/// Replaces variables in the strings of a configuration: `${VAR}`, `${VAR:-default}`, the forms of other clients that mean the same, and
/// `~/` (K7, U12, U16).
struct ConfigurationVariables {
    /// Where their values come from.
    let values: [String: String]
    /// Values that were put in, as far as they must not be shown (U1).
    private(set) var secrets: Set<String> = []

    init(values: [String: String]) { self.values = values }

    /// Replaces what is to be replaced. `$${` is a literal `${`; everything else stays as it is.
    /// - Throws: what is wrong and what to write instead. No value is ever a part of it.
    mutating func expand(_ text: String) throws(ConfigurationProblem) -> String {
        let expanded = try self.expand(text[...], depth: 0)
        guard text == "~" || text.hasPrefix("~/") else { return expanded }
        guard let home = self.values["HOME"] else {
            throw ConfigurationProblem("~ is the home directory, and HOME is not set; write the whole path")
        }
        return home + expanded.dropFirst()
    }

    private mutating func expand(_ text: Substring, depth: Int) throws(ConfigurationProblem) -> String {
        guard depth < 16 else { throw ConfigurationProblem("defaults of variables are nested deeper than 16 levels") }
        var result = ""
        var rest = text
        while let dollar = rest.firstRange(of: "${") {
            if rest[..<dollar.lowerBound].last == "$" {
                result += rest[..<dollar.lowerBound].dropLast() + "${"
                rest = rest[dollar.upperBound...]
                continue
            }
            guard let end = Self.end(of: rest[dollar.upperBound...]) else {
                // Not closed, so none.
                return result + rest
            }
            result += rest[..<dollar.lowerBound]
            result += try self.value(of: rest[dollar.upperBound..<end], depth)
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }

    /// Where the brace is closed that was opened before a text.
    private static func end(of text: Substring) -> Substring.Index? {
        var depth = 0
        var place = text.startIndex
        while place < text.endIndex {
            if text[place] == "}" {
                if depth == 0 { return place }
                depth -= 1
            } else if text[place...].hasPrefix("${") {
                depth += 1
            }
            place = text.index(after: place)
        }
        return nil
    }

    private mutating func value(of inner: Substring, _ depth: Int) throws(ConfigurationProblem) -> String {
        let dash = inner.firstRange(of: ":-")
        let written = dash.map { inner[..<$0.lowerBound] } ?? inner
        let name = try Self.name(of: written)
        if let value = self.values[name] {
            self.note(value, of: name)
            return value
        }
        if let dash { return try self.expand(inner[dash.upperBound...], depth: depth + 1) }
        throw ConfigurationProblem("variable \(name) is not set; set it, or write ${\(name):-default}")
    }

    /// A variable of the environment has been passed as it is.
    mutating func note(_ value: String, of name: String) {
        if !Self.isPlain(value, of: name) { self.secrets.insert(value) }
    }

    /// Where one is, who and in which language is no secret; nor is a path, a number or a word, unless its name says otherwise.
    private static func isPlain(_ value: String, of name: String) -> Bool {
        if ServerEnvironment.passed.contains(name) || name.hasPrefix("LC_") || name.hasPrefix("XDG_") { return true }
        if ["PWD", "OLDPWD", "TMP", "TEMP", "HOSTNAME", "DISPLAY", "EDITOR"].contains(name) { return true }
        if value.isEmpty { return true }
        if SecretMask.isSecretive(name) { return false }
        let isPath = value.hasPrefix("/") || value.hasPrefix("./") || value.hasPrefix("../") || value.hasPrefix("~/")
        if isPath || ["true", "false", "yes", "no", "on", "off", "debug", "info"].contains(value.lowercased()) {
            return true
        }
        return value.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2E || $0 == 0x2D || $0 == 0x3A }
    }

    /// The variable that a word means: of this form, or of another client's.
    private static func name(of written: Substring) throws(ConfigurationProblem) -> String {
        if written == "userHome" { return "HOME" }
        for prefix in ["env://", "env:"] where written.hasPrefix(prefix) {
            return String(written.dropFirst(prefix.count))
        }
        let wanted = "${\(written)}"
        if written.hasPrefix("input:") {
            throw ConfigurationProblem(
                "\(wanted) is what VS Code asks its user for; set a variable and write ${NAME} instead"
            )
        }
        if written.hasPrefix("workspaceFolder") {
            throw ConfigurationProblem(
                "\(wanted) is the folder that an editor has open; write its path, or ${PWD} for where the host is started"
            )
        }
        for (word, what) in [
            ("file:", "a file's text"), ("cmd:", "a command's output"), ("keyring:", "a stored secret"),
        ]
        where written.hasPrefix(word) {
            throw ConfigurationProblem(
                "\(wanted) is \(what) in other clients; set a variable and write ${NAME} instead"
            )
        }
        if ["/", "pathSeparator", "__dirname", "CLAUDE_PLUGIN_ROOT", "CLAUDE_PROJECT_DIR"].contains(String(written))
            || written.hasPrefix("user_config.")
        {
            throw ConfigurationProblem("\(wanted) is a word of another client; write what it stands for")
        }
        guard !written.isEmpty, written.utf8.allSatisfy({ Self.isPartOfName($0) }) else {
            throw ConfigurationProblem(
                "\(wanted) is no variable: a name is letters, digits and _; write $${ for a literal ${"
            )
        }
        return String(written)
    }

    private static func isPartOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// A variable in a form that a shell would replace and nobody does here, by its name; nil where there is none.
    func unexpanded(in text: String) -> String? {
        guard text.hasPrefix("$"), !text.hasPrefix("${"), !text.hasPrefix("$$") else { return nil }
        let name = String(decoding: text.utf8.dropFirst().prefix { Self.isPartOfName($0) }, as: UTF8.self)
        let rest = text.dropFirst(name.count + 1)
        return !name.isEmpty && (rest.isEmpty || rest.hasPrefix("/")) && self.values[name] != nil ? name : nil
    }
}

/// What is wrong with one part of a configuration.
struct ConfigurationProblem: Error {
    var message: String
    /// Where, below the entry: `args[0]`. Empty for the entry itself.
    var place = ""

    init(_ message: String, at place: String = "") { (self.message, self.place) = (message, place) }
}
