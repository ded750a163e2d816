"""Checks a job's input against a schema, with the SDK's rules and words."""

from __future__ import annotations

import json
from typing import Any, Dict, List

UNEXPECTED_INPUT_ERROR = "Unexpected input. {} is not a valid input option."
MISSING_REQUIRED_ERROR = "{} is a required input."
MISSING_DEFAULT_ERROR = "Schema error, missing default value for {}."
MISSING_TYPE_ERROR = "Schema error, missing type for {}."
INVALID_TYPE_ERROR = "{} should be {} type, not {}."
CONSTRAINTS_ERROR = "{} does not meet the constraints."
SCHEMA_ERROR = "Schema error, {} is not a dictionary."


def validate(raw_input: Dict[str, Any], schema: Dict[str, Any]) -> Dict[str, Any]:
    """`{"validated_input": {...}}`, or `{"errors": [...]}` with all that was found.

    A schema is a dict from name to `{"type", "required", "default", "constraints"}`; a rule may be given as JSON text
    and is then replaced in `schema`. As in the SDK, neither type nor constraints are checked when a value has the type
    of its default, and a rule without "required" is reported as a missing input.
    """
    errors = [UNEXPECTED_INPUT_ERROR.format(key) for key in raw_input if key not in schema]
    validated = raw_input.copy()
    _read_rules(schema, errors)
    _fill_defaults(raw_input, schema, validated, errors)
    _check_values(schema, validated, errors)
    return {"errors": errors} if errors else {"validated_input": validated}


def _read_rules(schema: Dict[str, Any], errors: List[str]) -> None:
    for key, rules in schema.items():
        if not isinstance(rules, dict):
            try:
                schema[key] = json.loads(rules)
            except json.JSONDecodeError:
                errors.append(SCHEMA_ERROR.format(key))


def _fill_defaults(
    raw_input: Dict[str, Any], schema: Dict[str, Any], validated: Dict[str, Any], errors: List[str]
) -> None:
    for key, rules in schema.items():
        if "type" not in rules:
            errors.append(MISSING_TYPE_ERROR.format(key))
        if "required" not in rules:
            errors.append(MISSING_REQUIRED_ERROR.format(key))
        elif key not in raw_input:
            if rules["required"]:
                errors.append(MISSING_REQUIRED_ERROR.format(key))
            elif "default" in rules:
                validated[key] = rules["default"]
            else:
                errors.append(MISSING_DEFAULT_ERROR.format(key))


def _check_values(schema: Dict[str, Any], validated: Dict[str, Any], errors: List[str]) -> None:
    for key, rules in schema.items():
        if key in validated:
            value = validated[key]
            try:
                if rules["type"] is float and type(value) in (int, float):
                    value = validated[key] = float(value)
            except TypeError:  # the rules are no dict
                continue
            if "default" in rules and isinstance(value, type(rules["default"])):
                continue
            if not isinstance(value, rules["type"]):
                errors.append(INVALID_TYPE_ERROR.format(key, rules["type"], type(value)))
        if "constraints" in rules and not rules["constraints"](validated.get(key)):
            errors.append(CONSTRAINTS_ERROR.format(key))
