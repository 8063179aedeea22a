import MCPJSON
import MCPTransport
import MCPTypes

extension SessionContext {
    /// Reads something that the server has said, as leniently as is configured.
    /// - Parameters:
    ///   - text: what it has said.
    ///   - name: what to note its problems under.
    ///   - page: which page of a list it is, from 1; it stands before the places of its problems.
    ///   - problems: those that this text has.
    func read<Value: JSONDecodable>(
        _ text: RawJSON,
        _ name: String,
        page: Int = 1,
        problems: inout [JSONProblem]
    ) throws(JSONError) -> Value {
        if self.configuration.readsStrictly { return try text.decode() }
        let value = try text.decode(Value.self, problems: &problems)
        if page > 1 { for place in problems.indices { problems[place].path = "page \(page): \(problems[place].path)" } }
        self.problems.note(name, problems)
        return value
    }

    /// The same, where what is said is all that is wanted of it.
    func read<Value: JSONDecodable>(_ text: RawJSON, _ name: String) throws(JSONError) -> Value {
        var problems: [JSONProblem] = []
        return try self.read(text, name, problems: &problems)
    }

    /// The parameters of a notification; nil where they make no sense.
    func read<Value: JSONDecodable>(_ params: RawJSON?, of method: NotificationMethod) -> Value? {
        params.flatMap { try? self.read($0, method.rawValue) }
    }

    /// A result of the kind that was asked for. One of a kind that is not known is an invalid one (`RPC-23`).
    func read<Result: ResultObject>(_ payload: RawJSON, of method: Method, page: Int = 1) throws(MCPError) -> Result {
        let type: ResultType?
        do throws(JSONError) {
            var problems: [JSONProblem] = []
            var result: Result = try self.read(payload, method.rawValue, page: page, problems: &problems)
            type = result.resultType
            if type == nil || type == .complete {
                if !problems.isEmpty { result.problems = problems }
                return result
            }
        } catch {
            type = (try? payload.decode(ResultHead.self))?.resultType
            if type == nil || type == .complete {
                let reason = payload.explanation(of: error)
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(reason)")
            }
        }
        if type == .inputRequired {
            throw MCPError(.badResponse, "\(method.rawValue): the server asks for input, where it must not")
        }
        throw MCPError(.badResponse, "the result of \(method.rawValue) is of an unknown kind: \(type?.rawValue ?? "")")
    }
}

extension TaskState {
    /// The task that a result tells of: in its member `task` before 2026-07-28, itself since.
    init?(createdBy result: RawJSON) {
        guard let members = try? result.decode(JSONObject.self) else { return nil }
        if let task = members["task"]?.object {
            self.init(task)
        } else if members["resultType"]?.string == ResultType.task.rawValue {
            self.init(members)
        } else {
            return nil
        }
    }
}
