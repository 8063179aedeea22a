import MCPTransport
import MCPTypes

/// Results that are still good, of one connection: never shared with another, so `private` ones stay with whoever may see them
/// (`CACHE-12`).
final class ResultCache: Sendable {
    /// What a change makes stale.
    enum Kind: Hashable {
        case tools, prompts, resources, resource(WireString)

        /// All contents count their changes together: a server may name any number of addresses, and must not fill our books.
        fileprivate var counted: Kind { if case .resource = self { .resource("") } else { self } }
    }

    private struct Entry {
        var value: any Sendable
        /// Nil: until it changes.
        var expires: Duration?
    }

    private struct State {
        var entries: [Kind: [String: Entry]] = [:]
        /// Counts changes, so that what was read before one is not kept after it.
        var epochs: [Kind: Int] = [:]
    }

    /// Kinds of entries that are kept; when there are more, the contents of some resource go.
    private static let resourcesKept = 256

    private let state = Locked(State())

    func epoch(_ kind: Kind) -> Int { self.state.withLock { $0.epochs[kind.counted] ?? 0 } }

    func value<Value: Sendable>(_ kind: Kind, _ key: String, as type: Value.Type, now: Duration) -> Value? {
        self.state.withLock { state in
            guard let entry = state.entries[kind]?[key] else { return nil }
            if let expires = entry.expires, expires <= now {
                state.entries[kind]?[key] = nil
                return nil
            }
            return entry.value as? Value
        }
    }

    /// - Parameter epoch: from before the request.
    func keep(_ kind: Kind, _ key: String, _ value: some Sendable, expires: Duration?, epoch: Int) {
        self.state.withLock { state in
            guard (state.epochs[kind.counted] ?? 0) == epoch else { return }
            if case .resource = kind, state.entries.count > Self.resourcesKept, state.entries[kind] == nil,
                let other = state.entries.keys.first(where: { if case .resource = $0 { true } else { false } })
            {
                state.entries[other] = nil
            }
            state.entries[kind, default: [:]][key] = Entry(value: value, expires: expires)
        }
    }

    /// Something has changed.
    func invalidate(_ kind: Kind) {
        self.state.withLock { state in
            state.epochs[kind.counted, default: 0] += 1
            state.entries[kind] = nil
        }
    }

    func invalidate(_ event: ServerEvent) {
        switch event {
        case .toolsChanged: self.invalidate(.tools)
        case .promptsChanged: self.invalidate(.prompts)
        case .resourcesChanged: self.invalidate(.resources)
        case .resourceUpdated(let uri): self.invalidate(.resource(WireString(uri)))
        case .log, .elicitationCompleted, .task, .other: break
        }
    }
}
