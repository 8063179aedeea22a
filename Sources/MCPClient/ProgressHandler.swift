import Dispatch
import MCPTypes

extension ClientSession {
    /// Somebody who wants to know about progress: told on a queue of his own, so that he may take his time (L9), and before his call
    /// returns.
    struct ProgressHandler: Sendable {
        private let queue = DispatchQueue(label: "mcp.progress")
        let handle: @Sendable (ProgressNotificationParams) -> Void

        init(_ handle: @escaping @Sendable (ProgressNotificationParams) -> Void) { self.handle = handle }

        func tell(_ progress: ProgressNotificationParams) { self.queue.async { self.handle(progress) } }
        func whenTold(_ next: @escaping @Sendable () -> Void) { self.queue.async(execute: next) }
    }
}
