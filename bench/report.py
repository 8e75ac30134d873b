# SPDX-License-Identifier: Apache-2.0
"""Results in words and Markdown tables."""
from typing import Iterable, Optional

from jobs import C_H, C_W, GROWTH_THREADS, Job
from measure import FEW, MANY, NOT_BUILT, OK, SOME, Figures, GrowthResult, Result
from systems import US


def show(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def megabytes(kilobytes: float) -> str:
    return f"{kilobytes / 1024:.3g}" if kilobytes else "–"


def goal_of(job: Job) -> str:
    return f"≤ {show(job.goal)}" + (f", {job.score} ≥ {job.goal_score:g}" if job.goal_score else "")


def reached(job: Job, ours: Figures) -> bool:
    return ours.median <= job.goal and (job.goal_score is None or ours.score >= job.goal_score)


def short(message: str) -> str:
    """The reason without what follows it: a list of all kinds, for instance."""
    return message.split(";")[0].replace("|", "/")[:120]


def outcome(figures: Figures) -> str:
    return figures.state if figures.state == OK else f"{figures.state}: {short(figures.message)}"


def console(job: Job, result: Result, estimate: bool) -> str:
    """All there is to say about one job."""
    if result.left_out:
        return f"  left out: {result.left_out}"
    lines = []
    for f in result.figures:
        if f.state != OK or not f.times:
            lines.append(f"  {f.label:34} {outcome(f)}")
        else:
            lines.append(f"  {f.label:34} {show(f.median):>8}  min {show(min(f.times)):>8}  of {len(f.times):2}  {job.score} "
                         f"{f.score:.5g}  {megabytes(f.peak_kb):>5} MB")
    ours, best = result.ours, result.best_peer
    if ours and best:
        lines.append(f"  {best.median / ours.median:.2f} times as fast as the best peer, {best.label}")
    if ours:
        lines.append(f"  goal {goal_of(job)}: " + ("reached" if reached(job, ours) else "not reached"))
        if result.limit:
            lines.append(f"  limit {show(result.limit)} = {job.limit}, {values(result)}\n"
                         f"  {100 * result.limit / ours.median:.1f} % of the limit's speed")
        lines.append(f"  peak memory {megabytes(ours.peak_kb)} MB with the data, of which the library "
                     f"{megabytes(float(ours.facts['context_kb']))} MB")
    if result.same_bits is not None:
        lines.append(f"  same bits with 1, 2, 3 and 5 threads: {'yes' if result.same_bits else 'NO'}")
    if estimate:
        lines.append(f"  all of it takes about {result.expected:.0f} s")
    return "\n".join(lines)


def values(result: Result) -> str:
    return ", ".join(f"{n} = {x:.4g}" for n, x in result.limit_values.items())


def machine_line(machine: dict) -> str:
    return (f"- {machine['date']}, {machine['cpu']}, {machine['processors']} processors, {machine['memory']}, "
            f"{machine['system']}")


def header(machine: dict, results: list[Result]) -> list[str]:
    c = {k: float(x) for k, x in machine["constants"].items() if k not in ("level", "build")}
    versions = {f.name: f.version for r in results for f in r.figures if f.version}
    n_disturbed = sum(disturbed(r, machine) for r in results)
    lines = [
        machine_line(machine),
        f"- {machine['build']}; {machine['threads']} threads; {2 * machine['repeats']} runs up to {MANY:g} s, "
        f"{machine['repeats']} up to {SOME:g} s, 3 up to {FEW:g} s, else 2"
        + "; **tables of a twentieth of the size**" * machine["quick"],
        "- peers: " + (", ".join(f"{n} {v}" for n, v in sorted(versions.items())) or "none") + f"; {machine['languages']}; "
        f"OpenBLAS {machine['openblas'] or 'absent'}"
        + (f", which does not know this processor; @{machine['core']}: told by OPENBLAS_CORETYPE" if machine["core"] else ""),
        f"- measured: clock f = {c['clock'] / 1e9:.2f} GHz; {machine['constants']['level']} multiply-adds F32 = "
        f"{c['flops32'] / 1e9:.0f}, F64 = {c['flops64'] / 1e9:.0f} GFLOP/s (one thread {c['one_flops32'] / 1e9:.0f}, "
        f"{c['one_flops64'] / 1e9:.0f}); reads B = {c['bandwidth'] / 1e9:.1f} GB/s. Assumed: C_H = {C_H}, C_W = {C_W} cycles",
        f"- load average at the start {machine['load']:.2f}; share of the clock that was ours, least of all jobs: "
        f"{min((r.quiet for r in results if not r.left_out), default=1):.2f}"
        + (f"; {n_disturbed} jobs marked ‡ had less than {machine['quiet_from']}" if n_disturbed else ""),
    ]
    if machine["anyway"]:
        lines.append("- **Measured although the machine was not quiet: ratios are better evidence than seconds.**")
    return lines


def disturbed(result: Result, machine: dict) -> bool:
    return not result.left_out and result.quiet < machine["quiet_from"]


def job_title(job: Job, result: Result, machine: dict) -> str:
    return (job.title + (f" (quick: {result.n_rows} rows)" if machine["quick"] and result.n_rows else "")
            + " ‡" * disturbed(result, machine))


def main_row(job: Job, result: Result, machine: dict) -> list[str]:
    title, ours, best = job_title(job, result, machine), result.ours, result.best_peer
    if result.left_out:
        return [title, f"left out: {short(result.left_out)}", *["–"] * 8]
    state = next((outcome(f) for f in result.figures if f.label == US), "–")
    best_words = f"{show(best.median)} ({best.label})" if best else "–"
    return [
        title,
        show(ours.median) if ours else NOT_BUILT if state.startswith(NOT_BUILT) else state,
        best_words + "".join(f"; {name} is not here" for name in job.elsewhere),
        f"{best.median / ours.median:.2f}" if ours and best else "–",
        f"{job.score} " + "; ".join(f"{f.score:.4g}" if f else "–" for f in (ours, best)),
        goal_of(job),
        ("yes" if reached(job, ours) else "no") if ours else "–",
        f"{100 * result.limit / ours.median:.1f} %" if ours and result.limit else "–",
        megabytes(ours.peak_kb) if ours else "–",
        {True: "same", False: "**differ**", None: "–"}[result.same_bits],
    ]


def main_table(pairs: list[tuple[Job, Result]], machine: dict) -> list[str]:
    head = ["job", "Invar", "best peer", "times as fast", "score: Invar; best peer", "goal", "reached", "share of limit",
            "peak MB", "bits"]
    return table(head, (main_row(job, result, machine) for job, result in pairs))


def systems_table(pairs: list[tuple[Job, Result]]) -> list[str]:
    rows = []
    for job, result in pairs:
        for f in result.figures:
            timed = f.state == OK and f.times
            rows.append([job.name, f.label, show(f.median) if timed else outcome(f), show(min(f.times)) if timed else "–",
                         str(len(f.times)) if timed else "–", f"{job.score} {f.score:.5g}" if f.state == OK else "–",
                         megabytes(f.peak_kb)])
    return table(["job", "system", "median", "least", "runs", "score", "peak MB"], rows)


def variants_table(pairs: list[tuple[Job, Result]]) -> list[str]:
    """Ours with one thread beside scikit-learn's, and with the kernels of AVX2 beside the best there are."""
    rows = []
    for job, result in pairs:
        timed = {f.label: f.median for f in result.figures if f.state == OK and f.times}
        best, one, avx2 = (timed.get(US + words) for words in ("", " 1 thread", " avx2"))
        peer = timed.get("scikit-learn 1 thread") or timed.get("scikit-learn")
        if one or avx2:
            rows.append([job.name, show(one) if one else "–", show(peer) if one and peer else "–",
                         f"{peer / one:.1f}" if one and peer else "–", show(avx2) if avx2 else "–",
                         f"{avx2 / best:.2f}" if avx2 and best else "–", f"{avx2 / job.goal:.2f}" if avx2 else "–"])
    return table(["job", "Invar, 1 thread", "scikit-learn", "times as fast", "Invar, AVX2", "over the best kernels", "over the goal"],
                 rows)


def limits_table(pairs: list[tuple[Job, Result]]) -> list[str]:
    return table(["job", "limit", "formula", "with"], ([job.name, show(result.limit), f"`{job.limit}`", values(result)]
                                                       for job, result in pairs if result.limit))


def jobs_block(pairs: list[tuple[Job, Result]], machine: dict) -> list[str]:
    return [*header(machine, [r for _, r in pairs]), "", *main_table(pairs, machine), "", "Every system:", "",
            *systems_table(pairs), "", "One thread (scikit-learn's with one where it was run so: its AdaBoost and single trees have no threads), "
            "and the AVX2 level with all:", "", *variants_table(pairs), "", "Limits:", "", *limits_table(pairs)]


def growth_table(growths: list[GrowthResult]) -> list[str]:
    rows = []
    for g in growths:
        if g.left_out:
            rows.append([g.name, f"left out: {short(g.left_out)}", "–", "–", "–", "–"])
            continue
        one, two = (g.medians[str(t)] for t in GROWTH_THREADS)
        rows += [[g.name, str(n), show(a), show(b), f"{a / b:.2f}", megabytes(kb)]
                 for n, a, b, kb in zip(g.sizes, one, two, g.peak_kb[str(GROWTH_THREADS[-1])])]
        rows.append([g.name, "exponent", *(f"{g.exponents[str(t)]:.2f}" for t in GROWTH_THREADS), "", ""])
    return table(["job", "rows", "1 thread", "2 threads", "gain", "peak MB"], rows)


def growth_block(growths: list[GrowthResult], machine: dict) -> list[str]:
    return [machine_line(machine), f"- {machine['build']}", "", *growth_table(growths)]


def kernels_block(outputs: dict[str, str], machine: dict) -> list[str]:
    lines = [machine_line(machine), f"- {machine['build']}"]
    for name, output in outputs.items():
        lines += ["", f"`{name}`:", "", "```text", *output.rstrip("\n").split("\n"), "```"]
    return lines


def write(path: str, blocks: dict[str, Optional[list[str]]]) -> None:
    """Replace what stands between a block's marks."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, lines in blocks.items():
        if lines is not None:
            before, rest = text.split(f"<!-- {name}: ", 1)
            mark, rest = rest.split("\n", 1)
            after = rest.split(f"<!-- end of {name} -->", 1)[1]
            text = f"{before}<!-- {name}: {mark}\n\n" + "\n".join(lines) + f"\n\n<!-- end of {name} -->{after}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
