public import MCPTransport

extension Endpoint {
    /// A subprocess that speaks over its standard input and output.
    /// - Parameters:
    ///   - launch: what to start.
    ///   - options: bounds and times of the process and of its end.
    public static func stdio(
        _ launch: ServerLaunch,
        options: StdioTransport.Options = StdioTransport.Options()
    ) -> Endpoint {
        let words = launch.shown
        let directory = launch.workingDirectory ?? "the host's directory"
        var endpoint = Endpoint(
            words,
            details: "started as: \(words)\nin: \(directory), with PATH=\(launch.wholeEnvironment["PATH"] ?? "")"
        ) { context in
            StdioTransport(
                launch,
                options: options,
                accounts: context.accounts,
                clock: context.clock,
                standardError: context.standardError,
                endedLate: context.endedLate
            )
        }
        endpoint.startsProcess = true
        return endpoint
    }
}

extension ServerLaunch {
    /// What is started, in words, without secrets (S23).
    package var shown: String { ([self.command] + Self.masked(self.arguments)).joined(separator: " ") }

    /// Arguments behind words like `--token` are not shown (S23).
    private static func masked(_ arguments: [String]) -> [String] {
        let secretive = ["token", "key", "secret", "password", "auth"]
        func isSecretive(_ word: Substring) -> Bool { secretive.contains { word.lowercased().contains($0) } }
        var result: [String] = []
        var hidesNext = false
        for argument in arguments {
            if hidesNext {
                result.append("***")
                hidesNext = false
                continue
            }
            if argument.hasPrefix("-"), let equals = argument.firstIndex(of: "="), isSecretive(argument[..<equals]) {
                result.append(argument[...equals] + "***")
                continue
            }
            hidesNext = argument.hasPrefix("-") && isSecretive(argument[...])
            result.append(argument)
        }
        return result
    }
}
