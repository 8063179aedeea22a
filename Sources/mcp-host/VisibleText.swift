/// Text from a server, made safe for a terminal (S12): what could move the cursor, change the title, hide or reverse text is shown
/// as its escape instead of being sent.
enum VisibleText {
    /// One line, at most `limit` characters.
    static func line(_ text: String, limit: Int = 500) -> String {
        self.escape(text, keepingLines: false, limit: limit)
    }

    /// The first line of a text that says something, for a table (U19). Whatever is white in it is a space.
    static func firstLine(_ text: String) -> String {
        let first = text.split(whereSeparator: \.isNewline).first { !$0.allSatisfy(\.isWhitespace) } ?? ""
        return self.line(String(first.drop(while: \.isWhitespace).map { $0.isWhitespace ? " " : $0 }))
    }

    /// Several lines; line breaks and tabs stay.
    static func block(_ text: String, limit: Int = 1 << 20) -> String {
        self.escape(text, keepingLines: true, limit: limit)
    }

    /// Each line with a mark before it, in rows as wide as the terminal: what runs over its edge would begin a row of its own, and could look like
    /// something that this program says.
    /// - Parameter limit: so many rows; more would push away whose text it is.
    static func rows(_ text: String, limit: Int = 20) -> [String] {
        let columns = System.columns(2) ?? 0
        let width = max(1, (columns > 0 ? columns : 80) - 5)
        var rows: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var (row, taken) = ("", 0)
            // By code points: a letter may be made of any number of them, and take a column for each.
            for scalar in line.unicodeScalars {
                let needed = scalar == "\t" ? 8 : scalar.isASCII ? 1 : 2
                if taken + needed > width, taken > 0 {
                    rows.append(row)
                    (row, taken) = ("", 0)
                }
                row.unicodeScalars.append(scalar)
                taken += needed
            }
            rows.append(row)
        }
        let shown = rows.prefix(limit).map { "  | \($0)" }
        return rows.count > limit ? shown + ["  | … (\(rows.count - limit) more rows)"] : shown
    }

    private static func escape(_ text: String, keepingLines: Bool, limit: Int) -> String {
        var result = String.UnicodeScalarView()
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < limit else {
                result.append(contentsOf: "…".unicodeScalars)
                break
            }
            count += 1
            if keepingLines, scalar == "\n" || scalar == "\t" {
                result.append(scalar)
            } else if self.isDangerous(scalar) {
                result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }

    /// Controls, bidirectional overrides, invisible characters, tags.
    private static func isDangerous(_ scalar: UnicodeScalar) -> Bool {
        switch scalar.value {
        case 0...0x1F, 0x7F...0x9F, 0x00AD, 0x061C, 0x180E, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF,
            0xFFF9...0xFFFB, 0xE0000...0xE0FFF:
            true
        default: false
        }
    }
}
