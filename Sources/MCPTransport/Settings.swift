import MCPJSON
package import MCPTypes

/// One setting of a struct, for a file: only what differs from the defaults is written, and what is missing is the default. So what is written
/// today can be read when there are more settings, and stays as small as what somebody has decided.
///
/// A name that nobody knows is an error and not nothing: it may be what forbids something.
package struct Setting<Root>: Sendable {
    fileprivate let name: String
    fileprivate let write: @Sendable (Root, _ defaults: Root, inout KeyedEncodingContainer<SettingName>) throws -> Void
    fileprivate let read: @Sendable (inout Root, KeyedDecodingContainer<SettingName>) throws -> Void

    private init<Value: Equatable & Sendable, Written: Codable & Sendable>(
        _ name: String,
        _ path: any WritableKeyPath<Root, Value> & Sendable,
        written: @escaping @Sendable (Value) -> Written,
        from read: @escaping @Sendable (Written) throws -> Value
    ) {
        self.name = name
        self.write = { root, defaults, container in
            let value = root[keyPath: path]
            if value != defaults[keyPath: path] { try container.encode(written(value), forKey: SettingName(name)) }
        }
        self.read = { root, container in
            root[keyPath: path] = try read(try container.decode(Written.self, forKey: SettingName(name)))
        }
    }

    /// Any value that can be written.
    package init<Value: Codable & Equatable & Sendable>(
        _ name: String,
        _ path: any WritableKeyPath<Root, Value> & Sendable
    ) {
        self.init(name, path, written: { $0 }, from: { $0 })
    }

    /// A time: in seconds, where that is exact.
    package init(_ name: String, _ path: any WritableKeyPath<Root, Duration> & Sendable) {
        self.init(name, path, written: { Seconds(duration: $0) }, from: { $0.duration })
    }

    /// A time that may be left open.
    package init(_ name: String, _ path: any WritableKeyPath<Root, Duration?> & Sendable) {
        self.init(name, path, written: { $0.map { Seconds(duration: $0) } }, from: { $0?.duration })
    }

    /// Bounds of a time.
    package init(_ name: String, _ path: any WritableKeyPath<Root, ClosedRange<Duration>> & Sendable) {
        self.init(name, path) {
            [Seconds(duration: $0.lowerBound), Seconds(duration: $0.upperBound)]
        } from: { bounds in
            guard bounds.count == 2, bounds[0].duration <= bounds[1].duration else {
                throw Settings.invalid("\(name): expected two times, the smaller one first", [SettingName(name)])
            }
            return bounds[0].duration...bounds[1].duration
        }
    }

    /// A word that may be left open.
    package init<Value: OpenString>(_ name: String, _ path: any WritableKeyPath<Root, Value?> & Sendable) {
        self.init(name, path, written: { $0?.rawValue }, from: { $0.map(Value.init(rawValue:)) })
    }

    /// A value of the protocol.
    package init<Value: ProtocolObject>(_ name: String, _ path: any WritableKeyPath<Root, Value> & Sendable) {
        self.init(name, path) {
            // What we have written can be read.
            CodableJSON(value: (try? RawJSON(encoding: $0).decode()) ?? .null)
        } from: { written in
            do throws(JSONError) {
                return try RawJSON(encoding: written.value).decode()
            } catch {
                throw Settings.invalid("\(name): \(error.message)", [SettingName(name)])
            }
        }
    }
}

