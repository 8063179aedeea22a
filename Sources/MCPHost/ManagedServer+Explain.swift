import MCPClient
import MCPTransport

/// Why a server is not there, for a person.
extension ManagedServer {
    func explain(_ end: ClientSession.End) -> MCPError {
        if let error = end.transport.launchError { return self.shown(error) }
        if var error = end.handshakeError {
            if error.code == .connectionLost, let status = end.transport.process?.exitStatus,
                !error.message.contains("\(status)")
            {
                error.message += "; then its process ended with \(status)"
            }
            if error.code == .timeout { error.message += Self.advice(end, self.definition.client.connectTimeout) }
            if let details = self.endpoint.details { error.message += "\n" + details }
            // It, or what it stands for, was not found.
            if end.transport.process?.exitStatus == .exited(127), let path = self.endpoint.searchPath {
                error.message += "\nwith PATH=\(path())"
            }
            return self.shown(error)
        }
        if let status = end.transport.process?.exitStatus {
            return MCPError(.connectionLost, "the server's process ended with \(status)", server: self.name)
        }
        return MCPError(.connectionLost, "the server went away", server: self.name)
    }

    /// What a server was doing that did not come up in time, what it has said to people, and what to do (U8).
    private static func advice(_ end: ClientSession.End, _ limit: Duration) -> String {
        guard let process = end.transport.process else { return "" }
        var text = ""
        if let worked = process.processorTime {
            let seconds = Double(worked / .milliseconds(1)) / 1000
            text +=
                worked * 10 > limit
                ? "; it has used the processor for \(seconds) s meanwhile, so it may only need longer (startTimeout, --start-timeout)"
                : "; it has used the processor for \(seconds) s only, so it waits for something"
        }
        let said = process.stderrTail
        if ["http://0.0.0.0", "http://127.", "http://localhost", "Uvicorn running on"].contains(where: {
            said.contains($0)
        }) {
            text += "\nit seems to serve HTTP: start it for stdio, as `--transport stdio` does with many"
        }
        if !said.isEmpty { text += "\nlast lines of what it wrote for people:\n" + said }
        return text
    }
}
