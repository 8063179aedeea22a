@_exported public import MCPClient
// A host's signatures show the types of the floors below; whoever imports MCPHost can use them without further imports.
@_exported public import MCPJSON
@_exported public import MCPStdio
@_exported public import MCPTransport
@_exported public import MCPTypes
