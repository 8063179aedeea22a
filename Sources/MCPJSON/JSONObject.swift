/// Members of a JSON object in the order in which they were written.
///
/// **Duplicate names** (C19): the last value wins, at the place of the first, as in ECMAScript and Python. The envelope of a
/// message is stricter: there a repeated `id` or `method` is a protocol error.
public struct JSONObject: Sendable {
    /// One member.
    public typealias Element = (key: String, value: JSONValue)

    private var members: [Element] = []
    /// Places of the names, once there are too many to look at each. Small objects, nearly all, never pay for it.
    private var index: [WireString: Int] = [:]
    private static let indexedFrom = 24

    /// An object without members.
    public init() {}

    /// An object with these members, in this order; of equal names the last wins.
    public init(_ members: some Sequence<(String, JSONValue)>) {
        for (key, value) in members { self[key] = value }
    }

    /// Whether there are no members.
    public var isEmpty: Bool { self.members.isEmpty }
    /// How many members there are.
    public var count: Int { self.members.count }
    /// The names, in order.
    public var keys: some Sequence<String> & Sendable { self.members.map(\.key) }

    /// The value of a member; assigning nil removes it, assigning to a new name appends it.
    public subscript(key: String) -> JSONValue? {
        get { self.place(of: key).map { self.members[$0].value } }
        set {
            switch (self.place(of: key), newValue) {
            case (let place?, let value?): self.members[place].value = value
            case (let place?, nil):
                self.members.remove(at: place)
                self.rebuildIndex()
            case (nil, let value?): self.appendNew(key, value)
            case (nil, nil): break
            }
        }
    }

    /// Adds a member at the end, or replaces the value of the member that already has this name.
    public mutating func append(_ key: String, _ value: JSONValue) { self[key] = value }

    private func place(of key: String) -> Int? {
        if self.members.count >= Self.indexedFrom { return self.index[WireString(key)] }
        return self.members.firstIndex { $0.key.isSame(as: key) }
    }

    private mutating func appendNew(_ key: String, _ value: JSONValue) {
        self.members.append((key, value))
        if self.members.count == Self.indexedFrom {
            self.rebuildIndex()
        } else if self.members.count > Self.indexedFrom {
            self.index[WireString(key)] = self.members.count - 1
        }
    }

    private mutating func rebuildIndex() {
        self.index.removeAll(keepingCapacity: true)
        guard self.members.count >= Self.indexedFrom else { return }
        for (place, member) in self.members.enumerated() { self.index[WireString(member.key)] = place }
    }
}

extension JSONObject: Sequence {
    /// Goes through the members in order.
    public func makeIterator() -> IndexingIterator<[Element]> { self.members.makeIterator() }
}

extension JSONObject: Hashable {
    /// Equal when they have the same members, in any order.
    public static func == (a: Self, b: Self) -> Bool {
        guard a.count == b.count else { return false }
        return a.members.allSatisfy { b[$0.key] == $0.value }
    }

    /// Hashes the members independently of their order.
    public func hash(into hasher: inout Hasher) {
        var sum = 0
        for (key, value) in self.members {
            var member = Hasher()
            member.combine(WireString(key))
            member.combine(value)
            sum &+= member.finalize()
        }
        hasher.combine(sum)
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// An object with these members.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

extension JSONObject: JSONDecodable, JSONEncodable {
    /// Reads an object.
    public init(from reader: inout JSONReader) throws(JSONError) {
        self.init()
        try reader.beginObject()
        while let key = try reader.nextKey() {
            // For four members, which is what most have, an array would make room three times.
            if self.members.isEmpty { self.members.reserveCapacity(4) }
            self[key.string] = try JSONValue(from: &reader)
        }
    }

    /// Writes the object.
    public func encode(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.members(of: self)
        writer.endObject()
    }
}

extension JSONObject: CustomStringConvertible {
    /// The object as JSON text.
    public var description: String { RawJSON(encoding: self).description }
}

extension JSONValue: CustomStringConvertible {
    /// The value as JSON text.
    public var description: String { RawJSON(encoding: self).description }
}
