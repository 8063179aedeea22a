import MCPJSON

/// Decides what of a text may be shown (U1, S23): known secrets, and what looks like a credential, become `***`.
///
/// One for each server, used wherever something of it leaves for an error, a log, a journal or a file. The server itself gets everything as
/// it is, and what tools answer is theirs.
package struct SecretMask: Sendable {
    /// Longest first, so that one that holds another is hidden whole.
    private let values: [String]

    /// - Parameter values: what must not be shown, wherever it stands; words that say nothing (`true`, `none`) are let through.
    package init(_ values: some Sequence<String> = []) {
        var parts: Set<String> = []
        for value in values {
            // A key of several lines is printed in lines, and whoever reads a secret from a file takes the line end off.
            let lines = value.split(whereSeparator: \.isNewline).map { $0.trimmedOfSpace }
            let pieces =
                [value, value[...].trimmedOfSpace] + (lines.count > 1 ? lines.filter { $0.utf8.count >= 8 } : [])
            for piece in pieces where !piece.isEmpty && !Self.plainWords.contains(piece.lowercased()) {
                // As it stands in JSON, and in addresses.
                let escaped = RawJSON(encoding: piece).description.dropFirst().dropLast()
                parts.formUnion([piece, String(escaped), Self.percentEncoded(piece)])
            }
        }
        self.values = parts.sorted { ($1.utf8.count, $0) < ($0.utf8.count, $1) }
    }

    private static let plainWords: Set<String> = [
        "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "0", "1", "default", "auto", "localhost",
        "use",
    ]

    private static func percentEncoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(UnicodeScalar(byte))
            default: result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }

    /// Hides what any of these hides.
    package init(joining masks: [SecretMask]) { self.init(masks.flatMap(\.values)) }

    /// The text with its secrets hidden.
    package func masked(_ text: String) -> String { Self.withoutCredentials(self.withoutValues(text)) }

    /// The same for a text whose beginning may have been cut off, in the middle of a secret, too.
    package func maskedTail(_ text: String) -> String {
        let bytes = Array(text.utf8)
        for value in self.values {
            var rest = value.utf8.dropFirst()
            while rest.count >= 4 {
                if bytes.starts(with: rest) {
                    return "***" + self.masked(String(decoding: bytes[rest.count...], as: UTF8.self))
                }
                rest = rest.dropFirst()
            }
        }
        return self.masked(text)
    }

    /// The same for a text whose end may have been cut off, in the middle of a secret, too.
    package func maskedHead(_ text: String) -> String {
        let bytes = Array(text.utf8)
        for value in self.values {
            var start = value.utf8.dropLast()
            while start.count >= 4 {
                if bytes.count >= start.count, bytes.suffix(start.count).elementsEqual(start) {
                    return self.masked(String(decoding: bytes.dropLast(start.count), as: UTF8.self)) + "***"
                }
                start = start.dropLast()
            }
        }
        return self.masked(text)
    }

    // MARK: Known values

    /// By bytes: to a `String`, a secret with an accent behind it is another text.
    private func withoutValues(_ text: String) -> String {
        var bytes = Array(text.utf8)
        var isChanged = false
        for value in self.values {
            let value = Array(value.utf8)
            guard let found = Self.replaced(value, in: bytes) else { continue }
            (bytes, isChanged) = (found, true)
        }
        return isChanged ? String(decoding: bytes, as: UTF8.self) : text
    }

    /// - Returns: nil where it is not there.
    private static func replaced(_ value: [UInt8], in bytes: [UInt8]) -> [UInt8]? {
        guard let first = value.first else { return nil }
        func isPartOfWord(_ byte: UInt8?) -> Bool {
            guard let byte else { return false }
            return byte >= 0x80 || byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
                || byte >= 0x30 && byte <= 0x39
        }
        var result: [UInt8] = []
        var copied = 0
        var place = 0
        while place < bytes.count {
            guard bytes[place] == first, let length = self.length(of: value, in: bytes[place...]) else {
                place += 1
                continue
            }
            let end = place + length
            // A short one is found in the middle of other words, too.
            let isInWord =
                value.count < 4
                && (isPartOfWord(place > 0 ? bytes[place - 1] : nil)
                    || isPartOfWord(end < bytes.count ? bytes[end] : nil))
            if isInWord {
                place += 1
                continue
            }
            result += bytes[copied..<place] + Array("***".utf8)
            (copied, place) = (end, end)
        }
        return copied == 0 && result.isEmpty ? nil : result + bytes[copied...]
    }

    /// A text that was cut may end in the middle of a secret.
    private static let leastPart = 6

    /// - Returns: how much of what begins like a value is that value: all of it, or what a cut has left of it; nil if it is something else.
    private static func length(of value: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        var length = 0
        for (found, wanted) in zip(bytes, value) {
            if found != wanted { break }
            length += 1
        }
        if length == value.count { return length }
        guard length >= self.leastPart else { return nil }
        let rest = bytes.dropFirst(length)
        // The folder of a path is no part of it.
        let slash = UInt8(ascii: "/")
        if rest.isEmpty, value.first == slash, value[length] == slash { return nil }
        return rest.isEmpty || rest.starts(with: "…".utf8) || rest.starts(with: "...".utf8) ? length : nil
    }

    // MARK: What looks like a credential

    /// Whether what has this name is probably a secret: `API_KEY`, `--token`, `dbPassword`.
    package static func isSecretive(_ name: some StringProtocol) -> Bool {
        var plain = name.lowercased()
        // Where one is, and how many words a model may say.
        if plain == "pwd" || plain == "oldpwd" { return false }
        for other in ["max_tokens", "max-tokens", "maxtokens", "num_tokens", "tokenize", "tokenizer"] {
            plain = plain.replacing(other, with: "")
        }
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
            !self.plainWords.contains(word[word.index(after: equals)...].lowercased()),
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

extension Substring {
    fileprivate var trimmedOfSpace: String {
        var text = self.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
