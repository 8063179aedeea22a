import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#endif

/// Accepts connections on a Unix socket, each served on a thread of its own.
final class SocketListener: Sendable {
    private let descriptor: Int32

    /// - Parameters:
    ///   - path: where to listen; nothing may be there.
    ///   - serve: called on a thread of its own with each connection, which is closed when it returns.
    init(path: String, _ serve: @escaping @Sendable (FileHandle) -> Void) throws {
        #if canImport(Darwin)
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        #else
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #endif
        self.descriptor = descriptor
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard descriptor >= 0, result == 0, listen(descriptor, 16) == 0 else {
            throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
        }
        Thread.detachNewThread {
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else {
                    if errno == EINTR { continue }
                    return
                }
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                Thread.detachNewThread { serve(FileHandle(fileDescriptor: connection, closeOnDealloc: true)) }
            }
        }
    }

    /// Accepts nobody any more.
    func close() {
        shutdown(self.descriptor, Int32(SHUT_RDWR))
        #if canImport(Darwin)
            _ = Darwin.close(self.descriptor)
        #else
            _ = Glibc.close(self.descriptor)
        #endif
    }
}
