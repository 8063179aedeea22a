extension JSONValue {
    /// Decodes any `Decodable` type, for the payloads of applications.
    /// - Throws: `DecodingError`, as Foundation's decoder does.
    public func decode<T: Decodable>(_ type: T.Type = T.self) throws -> T {
        try ValueDecoder(value: self, codingPath: []).unwrap(type)
    }
}

extension RawJSON {
    /// Decodes any `Decodable` type, for the payloads of applications; the protocol's own types never come this way.
    /// - Throws: ``JSONError`` if the text is not JSON, `DecodingError` if it is of another shape.
    @_disfavoredOverload
    public func decode<T: Decodable>(_ type: T.Type = T.self) throws -> T {
        try self.decode(JSONValue.self).decode(type)
    }
}

/// `Decoder` over a tree that is there already. All three container protocols and the single value share it.
private struct ValueDecoder: Decoder {
    let value: JSONValue
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let object) = self.value else { throw self.mismatch(type, "an object") }
        return KeyedDecodingContainer(KeyedContainer(object: object, decoder: self))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let elements) = self.value else { throw self.mismatch([JSONValue].self, "an array") }
        return UnkeyedContainer(elements: elements, decoder: self)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { SingleContainer(decoder: self) }

    func descend(_ value: JSONValue, _ key: any CodingKey) -> ValueDecoder {
        ValueDecoder(value: value, codingPath: self.codingPath + [key])
    }

    func mismatch(_ type: Any.Type, _ wanted: String) -> DecodingError {
        .typeMismatch(
            type,
            DecodingError.Context(
                codingPath: self.codingPath,
                debugDescription: "expected \(wanted), found \(self.value.kind)"
            )
        )
    }

    func unwrap<T: Decodable>(_ type: T.Type) throws -> T {
        if type == JSONValue.self, let value = self.value as? T { return value }
        if type == RawJSON.self, let value = RawJSON(encoding: self.value) as? T { return value }
        return try T(from: self)
    }

    func bool() throws -> Bool {
        guard let value = self.value.bool else { throw self.mismatch(Bool.self, "true or false") }
        return value
    }

    func string() throws -> String {
        guard let value = self.value.string else { throw self.mismatch(String.self, "a string") }
        return value
    }

    func float<T: BinaryFloatingPoint>(_ type: T.Type) throws -> T {
        guard let value = self.value.double else { throw self.mismatch(type, "a number") }
        return T(value)
    }

    func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        guard case .number(let number) = self.value else { throw self.mismatch(type, "an integer") }
        guard let value = number.int64.flatMap({ T(exactly: $0) }) ?? T(number.description) else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: self.codingPath,
                    debugDescription: "\(number) does not fit in \(type)"
                )
            )
        }
        return value
    }
}

private struct IndexKey: CodingKey {
    let intValue: Int?
    let stringValue: String
    init(_ index: Int) { (self.intValue, self.stringValue) = (index, "index \(index)") }
    init?(intValue: Int) { self.init(intValue) }
    init?(stringValue: String) { (self.intValue, self.stringValue) = (nil, stringValue) }
    static var superKey: IndexKey { IndexKey(0) }
}

private struct SingleContainer: SingleValueDecodingContainer {
    let decoder: ValueDecoder
    var codingPath: [any CodingKey] { self.decoder.codingPath }

    func decodeNil() -> Bool { self.decoder.value == .null }
    func decode(_ type: Bool.Type) throws -> Bool { try self.decoder.bool() }
    func decode(_ type: String.Type) throws -> String { try self.decoder.string() }
    func decode(_ type: Double.Type) throws -> Double { try self.decoder.float(type) }
    func decode(_ type: Float.Type) throws -> Float { try self.decoder.float(type) }
    func decode<T: FixedWidthInteger & Decodable>(_ type: T.Type) throws -> T { try self.decoder.integer(type) }
    func decode(_ type: Int.Type) throws -> Int { try self.decoder.integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try self.decoder.integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try self.decoder.integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try self.decoder.integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try self.decoder.integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try self.decoder.integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try self.decoder.integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try self.decoder.integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try self.decoder.integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try self.decoder.integer(type) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try self.decoder.unwrap(type) }
}

private struct KeyedContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let object: JSONObject
    let decoder: ValueDecoder
    var codingPath: [any CodingKey] { self.decoder.codingPath }
    var allKeys: [Key] { self.object.keys.compactMap { Key(stringValue: $0) } }

    func contains(_ key: Key) -> Bool { self.object[key.stringValue] != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try self.at(key).value == .null }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try self.at(key).unwrap(type) }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try self.at(key).container(keyedBy: type) }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try self.at(key).unkeyedContainer()
    }

    func superDecoder() -> any Decoder { self.decoder }
    func superDecoder(forKey key: Key) throws -> any Decoder { try self.at(key) }

    private func at(_ key: Key) throws -> ValueDecoder {
        guard let value = self.object[key.stringValue] else {
            throw DecodingError.keyNotFound(
                key,
                DecodingError.Context(codingPath: self.codingPath, debugDescription: "no member \"\(key.stringValue)\"")
            )
        }
        return self.decoder.descend(value, key)
    }
}

private struct UnkeyedContainer: UnkeyedDecodingContainer {
    let elements: [JSONValue]
    let decoder: ValueDecoder
    var currentIndex = 0
    var codingPath: [any CodingKey] { self.decoder.codingPath }
    var count: Int? { self.elements.count }
    var isAtEnd: Bool { self.currentIndex >= self.elements.count }

    mutating func decodeNil() throws -> Bool {
        guard !self.isAtEnd, self.elements[self.currentIndex] == .null else { return false }
        self.currentIndex += 1
        return true
    }

    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try self.next(type).unwrap(type) }

    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> { try self.next(type).container(keyedBy: type) }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try self.next([JSONValue].self).unkeyedContainer()
    }

    mutating func superDecoder() throws -> any Decoder { try self.next(JSONValue.self) }

    private mutating func next(_ type: Any.Type) throws -> ValueDecoder {
        let key = IndexKey(self.currentIndex)
        guard !self.isAtEnd else {
            throw DecodingError.valueNotFound(
                type,
                DecodingError.Context(codingPath: self.codingPath + [key], debugDescription: "the list ends here")
            )
        }
        defer { self.currentIndex += 1 }
        return self.decoder.descend(self.elements[self.currentIndex], key)
    }
}

extension JSONValue: Decodable {
    /// Reads any value from any decoder, Foundation's too.
    public init(from decoder: any Decoder) throws {
        if let decoder = decoder as? ValueDecoder {
            self = decoder.value
            return
        }
        if var list = try? decoder.unkeyedContainer() {
            var elements: [JSONValue] = []
            while !list.isAtEnd { elements.append(try list.decode(JSONValue.self)) }
            self = .array(elements)
        } else if let members = try? decoder.container(keyedBy: IndexKey.self) {
            self = .object(
                JSONObject(try members.allKeys.map { ($0.stringValue, try members.decode(JSONValue.self, forKey: $0)) })
            )
        } else {
            let single = try decoder.singleValueContainer()
            if single.decodeNil() {
                self = .null
            } else if let value = try? single.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? single.decode(Int64.self) {
                self = .number(JSONNumber(value))
            } else if let value = try? single.decode(Double.self) {
                self = JSONNumber(value).map(JSONValue.number) ?? .null
            } else {
                self = .string(try single.decode(String.self))
            }
        }
    }
}
