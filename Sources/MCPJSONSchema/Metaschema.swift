/// The schemas of schemas, for those that refer to them. Each dialect is one document here: what it accepts is what the published
/// ones accept, which are split into vocabularies.
enum Metaschema {
    static func text(of uri: String) -> String? {
        switch uri {
        case JSONSchema.Dialect.draft07.rawValue: self.draft07
        case JSONSchema.Dialect.draft2020.rawValue: self.draft2020
        default: nil
        }
    }

    private static let draft07 = #"""
        {"$schema":"http://json-schema.org/draft-07/schema#","$id":"http://json-schema.org/draft-07/schema#",
        "definitions":{
          "schemas":{"type":"array","minItems":1,"items":{"$ref":"#"}},
          "map":{"type":"object","additionalProperties":{"$ref":"#"}},
          "count":{"type":"integer","minimum":0},
          "names":{"type":"array","items":{"type":"string"},"uniqueItems":true},
          "simpleType":{"enum":["array","boolean","integer","null","number","object","string"]}},
        "type":["object","boolean"],
        "properties":{
          "$id":{"type":"string","format":"uri-reference"},"$schema":{"type":"string","format":"uri"},
          "$ref":{"type":"string","format":"uri-reference"},"$comment":{"type":"string"},
          "title":{"type":"string"},"description":{"type":"string"},"readOnly":{"type":"boolean"},
          "writeOnly":{"type":"boolean"},"examples":{"type":"array"},
          "multipleOf":{"type":"number","exclusiveMinimum":0},"maximum":{"type":"number"},
          "exclusiveMaximum":{"type":"number"},"minimum":{"type":"number"},"exclusiveMinimum":{"type":"number"},
          "maxLength":{"$ref":"#/definitions/count"},"minLength":{"$ref":"#/definitions/count"},
          "pattern":{"type":"string","format":"regex"},"additionalItems":{"$ref":"#"},
          "items":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/schemas"}]},
          "maxItems":{"$ref":"#/definitions/count"},"minItems":{"$ref":"#/definitions/count"},
          "uniqueItems":{"type":"boolean"},"contains":{"$ref":"#"},
          "maxProperties":{"$ref":"#/definitions/count"},"minProperties":{"$ref":"#/definitions/count"},
          "required":{"$ref":"#/definitions/names"},"additionalProperties":{"$ref":"#"},
          "definitions":{"$ref":"#/definitions/map"},"properties":{"$ref":"#/definitions/map"},
          "patternProperties":{"allOf":[{"$ref":"#/definitions/map"},{"propertyNames":{"format":"regex"}}]},
          "dependencies":{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/names"}]}},
          "propertyNames":{"$ref":"#"},"enum":{"type":"array"},
          "type":{"anyOf":[{"$ref":"#/definitions/simpleType"},
            {"type":"array","items":{"$ref":"#/definitions/simpleType"},"minItems":1,"uniqueItems":true}]},
          "format":{"type":"string"},"contentMediaType":{"type":"string"},"contentEncoding":{"type":"string"},
          "if":{"$ref":"#"},"then":{"$ref":"#"},"else":{"$ref":"#"},"not":{"$ref":"#"},
          "allOf":{"$ref":"#/definitions/schemas"},"anyOf":{"$ref":"#/definitions/schemas"},
          "oneOf":{"$ref":"#/definitions/schemas"}}}
        """#

    private static let draft2020 = #"""
        {"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://json-schema.org/draft/2020-12/schema",
        "$dynamicAnchor":"meta",
        "$defs":{
          "schemas":{"type":"array","minItems":1,"items":{"$dynamicRef":"#meta"}},
          "map":{"type":"object","additionalProperties":{"$dynamicRef":"#meta"}},
          "count":{"type":"integer","minimum":0},
          "names":{"type":"array","items":{"type":"string"},"uniqueItems":true},
          "anchor":{"type":"string","pattern":"^[A-Za-z_][-A-Za-z0-9._]*$"},
          "simpleType":{"enum":["array","boolean","integer","null","number","object","string"]}},
        "type":["object","boolean"],
        "properties":{
          "$id":{"type":"string","format":"uri-reference","pattern":"^[^#]*#?$"},
          "$schema":{"type":"string","format":"uri"},"$ref":{"type":"string","format":"uri-reference"},
          "$anchor":{"$ref":"#/$defs/anchor"},"$dynamicAnchor":{"$ref":"#/$defs/anchor"},
          "$dynamicRef":{"type":"string","format":"uri-reference"},"$comment":{"type":"string"},
          "$vocabulary":{"type":"object","additionalProperties":{"type":"boolean"}},
          "$defs":{"$ref":"#/$defs/map"},"definitions":{"$ref":"#/$defs/map"},
          "title":{"type":"string"},"description":{"type":"string"},"deprecated":{"type":"boolean"},
          "readOnly":{"type":"boolean"},"writeOnly":{"type":"boolean"},"examples":{"type":"array"},
          "multipleOf":{"type":"number","exclusiveMinimum":0},"maximum":{"type":"number"},
          "exclusiveMaximum":{"type":"number"},"minimum":{"type":"number"},"exclusiveMinimum":{"type":"number"},
          "maxLength":{"$ref":"#/$defs/count"},"minLength":{"$ref":"#/$defs/count"},
          "pattern":{"type":"string","format":"regex"},
          "maxItems":{"$ref":"#/$defs/count"},"minItems":{"$ref":"#/$defs/count"},"uniqueItems":{"type":"boolean"},
          "maxContains":{"$ref":"#/$defs/count"},"minContains":{"$ref":"#/$defs/count"},
          "maxProperties":{"$ref":"#/$defs/count"},"minProperties":{"$ref":"#/$defs/count"},
          "required":{"$ref":"#/$defs/names"},
          "dependentRequired":{"type":"object","additionalProperties":{"$ref":"#/$defs/names"}},
          "enum":{"type":"array"},
          "type":{"anyOf":[{"$ref":"#/$defs/simpleType"},
            {"type":"array","items":{"$ref":"#/$defs/simpleType"},"minItems":1,"uniqueItems":true}]},
          "prefixItems":{"$ref":"#/$defs/schemas"},"items":{"$dynamicRef":"#meta"},"contains":{"$dynamicRef":"#meta"},
          "additionalProperties":{"$dynamicRef":"#meta"},"properties":{"$ref":"#/$defs/map"},
          "patternProperties":{"allOf":[{"$ref":"#/$defs/map"},{"propertyNames":{"format":"regex"}}]},
          "dependentSchemas":{"$ref":"#/$defs/map"},"propertyNames":{"$dynamicRef":"#meta"},
          "if":{"$dynamicRef":"#meta"},"then":{"$dynamicRef":"#meta"},"else":{"$dynamicRef":"#meta"},
          "allOf":{"$ref":"#/$defs/schemas"},"anyOf":{"$ref":"#/$defs/schemas"},"oneOf":{"$ref":"#/$defs/schemas"},
          "not":{"$dynamicRef":"#meta"},
          "unevaluatedItems":{"$dynamicRef":"#meta"},"unevaluatedProperties":{"$dynamicRef":"#meta"},
          "format":{"type":"string"},"contentMediaType":{"type":"string"},"contentEncoding":{"type":"string"},
          "contentSchema":{"$dynamicRef":"#meta"}}}
        """#
}
