import Dispatch
import MCPJSON
import MCPTypes

extension ClientSession {
    /// Somebody who wants to know about progress: told on a queue of its own, so that it may take its time (L9), and before the call
    /// returns.
    struct ProgressHandler: Sendable {
        private let queue = DispatchQueue(label: "mcp.progress")
        private let handle: @Sendable (ProgressNotificationParams, RawJSON) -> Void

        /// - Returns: nil if nobody wants to know.
        init?(
            _ handle: (@Sendable (ProgressNotificationParams) -> Void)?,
            raw: (@Sendable (RawJSON) -> Void)? = nil
        ) {
            if handle == nil, raw == nil { return nil }
            self.handle = { progress, params in
                handle?(progress)
                raw?(params)
            }
        }

        /// - Parameters:
        ///   - progress: the report.
        ///   - params: the same, as it came.
        func tell(_ progress: ProgressNotificationParams, _ params: RawJSON) {
            self.queue.async { self.handle(progress, params) }
        }
        func whenTold(_ next: @escaping @Sendable () -> Void) { self.queue.async(execute: next) }
    }
}
