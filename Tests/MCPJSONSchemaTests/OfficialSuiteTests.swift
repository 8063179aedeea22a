import Foundation
import MCPJSON
import TestSupport
import Testing

@testable import MCPJSONSchema

/// The official JSON Schema test suite: every required test of both dialects, the optional ones that are promised, and formats.
@Suite(
    "Official JSON Schema suite",
    .enabled(if: SharedData.isPresent, "\(SharedData.absence)"),
    .timeLimit(.minutes(5))
)
struct OfficialSuiteTests {
    /// `remotes`, under the address at which the suite expects them.
    private static let remotes: [String: JSONValue] = {
        guard let folder = SharedData.file("json-schema-test-suite/remotes"),
            let files = FileManager.default.enumerator(atPath: folder.path)
        else { return [:] }
        var result: [String: JSONValue] = [:]
        for case let name as String in files where name.hasSuffix(".json") {
            guard let data = try? Data(contentsOf: folder.appendingPathComponent(name)) else { continue }
            result["http://localhost:1234/\(name)"] = try? JSONValue(parsing: data)
        }
        return result
    }()

    private struct Outcome {
        var passed = 0
        var wrong: [String] = []
    }

    /// - Parameter folder: below `tests`; files directly in it count.
    private static func run(
        _ folder: String,
        _ dialect: JSONSchema.Dialect,
        assertsFormat: Bool = false,
        only: Set<String>? = nil
    ) throws -> Outcome {
        let path = try #require(SharedData.file("json-schema-test-suite/tests/\(folder)"))
        var options = JSONSchema.Options()
        options.dialect = dialect
        options.resources = Self.remotes
        options.assertsFormat = assertsFormat
        var outcome = Outcome()
        for name in try FileManager.default.contentsOfDirectory(atPath: path.path).sorted()
        where name.hasSuffix(".json") {
            if let only, !only.contains(name) { continue }
            let groups = try JSONValue(parsing: Data(contentsOf: path.appendingPathComponent(name))).array ?? []
            for group in groups {
                let title = "\(name): \(group["description"]?.string ?? "")"
                let schema: JSONSchema
                do {
                    schema = try JSONSchema(group["schema"] ?? .null, options: options)
                } catch {
                    outcome.wrong.append("\(title): \(error)")
                    continue
                }
                for test in group["tests"]?.array ?? [] {
                    let data = test["data"] ?? .null
                    let violations = schema.violations(in: data)
                    let isRight =
                        violations.isEmpty == test["valid"]?.bool && schema.accepts(data) == violations.isEmpty
                        && (violations.isEmpty || !schema.certainlyAccepts(RawJSON(encoding: data)))
                    if isRight {
                        outcome.passed += 1
                    } else {
                        outcome.wrong.append("\(title): \(test["description"]?.string ?? ""): \(violations)")
                    }
                }
            }
        }
        return outcome
    }

    @Test("SCH-01 SCH-03 every required test of 2020-12")
    func draft2020() throws {
        let outcome = try Self.run("draft2020-12", .draft2020)
        #expect(outcome.wrong.isEmpty, "\(outcome.wrong.joined(separator: "\n"))")
        #expect(outcome.passed > 1200)
    }

    @Test("SCH-01 every required test of draft-07")
    func draft07() throws {
        let outcome = try Self.run("draft7", .draft07)
        #expect(outcome.wrong.isEmpty, "\(outcome.wrong.joined(separator: "\n"))")
        #expect(outcome.passed > 800)
    }

    @Test("formats asserted on request, and the optional rules that are kept")
    func optional() throws {
        let formats: Set<String> = [
            "date.json", "date-time.json", "time.json", "duration.json", "email.json", "ipv4.json", "ipv6.json",
            "uri.json",
            "uri-reference.json", "uri-template.json", "uuid.json", "json-pointer.json", "relative-json-pointer.json",
            "regex.json", "unknown.json",
        ]
        let rules: Set<String> = [
            "anchor.json", "id.json", "no-schema.json", "non-bmp-regex.json", "refOfUnknownKeyword.json",
            "unknownKeyword.json",
            "float-overflow.json", "ecmascript-regex.json", "dynamicRef.json", "format-assertion.json",
        ]
        for (folder, dialect) in [("draft2020-12", JSONSchema.Dialect.draft2020), ("draft7", .draft07)] {
            var outcome = try Self.run("\(folder)/optional/format", dialect, assertsFormat: true, only: formats)
            #expect(outcome.wrong.isEmpty, "\(outcome.wrong.joined(separator: "\n"))")
            #expect(outcome.passed > 300)
            outcome = try Self.run("\(folder)/optional", dialect, only: rules)
            #expect(outcome.wrong.isEmpty, "\(outcome.wrong.joined(separator: "\n"))")
            #expect(outcome.passed > 50)
        }
    }
}
