#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Bytes that are filled once and then shared, so that slices of one message never copy them.
///
/// Small ones stand behind the object that counts who shares them: one allocation. Large ones come from `malloc` and grow by `realloc`: the C
/// library moves the pages of a large block instead of copying them, so a 10 MB message costs 10 MB while it arrives, not 10 + 20.
///
/// `@unchecked Sendable`: its block is written through ``ByteBuilder`` only, which owns it uniquely (it is `~Copyable`) and gives it away for good in
/// `finish()` or `take()`. What is shared is therefore never written again.
public struct ByteStorage: @unchecked Sendable {
    fileprivate let block: ByteBlock

    fileprivate init(_ block: ByteBlock) { self.block = block }

    /// The first byte. Valid as long as the storage is alive.
    public var base: UnsafeMutableRawPointer { self.block.header.base }
    /// How many bytes there are.
    public var count: Int { self.block.header.count }

    /// Copies `bytes` into storage of their own.
    /// - Parameter bytes: what to copy; any length.
    public init(copying bytes: UnsafeRawBufferPointer) {
        var builder = ByteBuilder(capacity: bytes.count)
        builder.append(bytes)
        self = builder.finish()
    }
}

/// The object behind a ``ByteStorage``.
private final class ByteBlock: ManagedBuffer<ByteBlock.Header, UInt8> {
    struct Header {
        var base: UnsafeMutableRawPointer
        var count = 0
        /// The bytes have memory of their own.
        var isApart = false
    }

    /// More bytes than that have memory of their own from the start.
    private static let largestInside = 1024

    static func make(capacity: Int) -> ByteBlock {
        let isApart = capacity > Self.largestInside
        let block = Self.create(minimumCapacity: isApart ? 0 : capacity) { block in
            Header(base: block.withUnsafeMutablePointerToElements { UnsafeMutableRawPointer($0) })
        }
        if isApart {
            block.header.base = Self.unwrapped(malloc(capacity))
            block.header.isApart = true
        }
        // `create` makes what it is called on.
        return unsafeDowncast(block, to: ByteBlock.self)
    }

    deinit {
        if self.header.isApart { free(self.header.base) }
    }

    /// Moves the bytes to where there is more room.
    /// - Parameters:
    ///   - count: how many are filled.
    ///   - capacity: how many there are to be room for.
    func grow(_ count: Int, to capacity: Int) {
        if self.header.isApart {
            self.header.base = Self.unwrapped(realloc(self.header.base, capacity))
        } else {
            let base = Self.unwrapped(malloc(capacity))
            memcpy(base, self.header.base, count)
            self.header.base = base
            self.header.isApart = true
        }
    }

    /// There is no way on without memory; the Swift runtime itself ends the process in the same case.
    private static func unwrapped(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer {
        guard let pointer else { fatalError("out of memory") }  // as swift_slowAlloc does
        return pointer
    }
}

/// Fills a ``ByteStorage``; the only thing that can.
public struct ByteBuilder: ~Copyable {
    private var block: ByteBlock
    private var base: UnsafeMutableRawPointer
    private var capacity: Int
    /// How many bytes are filled.
    public private(set) var count = 0

    /// Makes an empty builder.
    /// - Parameter capacity: bytes to reserve at once; it grows by doubling.
    public init(capacity: Int = 256) {
        self.capacity = max(capacity, 16)
        self.block = ByteBlock.make(capacity: self.capacity)
        self.base = self.block.header.base
    }

    @inline(__always)
    private mutating func reserve(_ additional: Int) {
        if self.count + additional > self.capacity { self.grow(by: additional) }
    }

    @inline(never)
    private mutating func grow(by additional: Int) {
        self.capacity = max(self.capacity * 2, self.count + additional)
        self.block.grow(self.count, to: self.capacity)
        self.base = self.block.header.base
    }

    /// Appends a copy of `bytes`.
    @inline(__always)
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        self.reserve(bytes.count)
        memcpy(self.base + self.count, source, bytes.count)
        self.count += bytes.count
    }

    /// Appends one byte.
    @inline(__always)
    public mutating func append(_ byte: UInt8) {
        self.reserve(1)
        self.base.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    /// Calls `body` with the bytes filled so far.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        defer { withExtendedLifetime(self.block) {} }
        return body(UnsafeRawBufferPointer(start: self.base, count: self.count))
    }

    /// Gives the bytes away and starts again, empty.
    public mutating func take() -> ByteStorage {
        self.block.header.count = self.count
        let taken = ByteStorage(self.block)
        self = ByteBuilder(capacity: 0)
        return taken
    }

    /// Gives the bytes away; nothing can change them afterwards.
    public consuming func finish() -> ByteStorage {
        self.block.header.count = self.count
        return ByteStorage(self.block)
    }
}
