/// The name under which a host offers a server's tool: `server__tool`.
///
/// A pure function of server and tool, so it never depends on what else is open or in which order (J5). At most 64 characters of
/// `A-Z a-z 0-9 _ -`, which is what models accept. Names are looked up in a table and never taken apart again.
///
/// The plain form is used only where it is unambiguous; otherwise, and where something had to be replaced or cut, a digest of both
/// names is appended.
public enum ToolName {
    /// Longest name that models accept.
    public static let maximumLength = 64
    private static let digestLength = 10

    /// The name of `tool` of `server`.
    public static func qualified(server: String, tool: String) -> String {
        let plain = "\(server)__\(tool)"
        if self.isUnambiguous(server, tool), plain.utf8.count <= self.maximumLength { return plain }
        let room = self.maximumLength - self.digestLength - 1
        let left = self.cleaned(server).prefix(24)
        let right = self.cleaned(tool).prefix(room - left.count - 2)
        return "\(left)__\(right)_\(self.digest(server, tool))"
    }

    /// What the names of all tools of a server begin with. Other servers' names may begin so too.
    package static func prefix(of server: String) -> String { String(self.cleaned(server).prefix(24)) }

    /// Whether `server__tool` can be read in one way only.
    private static func isUnambiguous(_ server: String, _ tool: String) -> Bool {
        !server.isEmpty && !tool.isEmpty && server.utf8.allSatisfy(self.isAllowed)
            && tool.utf8.allSatisfy(self.isAllowed)
            && !server.contains("__") && !server.hasSuffix("_") && !tool.hasPrefix("_") && !self.looksDigested(tool)
    }

    /// A tool whose own name ends like a digest always gets one, so that it cannot pose as another.
    private static func looksDigested(_ tool: String) -> Bool {
        let tail = tool.utf8.suffix(self.digestLength + 1)
        return tail.count == self.digestLength + 1 && tail.first == UInt8(ascii: "_")
            && tail.dropFirst().allSatisfy { self.alphabet.contains($0) }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private static func cleaned(_ name: String) -> String {
        String(decoding: name.utf8.map { self.isAllowed($0) ? $0 : UInt8(ascii: "-") }, as: UTF8.self)
    }

    private static let alphabet = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)

    /// 50 bits of FNV-1a over both names, each byte mixed; stable for ever, as names must be.
    private static func digest(_ server: String, _ tool: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in Array(server.utf8) + [0] + Array(tool.utf8) {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        }
        hash ^= hash >> 32
        var letters: [UInt8] = []
        for _ in 0..<self.digestLength {
            letters.append(self.alphabet[Int(hash & 31)])
            hash >>= 5
        }
        return String(decoding: letters, as: UTF8.self)
    }
}
