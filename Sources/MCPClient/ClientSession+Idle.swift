import MCPSession
package import MCPTransport

/// Whether anybody uses the conversation, for a host that stops servers which nobody needs.
extension ClientSession {
    /// A number that stays the same for as long as nobody uses the conversation; nil while somebody does. A subscription of the session's own
    /// is no use, one that a caller holds is.
    package var idleMark: Int? { self.state.withLock { $0.idleMark } }

    /// Refuses all requests from now on, if nobody has used the conversation since a mark was taken.
    ///
    /// It is decided in one moment: a request is on its way before it, and the answer is no; or it comes after it, has not been sent, and may be
    /// made in the next conversation.
    /// - Parameters:
    ///   - mark: ``idleMark`` from before.
    ///   - error: what whoever comes later is told.
    /// - Returns: nil if somebody has used it; otherwise what is to be done next, outside of all locks.
    package func retire(since mark: Int, because error: MCPError) -> (@Sendable () -> Void)? {
        guard let endings = self.state.withLock({ $0.retire(since: mark, error) }) else { return nil }
        return {
            self.finish(endings, error)
            self.transport.close(.graceful)
        }
    }

    /// The caller has not done with the server, though no request is on its way, until ``release()``.
    func hold() { self.state.withLock { $0.holds += 1 } }

    /// The end of ``hold()``.
    func release() { self.state.withLock { $0.holds -= 1 } }
}
