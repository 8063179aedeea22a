import Foundation

/// Runs something in a program that gets no descriptor any more; for exit tests.
///
/// The limit is below what is open, so that it makes no difference which of them somebody else closes meanwhile.
///
/// It has to block its thread and await nothing. Once a second, if work waits for a thread just then, Dispatch opens a file to see what its
/// threads do, and ends the program (SIGILL) where it cannot: on a busy machine that hits whoever goes through the cooperative pool meanwhile.
/// - Parameters:
///   - isOneFree: one more is to be had.
///   - body: what to do meanwhile.
public func withoutDescriptors(isOneFree: Bool = false, _ body: () throws -> Void) rethrows {
    var former = rlimit()
    getrlimit(.init(RLIMIT_NOFILE.rawValue), &former)
    // Every number below the lowest that is free is taken.
    let free = open("/dev/null", O_RDONLY)
    close(free)
    var limit = rlimit(rlim_cur: isOneFree ? rlim_t(free + 1) : 3, rlim_max: former.rlim_max)
    setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
    defer { setrlimit(.init(RLIMIT_NOFILE.rawValue), &former) }
    try body()
}
