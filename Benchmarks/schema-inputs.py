#!/usr/bin/env python3
"""Schemas and values for schema-bench, as JSON; with --measure, how long Python's jsonschema takes for them."""
import json, sys, time

order = {"type": "object", "required": ["id", "lines"], "additionalProperties": False, "properties": {
    "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}, "note": {"type": ["string", "null"], "maxLength": 200},
    "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}}},
    "$defs": {"line": {"type": "object", "required": ["sku", "count"], "properties": {
        "sku": {"type": "string", "minLength": 3}, "count": {"type": "integer", "minimum": 1},
        "price": {"type": "number", "multipleOf": 0.01},
        "size": {"anyOf": [{"enum": ["S", "M", "L"]}, {"type": "integer", "maximum": 60}]}}}}}
arguments = {"type": "object", "required": ["path"], "properties": {
    "path": {"type": "string"}, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}, "recursive": {"type": "boolean"}}}
line = {"sku": "abc", "count": 2, "price": 9.99, "size": 42}
cases = [
    {"name": "a tool's arguments", "schema": arguments, "value": {"path": "/srv", "limit": 10, "recursive": True}},
    {"name": "an order of 3 lines", "schema": order, "value": {"id": "AB-1", "note": None, "lines": [line] * 3}},
    {"name": "an order of 1000 lines", "schema": order, "value": {"id": "AB-1", "note": "x", "lines": [line] * 1000}},
]
if "--measure" not in sys.argv:
    print(json.dumps(cases))
    sys.exit()
import jsonschema
for case in cases:
    validator = jsonschema.Draft202012Validator(case["schema"])
    assert validator.is_valid(case["value"])
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1:
        validator.is_valid(case["value"])
        count += 1
    print(f"jsonschema: {case['name']}: {(time.perf_counter() - start) / count * 1e6:.1f} us")
