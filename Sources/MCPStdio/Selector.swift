import CMCPProcess

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What happened to something that is watched.
struct IOEvent {
    /// Which registration; a number is never used twice, so an event that comes late finds nobody.
    var token: UInt64
    var readable: Bool
    var writable: Bool
    /// The other end has gone, or there is an error: the next read or write tells which.
    var broken: Bool
}

/// A system call that failed.
package struct SystemFailure: Error, Equatable {
    /// Its errno.
    package var code: Int32

    /// What a person can do about it.
    package var explanation: String {
        switch self.code {
        case EMFILE, ENFILE: "too many open files (raise `ulimit -n`, or run fewer servers)"
        case EAGAIN: "the system's limit on processes is reached (`ulimit -u`)"
        case E2BIG: "arguments and environment together are too long"
        case ETXTBSY: "its file is open for writing, which nobody may start; close it first"
        case ENOMEM: "out of memory"
        case ENOSPC: "the system's limit on watched descriptors is reached (/proc/sys/fs/epoll/max_user_watches)"
        default: String(cString: strerror(self.code))
        }
    }
}

#if os(Linux)
    /// The kernel's readiness queue: epoll.
    struct Selector: Sendable {
        private let epoll: Int32
        private let wakeup: Int32
        private static let wakeToken: UInt64 = 0

        /// - Throws: an errno, when there are no descriptors left (T14).
        init() throws(SystemFailure) {
            let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
            guard epoll >= 0 else { throw SystemFailure(code: errno) }
            let wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
            guard wakeup >= 0 else {
                let code = errno
                _ = close(epoll)
                throw SystemFailure(code: code)
            }
            self.epoll = epoll
            self.wakeup = wakeup
            do throws(SystemFailure) {
                // Told of each write to it once, so that nobody has to read it empty.
                try self.control(EPOLL_CTL_ADD, wakeup, EPOLLIN.rawValue | EPOLLET.rawValue, Self.wakeToken)
            } catch {
                self.closeAll()
                throw error
            }
        }

        /// For the case that its thread cannot be started.
        func closeAll() {
            _ = close(self.epoll)
            _ = close(self.wakeup)
        }

        private func control(
            _ operation: Int32,
            _ descriptor: Int32,
            _ events: UInt32,
            _ token: UInt64
        ) throws(SystemFailure) {
            var event = epoll_event()
            event.events = events
            event.data.u64 = token
            if epoll_ctl(self.epoll, operation, descriptor, &event) != 0 { throw SystemFailure(code: errno) }
        }

        /// Starts watching. A pidfd is watched like a pipe: it becomes readable when its process ends.
        func add(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) throws(SystemFailure) {
            try self.control(EPOLL_CTL_ADD, descriptor, Self.mask(read, write), token)
        }

        /// Of a registration that is there; it cannot fail.
        func change(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            try? self.control(EPOLL_CTL_MOD, descriptor, Self.mask(read, write), token)
        }

        /// Of a registration that is there; it cannot fail.
        func remove(_ descriptor: Int32) { try? self.control(EPOLL_CTL_DEL, descriptor, 0, 0) }

        private static func mask(_ read: Bool, _ write: Bool) -> UInt32 {
            (read ? EPOLLIN.rawValue : 0) | (write ? EPOLLOUT.rawValue : 0)
        }

        func wake() {
            var one: UInt64 = 1
            _ = write(self.wakeup, &one, 8)
        }

        /// Waits for events, as long as it takes, or only looks.
        func wait(_ events: inout [IOEvent], isBlocking: Bool) {
            events.removeAll(keepingCapacity: true)
            withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { buffer in
                let count = epoll_wait(self.epoll, buffer.baseAddress, 64, isBlocking ? -1 : 0)
                for i in 0..<max(0, Int(count)) {
                    let event = buffer[i]
                    if event.data.u64 == Self.wakeToken { continue }
                    // Hang-up and error count as both: the read or write that follows tells what it is.
                    let broken = event.events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
                    events.append(
                        IOEvent(
                            token: event.data.u64,
                            readable: broken || event.events & EPOLLIN.rawValue != 0,
                            writable: broken || event.events & EPOLLOUT.rawValue != 0,
                            broken: broken
                        )
                    )
                }
            }
        }
    }
