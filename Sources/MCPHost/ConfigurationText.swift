import MCPJSON

/// The text of a configuration file as people write it: JSON with comments and trailing commas (U15, K4).
enum ConfigurationText {
    /// What is wrong with a text, and where.
    struct Problem: Error {
        var message: String
        /// In bytes from the start.
        var offset: Int

        /// `file:line:column: message`.
        func description(_ file: String, _ bytes: [UInt8]) -> String {
            let error = JSONError(code: .syntax, message: self.message, offset: self.offset)
            let (line, column) = error.position(in: bytes)
            return "\(file):\(line):\(column): \(self.message)"
        }
    }

    /// Reads a text; names that are written twice in one object are told, and the last one counts.
    static func read(_ bytes: [UInt8]) throws(Problem) -> (root: JSONValue, twice: [String]) {
        if let other = self.otherEncoding(bytes) {
            throw Problem(message: "the file is \(other); save it as UTF-8", offset: 0)
        }
        guard bytes.contains(where: { $0 > 0x20 && $0 < 0x7F }) else {
            throw Problem(message: #"the file is empty; write {"mcpServers": {}}"#, offset: 0)
        }
        let plain = try self.plain(bytes)
        do throws(JSONError) {
            var reader = try JSONReader(RawJSON(copying: plain))
            let root: JSONValue = try reader.read()
            try reader.expectEnd()
            var twice: [String] = []
            try self.findTwice(RawJSON(copying: plain), "", &twice)
            return (root, twice)
        } catch {
            throw Problem(message: self.cause(error, plain), offset: error.offset)
        }
    }

    /// The name of an encoding that is not UTF-8, by what such files begin with.
    private static func otherEncoding(_ bytes: [UInt8]) -> String? {
        let start = Array(bytes.prefix(4))
        if start.starts(with: [0xFF, 0xFE, 0, 0]) || start.starts(with: [0, 0, 0xFE, 0xFF]) { return "UTF-32" }
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) { return "UTF-16" }
        // Without a mark: every other byte of ASCII text is zero.
        if start.count == 4, start[0] == 0 && start[1] != 0 || start[1] == 0 && start[0] != 0 { return "UTF-16" }
        if start.starts(with: [0x1F, 0x8B]) { return "compressed" }
        return nil
    }

    /// Blanks comments and trailing commas, so that every place stays where it is.
    private static func plain(_ bytes: [UInt8]) throws(Problem) -> [UInt8] {
        var text = bytes
        var comma: Int?
        var i = 0
        while i < text.count {
            switch text[i] {
            case UInt8(ascii: "\""):
                comma = nil
                i += 1
                while i < text.count, text[i] != UInt8(ascii: "\"") { i += text[i] == UInt8(ascii: "\\") ? 2 : 1 }
            case UInt8(ascii: "/") where i + 1 < text.count && text[i + 1] == UInt8(ascii: "/"):
                while i < text.count, text[i] != UInt8(ascii: "\n") {
                    text[i] = UInt8(ascii: " ")
                    i += 1
                }
                continue
            case UInt8(ascii: "/") where i + 1 < text.count && text[i + 1] == UInt8(ascii: "*"):
                let start = i
                while !(i >= start + 4 && text[i - 1] == UInt8(ascii: "/") && bytes[i - 2] == UInt8(ascii: "*")) {
                    guard i < text.count else {
                        throw Problem(message: "a comment that begins here does not end", offset: start)
                    }
                    i += 1
                }
                for place in start..<i where text[place] != UInt8(ascii: "\n") { text[place] = UInt8(ascii: " ") }
                continue
            case UInt8(ascii: ","): comma = i
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if let place = comma, self.follows(place, text) { text[place] = UInt8(ascii: " ") }
                comma = nil
            case 0x20, 0x09, 0x0A, 0x0D: break
            default: comma = nil
            }
            i += 1
        }
        return text
    }

    /// Whether something stands before a comma that it could follow: in `{,}` it is no trailing one.
    private static func follows(_ comma: Int, _ text: [UInt8]) -> Bool {
        let before = text[..<comma].last { $0 > 0x20 }
        return before.map {
            ![UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ","), UInt8(ascii: ":")].contains($0)
        } == true
    }

    private static func findTwice(_ text: RawJSON, _ path: String, _ twice: inout [String]) throws(JSONError) {
        var reader = try JSONReader(text)
        switch try reader.peekKind() {
        case .object:
            var seen: Set<WireString> = []
            try reader.beginObject()
            while let key = try reader.nextKey() {
                let name = path.isEmpty ? key.string : "\(path).\(key.string)"
                if !seen.insert(WireString(key.string)).inserted { twice.append(name) }
                try self.findTwice(try reader.readRaw(), name, &twice)
            }
        case .array:
            try reader.beginArray()
            var index = 0
            while try reader.nextElement() {
                try self.findTwice(try reader.readRaw(), "\(path)[\(index)]", &twice)
                index += 1
            }
        default: break
        }
    }

    /// An error in the words of whoever has written the file.
    private static func cause(_ error: JSONError, _ bytes: [UInt8]) -> String {
        let rest = bytes.dropFirst(error.offset)
        if rest.first == UInt8(ascii: "'") { return #"strings are written with " and not with '"# }
        if rest.starts(with: [0xE2, 0x80]), let last = rest.dropFirst(2).first, (0x98...0x9F).contains(last) {
            return "typographic quotes; write \""
        }
        if rest.first == UInt8(ascii: "\\") || error.message.contains("escape") {
            return #"a backslash in a string has to be doubled: "C:\\Program Files" ("# + error.message + ")"
        }
        if rest.allSatisfy({ $0 <= 0x20 }) || error.message.contains("not closed") {
            return "the text ends in the middle; something is not closed (\(error.message))"
        }
        if rest.first == UInt8(ascii: "\""), error.message.hasPrefix("expected ','") {
            return "a comma is missing before this"
        }
        if rest.first == UInt8(ascii: ","), error.message.contains("member name") || error.message.contains("a value") {
            return "a comma too many"
        }
        return "not valid JSON: \(error.message)"
    }
}
