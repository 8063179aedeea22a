// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Examples",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-mcp-host", path: ".."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "answer-questions",
            dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]
        ),
        .executableTarget(name: "call-tool", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(
            name: "custom-transport",
            dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]
        ),
        .executableTarget(name: "fill-prompt", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "list-tools", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "model-tools", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "on-demand", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(
            name: "one-conversation",
            dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]
        ),
        .executableTarget(name: "read-resource", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(
            name: "service-group",
            dependencies: [
                .product(name: "MCPHost", package: "swift-mcp-host"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .executableTarget(name: "shared-fixture", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "typed-result", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "what-happened", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
    ]
)
