/// Why a JSON text could not be read, and where.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of mistake it is; more may be added.
    public struct Code: Sendable, Hashable {
        private enum Kind: Sendable, Hashable { case syntax, tooDeep, tooLarge, typeMismatch, missingMember }
        private let kind: Kind
        /// The text is not JSON.
        public static var syntax: Self { Self(kind: .syntax) }
        /// Containers are nested deeper than the reader allows (C17).
        public static var tooDeep: Self { Self(kind: .tooDeep) }
        /// The text is longer than the caller allows.
        public static var tooLarge: Self { Self(kind: .tooLarge) }
        /// It is JSON, but of another type than was asked for.
        public static var typeMismatch: Self { Self(kind: .typeMismatch) }
        /// An object lacks a member that its type requires.
        public static var missingMember: Self { Self(kind: .missingMember) }
    }

    /// What kind of mistake it is.
    public var code: Code
    /// What is wrong, for a person.
    public var message: String
    /// Where, in bytes from the start of the text.
    public var offset: Int

    /// Makes an error.
    public init(code: Code, message: String, offset: Int) {
        self.code = code
        self.message = message
        self.offset = offset
    }

    /// `message (at byte offset)`.
    public var description: String { "\(self.message) (at byte \(self.offset))" }

    /// The place as an editor counts it.
    /// - Parameter text: the whole text that was read.
    /// - Returns: line and column in bytes, both from 1 (K4).
    public func position(in text: some Collection<UInt8>) -> (line: Int, column: Int) {
        var line = 1
        var column = 1
        for byte in text.prefix(self.offset) {
            if byte == UInt8(ascii: "\n") { (line, column) = (line + 1, 1) } else { column += 1 }
        }
        return (line, column)
    }
}
