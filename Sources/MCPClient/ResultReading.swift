import MCPJSON
import MCPTransport
import MCPTypes

extension RawJSON {
    /// A result of the kind that was asked for. One of a kind that is not known is an invalid one (`RPC-23`).
    func result<Result: ResultObject>(of method: Method) throws(MCPError) -> Result {
        let type: ResultType?
        do {
            let result = try self.decode(Result.self)
            type = result.resultType
            if type == nil || type == .complete { return result }
        } catch {
            type = (try? self.decode(ResultHead.self))?.resultType
            if type == nil || type == .complete {
                throw MCPError(.badResponse, "the result of \(method.rawValue) is unusable: \(error)")
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
