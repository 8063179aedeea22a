// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Examples",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "swift-mcp-host", path: "..")],
    targets: [
        .executableTarget(name: "list-tools", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "custom-transport", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
        .executableTarget(name: "shared-fixture", dependencies: [.product(name: "MCPHost", package: "swift-mcp-host")]),
    ]
)
