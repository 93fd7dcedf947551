"""How often intervals hold the truth and p-values fall below their level, on simulated families of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from mixhub.analysis.statistics.crossed import PairedScores, documents_only, two_level
from mixhub.analysis.statistics.mixtures import MIN_MIXTURES, decision_accuracy, variance_component
from mixhub.analysis.statistics.seeds import detectable_difference, permutation, t_interval, welch

SIMULATIONS = 2000
COVERED = (0.93, 0.97)
LEVELS = (0.05, 0.01)
DIFFICULTY_SD = 1.5
"""Of documents, in logits, as all sds of a scenario."""

FALSE_ALARMS = 0.45
"""At least so often does the interval over documents leave 0 out where only seeds differ."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(16)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """Two families that answer the same documents right or wrong."""

    name: str
    seed_sd: float
    """Of a seed's effect on a task; half its variance is common to all tasks."""
    taste_sd: float
    """Of what a family makes of a document, or of a cluster: another document, another difference."""
    noise_sd: float
    """Of what a seed makes of a document, or of a cluster, beyond the chance of right or wrong."""
    effect: float = 0.0
    """What family A has more than B on each task."""
    seeds: tuple[int, int] = (5, 5)
    documents: tuple[int, ...] = (100, 200, 400)
    """Of each task."""
    cluster: int = 1
    """Documents that share a passage: its difficulty, taste and noise."""


SCENARIOS = (
    Scenario("seeds dominate", 0.4, 0.0, 0.5),
    Scenario("seeds dominate, an effect", 0.4, 0.0, 0.5, effect=0.5),
    Scenario("seeds dominate, 3 v 5", 0.4, 0.0, 0.5, seeds=(3, 5)),
    Scenario("documents dominate", 0.02, 1.0, 0.5),
    Scenario("documents dominate, an effect", 0.02, 1.0, 0.5, effect=0.3),
    Scenario("documents dominate, 3 v 5", 0.02, 1.0, 0.5, seeds=(3, 5)),
    Scenario("clusters dominate", 0.02, 1.0, 0.5, documents=(300, 600), cluster=6),
    Scenario("both", 0.15, 0.7, 0.5),
    Scenario("neither", 0.0, 0.0, 0.0),
    Scenario("neither, an effect", 0.0, 0.0, 0.0, effect=0.3),
    Scenario("neither, 3 v 5", 0.0, 0.0, 0.0, seeds=(3, 5)),
)


def run() -> str:
    """One line per scenario; AssertionError where a figure is not what the docstrings promise."""
    lines = [f"{SIMULATIONS:,} simulations each, intervals of 95 %"]
    for number, scenario in enumerate(SCENARIOS):
        lines.append(_families(scenario, np.random.default_rng(number)))
    lines += [_power(), *_shares(), *_accuracies(), *_false_alarms()]
    return "\n".join(lines)


def _families(scenario: Scenario, draw: np.random.Generator) -> str:
    held: dict[str, list[bool]] = {name: [] for name in ("t", "welch", "two-level", "welch, new documents")}
    ps: dict[str, list[float]] = {name: [] for name in ("welch", "permutation", "two-level")}
    new = _expected(np.array([scenario.effect]), DIFFICULTY_SD, scenario.taste_sd, scenario.seed_sd, scenario.noise_sd)
    new -= _expected(np.array([0.0]), DIFFICULTY_SD, scenario.taste_sd, scenario.seed_sd, scenario.noise_sd)
    for _ in range(SIMULATIONS):
        tasks, here_a, here_b = _answers(scenario, draw)
        a, b = (np.mean([side.mean(axis=1) for side in sides], axis=0).tolist() for sides in _sides(tasks))
        mean, seeds, both = t_interval(a), welch(a, b), two_level(tasks)
        assert mean is not None
        assert seeds is not None
        assert both is not None
        held["t"].append(mean.low <= here_a <= mean.high)
        held["welch"].append(seeds.low <= here_a - here_b <= seeds.high)
        held["welch, new documents"].append(seeds.low <= new[0] <= seeds.high)
        held["two-level"].append(both.low <= new[0] <= both.high)
        for name, p in (("welch", seeds.p), ("permutation", permutation(a, b).p), ("two-level", both.p)):
            ps[name].append(p)
    said = [f"{name} {_covered(f'{scenario.name}: {name}', held[name])}" for name in ("t", "welch")]
    said.append(f"two-level {_covered(f'{scenario.name}: two-level', held['two-level'])}")
    if scenario.taste_sd:
        said.append(f"(welch for new documents {np.mean(held['welch, new documents']):.1%})")
    if not scenario.effect:
        # With a taste, families differ on these documents, which is what Welch and permutation would find.
        tests = ("two-level",) if scenario.taste_sd else tuple(ps)
        said += [f"{name} p {_sizes(f'{scenario.name}: {name}', ps[name])}" for name in tests]
    return f"  {scenario.name}: {', '.join(said)}"


