import MCPJSON

/// Requests that wait for their turn: each caller (told apart by bytes) has a line of its own, and the callers take turns, so that one with a
/// thousand requests holds up nobody with one. Pure; within a line the order is that of arrival.
@usableFromInline
package struct FairLine {
    /// The requests of one caller, oldest first. What has left stays in front of `head` until it is worth moving the rest.
    private struct Line {
        var ids: [Int64] = []
        var head = 0

        var count: Int { self.ids.count - self.head }

        mutating func popFirst() -> Int64? {
            guard self.head < self.ids.count else { return nil }
            defer {
                self.head += 1
                if self.head > 32, self.head * 2 > self.ids.count {
                    self.ids.removeFirst(self.head)
                    self.head = 0
                }
            }
            return self.ids[self.head]
        }

        mutating func prepend(_ id: Int64) {
            if self.head > 0 {
                self.head -= 1
                self.ids[self.head] = id
            } else {
                self.ids.insert(id, at: 0)
            }
        }

        mutating func remove(_ id: Int64) -> Bool {
            guard let place = self.ids[self.head...].firstIndex(of: id) else { return false }
            self.ids.remove(at: place)
            return true
        }
    }

    private var lines: [WireString?: Line] = [:]
    /// Callers with somebody in line, the next one first.
    private var turns: [WireString?] = []
    /// How many wait in all.
    @usableFromInline package private(set) var count = 0

    @usableFromInline package init() {}

    @usableFromInline package var isEmpty: Bool { self.count == 0 }

    /// How many of a caller wait.
    @usableFromInline package func count(of caller: String?) -> Int { self.count(of: caller.map { WireString($0) }) }

    private func count(of caller: WireString?) -> Int { self.lines[caller]?.count ?? 0 }

    /// A request takes its place at the end of its caller's line.
    @usableFromInline package mutating func append(_ id: Int64, of caller: String?) {
        let caller = caller.map { WireString($0) }
        if self.lines[caller] == nil { self.turns.append(caller) }
        self.lines[caller, default: Line()].ids.append(id)
        self.count += 1
    }

    /// A request that had its turn, and could not use it, is the next of all.
    @usableFromInline package mutating func prepend(_ id: Int64, of caller: String?) {
        let caller = caller.map { WireString($0) }
        self.turns.removeAll { $0 == caller }
        self.turns.insert(caller, at: 0)
        self.lines[caller, default: Line()].prepend(id)
        self.count += 1
    }

    /// The next request, which leaves the line; then it is another caller's turn.
    @usableFromInline package mutating func popFirst() -> Int64? {
        guard let caller = self.turns.first, let id = self.lines[caller]?.popFirst() else { return nil }
        self.turns.removeFirst()
        self.count -= 1
        if self.count(of: caller) > 0 { self.turns.append(caller) } else { self.lines[caller] = nil }
        return id
    }

    /// A request does not wait any more.
    @usableFromInline package mutating func remove(_ id: Int64, of caller: String?) {
        let caller = caller.map { WireString($0) }
        guard self.lines[caller]?.remove(id) == true else { return }
        self.count -= 1
        if self.count(of: caller) == 0 {
            self.lines[caller] = nil
            self.turns.removeAll { $0 == caller }
        }
    }

    /// Nobody waits any more.
    @usableFromInline package mutating func removeAll() { self = FairLine() }
}
