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
            details: "started as: \(words)\nin: \(directory)"
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
        endpoint.mask = launch.mask
        endpoint.searchPath = { launch.wholeEnvironment["PATH"] ?? "" }
        return endpoint
    }
}

extension ServerLaunch {
    /// What is started, in words, without secrets (S23).
    package var shown: String { self.mask.masked(([self.command] + self.arguments).joined(separator: " ")) }

    /// The client of a container engine that it is, by its name: what it has started does not descend from it (U17).
    package var containerClient: String? {
        let name = self.command.split(separator: "/").last.map(String.init) ?? self.command
        return ["docker", "podman", "nerdctl", "finch"].contains(name) && self.arguments.contains("run") ? name : nil
    }

    /// Hides what must not be shown of this server: what is named as a secret, and what is one by the name of its variable or argument.
    package var mask: SecretMask {
        var values = self.secrets
        for (name, value) in self.environment where SecretMask.isSecretive(name) { values.append(value) }
        var flag = ""
        for argument in self.arguments {
            if flag.hasPrefix("-"), !argument.hasPrefix("-"), SecretMask.isSecretive(flag) { values.append(argument) }
            flag = argument
            guard let equals = argument.firstIndex(of: "="), SecretMask.isSecretive(argument[..<equals]) else {
                continue
            }
            values.append(String(argument[argument.index(after: equals)...]))
            flag = ""
        }
        return SecretMask(values)
    }
}
