"""What `make mutation` found: killed and survived mutants by module and package, and each survivor as a diff.

Reads what mutmut left in mutants/. A mutant counts as killed when a test failed or never came to an end; one that no
test ran survived. Those named in equivalent.toml do the same as the code they were made from, so that no test can tell
them apart; they are left out of both figures, and an entry that fits no survivor is an error. Ends with 1 when a
package is below the limit.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

LIMIT_PERCENT = 90
KILLED = ("killed", "timeout", "segfault")
EQUIVALENT = Path(__file__).parent / "equivalent.toml"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`function` is dotted, without mutmut's mangling; `before` and `after` are the changed lines of a survivor."""

    name: str
    module: str
    function: str
    killed: bool
    before: str = ""
    after: str = ""

    @property
    def package(self) -> str:
        return self.module.rpartition(".")[0]


def mutants(folder: Path) -> Iterator[Mutant]:
    """All mutants of a run. Raises SystemExit when some were never tried."""
    for meta in sorted(folder.rglob("*.py.meta")):
        source = meta.relative_to(folder).with_suffix("")
        module = ".".join(source.with_suffix("").parts)
        for name, exit_code in json.loads(meta.read_text("utf-8"))["exit_code_by_key"].items():
            status = status_by_exit_code[exit_code]
            if status in ("not checked", "check was interrupted by user"):
                raise SystemExit(f"{name} was never tried: the run did not come to its end")
            mangled = name.removeprefix(f"{module}.").partition("__mutmut_")[0]  # x_function or xǁClassǁmethod
            function = f"{module}.{mangled[2:].replace('ǁ', '.')}"
            if status in KILLED:
                yield Mutant(name, module, function, True)
                continue
            lines = get_diff_for_mutant(name, path=source).splitlines()[2:]
            before, after = (
                "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+")
            )
            yield Mutant(name, module, function, False, before, after)


def main() -> int:
    found = list(mutants(Path("mutants")))
    entries = tomllib.loads(EQUIVALENT.read_text("utf-8"))["equivalent"]
    known = {(entry["function"], entry["before"], entry["after"]) for entry in entries}
    equivalent = {mutant for mutant in found if (mutant.function, mutant.before, mutant.after) in known}
    stale = known - {(mutant.function, mutant.before, mutant.after) for mutant in equivalent}

    killed, survived, same = Counter[str](), Counter[str](), Counter[str]()
    for mutant in found:
        counter = killed if mutant.killed else same if mutant in equivalent else survived
        for name in (mutant.module, mutant.package, "total"):
            counter[name] += 1
        if counter is survived:
            print(f"{mutant.name}\n  - {mutant.before}\n  + {mutant.after}".replace("\n", "\n  "))

    packages = sorted({mutant.package for mutant in found})
    print(f"\n{'':28}{'killed':>8}{'survived':>10}{'equivalent':>12}{'killed %':>10}")
    low = []
    for name in [*sorted({mutant.module for mutant in found}), *packages, "total"]:
        judged = killed[name] + survived[name]
        print(f"{name:28}{killed[name]:8}{survived[name]:10}{same[name]:12}{100 * killed[name] / judged:10.1f}")
        if name in (*packages, "total") and 100 * killed[name] < LIMIT_PERCENT * judged:
            low.append(name)
    for function, before, after in sorted(stale):
        print(f"{EQUIVALENT.name}: no survivor of {function} has\n  - {before}\n  + {after}")
    if low:
        print(f"below {LIMIT_PERCENT} %: {', '.join(low)}")
    return 1 if low or stale else 0


if __name__ == "__main__":
    sys.exit(main())
