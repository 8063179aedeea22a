import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// The tools that a server has listed to this session, with their schemas ready for use.
final class ToolCatalog: Sendable {
    /// One of them.
    final class Entry: Sendable {
        /// What is made of its schemas when it is first called; nil where there is none, or none that can be used.
        struct Compiled: Sendable {
            var input: JSONSchema?
            var output: JSONSchema?
            var mirrors: MirroredParameters?
        }

        let tool: Tool
        /// nil until it is first called.
        let compiled: Compiled?

        fileprivate init(_ tool: Tool, _ compiled: Compiled? = nil) { (self.tool, self.compiled) = (tool, compiled) }

        /// What of the arguments of a call is repeated outside the message.
        func mirrored(_ arguments: RawJSON?) -> [OutgoingMessage.MirroredParameter] {
            self.compiled?.mirrors?.values(in: arguments) ?? []
        }

        /// Runs only as a task (`TASKL-07`).
        var needsTask: Bool { self.tool.execution?.taskSupport == .required }
    }

    private struct State {
        var entries: [WireString: Entry] = [:]
        var problems: [WireString: String] = [:]
        /// Whether a list has been read since the last change that the server told of.
        var isCurrent = false
        /// Until when the list is good; nil: until the server tells of a change.
        var expires: Duration?
        /// Counts those changes, so that a list that was read before one is not taken for current after it.
        var changes = 0
        /// How many there had been when the list that is known was asked for.
        var readAt = 0
        /// Not read again by itself before this moment: the last reading has failed.
        var notBefore: Duration = .zero
        /// The reading that is under way for calls that wait for it.
        var reading: OneShot<Void>?
    }

    private let state = Locked(State())

    /// Counts the changes that the server has told of: taken before a list is read, given back with it.
    var changes: Int { self.state.withLock { $0.changes } }

    /// A list has been read.
    /// - Parameters:
    ///   - tools: all of them; of equal names the first counts.
    ///   - changes: ``changes`` from before.
    ///   - expires: until when it is good; nil: until the server tells of a change.
    /// - Returns: whether it is current; nil if a newer list is there already.
    func update(_ tools: [Tool], changes: Int, expires: Duration?) -> Bool? {
        self.state.withLock { state in
            guard changes >= state.readAt else { return nil }
            state.readAt = changes
            var entries: [WireString: Entry] = Dictionary(minimumCapacity: tools.count)
            var problems: [WireString: String] = [:]
            for tool in tools {
                let name = WireString(tool.name)
                guard entries[name] == nil else { continue }
                if let known = state.entries[name], known.tool == tool {
                    entries[name] = known
                    problems[name] = state.problems[name]
                } else {
                    entries[name] = Entry(tool)
                }
            }
            (state.entries, state.problems, state.expires) = (entries, problems, expires)
            state.isCurrent = state.changes == changes
            return state.isCurrent
        }
    }

    /// The server has told of a change.
    func noteChange() {
        self.state.withLock { state in
            state.changes += 1
            state.isCurrent = false
        }
    }

    /// A tool, its schemas compiled, and whether what is known of the server's tools is current. The one way in for a call, so that it
    /// locks once.
    func lookUp(_ name: String) -> (entry: Entry?, isCurrent: Bool) {
        let name = WireString(name)
        let (entry, isCurrent) = self.state.withLock { ($0.entries[name], $0.isCurrent) }
        guard let entry, entry.compiled == nil else { return (entry, isCurrent) }
        // Compiling may take milliseconds: not under the lock. Two who do it at once come to the same.
        var problem: String?
        var compiled = Entry.Compiled()
        compiled.input = Self.compile(entry.tool.inputSchema, "inputSchema", &problem) {
            compiled.mirrors = MirroredParameters(schema: $0)
        }
        compiled.output = entry.tool.outputSchema.flatMap { Self.compile($0, "outputSchema", &problem) }
        let ready = Entry(entry.tool, compiled)
        self.state.withLock { state in
            guard state.entries[name]?.tool == entry.tool else { return }
            state.entries[name] = ready
            state.problems[name] = problem
        }
        return (ready, isCurrent)
    }

    /// Whether the list may be out of date without the server having said so.
    func mayBeStale(now: Duration) -> Bool {
        self.state.withLock { !$0.isCurrent || $0.expires.map { $0 <= now } == true }
    }

    /// Whether a list is to be read before a call: there is none, or it is out of date, and the last reading has not just failed.
    func isToBeRead(now: Duration) -> Bool { self.state.withLock { !$0.isCurrent && $0.notBefore <= now } }