def _answers(scenario: Scenario, draw: np.random.Generator) -> tuple[list[PairedScores], float, float]:
    """The tasks, and each family's expected average over new seeds on these documents."""
    common = [draw.normal(0, scenario.seed_sd * 0.5**0.5, (seeds, 1)) for seeds in scenario.seeds]
    tasks, expected = [], []
    for documents in scenario.documents:
        clusters = np.arange(documents) // scenario.cluster
        units = int(clusters[-1]) + 1
        difficulty = draw.normal(0, DIFFICULTY_SD, units)
        sides = []
        for family, effect in enumerate((scenario.effect, 0.0)):
            logit = effect + difficulty + draw.normal(0, scenario.taste_sd, units)  # (units,)
            expected.append(_expected(logit, scenario.seed_sd, scenario.noise_sd)[clusters].mean())
            seeds = len(common[family])
            seed = common[family] + draw.normal(0, scenario.seed_sd * 0.5**0.5, (seeds, 1))
            chance = expit(logit + seed + draw.normal(0, scenario.noise_sd, (seeds, units)))[:, clusters]
            sides.append((draw.random((seeds, documents)) < chance).astype(float))
        tasks.append(PairedScores(sides[0], sides[1], clusters if scenario.cluster > 1 else None))
    return tasks, float(np.mean(expected[::2])), float(np.mean(expected[1::2]))


def _expected(logit: Array, *sds: float) -> Array:
    """The chance of right, averaged over normal effects with these sds (Gauss-Hermite)."""
    chances: Array = expit(logit[:, None] + NODES * np.linalg.norm(sds)) @ WEIGHTS / WEIGHTS.sum()
    return chances


def _sides(tasks: list[PairedScores]) -> tuple[list[Array], list[Array]]:
    return [task.a for task in tasks], [task.b for task in tasks]


def _covered(name: str, held: list[bool]) -> str:
    share = float(np.mean(held))
    if not COVERED[0] <= share <= COVERED[1]:
        raise AssertionError(f"{name} covers {share:.1%} of the truth")
    return f"{share:.1%}"


def _sizes(name: str, ps: list[float]) -> str:
    said = []
    for level in LEVELS:
        share = float(np.mean(np.array(ps) <= level))
        if share > level + 3 * (level * (1 - level) / SIMULATIONS) ** 0.5:
            raise AssertionError(f"{name}: {share:.1%} of p-values are at most {level}")
        said.append(f"{share:.1%}")
    return " / ".join(said)


def _power() -> str:
    """Welch's test where the difference is the one that it finds in 80 % of cases."""
    draw, found = np.random.default_rng(100), []
    difference = detectable_difference(1, 5, 2, 5)
    assert difference is not None
    for _ in range(SIMULATIONS):
        test = welch(draw.normal(difference, 1, 5).tolist(), draw.normal(0, 2, 5).tolist())
        assert test is not None
        found.append(test.p <= 0.05)
    share = float(np.mean(found))
    if not 0.77 <= share <= 0.83:
        raise AssertionError(f"the difference that Welch's test finds in 80 % of cases is found in {share:.1%}")
    return f"  detectable difference of 5 v 5 seeds, sds 1 and 2, is {difference:.2f}: found in {share:.1%} (80 %)"


def _shares() -> Iterator[str]:
    sizes = (5, 5, 5, 3, 2, 1, 5, 4)
    for number, share in enumerate((0.1, 0.5, 0.9, 0.0)):
        draw, held, ps = np.random.default_rng(200 + number), [], []
        for _ in range(SIMULATIONS):
            means = draw.normal(0, share**0.5, len(sizes))
            found = variance_component(
                [draw.normal(mean, (1 - share) ** 0.5, size).tolist() for mean, size in zip(means, sizes, strict=True)]
            )
            assert found is not None
            held.append(found.low <= share <= found.high)
            ps.append(found.p)
        if share:
            yield f"  variance share {share}, seeds {sizes}: {_covered(f'share {share}', held)}"
        else:
            yield f"  variance share 0: p {_sizes('share 0', ps)}"


