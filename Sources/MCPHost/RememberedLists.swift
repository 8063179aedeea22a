import MCPClient
import MCPTransport
import MCPTypes

/// What a server has listed since it was started, for when it is dormant: as long as it has not told of a change.
final class RememberedLists: Sendable {
    private struct State {
        var lists: [ObjectIdentifier: any Sendable] = [:]
        /// Counts the changes that it has told of, and its starts.
        var changes = 0
        /// Counts its starts.
        var start = 0
        /// How many changes of its tools it has told of since it was started.
        var toolChanges = 0
    }

    private let state = Locked(State())

    /// Taken before a list is asked for, given back with it.
    var changes: Int { self.state.withLock { $0.changes } }

    /// Keeps a list.
    /// - Parameters:
    ///   - items: all of it.
    ///   - changes: ``changes`` from before; a list from before a change is not kept.
    func keep<Item: Sendable>(_ items: [Item], changes: Int) {
        self.state.withLock { state in
            if state.changes == changes { state.lists[ObjectIdentifier(Item.self)] = items }
        }
    }

    /// Keeps the tools, whoever has asked for them.
    /// - Parameters:
    ///   - tools: all of them.
    ///   - start: what ``begin()`` has given for the start of which they are.
    ///   - toolChanges: how many changes of them the server had told of, since it was started, when it was asked.
    func keep(tools: [Tool], of start: Int, toolChanges: Int) {
        self.state.withLock { state in
            if state.start == start, state.toolChanges <= toolChanges {
                state.lists[ObjectIdentifier(Tool.self)] = tools
            }
        }
    }

    /// The list of one kind of items; nil where there is none.
    func items<Item: Sendable>(of type: Item.Type) -> [Item]? {
        self.state.withLock { $0.lists[ObjectIdentifier(type)] } as? [Item]
    }

    /// The server is started anew, and may be another program by now: everything is forgotten.
    /// - Returns: the number of this start.
    func begin() -> Int {
        self.state.withLock { state in
            state.changes += 1
            state.start += 1
            state.toolChanges = 0
            state.lists = [:]
            return state.start
        }
    }

    /// The server has told of a change.
    /// - Parameter isOther: it was one that stands in for it, for a caller.
    func forget(after event: ServerEvent, of isOther: Bool) {
        let changed: [ObjectIdentifier] =
            switch event {
            case .toolsChanged: [ObjectIdentifier(Tool.self)]
            case .promptsChanged: [ObjectIdentifier(Prompt.self)]
            case .resourcesChanged: [ObjectIdentifier(Resource.self), ObjectIdentifier(ResourceTemplate.self)]
            default: []
            }
        guard !changed.isEmpty else { return }
        self.state.withLock { state in
            state.changes += 1
            if !isOther, case .toolsChanged = event { state.toolChanges += 1 }
            for type in changed { state.lists[type] = nil }
        }
    }
}
