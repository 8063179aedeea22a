// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever uses the library never builds it.
let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "swift-mcp-host", path: "..")],
    targets: [
        .target(name: "CCounters", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
        .executableTarget(
            name: "counts",
            dependencies: ["CCounters", .product(name: "MCPHost", package: "swift-mcp-host")]
        ),
        .executableTarget(name: "echo-server"),
        .executableTarget(name: "json-bench", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(
            name: "schema-bench",
            dependencies: [
                .product(name: "MCPJSONSchema", package: "swift-mcp-host"),
                .product(name: "MCPHost", package: "swift-mcp-host"),
            ]
        ),
        .executableTarget(name: "soak", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "stdio-bench", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
    ]
)
