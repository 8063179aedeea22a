import Foundation

/// What this process has, as the system counts it. Only for suites that run alone: neighbours count too.
public struct ProcessCounts: Sendable, Hashable, CustomStringConvertible {
    /// Child processes, zombies included.
    public var children: Int
    /// Open file descriptors.
    public var descriptors: Int

    /// Counts now.
    public static func now() -> ProcessCounts {
        #if os(Linux)
            let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
            let children = threads.reduce(0) { count, thread in
                let list = (try? String(contentsOfFile: "/proc/self/task/\(thread)/children", encoding: .utf8)) ?? ""
                return count + list.split(separator: " ").count
            }
            return ProcessCounts(children: children, descriptors: descriptors)
        #else
            let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/dev/fd").count) ?? 0
            return ProcessCounts(children: 0, descriptors: descriptors)
        #endif
    }

    /// `children 0, descriptors 12`
    public var description: String { "children \(self.children), descriptors \(self.descriptors)" }

    /// Whether a process still exists and is not a zombie.
    /// - Parameter moment: when it was there, seen by this test: who was born later is somebody else, to whom the number has passed on.
    ///   All tests together use up all numbers in a minute. nil where nobody knows, or where the process is there for certain.
    public static func isAlive(_ pid: Int32, since moment: ContinuousClock.Instant?) -> Bool {
        #if os(Linux)
            guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let end = text.lastIndex(of: ")")
            else { return false }
            let fields = text[end...].split(separator: " ")
            // The state is the main thread's; others may go on without it (T7).
            if fields.count > 18, fields[1] == "Z", fields[18] == "1" { return false }
            guard let moment, fields.count > 20, let start = Int64(fields[20]) else { return true }
            // The kernel rounds a birth down, so the age up.
            var now = timespec()
            clock_gettime(CLOCK_BOOTTIME, &now)
            let age: Duration =
                .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
                - .milliseconds(start * 1000 / Int64(sysconf(Int32(_SC_CLK_TCK))))
            return age >= ContinuousClock.now - moment
        #else
            return kill(pid, 0) == 0
        #endif
    }
}
