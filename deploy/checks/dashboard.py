"""The dashboard and the alert rules against what a gateway exports and a Prometheus answers.

    dashboard.py shape                  has the dashboard the shape that Grafana imports?
    dashboard.py models                 do Grafana's own models know every key of it? (grafana-foundation-sdk)
    dashboard.py names METRICS          METRICS is a scrape: is every metric that is used exported, and is docs/metrics.md complete?
    dashboard.py answers URL            does the Prometheus there have data for every panel, and raise the alerts that it must?
"""

import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BOARD = json.loads((ROOT / "deploy/grafana/hookgate.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Panels may be empty while all is well: nothing was refused for now, nothing was evicted.
WITHIN_SECONDS = 90

problems = []


def expect(holds, what):
    if not holds:
        problems.append(what)


def panels():
    for panel in BOARD["panels"]:
        yield from panel.get("panels", [])
        if panel["type"] != "row":
            yield panel


def expressions():
    """Everything that asks Prometheus: where, and what."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]
    for annotation in BOARD["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


def shape():
    expect(BOARD["id"] is None, "id is not null: an import would look for a dashboard with this number")
    expect(isinstance(BOARD["schemaVersion"], int) and BOARD["schemaVersion"] >= 36, "schemaVersion is missing or too old")
    for key in ("uid", "title", "time", "templating", "annotations", "version"):
        expect(key in BOARD, f"no {key}")
    ids = [p["id"] for p in BOARD["panels"]] + [p["id"] for row in BOARD["panels"] for p in row.get("panels", [])]
    expect(len(set(ids)) == len(ids), "two panels have one id")
    variables = {v["name"]: v for v in BOARD["templating"]["list"]}
    expect(variables.get("datasource", {}).get("type") == "datasource", "no datasource variable")
    titles = [p["title"] for p in panels()]
    expect(len(set(titles)) == len(titles), "two panels have one title")
    taken = {}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        expect(place["x"] + place["w"] <= 24, f"{panel['title']} is beyond the right edge")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                expect(other == panel["title"], f"{panel['title']} lies over {other}")
    for panel in panels():
        title = panel["title"]
        expect(panel["datasource"] == DATASOURCE, f"{title}: its data source is not the variable")
        expect(panel["targets"], f"{title} asks nothing")
        expect(panel.get("description"), f"{title} says no question")
        expect(isinstance(panel["fieldConfig"]["defaults"], dict) and isinstance(panel["fieldConfig"]["overrides"], list), f"{title}: fieldConfig")
        refs = [t["refId"] for t in panel["targets"]]
        expect(len(set(refs)) == len(refs), f"{title}: two targets have one refId")
        for target in panel["targets"]:
            expect(target["datasource"] == DATASOURCE and target["expr"], f"{title}: a target without data source or expression")
    for where, expression in expressions():
        if not where.startswith("alert"):
            for name in re.findall(r"\$(?!__)\{?(\w+)", expression):
                expect(name in variables, f"{where}: no variable is called {name}")
    # What the annotations of alerts send people to.
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs/operations.md").read_text(), re.M)
    for group in RULES["groups"]:
        for rule in group["rules"]:
            for heading in re.findall(r'docs/operations.md, "(.+?)"', rule["annotations"]["description"]):
                expect(heading in headings, f"alert {rule['alert']}: docs/operations.md has no {heading}")
    # A rule that no test makes fire may never do so.
    fired = (ROOT / "deploy/prometheus/alerts_test.yaml").read_text()
    for name in (rule["alert"] for group in RULES["groups"] for rule in group["rules"]):
        expect(re.search(rf'alertname="{name}"}}\)\'\n +exp_samples', fired), f"alert {name}: no test in which it fires")


def models():
    """Reads it into Grafana's types and writes it again: what they do not know is lost on the way."""
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models import dashboard

    plugins.register_default_plugins()
    read = dashboard.Dashboard.from_json(BOARD)
    lost = set(differences(BOARD, json.loads(encoder.JSONEncoder().encode(read)), ""))
    # An import has no id; the others are of the editor and of annotations from Prometheus, which have no types.
    known = {".id", ".annotations.list.step", ".annotations.list.titleFormat", ".templating.list.definition"}
    for path in sorted(lost - known):
        expect(False, f"Grafana does not know {path}, or reads it as something else")


def differences(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs):
            yield from differences(one, other, path)
    elif ours != theirs:
        yield path


def base(name, types):
    """A histogram is asked by its parts."""
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    return stem if types.get(stem) == "histogram" else name


def names(metrics):
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", metrics, re.M))
    for where, expression in expressions():
        for name in re.findall(r"\b(?:hookgate|process)_[a-z_]+", expression):
            expect(base(name, types) in types, f"{where}: no gateway exports {name}")
    said = {}
    for name, kind in re.findall(r"^\| `([a-z_]+)(?:\{[a-z,]*\})?` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M):
        expect(name not in said, f"docs/metrics.md has {name} twice")
        said[name] = kind
    for name in types.keys() - said.keys():
        expect(False, f"docs/metrics.md lacks {name}")
    for name, kind in said.items():
        expect(types.get(name) == kind, f"docs/metrics.md: {name} is a {kind}, exported is {types.get(name)}")
    # The labels that the table names are those of the first sample that has any.
    for name, labels in re.findall(r"^\| `([a-z_]+)\{([a-z,]*)\}`", (ROOT / "docs/metrics.md").read_text(), re.M):
        sample = re.search(rf"^{name}(?:_bucket)?\{{(.*)\}} ", metrics, re.M)
        found = set(re.findall(r'(\w+)="', sample[1] if sample else "")) - {"le"}
        expect(found == set(labels.split(",")), f"docs/metrics.md: labels of {name} are {found}")


def ask(url, path, **params):
    query = urllib.parse.urlencode(params)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def filled(expression):
    """As Grafana asks it with All in every variable."""
    for variable in ("job", "instance", "source", "target"):
        expression = expression.replace(f"${variable}", ".*")
    return expression.replace("$__rate_interval", "1m")


def empty_panels(url):
    for panel in panels():
        results = [ask(url, "query", query=filled(t["expr"]))["result"] for t in panel["targets"]]
        if not any(results):
            yield f"panel {panel['title']} has no data"


def silent_alerts(url):
    """Those that the gateway of deploy/check, with a target that is down, has to raise; and no other may."""
    raised = {alert["labels"]["alertname"]: alert for alert in ask(url, "alerts")["alerts"]}
    for name in ("HookgateTargetDown", "HookgateDeadLetters"):
        if raised.get(name, {}).get("labels", {}).get("target") != "https":
            yield f"no {name} for the target that is down"
    for name in raised.keys() - {"HookgateTargetDown", "HookgateDeadLetters"}:
        yield f"{name} is raised for nothing"


def answers(url):
    over = time.monotonic() + WITHIN_SECONDS
    while missing := [*empty_panels(url), *silent_alerts(url)]:
        if time.monotonic() > over:
            break
        time.sleep(1)
    for what in missing:
        expect(False, what)
    rules = [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]
    expect(len(rules) == sum(len(group["rules"]) for group in RULES["groups"]), "not every rule was loaded")
    for rule in rules:
        expect(rule["health"] == "ok", f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}")


def main():
    match sys.argv[1:]:
        case ["shape"]:
            shape()
        case ["models"]:
            models()
        case ["names", file]:
            names(pathlib.Path(file).read_text())
        case ["answers", url]:
            answers(url)
        case _:
            sys.exit(__doc__)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


main()
