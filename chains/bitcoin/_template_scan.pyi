"""chains/bitcoin/_template_scan.c, whose Python half is template.py."""

from chains.kind import TemplateTransaction

def scan(
    body: bytes | memoryview, transaction: type[TemplateTransaction], /
) -> tuple[tuple[TemplateTransaction, ...], bytes] | None: ...
