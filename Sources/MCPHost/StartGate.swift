import MCPTransport

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Lets so many servers be started at once, the others one after the other as they come: twenty interpreters that load their libraries at
/// the same time on two cores are all too late, where each would be in time alone.
///
/// A turn ends when the server is ready or gone, or after a while: one that hangs does not hold up the others for long.
final class StartGate: Sendable {
    /// So long a start may keep others waiting.
    static let patience: Duration = .seconds(5)

    /// About twice the cores.
    static var standardLimit: Int { max(2, 2 * Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// A place in the line: true when its turn has come, false when it was given up before.
    typealias Place = OneShot<Bool>

    private struct State {
        var free: Int
        var line: [Place] = []
    }

    /// So many at once.
    let limit: Int
    private let state: Locked<State>

    /// - Parameter limit: so many at once; less than one is one.
    init(limit: Int) {
        self.limit = max(1, limit)
        self.state = Locked(State(free: max(1, limit)))
    }

    /// Joins the line, at its head if there is room.
    func join() -> Place {
        let place = Place()
        let isFree = self.state.withLock { state in
            if state.free > 0, state.line.isEmpty {
                state.free -= 1
                return true
            }
            state.line.append(place)
            return false
        }
        if isFree { place.complete(true) }
        return place
    }

    /// Leaves the line. Whose turn it is already keeps that, and has to end it.
    func leave(_ place: Place) {
        guard place.complete(false) else { return }
        self.state.withLock { $0.line.removeAll { $0 === place } }
    }

    /// A turn is over: whoever waits longest is next.
    func next() {
        while true {
            let place: Place? = self.state.withLock { state in
                if state.line.isEmpty {
                    state.free += 1
                    return nil
                }
                return state.line.removeFirst()
            }
            // Who is just leaving has no use for it.
            if place?.complete(true) ?? true { return }
        }
    }
}

/// A turn to start one server, which ends once, whoever says so first.
final class StartTurn: Sendable {
    private struct State {
        var isOver = false
        var timer: (any DeadlineTimer)?
    }

    private let gate: StartGate
    private let accounts: ResourceAccounts
    private let state = Locked(State())

    /// - Parameters:
    ///   - gate: whose turn it is.
    ///   - context: where its timer comes from, and is entered.
    init(_ gate: StartGate, _ context: HostContext) {
        self.gate = gate
        self.accounts = context.accounts
        let timer = context.clock.makeTimer { [weak self] in self?.end() }
        self.accounts.add(1, \.timers)
        self.state.withLock { $0.timer = timer }
        timer.set(context.clock.now + StartGate.patience)
    }

    /// The server is ready, or gone, or takes too long.
    func end() {
        let timer: (any DeadlineTimer)?? = self.state.withLock { state in
            guard !state.isOver else { return nil }
            state.isOver = true
            defer { state.timer = nil }
            return state.timer
        }
        guard let timer else { return }
        timer?.cancel()
        self.accounts.add(-1, \.timers)
        self.gate.next()
    }
}
