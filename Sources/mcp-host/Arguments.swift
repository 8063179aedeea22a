import ArgumentParser
import MCPHost
import MCPJSON
import MCPJSONSchema
import MCPTransport
import MCPTypes

/// `key=value` from the command line.
enum KeyValue {
    /// Words of other programs are refused with the form that is right here.
    static func parse(_ words: [String]) throws(MCPError) -> [(key: String, value: String)] {
        var pairs: [(key: String, value: String)] = []
        for word in words {
            func refuse(_ advice: String) -> MCPError {
                MCPError(.invalidArguments, "\"\(VisibleText.line(word))\" is not key=value\(advice)")
            }
            if word.hasPrefix("{") { throw refuse("; a JSON object goes behind --args") }
            if word.hasPrefix("--") {
                let name = word.dropFirst(2).prefix { $0 != "=" }
                throw refuse("; write \(name)=…")
            }
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else { throw refuse("") }
            let key = word[..<equals]
            let value = word[word.index(after: equals)...]
            if key.hasSuffix(":") { throw refuse("; write \(key.dropLast())=\(value)") }
            pairs.append((String(key), String(value)))
        }
        return pairs
    }
}

/// Arguments of a tool as they are typed, read by its schema (U6).
struct ToolArguments {
    private let schema: JSONValue

    init(_ tool: Tool) { self.schema = (try? tool.inputSchema.decode(JSONValue.self)) ?? .null }

    /// Puts typed words on top of an object. A name that is typed several times is a list, where its schema allows that; else the last counts.
    func filled(_ base: JSONObject, with pairs: [(key: String, value: String)]) -> JSONObject {
        var arguments = base
        var typed: [String: [String]] = [:]
        for (key, value) in pairs { typed[key, default: []].append(value) }
        for (key, value) in pairs {
            let all = typed[key] ?? []
            // What is no list by itself may be the elements of one.
            let list = JSONValue.array(all.map { self.element($0, of: key) })
            let single = self.value(value, for: key)
            arguments[key] = !self.fits(single, as: key) && self.fits(list, as: key) ? list : single
        }
        return arguments
    }

    /// The reading as JSON if that fits, else the text itself if that does.
    private func value(_ text: String, for key: String) -> JSONValue {
        guard let json = try? JSONValue(parsing: text) else { return .string(text) }
        return self.fits(json, as: key) || !self.fits(.string(text), as: key) ? json : .string(text)
    }

    private func element(_ text: String, of key: String) -> JSONValue {
        guard let json = try? JSONValue(parsing: text) else { return .string(text) }
        return self.fits(.array([json]), as: key) ? json : .string(text)
    }

    /// Whether a value is one that the schema allows for a property; the rest of the arguments does not count.
    private func fits(_ value: JSONValue, as key: String) -> Bool {
        guard let property = self.schema["properties"]?[key], var object = self.schema.object else { return true }
        for name in [
            "required", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "additionalProperties", "minProperties",
        ] {
            object[name] = nil
        }
        object["properties"] = .object([key: property])
        var options = JSONSchema.Options()
        var schema = try? JSONSchema(.object(object), options: options)
        if schema == nil {
            options.dialect = .draft07
            schema = try? JSONSchema(.object(object), options: options)
        }
        return schema?.violations(in: .object([key: value])).isEmpty ?? true
    }
}

/// All arguments as one JSON object: the text itself, `@file`, or `-` for standard input.
enum ArgumentsObject {
    static func read(_ text: String) throws(MCPError) -> JSONObject {
        var bytes = Array(text.utf8)
        if text == "-" {
            guard let input = System.readToEnd(0) else {
                throw MCPError(.invalidArguments, "--args -: standard input cannot be read")
            }
            bytes = input
        } else if text.hasPrefix("@") {
            let path = String(text.dropFirst())
            let contents = System.contents(of: path)
            guard let read = contents.bytes else {
                throw MCPError(
                    .invalidArguments,
                    "--args: the file \(VisibleText.line(path)) cannot be read: \(contents.problem)"
                )
            }
            bytes = read
        }
        do throws(JSONError) { return try RawJSON(copying: bytes).decode(JSONObject.self) } catch {
            throw MCPError(.invalidArguments, "--args is not a JSON object: \(error)")
        }
    }
}

/// Which server, and which of its things, the words of a command mean.
struct Target {
    var server: String
    /// The tool, prompt or address.
    var name: String
    /// The words behind them.
    var rest: [String]

    /// - Parameters:
    ///   - words: `SERVER NAME …`; where there is one server only, or the name says which, `NAME …`.
    ///   - what: what is named, for the error.
    init(_ words: [String], _ what: String, in loaded: HostOptions.Loaded) throws(MCPError) {
        let names = loaded.names
        // It has done its work: what stands behind it begins with a dash.
        let words = words.filter { $0 != "--" }
        guard let first = words.first else {
            throw MCPError(.invalidArguments, "which \(what)? Write SERVER \(what.uppercased())")
        }
        if names.contains(first) {
            guard words.count > 1 else { throw MCPError(.invalidArguments, "which \(what) of \(first)?") }
            self.init(server: first, name: words[1], rest: Array(words.dropFirst(2)))
            return
        }
        if let member = loaded.disabled[first] {
            throw MCPError(
                .invalidArguments,
                "the server \"\(first)\" is disabled in the configuration (\"\(member)\")"
            )
        }
        // The longest, where one server's name begins as another's.
        let owners = names.filter { first.hasPrefix(ToolName.prefix(of: $0) + "__") }
        if let owner = owners.max(by: { $0.utf8.count < $1.utf8.count }), what != "uri" {
            self.init(server: owner, name: first, rest: Array(words.dropFirst()))
            return
        }
        guard names.count == 1, words.count == 1 || words[1].contains("=") && what != "uri" else {
            let hint = Similarity.hint(for: first, among: names)
            throw MCPError(.invalidArguments, "no server \"\(VisibleText.line(first))\" in the configuration\(hint)")
        }
        self.init(server: names[0], name: first, rest: Array(words.dropFirst()))
    }

    private init(server: String, name: String, rest: [String]) {
        (self.server, self.name, self.rest) = (server, name, rest)
    }

    /// The servers that some words name.
    /// - Returns: nil for all.
    static func servers(_ words: [String], in loaded: HostOptions.Loaded) throws(MCPError) -> [String]? {
        for word in words where !loaded.names.contains(word) {
            if let member = loaded.disabled[word] {
                throw MCPError(
                    .invalidArguments,
                    "the server \"\(word)\" is disabled in the configuration (\"\(member)\")"
                )
            }
            let hint = Similarity.hint(for: word, among: loaded.names)
            throw MCPError(.invalidArguments, "no server \"\(VisibleText.line(word))\" in the configuration\(hint)")
        }
        return words.isEmpty ? nil : words
    }
}
