"""What `evenflow bench` writes, reads again, compares and draws."""

import copy
import html.parser
import json
import re

import numpy as np
import pytest
from evenflow.bench import charts, cli, compare, environment, page, records, report
from evenflow.bench.catalogue import WORKLOADS
from evenflow.bench.harness import Comparison, Series
from evenflow.bench.records import RecordError

from evenflow import _core


def series(name, base, rounds=5, noise=0.01, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    times = base * (1 + noise * rng.random((rounds, 7)))
    return Series(name, "setting", "", "1.0", [], {}, times.tolist())


def comparison(workload, threads, factor=1.0, rounds=5):
    peers = {"evenflow": 1e-4, "jax": 2e-4, "torch": 5e-4, "numpy": 8e-5}
    made = {name: series(name, base * factor / threads, rounds) for name, base in peers.items()}
    ceilings = [{"fma": 1e12, "bandwidth": 1e11}] * rounds
    return Comparison(
        WORKLOADS[workload], threads, made, ceilings, {"keras": "keras"}, {}, {"sklearn": "no such thing"}
    )


def measured(factor=1.0, rounds=5, threads=(1, 2)):
    """A file's content, without anything measured."""
    runs = [comparison(name, count, factor, rounds) for name in ("tiny", "W4-46") for count in threads]
    answer = {"times": [1e-5 * factor, 1.1e-5 * factor], "ceiling": 8e-6}
    pieces = [{"group": "rules", "what": "Lion", "peer": "evenflow", "target": None, "rounds": [answer] * rounds}]
    row = {"group": "W18", "what": "tanh, forward, 1,024", "threads": 1, "ceiling": 1e-6}
    row |= {"rounds": {"evenflow": [2e-6 * factor] * rounds, "numpy": [4e-6] * rounds}, "flops": 0, "bytes": 8192}
    row |= {"least": {"evenflow": 2e-6 * factor, "numpy": 4e-6}, "errors": {"evenflow": 0.9}}
    kernel = {"kernel": "relu", "n": 8, "seconds": {"evenflow": 1e-6 * factor, "numpy": 2e-6}}
    cost = {"name": "gelu", "times": [1e-3 * factor] * rounds, "beside": [9e-4] * rounds}
    data = report.as_data(environment.machine(list(threads)), runs, pieces)
    data |= {"calls": [row], "kernels": [kernel], "activations": {"gelu": cost}}
    return data | {"random_layers": {"tiny, dropout": cost | {"name": "tiny, dropout"}}}


@pytest.fixture
def file(tmp_path):
    def write(name, data):
        records.write(tmp_path / name, data)
        return tmp_path / name

    return write


# ------------------------------------------------------------------------------------------------------------- records


def test_what_is_written_is_read(file):
    data = measured()
    read = records.read(file("a.json", data))
    assert read == json.loads(json.dumps(data)) | {"format": "evenflow bench", "version": 2}


def first_version(data):
    """As the first version wrote it: a dict of workloads, one number of threads, no format."""
    machine = {k: v for k, v in data["machine"].items() if k not in ("libraries", "memory", "load", "date")}
    runs = {run["workload"]: {k: v for k, v in run.items() if k not in ("threads", "floor")} for run in data["runs"]}
    return {"machine": machine | {"threads": 1, "numpy": np.__version__}, "workloads": runs, "pieces": data["pieces"]}


def test_the_first_version_is_read(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(first_version(measured(threads=(1,)))), encoding="utf-8")
    read = records.read(path)
    assert [(run["workload"], run["threads"]) for run in read["runs"]] == [("tiny", 1), ("W4-46", 1)]
    assert read["machine"]["threads"] == [1]
    found = compare.changes(read, measured(0.5, threads=(1,)))
    assert {one.verdict for one in found} == {"faster"}
    assert "<h1>evenflow bench</h1>" in page.page(read)


def damaged():
    good = {"format": "evenflow bench", "version": 2} | measured()
    cut = json.dumps(good)[:-50]

    def changed(change):
        data = copy.deepcopy(good)
        change(data)
        return json.dumps(data)

    def without(*path):
        def change(data):
            for key in path[:-1]:
                data = data[key]
            del data[path[-1]]

        return changed(change)

    def negative(data):
        data["runs"][0]["peers"]["jax"]["rounds"][1][2] = -1.0

    def text(data):
        data["pieces"][0]["rounds"][0]["times"][0] = "fast"

    return {
        "": "expected JSON",
        cut: "expected JSON",
        "[" * 100_000: "expected JSON",
        "[1, 2]": "expected what evenflow bench --json writes",
        '{"machine": {}, "format": "pytest-benchmark"}': "received 'pytest-benchmark'",
        '{"machine": {}, "version": 3}': r"later evenflow \(format 3, this one reads up to 2\)",
        '{"machine": {}, "version": "two"}': "expected what evenflow bench --json writes",
        without("runs"): "damaged, or cut off: KeyError: 'runs'",
        without("machine", "isa"): "damaged, or cut off",
        changed(negative): "expected a time in seconds, received -1.0",
        changed(text): "expected a time in seconds, received 'fast'",
        without("runs", 0, "peers", "evenflow"): "damaged, or cut off: KeyError: 'evenflow'",
        changed(lambda data: data["runs"][0]["peers"]["jax"]["rounds"].pop()): "damaged, or cut off",
        changed(lambda data: data["runs"][0]["peers"]["jax"]["rounds"][0].clear()): "damaged, or cut off",
        changed(lambda data: data["machine"].update(build="gcc")): "damaged, or cut off",
        '{"machine": {"threads": 1}, "workloads": {"tiny": 7}}': "damaged, or cut off",
    }


@pytest.mark.parametrize(("text", "message"), damaged().items(), ids=range(len(damaged())))
def test_damaged_and_foreign_files_are_refused(text, message, tmp_path, capsys):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=f"file.json: .*({message})"):
        records.read(path)
    with pytest.raises(SystemExit) as error:
        cli.main(["--compare", str(path)])
    assert error.value.code == 2
    assert "file.json" in capsys.readouterr().err


