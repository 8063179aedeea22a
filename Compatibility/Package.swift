// swift-tools-version: 6.2
import PackageDescription

// A program that imports this package beside Foundation, Testing, Hummingbird and NIO, and uses every public name of this package without
// qualifying one. Scripts/check-names.py writes it and builds it.
let package = Package(
    name: "Compatibility",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-mcp-host", path: ".."),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.20.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.90.0"),
    ],
    targets: [
        .testTarget(
            name: "CompatibilityTests",
            dependencies: [
                .product(name: "MCPHost", package: "swift-mcp-host"),
                .product(name: "MCPClient", package: "swift-mcp-host"),
                .product(name: "MCPJSONSchema", package: "swift-mcp-host"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests"
        )
    ]
)
