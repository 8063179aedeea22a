import MCPTransport
import Testing

@Suite("What may be shown", .timeLimit(.minutes(5)))
struct SecretMaskTests {
    @Test(
        "U1 S23 shapes of credentials",
        arguments: [
            ("x --token canary --api-key=canary -v", "x --token *** --api-key=*** -v"),
            (
                "postgresql://app:s3cr3t@db.internal/main?password=also&x=1",
                "postgresql://app:***@db.internal/main?password=***&x=1"
            ),
            ("https://ghp_0123456789abcdef@github.com/o/r", "https://***@github.com/o/r"),
            ("https://h/p?a=b&token=x#t", "https://h/p?a=b&token=***"), ("https://h/p?a=b@c", "https://h/p?a=b@c"),
            ("docker run -i --rm -e TOKEN=abc -e PLAIN=7 img", "docker run -i --rm -e TOKEN=*** -e PLAIN=*** img"),
            ("docker run -e TOKEN img", "docker run -e TOKEN img"),
            ("--header Authorization: Bearer abcdef", "--header Authorization: Bearer ***"),
            ("X-Api-Key: abc def", "X-Api-Key: *** def"),
            ("curl -H 'authorization: Basic dXNlcg=='", "curl -H 'authorization: Basic ***'"),
            ("sent bearer abcdefgh.", "sent bearer ***"), ("key sk-abcdefgh12345", "key sk-***"),
            ("ghp_0123456789abcdef0123", "ghp_***"),
            ("{\"jwt\":\"eyJhbGciOiJIUzI1NiJ9.e30.x\"}", "{\"jwt\":\"eyJ***\"}"),
            ("API_KEY=abc other=1", "API_KEY=*** other=1"),
            ("dbPassword=abc", "dbPassword=***"), ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
            // What only looks like one of the words.
            ("is not key=value", "is not key=value"),
            ("monkey=banana author=me keyboard=de", "monkey=banana author=me keyboard=de"),
            ("sk-learn and eyJ", "sk-learn and eyJ"),
            ("--keyring x --author me", "--keyring x --author me"), ("-r . --verbose", "-r . --verbose"),
            ("a token was refused: expired", "a token was refused: expired"), ("", ""), ("https://", "https://"),
            ("=", "="),
            ("file:///a/b c://", "file:///a/b c://"), ("é=ü token=ß", "é=ü token=***"),
        ]
    )
    func shapes(text: String, shown: String) { #expect(SecretMask().masked(text) == shown) }

    @Test("U1 known values are hidden wherever they stand: whole, in several lines, cut off at the start")
    func values() {
        let mask = SecretMask(["hunter2", "hunter2xyz", "7", "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nabc\n", ""])
        #expect(mask.masked("a hunter2xyz, hunter2; xhunter2y") == "a ***, ***; x***y")
        #expect(mask.masked("port 7 of 77, 7") == "port *** of 77, ***")
        #expect(mask.masked("7") == "***" && mask.masked("x7") == "x7")
        #expect(mask.masked("line: MIIEvQIBADANBgkqhkiG9w0") == "line: ***")
        // What was cut somewhere else.
        #expect(mask.masked("on hunter… and hunter... hunters hunter") == "on ***… and ***... hunters ***")
        let path = SecretMask(["/home/ann/work/credentials.json"])
        #expect(
            path.masked("in: /home/ann/work") == "in: /home/ann/work" && path.masked("/home/ann/work/cred…") == "***…"
        )
        #expect(mask.maskedHead("on hunter2 and xyzhunt") == "on *** and xyz***" && mask.maskedHead("hun") == "hun")
        #expect(mask.maskedTail("nter2xyz and on") == "*** and on" && mask.maskedTail("zzz hunter2") == "zzz ***")
        #expect(SecretMask(joining: [mask, SecretMask(["other"])]).masked("other hunter2") == "*** ***")
    }

    @Test(
        "U1 known values in other clothes: without their line end, in JSON, in an address, with an accent behind them",
        arguments: [
            "k: s/cr \"et+", "k: s/cr \\\"et+", "k: s%2Fcr%20%22et%2B", "k: s/cr \"et+\u{301}", "k: s/cr \"et+\n",
        ]
    )
    func clothes(text: String) {
        let shown = SecretMask(["s/cr \"et+\n"]).masked(text)
        #expect(shown.utf8.starts(with: "k: ***".utf8) && !shown.contains("cr"))
    }

    @Test("U1 words that say nothing are let through, and what only sounds like a secret")
    func plain() {
        #expect(SecretMask(["true", "none"]).masked("none of it is true") == "none of it is true")
        for name in ["MAX_TOKENS", "PWD", "OLDPWD", "TOKENIZERS_PARALLELISM"] {
            #expect(!SecretMask.isSecretive(name), "\(name)")
        }
        #expect(SecretMask.isSecretive("PGPWD") || SecretMask.isSecretive("DB_PWD"))
    }

    @Test("U1 any text at all is masked without a crash, and what is hidden does not come back")
    func anything() {
        var random = SystemRandomNumberGenerator()
        let pieces = [
            "https://", "@", ":", "=", "?", "&", "-e", "Bearer", " ", "\n", "token", "é", "\u{0}", "***", "a", "#", "/",
            "Authorization:", "-", "--",
        ]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0..<12, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            let once = SecretMask(["secret-value"]).masked(text + "secret-value")
            #expect(!once.contains("secret-value"))
        }
    }
}
