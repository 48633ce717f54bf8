"""What is printed: the verdict in one line, then the figures."""

from __future__ import annotations

from sb3_ext.parity.contents import Contents
from sb3_ext.parity.replay import Report
from sb3_ext.zoo.diff.files import FilesReport
from sb3_ext.zoo.diff.sides import ModelFile


def show_replay(report: Report, notes: list[str], verbose: int) -> None:
    """Prints what came of two algorithms; with ``verbose`` 0 the verdict alone."""
    print(report)
    if verbose < 1:
        return
    for note in notes:
        print(note)
    _show_table(report)


def show_files(a: ModelFile, b: ModelFile, report: FilesReport, verbose: int) -> None:
    """Prints what came of two files; with ``verbose`` 0 the verdict alone."""
    print(verdict(a, b, report))
    if verbose < 1:
        return
    for letter, file in (("A", a), ("B", b)):
        steps = file.data.get("num_timesteps", 0)
        print(f"{letter}: {file.name}, {file.algorithm.name}, {steps:,} steps")
    _show("settings", [f"{name}: {x} and {y}" for name, (x, y) in report.settings.items()])
    _show("parameters", [*report.contents.shapes, *_parameters(report.contents)])
    _show("optimizer", [str(x) for x in report.contents.moments.values()])
    _show("normalizer", [report.normalizer] if report.normalizer else [])
    if report.policies:
        _show("policies", report.policies)
    for note in report.notes:
        print(note)
    if report.replay is not None:
        print(f"from A's state, with A's settings: {report.replay}")
        _show_table(report.replay)


def _parameters(contents: Contents) -> list[str]:
    """The first parameter that differs, and the one that does most."""
    first = contents.parameter
    if first is None:
        return []
    most = contents.largest["parameter"]
    lines = [str(first)]
    return lines if most.parameter == first.parameter else [*lines, f"most of all {most}"]


def verdict(a: ModelFile, b: ModelFile, report: FilesReport) -> str:
    """One line."""
    contents, what = report.contents, []
    if report.settings:
        what.append(_listed("setting", list(report.settings)))
    if contents.shapes:
        names = [text.split()[0] for text in contents.shapes]
        what.append(_listed("parameter of another shape", names))
    if contents.parameter is not None:
        n = contents.parameter.n_others + 1
        what.append(f"{n} of {contents.n_parameters} parameters")
    if contents.moments:
        what.append("the optimizer's state")
    if report.normalizer:
        what.append("the normalizer")
    then = ""
    if report.replay is not None:
        then = "; from A's state both go on alike"
        if report.replay.difference is not None:
            then = f"; from A's state they differ in {report.replay.difference.where}: "
            then += report.replay.difference.what
    if what:
        return f"{a.name} (A) and {b.name} (B) differ in {_and(what)}{then}"
    same = "are identical" if contents.identical else "hold the same within the tolerance"
    return f"{a.name} (A) and {b.name} (B) {same}{then}"


def _listed(what: str, names: list[str]) -> str:
    first, *others = what.split(maxsplit=1)
    what = " ".join([first if len(names) == 1 else f"{first}s", *others])
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown})"


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _show(what: str, lines: list[str]) -> None:
    for k, line in enumerate(lines or ["the same"]):
        print(f"{what if k == 0 else '':<12}{line}")


def _show_table(report: Report) -> None:
    """The largest difference of every term, beside what is allowed."""
    if report.identical or not report.largest:
        return
    print(f"\n{'term':<18}{'largest':>9}  {'allowed':>9}  where")
    for term, found in report.largest.items():
        place = "nowhere"
        if found.size > 0.0:
            place = ", ".join(filter(None, [str(found.where), found.part]))
        mark = "  <- differs" if found.share > 1.0 else ""
        print(f"{term:<18}{found.size:>9.1e}  {found.allowed:>9.1e}  {place}{mark}")
