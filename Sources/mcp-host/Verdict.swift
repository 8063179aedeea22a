import ArgumentParser
import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// How this program ends (also in `--help` and README).
enum ExitCodes {
    static let serverUnreachable = ExitCode(4)
    static let usage = ExitCode(64)
    static let toolFailed = ExitCode(5)
    static let leftBehind = ExitCode(6)
    static let outputLost = ExitCode(74)
    static let interrupted = ExitCode(130)

    static let help = """
        EXIT CODES
          0    all went well
          4    a server could not be reached, or answered with an error, or with something that had to be left out
          5    the tool itself answered with an error, or with something else than it promises
          6    something was left behind after closing, or it is not proved that nothing was
          64   the command line, the configuration, a tool's arguments or --answer cannot be used
          74   standard output, or the file of --output, cannot be written
          130  interrupted
        """
}

/// What a command has come to: its document for `--json`, and how the program ends.
struct Verdict {
    var document: JSONObject
    var code: ExitCode?

    init(_ document: JSONObject, _ code: ExitCode? = nil) { (self.document, self.code) = (document, code) }

    /// An error ended it: told on standard error, with what the server said of it (U10).
    init(_ error: MCPError) {
        Terminal.error("mcp-host: \(Terminal.paragraph(error.description))")
        if let refusal = error.rpcError {
            var details = "  code \(refusal.code.rawValue)"
            if let data = refusal.data, data != .null {
                details += ", data: \(VisibleText.block(JSONValue.masked(data).description, limit: 2000))"
            }
            Terminal.error(details)
        }
        self.init(["error": .object(error.document)], Self.code(of: error))
    }

    private static func code(of error: MCPError) -> ExitCode {
        switch error.code {
        case .hostClosed, .cancelled: ExitCodes.interrupted
        case .invalidArguments, .invalidConfiguration: ExitCodes.usage
        case .notWritten: ExitCodes.outputLost
        default: ExitCodes.serverUnreachable
        }
    }

    static var interrupted: Self {
        Self(
            ["error": .object(MCPError(.init("interrupted"), "interrupted by a signal").document)],
            ExitCodes.interrupted
        )
    }

    // MARK: What servers did not do as they should

    /// Tells what a walk over all servers could not get, and what had to be passed over.
    mutating func tell<Item>(_ listing: HostListing<Item>, only: Set<String>? = nil) {
        func isWanted(_ server: String?) -> Bool { only.map { $0.contains(server ?? "") } ?? true }
        self.tell(listing.failures.filter { isWanted($0.server) })
        self.tell(listing.problems.filter { isWanted($0.server) })
    }

    mutating func tell(_ failures: [ServerFailure]) {
        for failure in failures {
            Terminal.error("mcp-host: \(Terminal.paragraph(failure.error.description))")
        }
        self.append(failures.map { .object($0.error.naming($0.server).document) }, to: "failures")
        // A list that a server declares and does not have is an empty one (U18).
        if !failures.allSatisfy(\.isOfMissingMethod) { self.code = self.code ?? ExitCodes.serverUnreachable }
    }

    /// What costs a user nothing (a list that is `null`, an object that PHP wrote as a list) is told and no failure.
    mutating func tell(_ problems: [ServerProblem]) {
        for problem in problems {
            let text = "\(problem.server.map { "\($0): " } ?? "")\(problem.problem), in its answer to \(problem.method)"
            Terminal.note(Terminal.line(text))
        }
        self.append(problems.map { .object($0.document) }, to: "problems")
        let isHarmless = problems.allSatisfy { $0.problem.remedy == .empty }
        if !isHarmless { self.code = self.code ?? ExitCodes.serverUnreachable }
    }

    private mutating func append(_ values: [JSONValue], to name: String) {
        self.document[name] = .array((self.document[name]?.array ?? []) + values)
    }
}

extension MCPError {
    /// For `--json`.
    var document: JSONObject {
        [
            "kind": .string(self.code.description),
            "code": self.rpcError.map { .number(JSONNumber(Int64($0.code.rawValue))) } ?? .null,
            "message": .string(Terminal.masked(self.message)),
            "data": self.rpcError?.data.map { .masked($0) } ?? .null,
            "server": self.server.map { .string($0) } ?? .null,
        ]
    }
}

extension ServerProblem {
    /// For `--json`.
    var document: JSONObject {
        [
            "server": self.server.map { .string($0) } ?? .null, "method": .string(self.method),
            "path": .string(Terminal.masked(self.problem.path)),
            "message": .string(Terminal.masked(self.problem.message)),
            "remedy": .string(self.problem.remedy.name),
        ]
    }
}

extension JSONValue {
    /// The same without what must not be shown.
    fileprivate static func masked(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text): .string(Terminal.masked(text))
        case .array(let elements): .array(elements.map { self.masked($0) })
        case .object(let members): .object(JSONObject(members.map { (Terminal.masked($0.key), self.masked($0.value)) }))
        case .null, .bool, .number: value
        }
    }

    /// All that the protocol has of a value.
    static func document(_ value: some JSONEncodable) -> JSONValue { (try? RawJSON(encoding: value).decode()) ?? .null }
}
