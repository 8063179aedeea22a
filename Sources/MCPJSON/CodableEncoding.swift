extension JSONValue {
    /// Encodes any `Encodable` value, for the arguments and payloads of applications.
    /// - Throws: `EncodingError`, and whatever the value's own `encode(to:)` throws.
    public init(encodable value: some Encodable) throws {
        let slot = Slot()
        try ValueEncoder(slot: slot, codingPath: []).encodeAny(value)
        self = slot.value
    }
}

/// Where a value goes once it is known. Containers are classes of the standard library's making, so the tree needs references.
private final class Slot {
    enum Content {
        case value(JSONValue)
        case list([Slot])
        case members([(String, Slot)])
    }
    var content: Content = .value(.null)

    var value: JSONValue {
        switch self.content {
        case .value(let value): value
        case .list(let slots): .array(slots.map(\.value))
        case .members(let members): .object(JSONObject(members.map { ($0.0, $0.1.value) }))
        }
    }

    func member(_ name: String) -> Slot {
        let slot = Slot()
        if case .members(let members) = self.content {
            self.content = .members(members + [(name, slot)])
        } else {
            self.content = .members([(name, slot)])
        }
        return slot
    }

    func element() -> Slot {
        let slot = Slot()
        if case .list(let slots) = self.content {
            self.content = .list(slots + [slot])
        } else {
            self.content = .list([slot])
        }
        return slot
    }
}

private struct ValueEncoder: Encoder, SingleValueEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .value = self.slot.content { self.slot.content = .members([]) }
        return KeyedEncodingContainer(KeyedEncoder<Key>(encoder: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .value = self.slot.content { self.slot.content = .list([]) }
        return UnkeyedEncoder(encoder: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeAny<T: Encodable>(_ value: T) throws {
        switch value {
        case let value as JSONValue: self.set(value)
        case let value as any JSONEncodable: self.set(try RawJSON(encoding: value).decode(JSONValue.self))
        default: try value.encode(to: self)
        }
    }

    private func set(_ value: JSONValue) { self.slot.content = .value(value) }

    func encodeNil() { self.set(.null) }
    func encode(_ value: Bool) { self.set(.bool(value)) }
    func encode(_ value: String) { self.set(.string(value)) }
    func encode(_ value: Double) throws { self.set(.number(try self.number(value))) }
    func encode(_ value: Float) throws { self.set(.number(try self.number(Double(value)))) }
    func encode(_ value: Int) { self.integer(value) }
    func encode(_ value: Int8) { self.integer(value) }
    func encode(_ value: Int16) { self.integer(value) }
    func encode(_ value: Int32) { self.integer(value) }
    func encode(_ value: Int64) { self.integer(value) }
    func encode(_ value: UInt) { self.integer(value) }
    func encode(_ value: UInt8) { self.integer(value) }
    func encode(_ value: UInt16) { self.integer(value) }
    func encode(_ value: UInt32) { self.integer(value) }
    func encode(_ value: UInt64) { self.integer(value) }
    func encode<T: Encodable>(_ value: T) throws { try self.encodeAny(value) }

    private func integer(_ value: some FixedWidthInteger) {
        self.set(.number(Int64(exactly: value).map(JSONNumber.init) ?? JSONNumber(validated: String(value))))
    }

    private func number(_ value: Double) throws -> JSONNumber {
        guard let number = JSONNumber(value) else {
            throw EncodingError.invalidValue(
                value,
                EncodingError.Context(codingPath: self.codingPath, debugDescription: "JSON cannot write \(value)")
            )
        }
        return number
    }

    func descend(_ slot: Slot, _ key: (any CodingKey)?) -> ValueEncoder {
        ValueEncoder(slot: slot, codingPath: self.codingPath + (key.map { [$0] } ?? []))
    }
}

private struct KeyedEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: ValueEncoder
    var codingPath: [any CodingKey] { self.encoder.codingPath }

    private func at(_ key: any CodingKey) -> ValueEncoder {
        self.encoder.descend(self.encoder.slot.member(key.stringValue), key)
    }

    func encodeNil(forKey key: Key) { self.at(key).encodeNil() }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws { try self.at(key).encodeAny(value) }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { self.at(key).container(keyedBy: type) }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { self.at(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { self.encoder }
    func superEncoder(forKey key: Key) -> any Encoder { self.at(key) }
}

private struct UnkeyedEncoder: UnkeyedEncodingContainer {
    let encoder: ValueEncoder
    var codingPath: [any CodingKey] { self.encoder.codingPath }
    var count: Int { if case .list(let slots) = self.encoder.slot.content { slots.count } else { 0 } }

    private func next() -> ValueEncoder { self.encoder.descend(self.encoder.slot.element(), nil) }

    func encodeNil() { self.next().encodeNil() }
    func encode<T: Encodable>(_ value: T) throws { try self.next().encodeAny(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        self.next().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { self.next().unkeyedContainer() }
    func superEncoder() -> any Encoder { self.next() }
}

extension JSONObject: Encodable {
    /// Writes the object to any encoder, Foundation's too.
    public func encode(to encoder: any Encoder) throws { try JSONValue.object(self).encode(to: encoder) }
}

extension JSONValue: Encodable {
    /// Writes the value to any encoder, Foundation's too.
    public func encode(to encoder: any Encoder) throws {
        var single = encoder.singleValueContainer()
        switch self {
        case .null: try single.encodeNil()
        case .bool(let value): try single.encode(value)
        case .string(let value): try single.encode(value)
        case .number(let value):
            if let integer = value.int64 { try single.encode(integer) } else { try single.encode(value.double) }
        case .array(let elements): try single.encode(elements)
        case .object(let members): try single.encode(Dictionary(members.map { ($0.key, $0.value) }) { $1 })
        }
    }
}
