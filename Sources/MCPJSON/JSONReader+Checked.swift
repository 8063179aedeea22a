/// What is passed on to others.
extension JSONReader {
    /// Takes the next value as a slice of the message, every letter of it read, without a leniency: for what is passed on to others, who may
    /// read in other ways. No name may occur twice in an object (C19).
    package mutating func readChecked() throws(JSONError) -> RawJSON {
        let kind = try self.peekKind()
        let first = self.position
        switch kind {
        case .object:
            try self.beginObject()
            var names: Set<WireString> = []
            while let name = try self.nextCheckedName() {
                guard names.insert(WireString(name)).inserted else {
                    throw self.error(.syntax, "the member \"\(name)\" occurs twice")
                }
                _ = try self.readChecked()
            }
        case .array:
            try self.beginArray()
            while try self.nextElement() { _ = try self.readChecked() }
        case .string: _ = try self.readCheckedString()
        case .number: _ = try self.readNumber()
        case .bool: _ = try self.readBool()
        case .null: try self.readNull()
        }
        return RawJSON(storage: self.storage, range: first..<self.position)
    }

    /// The next member's name, as strictly read; nil after consuming `}`.
    package mutating func nextCheckedName() throws(JSONError) -> String? {
        guard try self.next(UInt8(ascii: "}")) else { return nil }
        guard self.peekByte() == UInt8(ascii: "\"") else { throw self.unexpected("a member name") }
        let name = try self.readCheckedString()
        guard self.peekByte() == UInt8(ascii: ":") else { throw self.unexpected("':'") }
        self.position &+= 1
        return name
    }

    private mutating func readCheckedString() throws(JSONError) -> String {
        let (first, repairs) = (self.position, self.repairs)
        let text = try self.readString()
        guard self.repairs == repairs else { throw self.error(.syntax, "a string is no Unicode") }
        for place in first..<self.position where self.base[place] < 0x20 {
            throw self.error(.syntax, "a string has a control character in it")
        }
        return text
    }
}
