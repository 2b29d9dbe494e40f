"""The JSON Schema of a configuration, printed from the models, for editors that complete and check while one types.

It knows keys, types, limits and words; what looks at several keys, files or addresses is `pool check-config`'s. No
section is required by it: a file may include those that bring the others, or be such a file.
"""

from __future__ import annotations

import json
from typing import Any

from pool.config.models import Config

TITLE = "parapool configuration"


def schema_text() -> str:
    """As docs/reference/configuration.schema.json has it."""
    schema: dict[str, Any] = Config.model_json_schema()
    del schema["required"]
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": TITLE}
    return json.dumps(schema, indent=1, sort_keys=False) + "\n"
