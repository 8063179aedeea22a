package import MCPJSON
import MCPTransport

/// What callers want to be told of, all of them together, for as long as they want it. Outlives a session: the next one takes it over.
package final class DesiredSubscriptions: Sendable {
    struct Wanted: Sendable, Hashable {
        var lists = false
        var resources: Set<WireString> = []
    }

    private struct State {
        var listeners = 0
        var others = 0
        var resources: [WireString: Int] = [:]
        var version = 0
        var changed: (@Sendable () -> Void)?

        var wanted: Wanted {
            Wanted(lists: self.listeners + self.others > 0, resources: Set(self.resources.keys))
        }
    }

    private let state = Locked(State())

    package init() {}

    /// Who keeps the server informed from now on.
    func attend(_ changed: @escaping @Sendable () -> Void) { self.state.withLock { $0.changed = changed } }

    private func change(_ body: (inout State) -> Void) -> Int {
        let (version, changed) = self.state.withLock { state in
            let before = state.wanted
            body(&state)
            let hasChanged = state.wanted != before
            if hasChanged { state.version += 1 }
            return (state.version, hasChanged ? state.changed : nil)
        }
        changed?()
        return version
    }

    /// - Returns: the version in which it is contained.
    func add(_ uri: WireString) -> Int {
        self.change { $0.resources[uri, default: 0] += 1 }
    }

    @discardableResult
    package func remove(_ uri: WireString) -> Int {
        self.change { state in
            guard let count = state.resources[uri] else { return }
            state.resources[uri] = count > 1 ? count - 1 : nil
        }
    }

    /// Whether a caller wants to be told of a resource.
    package var hasResources: Bool { self.state.withLock { !$0.resources.isEmpty } }

    /// How many listen to the events of this connection.
    package func setListeners(_ count: Int) {
        _ = self.change { $0.listeners = count }
    }

    /// How many listen to the events of all connections.
    package func setOthers(_ count: Int) {
        _ = self.change { $0.others = count }
    }

    var snapshot: (version: Int, wanted: Wanted) {
        self.state.withLock { ($0.version, $0.wanted) }
    }
}
