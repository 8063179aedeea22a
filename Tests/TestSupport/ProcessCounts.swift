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

    /// Whether a process exists and is not a zombie.
    /// - Parameter moment: who was born later is somebody else, to whom the number has passed on: the tests use up all numbers in a minute.
    public static func isAlive(_ pid: Int32, bornBefore moment: ContinuousClock.Instant? = nil) -> Bool {
        #if os(Linux)
            guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let end = text.lastIndex(of: ")"), !text[end...].hasPrefix(") Z")
            else { return false }
            guard let moment else { return true }
            let fields = text[end...].split(separator: " ")
            guard fields.count > 20, let start = Double(fields[20]),
                let uptime = (try? String(contentsOfFile: "/proc/uptime", encoding: .utf8))?.split(separator: " ").first
            else { return true }
            let age = (Double(uptime) ?? 0) - start / Double(sysconf(Int32(_SC_CLK_TCK)))
            return .seconds(age) >= ContinuousClock.now - moment
        #else
            return kill(pid, 0) == 0
        #endif
    }
}
