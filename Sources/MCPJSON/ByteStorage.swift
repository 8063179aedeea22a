#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A block of bytes that is filled once and then shared, so that slices of one message never copy it.
///
/// Memory comes from `malloc` and grows by `realloc`: the C library moves the pages of a large block instead of copying them, so a
/// 10 MB message costs 10 MB while it arrives, not 10 + 20.
///
/// `@unchecked Sendable`: every mutating member is reachable only through ``ByteBuilder``, which owns its storage uniquely (it is
/// `~Copyable`) and gives it away for good in `finish()` or `take()`. What is shared is therefore never written again.
public final class ByteStorage: @unchecked Sendable {
    /// The first byte. Valid as long as the storage is alive.
    public private(set) var base: UnsafeMutableRawPointer
    /// How many bytes are filled.
    public fileprivate(set) var count: Int
    private var capacity: Int

    fileprivate init(capacity: Int) {
        self.capacity = max(capacity, 16)
        self.base = Self.unwrapped(malloc(self.capacity))
        self.count = 0
    }

    /// Copies `bytes` into storage of their own.
    /// - Parameter bytes: what to copy; any length.
    public convenience init(copying bytes: UnsafeRawBufferPointer) {
        self.init(capacity: bytes.count)
        self.append(bytes)
    }

    deinit { free(self.base) }

    @inline(__always)
    fileprivate func reserve(_ additional: Int) {
        if self.count + additional > self.capacity { self.grow(by: additional) }
    }

    @inline(never)
    private func grow(by additional: Int) {
        self.capacity = max(self.capacity * 2, self.count + additional)
        self.base = Self.unwrapped(realloc(self.base, self.capacity))
    }

    /// There is no way on without memory; the Swift runtime itself ends the process in the same case.
    private static func unwrapped(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer {
        guard let pointer else { fatalError("out of memory") }  // as swift_slowAlloc does
        return pointer
    }

    @inline(__always)
    fileprivate func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        self.reserve(bytes.count)
        memcpy(self.base + self.count, source, bytes.count)
        self.count += bytes.count
    }

    @inline(__always)
    fileprivate func append(_ byte: UInt8) {
        self.reserve(1)
        self.base.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }
}

/// Fills a ``ByteStorage``; the only thing that can.
public struct ByteBuilder: ~Copyable {
    private var storage: ByteStorage

    /// Makes an empty builder.
    /// - Parameter capacity: bytes to reserve at once; it grows by doubling.
    public init(capacity: Int = 256) { self.storage = ByteStorage(capacity: capacity) }

    /// How many bytes are filled.
    public var count: Int { self.storage.count }

    /// Appends a copy of `bytes`.
    public func append(_ bytes: UnsafeRawBufferPointer) { self.storage.append(bytes) }

    /// Appends one byte.
    public func append(_ byte: UInt8) { self.storage.append(byte) }

    /// Calls `body` with the bytes filled so far.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        body(UnsafeRawBufferPointer(start: self.storage.base, count: self.storage.count))
    }

    /// Gives the bytes away and starts again, empty.
    public mutating func take() -> ByteStorage {
        defer { self.storage = ByteStorage(capacity: 0) }
        return self.storage
    }

    /// Gives the bytes away; nothing can change them afterwards.
    public consuming func finish() -> ByteStorage { self.storage }
}