/// Writes and reads structs by their settings.
package enum Settings {
    /// Writes what differs from the defaults.
    package static func write<Root>(
        _ settings: [Setting<Root>],
        of root: Root,
        unlike defaults: Root,
        to encoder: any Encoder
    ) throws {
        var container = encoder.container(keyedBy: SettingName.self)
        for setting in settings { try setting.write(root, defaults, &container) }
    }

    /// Reads what is there.
    /// - Parameters:
    ///   - settings: all that there may be.
    ///   - root: has the defaults before.
    ///   - decoder: where from.
    ///   - others: names that somebody else reads.
    /// - Throws: `DecodingError`, also for a name that is not known.
    package static func read<Root>(
        _ settings: [Setting<Root>],
        into root: inout Root,
        from decoder: any Decoder,
        besides others: [String] = []
    ) throws {
        let container = try decoder.container(keyedBy: SettingName.self)
        for setting in settings where container.contains(SettingName(setting.name)) {
            try setting.read(&root, container)
        }
        try self.check(container, others + settings.map(\.name))
    }

    /// - Throws: `DecodingError` if there is something in it that has none of these names.
    package static func check(_ container: KeyedDecodingContainer<SettingName>, _ known: [String]) throws {
        for name in container.allKeys where !known.contains(name.stringValue) {
            throw Self.invalid(
                "there is no setting \"\(name.stringValue)\" here; there are: \(known.joined(separator: ", "))",
                container.codingPath
            )
        }
    }

    /// Something that can be read and means nothing.
    package static func invalid(_ what: String, _ path: [any CodingKey]) -> DecodingError {
        DecodingError.dataCorrupted(DecodingError.Context(codingPath: path, debugDescription: what))
    }
}

/// The name of a setting in a file.
package struct SettingName: CodingKey {
    package let stringValue: String
    package var intValue: Int? { nil }

    package init(_ name: String) { self.stringValue = name }
    package init?(stringValue: String) { self.init(stringValue) }
    package init?(intValue: Int) { nil }
}

/// A time in seconds, as people write it; in full, where a number of seconds is not exact.
package struct Seconds: Codable, Sendable {
    package var duration: Duration

    package init(duration: Duration) { self.duration = duration }

    package init(from decoder: any Decoder) throws {
        guard let seconds = try? decoder.singleValueContainer().decode(Double.self), abs(seconds) <= 1e15 else {
            self.duration = try Duration(from: decoder)
            guard abs(self.duration / .seconds(1)) <= 1e15 else {
                throw Settings.invalid("a time of over 1e15 seconds", decoder.codingPath)
            }
            return
        }
        self.duration = .seconds(seconds)
    }

    package func encode(to encoder: any Encoder) throws {
        let seconds = self.duration / .seconds(1)
        guard abs(seconds) <= 1e15, .seconds(seconds) == self.duration else {
            return try self.duration.encode(to: encoder)
        }
        var container = encoder.singleValueContainer()
        try container.encode(seconds)
    }
}

/// A tree of JSON for any encoder, which may know fewer numbers than JSON has.
private struct CodableJSON: Codable, Sendable {
    var value: JSONValue

    init(value: JSONValue) { self.value = value }

    init(from decoder: any Decoder) throws {
        if let single = try? decoder.singleValueContainer() {
            if single.decodeNil() {
                self.value = .null
                return
            }
            if let bool = try? single.decode(Bool.self) {
                self.value = .bool(bool)
                return
            }
            if let integer = try? single.decode(Int64.self) {
                self.value = .number(JSONNumber(integer))
                return
            }
            if let integer = try? single.decode(UInt64.self),
                let number = try? JSONValue(parsing: "\(integer)")
            {
                self.value = number
                return
            }
            if let double = try? single.decode(Double.self), let number = JSONNumber(double) {
                self.value = .number(number)
                return
            }
            if let string = try? single.decode(String.self) {
                self.value = .string(string)
                return
            }
        }
        if let elements = try? [CodableJSON](from: decoder) {
            self.value = .array(elements.map(\.value))
            return
        }
        let container = try decoder.container(keyedBy: SettingName.self)
        self.value = .object(
            JSONObject(
                try container.allKeys.map { ($0.stringValue, try container.decode(CodableJSON.self, forKey: $0).value) }
            )
        )
    }

    func encode(to encoder: any Encoder) throws {
        switch self.value {
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let bool): try bool.encode(to: encoder)
        case .number(let number):
            if let integer = number.int64 {
                try integer.encode(to: encoder)
            } else if let integer = UInt64(number.description) {
                try integer.encode(to: encoder)
            } else {
                try number.double.encode(to: encoder)
            }
        case .string(let string): try string.encode(to: encoder)
        case .array(let elements): try elements.map { CodableJSON(value: $0) }.encode(to: encoder)
        case .object(let members):
            var container = encoder.container(keyedBy: SettingName.self)
            for (key, value) in members { try container.encode(CodableJSON(value: value), forKey: SettingName(key)) }
        }
    }
}
