import MCPJSON
import MCPTransport

/// Any bytes, cut as the first of them say: the same messages as uncut, and none over the limit.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFraming(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let all = UnsafeRawBufferPointer(start: start, count: count)
    guard count > 2 else { return 0 }
    let step = Int(all[0] % 64) + 1
    let limit = Int(all[1]) + 1
    let bytes = UnsafeRawBufferPointer(rebasing: all[2...])
    let whole = frames(bytes, step: bytes.count, limit: limit)
    precondition(frames(bytes, step: step, limit: limit) == whole, "cut differently, it is another text")
    return 0
}

private func frames(_ bytes: UnsafeRawBufferPointer, step: Int, limit: Int) -> [String] {
    var framer = LineFramer(limit: limit)
    var found: [String] = []
    func take(_ frame: LineFramer.Frame) {
        switch frame {
        case .message(let message):
            precondition(message.count <= limit, "a message of \(message.count) bytes passed the limit of \(limit)")
            found.append("message \(message)")
        case .oversized(_, let size): found.append("oversized \(size)")
        case .stray(_, let size): found.append("stray \(size)")
        }
    }
    var place = 0
    while place < bytes.count {
        let end = min(place + max(1, step), bytes.count)
        framer.append(UnsafeRawBufferPointer(rebasing: bytes[place..<end]), emit: take)
        place = end
    }
    framer.end(emit: take)
    return found
}
