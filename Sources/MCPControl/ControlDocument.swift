import MCPClient
import MCPHost
import MCPJSON
import MCPTransport
import MCPTypes

/// What is told of hosts and servers.
enum ControlDocument {
    static func host(_ host: ControlledHost) -> JSONValue {
        var document = self.servers(host.host)
        document["host"] = .string(host.id)
        document["shared"] = .bool(host.isShared)
        return .object(document)
    }

    static func servers(_ host: MCPHost) -> JSONObject {
        ["servers": .array(host.servers.map { .object(self.server($0)) })]
    }

    static func server(_ server: ManagedServer) -> JSONObject {
        let known = server.server
        return [
            "name": .string(server.name), "status": .string(server.status.description),
            "pid": server.processID.map { .number(JSONNumber(Int64($0))) } ?? .null,
            "revision": known.map { .string($0.revision.rawValue) } ?? .null,
            "serverInfo": known?.serverInfo.map { self.value($0) } ?? .null,
            "capabilities": known.map { self.value($0.capabilities) } ?? .null,
            "instructions": known?.instructions.map { .string($0) } ?? .null,
            "failure": server.failure.map(self.failure) ?? .null,
            "problems": .array(server.problems.map(self.problem)),
        ]
    }

    static func failure(_ error: MCPError) -> JSONValue {
        let error = ControlError(error)
        var document = error.data
        document["message"] = .string(error.message)
        return .object(document)
    }

    static func problem(_ problem: ServerProblem) -> JSONValue {
        [
            "server": problem.server.map { .string($0) } ?? .null, "method": .string(problem.method),
            "message": .string(problem.problem.description),
        ]
    }

    static func event(_ entry: LifecycleJournal.Entry) -> JSONValue {
        let (seconds, attoseconds) = entry.time.components
        return [
            "number": .number(JSONNumber(Int64(entry.number))),
            "milliseconds": .number(JSONNumber(seconds * 1000 + attoseconds / 1_000_000_000_000_000)),
            "server": entry.server.map { .string($0) } ?? .null,
            "generation": .number(JSONNumber(Int64(entry.generation))),
            "event": .string(entry.event), "cause": .string(entry.cause), "task": .string(entry.task),
        ]
    }

    /// All that the protocol has of a value.
    static func value(_ value: some JSONEncodable) -> JSONValue { (try? RawJSON(encoding: value).decode()) ?? .null }
}
