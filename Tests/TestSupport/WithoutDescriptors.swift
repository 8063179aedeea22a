import Foundation

/// Runs something in a program that has no descriptor left; for exit tests.
///
/// It has to block its thread and await nothing. Once a second, if work waits for a thread just then, Dispatch opens a file to see what its
/// threads do, and ends the program (SIGILL) where it cannot: on a busy machine that hits whoever goes through the cooperative pool meanwhile.
/// - Parameters:
///   - limit: so many descriptors the program may have from now on.
///   - body: what to do without one.
public func withoutDescriptors(limit: Int, _ body: () throws -> Void) rethrows {
    var bound = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
    setrlimit(.init(RLIMIT_NOFILE.rawValue), &bound)
    var taken: [Int32] = []
    while case let next = open("/dev/null", O_RDONLY), next >= 0 { taken.append(next) }
    defer { for descriptor in taken { close(descriptor) } }
    try body()
}