def test_not_text_is_refused(tmp_path):
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(RecordError, match=r"picture.json: expected JSON"):
        records.read(tmp_path / "picture.json")
    with pytest.raises(RecordError, match=r"absent.json: No such file"):
        records.read(tmp_path / "absent.json")


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_where_nothing_can_be_written_is_told_before_anything_is_measured(option, tmp_path, capsys):
    for path, message in ((tmp_path, "received a folder"), (tmp_path / "no" / "file", "there is no folder")):
        with pytest.raises(SystemExit):
            cli.main([option, str(path)])
        assert message in " ".join(capsys.readouterr().err.split())


# ------------------------------------------------------------------------------------------------------------- compare


def one(old, new):
    return compare.Change("tiny", "evenflow", "1", tuple(old), tuple(new))


def test_what_has_changed_beyond_the_noise():
    old = [1.0, 1.1, 1.05, 1.02]
    assert one(old, [1.2, 1.3, 1.11, 1.25]).verdict == "slower"
    assert one(old, [0.9, 0.8, 0.99, 0.95]).verdict == "faster"
    assert one(old, [1.2, 1.3, 1.09, 1.25]).verdict == "same"  # one round among the old ones
    assert one(old, [0.9, 0.8, 0.99]).verdict == "unknown"
    assert one([1.0], [1.0]).verdict == "same"
    change = one([2.0, 4.0, 3.0, 3.0], [6.0, 9.0, 6.0, 6.0])
    assert change.ratio == 2
    assert change.range == (1.5, 4.5)


def test_every_figure_is_compared():
    old, new = measured(), measured(1.5)
    found = compare.changes(old, new)
    assert {one.who for one in found} == {"evenflow", "jax", "torch", "numpy"}
    keys = [(one.what, one.who, one.threads) for one in found]
    assert len(set(keys)) == len(keys) == 2 * 2 * 4 + 1 + 2 + 2 + 1 + 1
    for change in found:
        expected = 1.0 if change.who == "numpy" and change.what not in WORKLOADS else 1.5
        assert change.ratio == pytest.approx(expected, rel=0.02)
        single = len(change.new) == 1
        assert change.verdict == ("same" if expected == 1 else "unknown" if single else "slower")


def test_only_what_both_have_is_compared():
    old, new = measured(threads=(1,)), measured(threads=(2,))
    assert not [one for one in compare.changes(old, new) if one.what in WORKLOADS]
    assert compare.table([], [], "old.json") == "\nNothing here was measured in old.json too."


def test_another_machine_is_noted():
    old, new = measured(), measured()
    assert compare.differences(old, new) == []
    new["machine"] |= {"processor": "Abacus", "cores": 3, "evenflow": "9", "libraries": {"numpy": "0.1"}}
    new["machine"]["build"] = new["machine"]["build"] | {"compiler": "other"}
    notes = "\n".join(compare.differences(old, new))
    for word in ("another processor", "another cores", "another evenflow", "another numpy", "another compiler"):
        assert word in notes
    assert "note: another processor" in compare.table(compare.changes(old, new), notes.splitlines(), "old.json")


