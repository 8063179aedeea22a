import ArgumentParser
import MCPHost
import MCPJSON

struct Why: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Tell what happened to a server, step by step, and why.",
        discussion: "Reads what `mcp-host` wrote down about the newest host that had this server, running or gone."
    )
    @Argument(help: "The server's name in the configuration.") var server: String
    @Flag(name: .long, help: "Print one JSON document on standard output, and nothing else.") var json = false

    func run() throws {
        let events = LifecycleLog()?.events(of: self.server) ?? []
        let host = events.last?.host
        let state = host.map { LifecycleLog.state(of: $0, after: events) }
        let unknown = MCPError(
            .notFound,
            "nothing is known of a server \"\(VisibleText.line(self.server))\"; it was never opened here"
        )
        if self.json {
            var document: JSONObject = [
                "server": .string(self.server), "events": .array(events.map(Self.json)),
                "hostState": state.map { .string($0.rawValue) } ?? .null,
            ]
            if events.isEmpty { document["error"] = .object(unknown.document) }
            Terminal.out(.object(document))
        } else {
            for event in events { Terminal.out(Self.line(event)) }
            if let host, state == .gone {
                Terminal.out(
                    "host \(host) is gone and has not closed: it was killed, or has crashed; mcp-host reap looks for what it left"
                )
            }
        }
        if events.isEmpty {
            Terminal.error("mcp-host: \(unknown.message)")
            throw ExitCodes.serverUnreachable
        }
    }

    private static func line(_ event: LifecycleLog.Event) -> String {
        let time = System.time(event.time, hasFraction: true)
        let place = event.server.map { "\($0)#\(event.generation)" } ?? "host \(event.host)"
        let cause = VisibleText.block(event.cause).split(separator: "\n").joined(separator: "\n      ")
        return
            "\(time)  \(VisibleText.line(place)): \(VisibleText.line(event.event)), by \(VisibleText.line(event.task))\n      \(cause)"
    }

    private static func json(_ event: LifecycleLog.Event) -> JSONValue {
        [
            "time": .number(JSONNumber(event.time)), "host": .number(JSONNumber(event.host)),
            "server": event.server.map { .string($0) } ?? .null,
            "generation": .number(JSONNumber(Int64(event.generation))),
            "event": .string(event.event), "cause": .string(event.cause), "task": .string(event.task),
        ]
    }
}

struct Reap: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reap",
        abstract: "End the servers that killed hosts have left running.",
        discussion: """
            Only processes that the journal of a dead host names by number and start time, their descendants, and those that carry the \
            mark of such a launch. The next host that starts does the same by itself.
            """
    )
    @Flag(name: .long, help: "Only tell what would be ended.") var dryRun = false
    @Flag(name: .long, help: "Print one JSON document on standard output, and nothing else.") var json = false

    func run() throws {
        let outcome = Orphans.look(isDryRun: self.dryRun)
        let found = outcome.processes
        for remark in outcome.remarks { Terminal.error("mcp-host: \(VisibleText.line(remark))") }
        let left = found.filter { !$0.isGone }
        if self.json {
            let list = found.map { process -> JSONValue in
                [
                    "pid": .number(JSONNumber(Int64(process.processID))),
                    "host": .number(JSONNumber(Int64(process.host))),
                    "gone": .bool(process.isGone),
                ]
            }
            Terminal.out(.object(["processes": .array(list)]))
        } else if self.dryRun {
            for process in found { Terminal.out("process \(process.processID), left by host \(process.host)") }
            Terminal.out("\(found.count) left by killed hosts; without --dry-run they are ended")
        } else {
            Terminal.out("\(found.count - left.count) ended, \(left.count) left")
        }
        if !self.dryRun, !left.isEmpty || !outcome.isComplete { throw ExitCodes.leftBehind }
    }
}
