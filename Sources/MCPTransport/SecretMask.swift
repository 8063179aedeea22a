/// Decides what of a text may be shown (U1, S23): known secrets, and what looks like a credential, become `***`.
///
/// One for each server, used wherever something of it leaves for an error, a log, a journal or a file. The server itself gets everything as
/// it is, and what tools answer is theirs.
package struct SecretMask: Sendable {
    /// Longest first, so that one that holds another is hidden whole.
    private let values: [String]

    /// - Parameter values: what must not be shown, wherever it stands.
    package init(_ values: some Sequence<String> = []) {
        // A key of several lines is printed in lines.
        let parts = values.flatMap { value -> [String] in
            let lines = value.split(whereSeparator: \.isNewline).map(String.init)
            return lines.count > 1 ? [value] + lines.filter { $0.utf8.count >= 16 } : [value]
        }
        self.values = Set(parts.filter { !$0.isEmpty }).sorted { ($1.utf8.count, $0) < ($0.utf8.count, $1) }
    }

    /// Hides what any of these hides.
    package init(joining masks: [SecretMask]) { self.init(masks.flatMap(\.values)) }

    /// The text with its secrets hidden.
    package func masked(_ text: String) -> String { Self.withoutCredentials(self.withoutValues(text)) }

    /// The same for a text whose beginning may have been cut off, in the middle of a secret, too.
    package func maskedTail(_ text: String) -> String {
        for value in self.values {
            var rest = value.dropFirst()
            while rest.utf8.count >= 4 {
                if text.hasPrefix(rest) { return "***" + self.masked(String(text.dropFirst(rest.count))) }
                rest = rest.dropFirst()
            }
        }
        return self.masked(text)
    }

    // MARK: Known values

    private func withoutValues(_ text: String) -> String {
        var text = text
        for value in self.values where text.contains(value) {
            // A short one would be found in the middle of other words.
            text = value.utf8.count >= 4 ? text.replacing(value, with: "***") : Self.replacingWords(value, in: text)
        }
        return text
    }

    private static func replacingWords(_ value: String, in text: String) -> String {
        var result = ""
        var rest = text[...]
        while let found = rest.firstRange(of: value) {
            let before = found.lowerBound == rest.startIndex ? result.last : rest[rest.index(before: found.lowerBound)]
            let after = found.upperBound == rest.endIndex ? nil : rest[found.upperBound]
            let isWord = [before, after].allSatisfy { $0.map { !$0.isLetter && !$0.isNumber } ?? true }
            result += rest[..<found.lowerBound]
            result += isWord ? "***" : value
            rest = rest[found.upperBound...]
        }
        return result + rest
    }

    // MARK: What looks like a credential

    /// Whether what has this name is probably a secret: `API_KEY`, `--token`, `dbPassword`.
    package static func isSecretive(_ name: some StringProtocol) -> Bool {
        let plain = name.lowercased()
        if self.secretiveParts.contains(where: { plain.contains($0) }) { return true }
        // In between letters they are parts of other words: monkey, author, passive.
        var words: [String] = [""]
        var wasLower = false
        for character in name {
            if !character.isLetter || character.isUppercase && wasLower { words.append("") }
            if character.isLetter { words[words.count - 1] += character.lowercased() }
            wasLower = character.isLowercase
        }
        return words.contains { self.secretiveWords.contains($0) }
    }

    private static let secretiveParts = [
        "token", "secret", "passw", "passphrase", "passcode", "credential", "apikey", "authorization",
        "connection_string",
        "connectionstring", "database_url", "privatekey",
    ]
    private static let secretiveWords: Set<String> = [
        "key", "keys", "auth", "pat", "pw", "pwd", "pass", "sig", "signature", "session", "cookie", "dsn", "pin",
    ]

    private static let prefixes = [
        "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "sk_live_", "sk_test_", "rk_live_",
        "xoxb-",
        "xoxp-", "xoxa-", "xoxs-", "xapp-", "AKIA", "ASIA", "AIza", "ya29.", "hf_", "npm_", "pypi-", "dop_v1_",
        "shpat_", "eyJ",
        "SG.", "ntn_", "secret_", "lin_api_", "pplx-", "gsk_", "tvly-", "r8_",
    ]

    private static func withoutCredentials(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        var word = ""
        var before = ""
        for character in text {
            if Self.separates(character) {
                result += Self.shown(word, after: before)
                if !word.isEmpty { before = word }
                word = ""
                result.append(character)
                // A new line begins anew.
                if character.isNewline { before = "" }
            } else {
                word.append(character)
            }
        }
        return result + Self.shown(word, after: before)
    }

    private static func separates(_ character: Character) -> Bool {
        character.isWhitespace || "\"'`,;<>()[]{}|".contains(character)
    }

    private static func shown(_ word: String, after before: String) -> String {
        if word.utf8.count < 2 { return word }
        let scheme = before.lowercased()
        if scheme == "bearer" || scheme == "basic", word.utf8.count >= 4 { return "***" }
        // A header, or a flag, whose value stands behind it.
        if before.hasSuffix(":"), self.isHeader(before.dropLast()), !["bearer", "basic"].contains(word.lowercased()) {
            return "***"
        }
        if before.hasPrefix("-"), !before.contains("="), self.isSecretive(before), !word.hasPrefix("-") { return "***" }
        // docker's, and env's.
        if before == "-e" || before == "--env", let equals = word.firstIndex(of: "=") { return word[...equals] + "***" }
        if let scheme = word.firstRange(of: "://") { return self.shown(url: word, authority: scheme.upperBound) }
        // `key=value`, as a form, has nothing to hide.
        if word != "key=value", let equals = word.firstIndex(of: "="), self.isSecretive(word[..<equals]),
            word.index(after: equals) < word.endIndex
        {
            return word[...equals] + "***"
        }
        for prefix in self.prefixes where word.hasPrefix(prefix) && word.utf8.count >= prefix.utf8.count + 8 {
            return prefix + "***"
        }
        return word
    }

    private static func isHeader(_ name: Substring) -> Bool {
        let name = name.lowercased()
        return name.hasSuffix("authorization") || name.hasSuffix("api-key") || name.hasSuffix("auth-token")
            || name == "cookie"
    }

    /// Without the password before its host, and the values of its query that are secrets.
    private static func shown(url: String, authority start: String.Index) -> String {
        let end = url[start...].firstIndex { "/?#".contains($0) } ?? url.endIndex
        var result = String(url[..<start])
        if let at = url[start..<end].lastIndex(of: "@") {
            let user = url[start..<at]
            // Without a password the user may be one.
            result += user.firstIndex(of: ":").map { "\(user[..<$0]):***" } ?? "***"
            result += url[at..<end]
        } else {
            result += url[start..<end]
        }
        guard let query = url[end...].firstIndex(where: { $0 == "?" || $0 == "#" }) else { return result + url[end...] }
        result += url[end...query]
        let pairs = url[url.index(after: query)...].split(separator: "&", omittingEmptySubsequences: false).map {
            pair -> String in
            guard let equals = pair.firstIndex(of: "="), self.isSecretive(pair[..<equals]) else { return String(pair) }
            return pair[...equals] + "***"
        }
        return result + pairs.joined(separator: "&")
    }
}
