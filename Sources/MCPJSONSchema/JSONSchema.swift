public import MCPJSON

/// A JSON Schema, read once and then asked about any number of values, from any task.
///
/// Dialects 2020-12 and draft-07. Nothing is ever fetched: a reference is found in the schema itself, among ``Options/resources``, or
/// it is an error (`SCH-07`). Schema, value and the time for both are bounded (S30): patterns are matched in linear time, and a check
/// that takes too many steps ends with a violation that says so.
public struct JSONSchema: Sendable {
    /// The rules that a schema is written in.
    public enum Dialect: String, Sendable, Hashable {
        /// JSON Schema draft-07.
        case draft07 = "http://json-schema.org/draft-07/schema"
        /// JSON Schema 2020-12, the default of the Model Context Protocol since 2025-11-25 (`SCH-01`).
        case draft2020 = "https://json-schema.org/draft/2020-12/schema"
    }

    /// What to take for granted, and how much to allow.
    public struct Options: Sendable {
        /// The dialect of schemas without `$schema`. Default 2020-12.
        public var dialect = Dialect.draft2020
        /// Documents that references may name, by absolute URI. The metaschemas of both dialects are always there.
        public var resources: [String: JSONValue] = [:]
        /// Whether a wrong `format` is a violation; otherwise it is an annotation. Default false.
        public var assertsFormat = false
        /// How deep checking may nest. Default 200.
        public var depth = 200
        /// How many steps one check may take: one for each subschema that meets a value, element or character. Default 2 million,
        /// which is well under a second.
        public var steps = 2_000_000
        /// How many subschemas a schema may have. Default 50 000.
        public var size = 50_000

        /// The defaults.
        public init() {}
    }

    /// Something in a value that its schema does not allow.
    public struct Violation: Sendable, Hashable, CustomStringConvertible {
        /// Where in the value: a JSON Pointer (RFC 6901), empty for all of it.
        public var instancePath: String
        /// Which keyword: the URI of the schema, if it has one, and a JSON Pointer after `#`.
        public var schemaPath: String
        /// What is wrong, in a sentence.
        public var message: String
        /// Makes a violation.
        public init(instancePath: String, schemaPath: String, message: String) {
            self.instancePath = instancePath
            self.schemaPath = schemaPath
            self.message = message
        }
        /// `/arguments/count: 7 is more than 5 (#/properties/count/maximum)`
        public var description: String {
            "\(self.instancePath.isEmpty ? "(root)" : self.instancePath): \(self.message) (\(self.schemaPath))"
        }
    }

    /// A schema that cannot be used.
    public struct SchemaError: Error, Sendable, CustomStringConvertible {
        /// Where in the schema, like ``Violation/schemaPath``.
        public var schemaPath: String
        /// What is wrong, in a sentence.
        public var message: String
        /// `#/properties/a/type: unknown type "strng"`
        public var description: String { "\(self.schemaPath): \(self.message)" }
    }

    private let program: SchemaProgram
    private let plain: PlainObjectCheck?

    /// Reads a schema.
    /// - Parameters:
    ///   - schema: an object, `true` or `false`.
    ///   - options: dialect, documents, bounds.
    /// - Throws: ``SchemaError`` for a keyword with a value that it cannot have, a reference that leads nowhere, a dialect that is
    ///   not known, a pattern that cannot be read, or too large a schema.
    public init(_ schema: JSONValue, options: Options = Options()) throws(SchemaError) {
        self.program = try SchemaCompiler.compile(schema, options)
        self.plain = PlainObjectCheck(schema)
    }

    /// Whether a text certainly fits; what does not has to be read and checked. Costs a fraction of that where the schema is a plain one.
    package func certainlyAccepts(_ text: RawJSON) -> Bool { self.plain?.accepts(text) == true }

    /// Whether a value fits. Faster than ``violations(in:limit:)``.
    /// - Parameter value: any value.
    public func accepts(_ value: JSONValue) -> Bool {
        var evaluation = SchemaEvaluation(self.program, limit: 0)
        return evaluation.run(value)
    }

    /// What is wrong with a value; nothing if it fits.
    /// - Parameters:
    ///   - value: any value.
    ///   - limit: at most so many; default 20.
    public func violations(in value: JSONValue, limit: Int = 20) -> [Violation] {
        var evaluation = SchemaEvaluation(self.program, limit: max(1, limit))
        return evaluation.run(value) ? [] : evaluation.violations
    }
}
