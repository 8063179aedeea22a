// swift-tools-version: 6.2
import PackageDescription

/// For targets that import the C library and Synchronization: in a whole module Swift 6.3 takes the types of the one for the other's, and then
/// misses an import that nobody can write.
let systemSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let settings = systemSettings + [.enableUpcomingFeature("MemberImportVisibility")]

/// Without Swift's run-time and statically linked, a C program starts in 0.4 ms instead of 1.6 and takes a quarter of the memory:
/// there is one mcp-guard for each server. Sanitizers cannot be linked statically; scripts that use them set MCP_HOST_SANITIZER.
let lean: [LinkerSetting] =
    Context.environment["MCP_HOST_SANITIZER"] == nil
    ? [.unsafeFlags(["-nostartfiles", "-static-executable"], .when(platforms: [.linux]))] : []

let package = Package(
    name: "swift-mcp-host",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "MCPHost", targets: ["MCPHost"]),
        .library(name: "MCPClient", targets: ["MCPClient", "MCPStdio"]),
        .library(name: "MCPJSONSchema", targets: ["MCPJSONSchema"]),
        .executable(name: "mcp-host", targets: ["mcp-host"]),
        .executable(name: "mcp-guard", targets: ["mcp-guard"]),
        .executable(name: "mcp-zoo", targets: ["mcp-zoo"]),
    ],
    traits: [
        .trait(name: "ServiceLifecycle", description: "MCPHost is a Service, to be run in a ServiceGroup"),
        .default(enabledTraits: ["ServiceLifecycle"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
    ],
    targets: [
        // 0: JSON, and the few calls that Swift cannot make itself
        .target(name: "MCPJSON", swiftSettings: settings),
        .target(name: "CMCPProcess"),
        .executableTarget(name: "mcp-guard", dependencies: ["CMCPProcess"], linkerSettings: lean),
        .executableTarget(name: "mcp-zoo", exclude: ["README.md"], linkerSettings: lean),
        // 1: the protocol's vocabulary
        .target(name: "MCPTypes", dependencies: ["MCPJSON"], swiftSettings: settings),
        .target(name: "MCPJSONSchema", dependencies: ["MCPJSON"], swiftSettings: settings),
        // 2: how bytes travel
        .target(name: "MCPTransport", dependencies: ["MCPJSON", "MCPTypes"], swiftSettings: systemSettings),
        // mcp-guard is built with it, and found at run time.
        .target(
            name: "MCPStdio",
            dependencies: ["CMCPProcess", "MCPJSON", "MCPTransport", "mcp-guard"],
            swiftSettings: systemSettings
        ),
        .target(name: "MCPSession", dependencies: ["MCPJSON", "MCPTypes", "MCPTransport"], swiftSettings: settings),
        // 3: one conversation
        .target(
            name: "MCPClient",
            dependencies: [
                "MCPJSON", "MCPJSONSchema", "MCPTypes", "MCPTransport", "MCPSession",
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings
        ),
        // 4: many connections
        .target(
            name: "MCPHost",
            dependencies: [
                "MCPJSON", "MCPTypes", "MCPTransport", "MCPStdio", "MCPSession", "MCPClient",
                .product(name: "Logging", package: "swift-log"),
                .product(
                    name: "ServiceLifecycle",
                    package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])
                ),
            ],
            swiftSettings: settings
        ),
        // 5: a host that other programs use
        .target(
            name: "MCPControl",
            dependencies: ["CMCPProcess", "MCPJSON", "MCPTypes", "MCPTransport", "MCPSession", "MCPClient", "MCPHost"],
            swiftSettings: systemSettings
        ),
        // 6: the command line
        .executableTarget(
            name: "mcp-host",
            dependencies: [
                "MCPJSON", "MCPJSONSchema", "MCPTypes", "MCPTransport", "MCPSession", "MCPClient", "MCPHost",
                "MCPControl",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        // Tests mirror Sources.
        .target(name: "CTestSupport", path: "Tests/CTestSupport"),
        .target(
            name: "TestSupport",
            dependencies: [
                "CMCPProcess", "CTestSupport", "MCPJSON", "MCPTypes", "MCPTransport", "MCPStdio", "MCPSession",
                "MCPClient",
                "MCPHost",
            ],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        .testTarget(name: "MCPJSONTests", dependencies: ["MCPJSON"], swiftSettings: settings),
        .testTarget(
            name: "MCPJSONSchemaTests",
            dependencies: ["MCPJSON", "MCPJSONSchema", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPTypesTests",
            dependencies: ["MCPJSON", "MCPTypes", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPTransportTests",
            dependencies: ["MCPJSON", "MCPTypes", "MCPTransport", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPStdioTests",
            dependencies: [
                "CMCPProcess", "MCPJSON", "MCPTypes", "MCPTransport", "MCPStdio", "MCPClient", "TestSupport", "mcp-zoo",
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPSessionTests",
            dependencies: ["MCPJSON", "MCPTypes", "MCPTransport", "MCPSession", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPClientTests",
            dependencies: [
                "MCPJSON", "MCPJSONSchema", "MCPTypes", "MCPTransport", "MCPSession", "MCPClient", "MCPHost",
                "TestSupport",
                "mcp-zoo",
                .product(name: "Instrumentation", package: "swift-distributed-tracing"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPHostTests",
            dependencies: [
                "CMCPProcess", "MCPJSON", "MCPJSONSchema", "MCPTypes", "MCPTransport", "MCPStdio", "MCPClient",
                "MCPHost",
                "TestSupport", "mcp-zoo", "mcp-host",
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "FaultTests",
            dependencies: [
                "CTestSupport", "MCPJSON", "MCPTypes", "MCPTransport", "MCPStdio", "MCPSession", "MCPClient", "MCPHost",
                "TestSupport",
                "mcp-zoo",
                "mcp-host",
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "MCPControlTests",
            dependencies: [
                "CMCPProcess", "MCPJSON", "MCPJSONSchema", "MCPTransport", "MCPHost", "MCPControl", "TestSupport",
                "mcp-zoo",
                "mcp-host",
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "InteropTests", dependencies: ["MCPHost", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "LifecycleLawTests",
            dependencies: [
                "MCPJSON", "MCPTypes", "MCPTransport", "MCPStdio", "MCPClient", "MCPHost", "TestSupport",
                "mcp-zoo",
            ],
            swiftSettings: settings
        ),
    ]
)

// Scripts/fuzz.sh sets this, and builds with --sanitize=fuzzer: these programs have no main of their own.
if Context.environment["MCP_HOST_FUZZ"] != nil {
    for (name, dependencies) in [
        ("json", ["MCPJSON"]), ("framing", ["MCPJSON", "MCPTransport"]),
        ("session", ["MCPJSON", "MCPTypes", "MCPTransport", "MCPClient"]),
        ("schema", ["MCPJSON", "MCPJSONSchema"]),
    ] {
        package.targets.append(
            .executableTarget(
                name: "fuzz-\(name)",
                dependencies: dependencies.map { .byName(name: $0) },
                path: "Fuzz/\(name)",
                swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]
            )
        )
    }
}
