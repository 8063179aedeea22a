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
}

#if os(Linux)
    /// The kernel's readiness queue: epoll.
    struct Selector: Sendable {
        private let epoll: Int32
        private let wakeup: Int32
        private static let wakeToken: UInt64 = 0

        init() {
            self.epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
            self.wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
            precondition(self.epoll >= 0 && self.wakeup >= 0, "no descriptors left for the I/O thread (errno \(errno))")
            self.control(EPOLL_CTL_ADD, self.wakeup, EPOLLIN.rawValue, Self.wakeToken)
        }

        private func control(_ operation: Int32, _ descriptor: Int32, _ events: UInt32, _ token: UInt64) {
            var event = epoll_event()
            event.events = events
            event.data.u64 = token
            _ = epoll_ctl(self.epoll, operation, descriptor, &event)
        }

        /// Starts watching. A pidfd is watched like a pipe: it becomes readable when its process ends.
        func add(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            self.control(EPOLL_CTL_ADD, descriptor, Self.mask(read, write), token)
        }

        func change(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            self.control(EPOLL_CTL_MOD, descriptor, Self.mask(read, write), token)
        }

        func remove(_ descriptor: Int32) { self.control(EPOLL_CTL_DEL, descriptor, 0, 0) }

        private static func mask(_ read: Bool, _ write: Bool) -> UInt32 {
            (read ? EPOLLIN.rawValue : 0) | (write ? EPOLLOUT.rawValue : 0)
        }

        func wake() {
            var one: UInt64 = 1
            _ = write(self.wakeup, &one, 8)
        }

        /// Waits for events, as long as it takes.
        func wait(_ events: inout [IOEvent]) {
            events.removeAll(keepingCapacity: true)
            withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { buffer in
                let count = epoll_wait(self.epoll, buffer.baseAddress, 64, -1)
                for i in 0..<max(0, Int(count)) {
                    let event = buffer[i]
                    if event.data.u64 == Self.wakeToken {
                        var drained: UInt64 = 0
                        _ = read(self.wakeup, &drained, 8)
                        continue
                    }
                    // Hang-up and error count as both: the read or write that follows tells what it is.
                    let broken = event.events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
                    events.append(
                        IOEvent(
                            token: event.data.u64,
                            readable: broken || event.events & EPOLLIN.rawValue != 0,
                            writable: broken || event.events & EPOLLOUT.rawValue != 0
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

        init() {
            self.queue = kqueue()
            precondition(self.queue >= 0, "no descriptors left for the I/O thread (errno \(errno))")
            self.control(Self.wakeIdentifier, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0)
        }

        @discardableResult
        private func control(_ id: UInt, _ filter: Int32, _ flags: Int32, _ fflags: UInt32, _ token: UInt64) -> Bool {
            var change = kevent(
                ident: id,
                filter: Int16(filter),
                flags: UInt16(flags),
                fflags: fflags,
                data: 0,
                udata: UnsafeMutableRawPointer(bitPattern: UInt(token))
            )
            return kevent(self.queue, &change, 1, nil, 0, nil) == 0
        }

        func add(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            self.change(descriptor, token, read: read, write: write)
        }

        func change(_ descriptor: Int32, _ token: UInt64, read: Bool, write: Bool) {
            let id = UInt(descriptor)
            self.control(id, EVFILT_READ, read ? EV_ADD : EV_DELETE, 0, token)
            self.control(id, EVFILT_WRITE, write ? EV_ADD : EV_DELETE, 0, token)
        }

        func remove(_ descriptor: Int32) {
            self.control(UInt(descriptor), EVFILT_READ, EV_DELETE, 0, 0)
            self.control(UInt(descriptor), EVFILT_WRITE, EV_DELETE, 0, 0)
        }

        /// Watches a process for its end; false if it has ended already.
        func addExit(_ pid: Int32, _ token: UInt64) -> Bool {
            self.control(UInt(pid), EVFILT_PROC, EV_ADD | EV_ONESHOT, UInt32(NOTE_EXIT), token)
        }

        func wake() { self.control(Self.wakeIdentifier, EVFILT_USER, 0, UInt32(NOTE_TRIGGER), 0) }

        func wait(_ events: inout [IOEvent]) {
            events.removeAll(keepingCapacity: true)
            withUnsafeTemporaryAllocation(of: kevent.self, capacity: 64) { buffer in
                let count = kevent(self.queue, nil, 0, buffer.baseAddress, 64, nil)
                for i in 0..<max(0, Int(count)) {
                    let event = buffer[i]
                    guard Int32(event.filter) != EVFILT_USER else { continue }
                    let writable = Int32(event.filter) == EVFILT_WRITE
                    events.append(
                        IOEvent(token: UInt64(UInt(bitPattern: event.udata)), readable: !writable, writable: writable)
                    )
                }
            }
        }
    }
#endif
