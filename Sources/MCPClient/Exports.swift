// A session's signatures show the types of the floors below; whoever imports MCPClient can use them without further imports.
@_exported public import MCPJSON
@_exported public import MCPTransport
@_exported public import MCPTypes
