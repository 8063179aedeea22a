import Dispatch
import MCPTypes

extension ClientSession {
    /// Somebody who wants to know about progress: told on a queue of its own, so that it may take its time (L9), and before the call
    /// returns.
    struct ProgressHandler: Sendable {
        private let queue = DispatchQueue(label: "mcp.progress")
        let handle: @Sendable (ProgressNotificationParams) -> Void

        init(_ handle: @escaping @Sendable (ProgressNotificationParams) -> Void) { self.handle = handle }

        func tell(_ progress: ProgressNotificationParams) { self.queue.async { self.handle(progress) } }
        func whenTold(_ next: @escaping @Sendable () -> Void) { self.queue.async(execute: next) }
    }
}
