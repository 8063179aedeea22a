import Foundation
import MCPJSON

/// A legacy server that gives fixed answers, odd ones among them; in Perl, as our own servers would not say such things.
public enum AnsweringServer {
    /// A configuration with such servers.
    /// - Parameter servers: by name: what they answer, by method; `tools/call NAME` is one tool's. An answer that begins with `!` is an error
    ///   object; `LINE` is a text with the whole message that was asked with. One that begins with `?` has the parameters of a question to
    ///   the user (with a method behind the `?`, of that request), and the answer to that is the text.
    public static func file(_ servers: [String: [String: String]]) throws -> String {
        var entries = JSONObject()
        for (name, answers) in servers.sorted(by: { $0.key < $1.key }) {
            let words = answers.sorted { $0.key < $1.key }.map { JSONValue.string("\($0.key)=\($0.value)") }
            entries[name] = ["command": "perl", "args": .array(["-e", .string(self.program), "--"] + words)]
        }
        let file = try TemporaryFolders.make().appendingPathComponent("mcp.json")
        try Data(RawJSON(encoding: ["mcpServers": .object(entries)] as JSONObject).bytes).write(to: file)
        return file.path
    }

    private static let program = #"""
        $| = 1;
        my %answers = ("initialize" => '{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"prompts":{},"resources":{}},"serverInfo":{"name":"odd","version":"1"}}');
        for (@ARGV) { my ($method, $answer) = split /=/, $_, 2; $answers{$method} = $answer; }
        while (my $line = <STDIN>) {
            chomp $line;
            my ($id) = $line =~ /"id":("[^"]*"|\d+)/ or next;
            my ($method) = $line =~ /"method":"([^"]+)"/ or next;
            my ($name) = $line =~ /"name":"([^"]+)"/;
            my $answer = $answers{"$method $name"} // $answers{$method} // '!{"code":-32601,"message":"Method not found"}';
            if ($answer eq "LINE") {
                $line =~ s/(["\\])/\\$1/g;
                $answer = '{"content":[{"type":"text","text":"' . $line . '"}]}';
            }
            if ($answer =~ s/^\?([\w\/]*)//) {
                my $asked = $1 || "elicitation/create";
                print "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"$asked\",\"params\":$answer}\n";
                my $reply = <STDIN>;
                chomp $reply;
                $reply =~ s/(["\\])/\\$1/g;
                $answer = '{"content":[{"type":"text","text":"' . $reply . '"}]}';
            }
            my $kind = $answer =~ s/^!// ? "error" : "result";
            print "{\"jsonrpc\":\"2.0\",\"id\":$id,\"$kind\":$answer}\n";
        }
        """#
}
