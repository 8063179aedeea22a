public import MCPStdio

/// How a server is reached.
public struct ServerTransport: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: Sendable, Hashable {
        case stdio(ServerLaunch)
        case custom
        case unusable(String)
    }

    private let kind: Kind

    /// A subprocess that speaks over its standard input and output.
    public static func stdio(_ launch: ServerLaunch) -> Self { Self(kind: .stdio(launch)) }

    /// A transport that the program gives: ``ServerRuntime/endpoint``.
    public static let custom = Self(kind: .custom)

    /// None: what a file says of the server cannot be used. Such a server has failed from the start on, for this reason (U2).
    /// - Parameter reason: what is wrong, where, and what to do.
    public static func unusable(_ reason: String) -> Self { Self(kind: .unusable(reason)) }

    /// Why it cannot be used; nil where it can.
    public var reason: String? { if case .unusable(let reason) = self.kind { reason } else { nil } }

    /// What is started; nil where nothing is.
    public var launch: ServerLaunch? { if case .stdio(let launch) = self.kind { launch } else { nil } }

    /// In words, without secrets (S23).
    public var description: String {
        switch self.kind {
        case .stdio(let launch): launch.shown
        case .custom: "a transport of the program's own"
        case .unusable(let reason): "none: \(reason)"
        }
    }
}

extension ServerTransport: Codable {
    private static let stdio = SettingName("stdio")
    private static let unusable = SettingName("unusable")

    /// Reads it.
    /// - Throws: `DecodingError`.
    public init(from decoder: any Decoder) throws {
        if let word = try? decoder.singleValueContainer().decode(String.self), word == "custom" {
            self = .custom
            return
        }
        let container = try decoder.container(keyedBy: SettingName.self)
        try Settings.check(container, [Self.stdio.stringValue, Self.unusable.stringValue])
        if let reason = try container.decodeIfPresent(String.self, forKey: Self.unusable) {
            self = .unusable(reason)
            return
        }
        self = .stdio(try container.decode(ServerLaunch.self, forKey: Self.stdio))
    }

    /// Writes the word `custom`, or an object whose one member says what it is.
    public func encode(to encoder: any Encoder) throws {
        switch self.kind {
        case .stdio(let launch):
            var container = encoder.container(keyedBy: SettingName.self)
            try container.encode(launch, forKey: Self.stdio)
        case .unusable(let reason):
            var container = encoder.container(keyedBy: SettingName.self)
            try container.encode(reason, forKey: Self.unusable)
        case .custom:
            var container = encoder.singleValueContainer()
            try container.encode("custom")
        }
    }
}