    /// Whether the last reading has not just failed.
    func mayBeReadAgain(now: Duration) -> Bool { self.state.withLock { $0.notBefore <= now } }

    /// Joins the reading of the list that is under way, or begins one.
    /// - Returns: completed when it is over, by whoever began it.
    func joinReading() -> (reading: OneShot<Void>, isFirst: Bool) {
        self.state.withLock { state in
            if let reading = state.reading { return (reading, false) }
            let reading = OneShot<Void>()
            state.reading = reading
            return (reading, true)
        }
    }

    /// The reading that ``joinReading()`` has begun is over.
    /// - Parameters:
    ///   - reading: which.
    ///   - notBefore: it has failed, and calls do not wait for another one before that moment. What is known stays known.
    func endReading(_ reading: OneShot<Void>, notBefore: Duration?) {
        self.state.withLock { state in
            state.reading = nil
            state.notBefore = notBefore ?? .zero
        }
        reading.complete(())
    }

    /// Makes all schemas ready.
    func compile() -> [String: String] {
        for name in self.state.withLock({ Array($0.entries.keys) }) { _ = self.lookUp(name.text) }
        return self.problems
    }

    /// Schemas that cannot be used, and why: those tools are called unchecked.
    var problems: [String: String] {
        let problems = self.state.withLock { $0.problems }
        return Dictionary(problems.map { ($0.key.text, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    /// A schema as it is meant by those who write `null` for what is absent, and `[]` for an object that is empty (U3).
    private static func withoutNulls(_ schema: JSONValue) -> JSONValue {
        guard let object = schema.object else { return schema }
        var result = JSONObject()
        for (key, value) in object {
            switch (key, value) {
            case ("const", _), ("default", _), ("examples", _), ("enum", _): result[key] = value
            case (_, .null): break
            case ("properties", .array(let list)) where list.isEmpty: result[key] = .object(JSONObject())
            case ("properties", .object(let members)), ("$defs", .object(let members)),
                ("definitions", .object(let members)):
                result[key] = .object(JSONObject(members.map { ($0.key, self.withoutNulls($0.value)) }))
            case (_, .array(let list)): result[key] = .array(list.map(self.withoutNulls))
            default: result[key] = self.withoutNulls(value)
            }
        }
        return .object(result)
    }

    private static func compile(
        _ schema: RawJSON,
        _ name: String,
        _ problem: inout String?,
        read: (JSONValue) -> Void = { _ in }
    ) -> JSONSchema? {
        do {
            let value = Self.withoutNulls(try schema.decode(JSONValue.self))
            read(value)
            do {
                return try JSONSchema(value)
            } catch let error {
                // Older servers write draft-07 and do not say so.
                var options = JSONSchema.Options()
                options.dialect = .draft07
                if value["$schema"] == nil, let older = try? JSONSchema(value, options: options) { return older }
                throw error
            }
        } catch {
            problem = "\(name): \(error)"
            return nil
        }
    }
}

extension ToolCatalog.Entry {
    private static let noArguments: RawJSON = [:]

    /// - Throws: `invalidArguments` naming what is wrong with them.
    func check(arguments: RawJSON?) throws(MCPError) {
        guard let schema = self.compiled?.input else { return }
        if schema.certainlyAccepts(arguments ?? Self.noArguments) { return }
        let value: JSONValue
        do { value = try (arguments ?? Self.noArguments).decode() } catch {
            throw MCPError(.invalidArguments, "the arguments of \(self.tool.name) are no JSON: \(error)")
        }
        let violations = schema.violations(in: value)
        guard violations.isEmpty else {
            let reasons = violations.map(\.description).joined(separator: "; ")
            throw MCPError(
                .invalidArguments,
                "the arguments do not fit the tool \(self.tool.name), which was not called: \(reasons)"
            )
        }
    }

    /// - Throws: `badResponse` where a tool breaks its own promise.
    func check(result: CallToolResult) throws(MCPError) {
        guard result.isError != true, let schema = self.compiled?.output else { return }
        let name = self.tool.name
        guard let content = result.structuredContent else {
            throw MCPError(.badResponse, "\(name) has an output schema and sent no structured content")
        }
        let value: JSONValue
        do { value = try content.decode() } catch {
            throw MCPError(.badResponse, "the structured content of \(name) is no JSON: \(error)")
        }
        let violations = schema.violations(in: value)
        guard violations.isEmpty else {
            let reasons = violations.map(\.description).joined(separator: "; ")
            throw MCPError(.badResponse, "the structured content of \(name) does not fit its output schema: \(reasons)")
        }
    }
}
