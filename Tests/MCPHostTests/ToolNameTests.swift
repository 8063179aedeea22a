import MCPHost
import Testing

@Suite("Names of tools", .timeLimit(.minutes(5)))
struct ToolNameTests {
    @Test("J5 the plain form where it is unambiguous")
    func plain() {
        #expect(ToolName.qualified(server: "git", tool: "git_log") == "git__git_log")
        #expect(ToolName.qualified(server: "my-server", tool: "a-b") == "my-server__a-b")
    }

    @Test("J6 F22 whatever the names are: at most 64 characters that models accept, and different for different tools")
    func bounded() {
        let odd = [
            "", "a", "_", "__", "a__b", "a_", "_a", "a b", "a.b", "a_b", "é", "😀", "__proto__", "constructor",
            String(repeating: "x", count: 100), String(repeating: "x", count: 101), "\n", "../..", "\u{202E}abc",
        ]
        var seen: [String: (String, String)] = [:]
        for server in odd {
            for tool in odd {
                let name = ToolName.qualified(server: server, tool: tool)
                #expect(name.utf8.count <= 64 && !name.isEmpty)
                #expect(
                    name.utf8.allSatisfy {
                        ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || $0 == 0x5F
                            || $0 == 0x2D
                    }
                )
                if let other = seen[name] { Issue.record("\(name) means \(other) and \((server, tool))") }
                seen[name] = (server, tool)
            }
        }
        #expect(ToolName.qualified(server: "a__b", tool: "c") != ToolName.qualified(server: "a", tool: "b__c"))
    }

    @Test("a name is a pure function: it never changes between releases")
    func stable() { #expect(ToolName.qualified(server: "a.b", tool: "tool") == "a-b__tool_56z2irw2ha") }
}