#else
    /// The kernel's readiness queue: kqueue.
    struct Selector: Sendable {
        private let queue: Int32
        private static let wakeIdentifier: UInt = 0

        /// - Throws: an errno, when there are no descriptors left (T14).
        init() throws(SystemFailure) {
            self.queue = kqueue()
            guard self.queue >= 0 else { throw SystemFailure(code: errno) }
            do throws(SystemFailure) {
                try self.control(Self.wakeIdentifier, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0)
            } catch {
                self.closeAll()
                throw error
            }
        }

        /// For the case that its thread cannot be started.
        func closeAll() { _ = close(self.queue) }

        private func control(
            _ id: UInt,
            _ filter: Int32,
            _ flags: Int32,
            _ fflags: UInt32,
            _ token: UInt64
        ) throws(SystemFailure) {
            var change = kevent(
                ident: id,
                filter: Int16(filter),
                flags: UInt16(flags),
                fflags: fflags,
                data: 0,
                udata: UnsafeMutableRawPointer(bitPattern: UInt(token))
            )
            if kevent(self.queue, &change, 1, nil, 0, nil) != 0 { throw SystemFailure(code: errno) }
        }

        /// With neither reading nor writing wanted, the end of the other side is still told: the write filter with EV_CLEAR says once
        /// that there is room, which the handler passes over, and again when the reader has gone.
        func add(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) throws(SystemFailure) {
            let id = UInt(descriptor)
            if read { try self.control(id, EVFILT_READ, EV_ADD, 0, token) }
            if write { try self.control(id, EVFILT_WRITE, EV_ADD, 0, token) }
            if !read, !write { try self.control(id, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, token) }
        }

        func change(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            let id = UInt(descriptor)
            // A filter is taken away and added again, since EV_CLEAR stays with one that is only changed.
            try? self.control(id, EVFILT_READ, EV_DELETE, 0, token)
            try? self.control(id, EVFILT_WRITE, EV_DELETE, 0, token)
            try? self.add(descriptor, token, read: read, write: write)
        }

        func remove(_ descriptor: Int32) {
            try? self.control(UInt(descriptor), EVFILT_READ, EV_DELETE, 0, 0)
            try? self.control(UInt(descriptor), EVFILT_WRITE, EV_DELETE, 0, 0)
        }

        /// Watches a process for its end.
        /// - Throws: ESRCH if it has ended already.
        func addExit(_ pid: Int32, _ token: UInt64) throws(SystemFailure) {
            try self.control(UInt(pid), EVFILT_PROC, EV_ADD | EV_ONESHOT, UInt32(NOTE_EXIT), token)
        }

        func wake() { try? self.control(Self.wakeIdentifier, EVFILT_USER, 0, UInt32(NOTE_TRIGGER), 0) }

        func wait(_ events: inout [IOEvent], isBlocking: Bool) {
            events.removeAll(keepingCapacity: true)
            withUnsafeTemporaryAllocation(of: kevent.self, capacity: 64) { buffer in
                var now = timespec(tv_sec: 0, tv_nsec: 0)
                let count = kevent(self.queue, nil, 0, buffer.baseAddress, 64, isBlocking ? nil : &now)
                for i in 0..<max(0, Int(count)) {
                    let event = buffer[i]
                    guard Int32(event.filter) != EVFILT_USER else { continue }
                    let writable = Int32(event.filter) == EVFILT_WRITE
                    events.append(
                        IOEvent(
                            token: UInt64(UInt(bitPattern: event.udata)),
                            readable: !writable,
                            writable: writable,
                            broken: writable && Int32(event.flags) & EV_EOF != 0
                        )
                    )
                }
            }
        }
    }
#endif
