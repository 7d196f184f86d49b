"""A vendor's OpenAPI 3.0 description, as far as checking answers needs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml


class Contract:
    """Checks answers against the description: status, headers, body."""

    def __init__(self, path: str) -> None:
        self._document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        self._routes: list[tuple[re.Pattern[str], dict[str, Any]]] = []
        # Longer ones first, so that a literal part wins over a parameter.
        for template, item in sorted(
            self._document["paths"].items(), key=lambda pair: pair[0].count("{")
        ):
            pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
            self._routes.append((re.compile(pattern), item))
        self._validators: dict[int, Any] = {}
        self.seen: set[tuple[str, str, str]] = set()

    def operations(self) -> set[str]:
        return {
            operation["operationId"]
            for item in self._document["paths"].values()
            for operation in item.values()
        }

    def check(
        self, method: str, path: str, status: int, headers: dict[str, str], body: Any
    ) -> str | None:
        """The operation's id, or None where the description has no such operation."""
        item = next((item for pattern, item in self._routes if pattern.fullmatch(path)), {})
        operation = item.get(method.lower())
        if operation is None:
            return None
        responses = operation["responses"]
        key = str(status) if str(status) in responses else "default"
        if status < 400:
            assert key != "default", f"{operation['operationId']}: {status} is not documented"
        response = self._follow(responses[key])
        for name, header in response.get("headers", {}).items():
            if name in headers:
                schema = self._follow(header)["schema"]
                value = int(headers[name]) if schema["type"] == "integer" else headers[name]
                self._validate(schema, value)
            else:
                # Who is not known has no budget.
                assert status == 401, f"{operation['operationId']} {status}: {name} is missing"
        content = response.get("content")
        if content is None:
            assert body is None, f"{operation['operationId']} {status}: a body where none belongs"
        else:
            media_type = headers["content-type"].partition(";")[0]
            assert media_type in content
            self._validate(content[media_type]["schema"], body)
        self.seen.add((operation["operationId"], key, str(status)))
        return str(operation["operationId"])

    def _follow(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target = self._document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _validate(self, schema: Any, value: Any) -> None:
        validator = self._validators.get(id(schema))
        if validator is None:
            validator = jsonschema.Draft7Validator(
                self._json_schema(schema), format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER
            )
            self._validators[id(schema)] = validator
        validator.validate(value)

    def _json_schema(self, node: Any) -> Any:
        """OpenAPI 3.0's dialect as JSON Schema: references inlined, `nullable` spelled out."""
        node = self._follow(node)
        if isinstance(node, list):
            return [self._json_schema(item) for item in node]
        if not isinstance(node, dict):
            return node
        made: dict[str, Any] = {}
        for key, value in node.items():
            if key in ("example", "examples", "description", "discriminator", "readOnly"):
                continue
            if key == "properties":
                made[key] = {name: self._json_schema(item) for name, item in value.items()}
            elif key in ("enum", "required", "default"):
                made[key] = value
            else:
                made[key] = self._json_schema(value)
        if made.pop("nullable", False):
            return {"anyOf": [made, {"type": "null"}]}
        return made
