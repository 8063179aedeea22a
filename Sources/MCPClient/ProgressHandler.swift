import Dispatch
import MCPJSON
import MCPTypes

extension RequestChannel {
    /// Somebody who wants to know about progress: told on a queue of its own, so that it may take its time (L9), and before the call
    /// returns.
    struct ProgressHandler: Sendable {
        private let queue = DispatchQueue(label: "mcp.progress")
        private let handle: (@Sendable (ProgressNotificationParams) -> Void)?
        /// Of a report as it came, which is kept until it is told only where somebody wants it.
        private let handleRaw: (@Sendable (RawJSON) -> Void)?

        /// For the progress of one request.
        /// - Returns: nil if nobody wants to know, which costs nothing.
        static func of(_ options: RequestOptions) -> ProgressHandler? {
            let (handle, raw) = (options.onProgress, options.context?.onProgress)
            return handle == nil && raw == nil ? nil : ProgressHandler(handle: handle, handleRaw: raw)
        }

        /// - Parameters:
        ///   - progress: the report.
        ///   - params: the same, as it came.
        func tell(_ progress: ProgressNotificationParams, _ params: RawJSON) {
            if let handle = self.handle { self.queue.async { handle(progress) } }
            if let handle = self.handleRaw { self.queue.async { handle(params) } }
        }
        func whenTold(_ next: @escaping @Sendable () -> Void) { self.queue.async(execute: next) }
    }
}
