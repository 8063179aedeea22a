import MCPJSON
import MCPTypes

/// The messages of the control channel, as they are written.
enum ControlMessage {
    static func result(_ id: JSONRPCRequestID, _ result: RawJSON) -> RawJSON {
        self.message { writer in
            writer.key("id")
            writer.write(id)
            writer.key("result")
            writer.write(raw: result)
        }
    }

    static func error(_ id: JSONRPCRequestID?, _ error: ControlError) -> RawJSON {
        self.message { writer in
            writer.key("id")
            if let id { writer.write(id) } else { writer.write(JSONValue.null) }
            writer.key("error")
            error.encode(to: &writer)
        }
    }

    static func request(_ id: JSONRPCRequestID, _ method: String, _ params: JSONObject) -> RawJSON {
        self.message { writer in
            writer.key("id")
            writer.write(id)
            writer.key("method")
            writer.write(method)
            writer.key("params")
            writer.write(JSONValue.object(params))
        }
    }

    static func notification(_ method: String, _ params: JSONObject) -> RawJSON {
        self.message { writer in
            writer.key("method")
            writer.write(method)
            writer.key("params")
            writer.write(JSONValue.object(params))
        }
    }

    private static func message(_ members: (inout JSONWriter) -> Void) -> RawJSON {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("jsonrpc")
        writer.write("2.0")
        members(&writer)
        writer.endObject()
        return writer.finish()
    }
}
