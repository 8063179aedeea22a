import MCPJSON
import MCPStdio
import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Which servers were found to be legacy ones when they were asked, by how they are launched: the next start speaks to them in their way at
/// once, instead of waiting for an answer to `server/discover` that never comes (V18, `VER-08`).
///
/// One small file each in `eras/` of the state directory. A verdict is good for a week, and forgotten as soon as it proves wrong; a server
/// that was modern is asked each time, since that costs nothing.
struct EraMemory: Sendable {
    /// How long a verdict is good: a server may have been brought up to date.
    private static let goodFor = 7 * 24 * 3600

    /// So many launches are remembered; more come only in the place of verdicts that are not good any more.
    private static let limit = 256

    private let folder: String
    private let name: String
    private var path: String { "\(self.folder)/\(self.name)" }

    /// The memory of servers that are launched like this; nil where there is no state directory, or the server is no subprocess.
    init?(_ definition: ServerDefinition) {
        guard definition.remembersEra, definition.client.era == .automatic,
            let launch = definition.transport.launch,
            let folder = StateDirectory.folder("eras")
        else { return nil }
        let words =
            [launch.command] + launch.arguments + ["", launch.workingDirectory ?? ""]
            + launch.environment.map { "\($0.key)=\($0.value)" }.sorted()
        (self.folder, self.name) = (folder, Self.digest(words))
    }

    /// Whether it was found to be a legacy server, not too long ago.
    var isLegacy: Bool { Self.isGood(self.path) }

    private static func isGood(_ path: String) -> Bool {
        var info = stat()
        guard lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return false }
        #if canImport(Darwin)
            let made = info.st_mtimespec.tv_sec
        #else
            let made = info.st_mtim.tv_sec
        #endif
        let age = time(nil) - made
        return age >= 0 && age < self.goodFor
    }

    /// It was asked, and is a legacy server. Where that cannot be noted, it is asked again next time.
    func remember() {
        let others = StateDirectory.files(in: self.folder)
        if others.count >= Self.limit, !others.contains(self.name) {
            for other in others where !Self.isGood("\(self.folder)/\(other)") { unlink("\(self.folder)/\(other)") }
            guard StateDirectory.files(in: self.folder).count < Self.limit else { return }
        }
        let descriptor = open(self.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { return }
        let text: StaticString = "legacy\n"
        _ = write(descriptor, text.utf8Start, text.utf8CodeUnitCount)
        _ = close(descriptor)
    }

    /// It is not what it was.
    func forget() { unlink(self.path) }

    /// A name for a launch, without saying what it is: arguments may be secrets. 128 bits of FNV-1a.
    private static func digest(_ words: [String]) -> String {
        var halves: [UInt64] = [0xCBF2_9CE4_8422_2325, 0x9E37_79B9_7F4A_7C15]
        for byte in words.joined(separator: "\0").utf8 {
            for half in halves.indices {
                halves[half] = (halves[half] ^ UInt64(byte) &+ UInt64(half)) &* 0x0000_0100_0000_01B3
            }
        }
        return halves.map { String($0, radix: 16) }.joined(separator: "-")
    }
}
