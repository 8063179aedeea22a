import MCPJSON
import MCPTransport

/// What a server writes: messages for the receiver; and all that is none of them, counted, and kept for errors.
/// Belongs to one `ServerProcess`, on the I/O thread.
final class ServerOutput {
    private var framer: LineFramer
    private(set) var hasMessages = false
    private var strayBytes = 0
    private var stderr = StderrTail()
    private var refusal: MCPError?
    private let receiver: any TransportReceiver
    private let maximumMessageSize: Int
    private let maximumStrayBytes: Int
    /// Lines on standard output that were no messages (C1).
    private(set) var strayLines = 0
    /// Bytes of such a line that are kept for errors.
    private static let strayLength = 400
    /// Nothing is delivered any more.
    var isMuted = false

    private var lines: LineSink?

    private let mask: SecretMask

    /// - Parameters:
    ///   - mask: hides what must not be shown of it.
    ///   - standardError: told of each line of it.
    init(
        _ options: StdioTransport.Options,
        receiver: any TransportReceiver,
        mask: SecretMask,
        standardError: (@Sendable (String) -> Void)?
    ) {
        self.mask = mask
        self.lines = standardError.map { tell in LineSink { tell(mask.masked($0)) } }
        self.framer = LineFramer(limit: options.maximumMessageSize)
        self.maximumMessageSize = options.maximumMessageSize
        self.maximumStrayBytes = options.maximumStrayBytes
        self.receiver = receiver
    }

    /// The last lines of standard error and of what did not belong on standard output.
    var lastWords: String { self.mask.maskedTail(self.stderr.text()) }

    func takeErrors(_ bytes: UnsafeRawBufferPointer) {
        self.stderr.append(bytes)
        self.lines?.append(bytes)
    }

    /// Nothing more comes on standard error.
    func endErrors() { self.lines?.end() }

    /// - Returns: why this is no server, once that is certain.
    func take(_ bytes: UnsafeRawBufferPointer) -> MCPError? {
        self.framer.append(bytes) { self.deliver($0) }
        guard self.refusal == nil, !self.hasMessages else { return self.refusal }
        let stray = self.strayBytes + self.framer.pendingStrayBytes
        if stray > self.maximumStrayBytes {
            let message = "standard output is not MCP: \(stray) bytes without a message. Is this command a server?"
            self.refusal = MCPError(.handshakeFailed, message)
        }
        return self.refusal
    }

    /// The end of output. What was written without a newline before it is whole (C16), or cut off and then no message (C22).
    func end() {
        self.framer.end { frame in
            if case .message(let message) = frame, (try? message.decode(JSONValue.self)) == nil { return }
            self.deliver(frame)
        }
    }

    /// Not cut in the middle of a letter: the mask would not know it again.
    private static func start(of line: UnsafeRawBufferPointer) -> [UInt8] {
        var start = line.prefix(self.strayLength)
        if start.count < line.count {
            while let last = start.last, last & 0xC0 == 0x80 { start = start.dropLast() }
            if let last = start.last, last >= 0xC0 { start = start.dropLast() }
        }
        return Array(start)
    }

    private func deliver(_ frame: LineFramer.Frame) {
        guard !self.isMuted, self.refusal == nil else { return }
        switch frame {
        case .message(let message):
            self.hasMessages = true
            self.receiver.transportDidReceive(message, from: .main)
        case .oversized(let start, let size):
            self.hasMessages = true
            self.receiver.transportDidDropOversized(
                start: start,
                size: size,
                limit: self.maximumMessageSize,
                from: .main
            )
        case .stray(let line, let size):
            self.strayLines += 1
            self.strayBytes += size
            line.withUnsafeBytes { bytes in
                self.stderr.append(bytes)
                // Hidden when it is shown: a server may write nothing but such lines, and this is the thread of all servers.
                let (start, mask) = (Self.start(of: bytes), self.mask)
                self.receiver.transportDidReceiveStray { mask.maskedHead(String(decoding: start, as: UTF8.self)) }
            }
            "\n".utf8.withContiguousStorageIfAvailable { self.stderr.append(UnsafeRawBufferPointer($0)) }
            if line.withUnsafeBytes({ $0.starts(with: "Content-Length:".utf8) }) {
                let message = "the server uses LSP framing (Content-Length); MCP is one message a line"
                self.refusal = MCPError(.handshakeFailed, message)
            }
        }
    }
}