def test_two_files_by_the_tool(file, tmp_path, capsys):
    old, new = file("old.json", measured()), file("new.json", measured(0.5))
    target, joined = tmp_path / "page.html", tmp_path / "both.json"
    assert cli.main(["--compare", str(old), str(new), "--html", str(target), "--json", str(joined)]) == 0
    out = capsys.readouterr().out
    assert "us, beside old.json" in out
    assert re.search(r"tiny +1 +\S+ +\S+ +0\.5\d\d .*evenflow +faster", out)
    assert "faster" in target.read_text(encoding="utf-8")
    kept = records.read(joined)["compared"]
    assert kept["with"] == "old.json"
    assert {figure["verdict"] for figure in kept["figures"]} == {"faster", "same", "unknown"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--workloads", "tiny"], "two files leave nothing to measure; leave out --workloads"),
        (["--import"], "leave out --import"),
        (["third"], "expected one file or two, received 3"),
    ],
)
def test_two_files_and_measuring_are_refused(file, more, message, capsys):
    old, new = str(file("old.json", measured())), str(file("new.json", measured()))
    arguments = ["--compare", old, new, *([old] if more == ["third"] else more)]
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    assert error.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_measured_beside_a_file(file, tmp_path, capfd):
    arguments = ["--workloads", "tiny", "--peers", "numpy", "--rounds", "1", "--seconds", "0.01", "--threads", "1"]
    first, second = tmp_path / "first.json", tmp_path / "page.html"
    assert cli.main([*arguments, "--json", str(first)]) == 0
    assert cli.main([*arguments, "--compare", str(first), "--html", str(second)]) == 0
    out = capfd.readouterr().out
    assert "us, beside first.json" in out
    assert "Below 1 is faster now." in out
    assert "Beside first.json" in second.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------- page


class Checked(html.parser.HTMLParser):
    """That tags close in order, and what a page asks of others."""

    EMPTY = ("meta", "line", "rect", "circle", "polyline", "br")

    def __init__(self):
        super().__init__()
        self.open, self.asked, self.text, self.drawn = [], [], [], 0

    def handle_starttag(self, tag, attributes):
        self.drawn += tag == "svg"
        for name, value in attributes:
            if name in ("src", "href") or "url(" in (value or ""):
                self.asked.append(value)
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_needs_nothing_else():
    old, new = measured(), measured(0.7)
    new["machine"]["environment"] = {"OMP_NUM_THREADS": "<7>"}
    data = new | compare.as_data(compare.changes(old, new), ["another <machine>"], "old & new.json")
    text = page.page(data)
    checked = Checked()
    checked.feed(text)
    assert not checked.open
    assert checked.asked == []
    assert "@import" not in text
    assert "http" not in re.sub(r'"[^"]*http[^"]*"', "", text)
    assert checked.drawn == 5  # changes, ratios, shares, times, threads
    words = "".join(checked.text)
    for expected in ("tiny", "W4-46", "another <machine>", "old & new.json", "OMP_NUM_THREADS", "<7>", "Lion", "relu"):
        assert expected in words
    assert "prefers-color-scheme: dark" in text
    numbers = re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"', text)
    assert numbers
    assert all(np.isfinite(float(number)) for number in numbers)


def test_a_page_of_nothing_but_calls():
    text = page.page({"machine": environment.machine([1]), "runs": [], "calls": measured()["calls"]})
    assert "Calls: W18" in text
    assert "Training steps" not in text


def test_extreme_pictures():
    assert "1e+03 x" in charts.ratios([("a", [("jax", 1000.0), ("numpy", 0.001)])])
    assert charts.ranges([("a", [("jax", [5.0] * 5)])]).startswith("<svg")
    assert charts.scaling([("a", [(1, 1.0), (2, 0.2)]), ("b", [(1, 1.0), (2, 2.0)])]).count("<polyline") == 3
    assert charts.forest([("a", 1.0, (1.0, 1.0), "same")]).startswith("<svg")


def test_threads_of_the_tool(monkeypatch):
    monkeypatch.setattr(cli.os, "sched_getaffinity", lambda _: set(range(6)))
    assert cli.thread_counts("all") == [1, 2, 4, 6]
    assert cli.thread_counts("4,1") == [1, 4]
    assert report.scaling_table([comparison("tiny", 1), comparison("tiny", 2)]).count("2.00") == 4


def test_environment_is_recorded(monkeypatch):
    for name in ("OPENBLAS_CORETYPE", "OMP_PROC_BIND", "MKL_DEBUG_CPU_TYPE", "EVENFLOW_FUSION"):
        monkeypatch.setenv(name, "1")
    machine = environment.machine([2])
    assert {"OPENBLAS_CORETYPE", "OMP_PROC_BIND", "MKL_DEBUG_CPU_TYPE", "EVENFLOW_FUSION"} <= set(
        machine["environment"]
    )
    assert machine["libraries"]["numpy"] == np.__version__
    assert machine["numpy_blas"]["name"]
    assert machine["build"] == _core.build_info()
    assert machine["isa"] == _core.isa()
    heading = environment.heading(machine | {"load": 1e3})
    assert "OPENBLAS_CORETYPE=1" in heading
    assert "EVENFLOW_FUSION" not in heading
    assert "other programs are busy here (load 1000.0)" in heading


def test_names_of_peers_are_escaped():
    data = measured()
    for run in data["runs"]:
        run["peers"]['"><script>'] = run["peers"]["jax"]
    assert "<script" not in page.page(data)
