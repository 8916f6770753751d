"""Whether a unit's SystemCallFilter= allows what the program did.

    syscalls.py CALLS SETS UNIT     CALLS: of strace -c; SETS: of systemd-analyze syscall-filter
"""

import pathlib
import re
import sys

calls, sets, unit = (pathlib.Path(argument).read_text() for argument in sys.argv[1:])

groups, group = {}, None
for line in sets.splitlines():
    if line.startswith("@"):
        group = groups.setdefault(line.strip(), [])
    elif group is not None and (word := line.strip()) and not word.startswith("#"):
        group.append(word)


def expanded(word):
    """A call, or all that a group means; groups may stand in groups."""
    return set().union(*map(expanded, groups[word])) if word.startswith("@") else {word}


allowed = set()
for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.M):
    named = set().union(*map(expanded, line.lstrip("~").split()))
    allowed = allowed - named if line.startswith("~") else allowed | named

made = {line.split()[-1] for line in calls.splitlines() if re.match(r" *\d", line)} - {"total"}
# systemd allows what begins the program.
refused = made - allowed - {"execve"}
if len(made) < 30 or "fdatasync" not in made:
    sys.exit(f"the trace is not that of a gateway at work: {sorted(made)}")
if refused:
    sys.exit(f"the unit would refuse {sorted(refused)}")
print(f"   {len(made)} kinds of calls were made, all of them are allowed")
