/// A released revision of the Model Context Protocol.
public enum ProtocolRevision: String, Sendable, Hashable, CaseIterable, Comparable {
    /// The first release.
    case v2024_11_05 = "2024-11-05"
    /// Streamable HTTP, OAuth, batches, audio, tool annotations.
    case v2025_03_26 = "2025-03-26"
    /// Structured results, elicitation, resource links; no batches.
    case v2025_06_18 = "2025-06-18"
    /// Tasks, icons, URL elicitation, sampling with tools. The last with a handshake.
    case v2025_11_25 = "2025-11-25"
    /// Stateless: no handshake, everything in each request.
    case v2026_07_28 = "2026-07-28"

    /// Whether it is of the stateless era.
    public var isModern: Bool { self.place >= Self.v2026_07_28.place }
    /// The newest revision.
    public static var latest: Self { .v2026_07_28 }
    /// The newest revision that begins with `initialize`.
    public static var latestLegacy: Self { .v2025_11_25 }
    /// All, oldest first.
    public static var all: [Self] { Self.allCases }

    /// By date.
    public static func < (a: Self, b: Self) -> Bool { a.place < b.place }

    /// In the order of the dates, without reading them: this is asked several times for every message.
    private var place: Int {
        switch self {
        case .v2024_11_05: 0
        case .v2025_03_26: 1
        case .v2025_06_18: 2
        case .v2025_11_25: 3
        case .v2026_07_28: 4
        }
    }
}