def _accuracies() -> Iterator[str]:
    """The true accuracy is that of a million independent pairs."""
    mixtures: dict[str, Callable[[np.random.Generator, int, float], tuple[Array, Array]]] = {
        "normal": _normal,
        "heavy tails": _heavy,
        "two clusters": _clustered,
    }
    for kind, make in mixtures.items():
        for count in (MIN_MIXTURES, 32, 64):
            said = []
            for correlation in (0.0, 0.7, 0.9, 0.98):
                draw = np.random.default_rng([count, int(100 * correlation)])
                one, other = make(draw, 2_000_000, correlation)
                truth = float(np.mean((one[::2] > one[1::2]) == (other[::2] > other[1::2])))
                held = []
                for _ in range(SIMULATIONS):
                    found = decision_accuracy(*(side.tolist() for side in make(draw, count, correlation)))
                    assert found is not None
                    assert found.low is not None
                    assert found.high is not None
                    held.append(found.low <= truth <= found.high)
                said.append(f"{truth:.2f} {_covered(f'accuracy {truth:.2f} of {count}, {kind}', held)}")
            yield f"  decision accuracy of {count} mixtures, {kind}: {', '.join(said)}"


def _normal(draw: np.random.Generator, count: int, correlation: float) -> tuple[Array, Array]:
    one, other = draw.normal(size=(2, count))
    return one, correlation * one + (1 - correlation**2) ** 0.5 * other


def _heavy(draw: np.random.Generator, count: int, correlation: float) -> tuple[Array, Array]:
    one, other = _normal(draw, count, correlation)
    scale = np.sqrt(5 / draw.chisquare(5, count))
    return one * scale, other * scale


def _clustered(draw: np.random.Generator, count: int, correlation: float) -> tuple[Array, Array]:
    one = draw.normal(0, 0.5, count) + draw.choice([-1.5, 1.5], count)
    return one, correlation * one + (1 - correlation**2) ** 0.5 * draw.normal(0, 1.5, count)


@dataclass(frozen=True)
class Published:
    """A task of the published human-1b card."""

    name: str
    documents: int
    scores: tuple[float, ...]
    """Of its five seeds, in percent; each the mean over up to six shot counts."""


PUBLISHED = (
    Published("LAMBADA", 5_153, (29.83, 26.69, 28.47, 26.88, 29.56)),
    Published("QQP", 40_430, (52.42, 58.46, 56.53, 58.06, 52.60)),
)


def _false_alarms() -> Iterator[str]:
    """How often the interval over documents leaves 0 out where both families are one mixture.

    A published score is a mean over shot counts. Where a seed answers a document alike at each, that is as one count;
    where the noise is new at each, documents are surer still. Seeds are taken to differ by the published spread in
    both.
    """
    for number, task in enumerate(PUBLISHED):
        said = []
        for seeds, shots in ((1, 1), (5, 1), (5, 6)):
            alarms = _alarms(task, seeds, shots, np.random.default_rng([300, number, seeds, shots]))
            if alarms < FALSE_ALARMS:
                raise AssertionError(f"{task.name}: documents alone leave 0 out in {alarms:.1%} of cases only")
            noise = "new noise at each of 6 shot counts" if shots > 1 else "answers alike at all shot counts"
            said.append(f"{seeds} v {seeds} seeds, {noise} {alarms:.1%}")
        yield f"  {task.name}, one mixture, documents alone leave 0 out: {'; '.join(said)}"


def _alarms(task: Published, seeds: int, shots: int, draw: Any) -> float:
    bins = 50
    each = task.documents // bins
    mean = float(np.mean(task.scores)) / 100
    difficulty = DIFFICULTY_SD * ndtri((np.arange(bins) + 0.5) / bins)
    offset = _solved(lambda at: float(expit(at + difficulty).mean()) - mean)
    slope = float((expit(offset + difficulty) * (1 - expit(offset + difficulty))).mean())
    seed_sd = np.std(task.scores, ddof=1) / 100 / slope
    alarms = 0
    for _ in range(SIMULATIONS):
        sides = []
        for _ in range(2):
            chance = expit(offset + difficulty + draw.normal(0, seed_sd, (seeds, 1)))  # (S, bins)
            threshold = (chance * 65536).astype(np.uint16)[:, None, :, None]
            right = draw.integers(0, 65536, (seeds, shots, bins, each), dtype=np.uint16) < threshold
            sides.append(right.mean(axis=1).reshape(seeds, -1))
        found = documents_only([PairedScores(*sides)])
        alarms += not found.low <= 0 <= found.high
    return alarms / SIMULATIONS


def _solved(function: Callable[[float], float]) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, -10.0, 10.0))
