import Foundation
import MCPTransport

/// Writes a script that can be run. Another process writes it: had this one a descriptor for writing open while some other test starts a
/// server, that server's process would have it too for a moment, and `exec` of the script says "text file busy".
public func writeProgram(_ text: String, to path: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", #"printf '%s' "$1" > "$0" && chmod 755 "$0""#, path, text]
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw CocoaError(.fileWriteUnknown) }
}
