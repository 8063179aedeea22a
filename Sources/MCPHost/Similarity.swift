/// The word that somebody has probably meant.
package enum Similarity {
    /// The nearest of some words, if one is near enough to be it: a letter in three may be wrong, and case and separators do not count.
    package static func closest(to word: String, among words: some Sequence<String>) -> String? {
        let wanted = self.plain(word)
        guard !wanted.isEmpty else { return nil }
        var best: (word: String, distance: Int)?
        for candidate in words {
            let distance = self.distance(wanted, self.plain(candidate))
            if distance <= max(1, wanted.count / 3), distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.word
    }

    /// The words, nearest first by having the one in them: for "there are …" where the list is long.
    package static func hint(for word: String, among words: [String]) -> String {
        // Names are others' words, and must not look like a line of ours.
        let words = words.map { String($0.prefix(100).map { $0.isNewline ? " " : $0 }) }
        if let closest = self.closest(to: word, among: words) { return "; did you mean \"\(closest)\"?" }
        if words.isEmpty { return "; there is none" }
        let shown = words.prefix(20).joined(separator: ", ")
        return "; there are: \(shown)\(words.count > 20 ? " and \(words.count - 20) more" : "")"
    }

    private static func plain(_ word: String) -> [UInt8] {
        // Words are short; whatever is not is no slip of the finger.
        word.utf8.prefix(64).compactMap { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: " "): nil
            default: byte
            }
        }
    }

    /// How many letters have to be added, taken away, changed or exchanged with their neighbour.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = []
        var last = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var row = [i + 1]
            for (j, y) in b.enumerated() {
                var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (x == y ? 0 : 1))
                if i > 0, j > 0, x == b[j - 1], a[i - 1] == y { best = min(best, before[j - 1] + 1) }
                row.append(best)
            }
            (before, last) = (last, row)
        }
        return last[b.count]
    }
}
