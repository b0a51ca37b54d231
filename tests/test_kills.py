"""A build that is killed outright loses nothing that was paid for, at whatever moment."""

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from datasets import load_dataset

from tasks_lib import ImageStore
from tasks_lib.report import BuildReport
from tasks_lib.store.layout import TEMPORARY
from tests.built_folders import shards
from tests.endpoint import Call, Endpoint
from tests.forked_builds import started_build
from tests.processes import wait_until
from tests.recipes import Build, recipe_for

Sign = Callable[[], bool]

IMAGES = 120
IN_FLIGHT = 4
STAGED = ".dataset.building-*"
FILES = {"README.md", "gallery.html", "ledger.parquet", "recipe.yaml"}
LEFT_BEHIND = "left behind by a writer that was killed"
NOT_YET_RECORDED = "an image without a readable record"


def calls(endpoint: Endpoint, least: int) -> Sign:
    return lambda: len(endpoint.calls) >= least


def appears(pattern: str) -> Sign:
    """Other than what an earlier kill left there."""
    left = set(Path().glob(pattern))
    return lambda: any(path not in left for path in Path().glob(pattern))


class Writing:
    """A sign: an image or its record is being written to the store, a fraction of a millisecond."""

    def __init__(self) -> None:
        self.seen = False
        self._left = set(_being_written())

    def __call__(self) -> bool:
        self.seen = not self._left.issuperset(_being_written())
        return self.seen


def _being_written() -> list[str]:
    files = [file for folder in os.scandir("store") for file in os.scandir(folder.path)]
    return [file.path for file in files if TEMPORARY in file.name]


def later(seconds: float) -> Sign:
    """Since it was asked for the first time."""
    first: list[float] = []

    def sign() -> bool:
        first.append(time.monotonic())
        return first[-1] - first[0] >= seconds

    return sign


def either(one: Sign, other: Sign) -> Sign:
    return lambda: one() or other()


def replaced() -> Sign:
    before = Path("dataset").stat().st_ino
    return lambda: Path("dataset").stat().st_ino != before


def killed_at(signs: Sequence[Sign]) -> bool:
    """Start a build and kill -9 it when the signs have come one after another; whether it was still at work.

    The last sign is watched without a pause: what it tells may be over in a fraction of a millisecond.
    """
    deadline = time.monotonic() + 120
    build = started_build(Path().absolute())
    try:
        for sign in signs:
            while build.exitcode is None and not sign():
                assert time.monotonic() < deadline, "the moment to kill does not come"
                if sign is not signs[-1]:
                    threading.Event().wait(0.001)
    finally:
        build.kill()
        build.join()
    return build.exitcode == -signal.SIGKILL


class Disturbed:
    """A build over an earlier dataset of five rows that is killed time and again, and checked each time."""

    def __init__(self, endpoint: Endpoint, build: Build) -> None:
        self.kills = 0
        self._endpoint = endpoint
        self._build = build
        self._in_flight_at_kills = 0
        prompts = [f"prompt {number} {{{{slow seconds=0.1}}}}" for number in range(IMAGES)]
        self._recipe = recipe_for(endpoint, prompts, limits={"max_concurrency": IN_FLIGHT}, batch_size=8)
        Path("recipe.yaml").write_text(yaml.safe_dump(self._recipe))
        build(self._recipe, limit=5)
        self._earlier = shards("dataset")
        self._seen: list[dict[str, str]] = []

    def kill(self, *signs: Sign) -> None:
        """Kill a build at a moment; what it left must keep every promise."""
        known, before = self._kept(), len(self._endpoint.calls)
        self.kills += killed_at(signs)
        wait_until(lambda: not self._endpoint.in_flight, 20, "the endpoint to notice")
        self._check_calls(self._endpoint.calls[before:], known)
        self._check_store({LEFT_BEHIND, NOT_YET_RECORDED})
        self._check_dataset()

    def finish(self) -> None:
        """Let a build end; its calls and its dataset must be those of an undisturbed one."""
        assert self._report("./dataset").counts == {"ok": IMAGES}
        assert len(self._endpoint.calls) == IMAGES + self._in_flight_at_kills
        self._check_store({LEFT_BEHIND})
        assert list(Path().glob(".dataset*")) == []
        assert self._report("./undisturbed").asked == 0
        undisturbed = shards("undisturbed")
        assert shards("dataset") == undisturbed
        assert all(seen in (self._earlier, undisturbed) for seen in self._seen)

    def _report(self, output: str) -> BuildReport:
        report = self._build({**self._recipe, "output": {"path": output}}).report
        assert report is not None
        return report

    def _kept(self) -> set[str]:
        """The prompts whose image is in the store, whole."""
        store = ImageStore("store")
        return {str(record.request["prompt"]) for record in store.records() if store.get(record.fingerprint)}

    def _check_calls(self, calls: Sequence[Call], known: set[str]) -> None:
        asked = [call.prompt for call in calls]
        assert len(set(asked)) == len(asked), "each is asked once"
        assert not known.intersection(asked), "what is in the store is not asked again"
        kept = self._kept()
        lost = [call for call in calls if call.prompt not in kept]
        # The calls in flight, and a few answers that are being verified and written.
        assert len(lost) <= IN_FLIGHT + 2, "what was delivered before is in the store"
        self._in_flight_at_kills += len(lost)

    def _check_store(self, faults: set[str]) -> None:
        for path in Path("store").glob(f"*/*{TEMPORARY}*"):
            # In an hour, nobody is taken to be writing it any more.
            os.utime(path, (0, 0))
        store = ImageStore("store")
        assert set(store.verify().values()) <= faults
        sent = {
            hashlib.sha256(self._endpoint.image_for(call.prompt, call.parameters)).hexdigest()
            for call in self._endpoint.calls
        }
        assert {record.sha256 for record in store.records()} <= sent

    def _check_dataset(self) -> None:
        assert len(load_dataset("dataset")["train"]) in (5, IMAGES)
        assert {path.name for path in Path("dataset").iterdir()} == {*FILES, "data", "samples"}
        self._seen.append(shards("dataset"))


def test_nothing_delivered_is_asked_again(build_dataset: Build, endpoint: Endpoint) -> None:
    """Killed -9 while images come and are stored, a build asks none twice and ends with the undisturbed shards."""
    choice = random.Random(5)
    disturbed = Disturbed(endpoint, build_dataset)
    written = []
    for _ in range(4):
        # At most 28 images a round, of which there are enough for all.
        done = len(endpoint.calls)
        disturbed.kill(appears(STAGED), calls(endpoint, done + choice.randint(4, 12)))
        done = len(endpoint.calls)
        writing = Writing()
        disturbed.kill(appears(STAGED), either(writing, calls(endpoint, done + 16)))
        written.append(writing.seen)
    assert disturbed.kills == 8
    assert any(written), "a kill came while an image was written"
    disturbed.finish()


def test_the_earlier_dataset_stays_until_it_is_replaced(build_dataset: Build, endpoint: Endpoint) -> None:
    """Killed -9 while the folder is written or swapped in, a build leaves the earlier dataset or the new one, whole."""
    choice = random.Random(5)
    disturbed = Disturbed(endpoint, build_dataset)
    for name, seconds in (("data", 0.002), ("recipe.yaml", 0.05), ("README.md", 0.04)):
        disturbed.kill(appears(STAGED), appears(f"{STAGED}/{name}"))
        disturbed.kill(appears(f"{STAGED}/{name}"), later(choice.uniform(0, seconds)))
    for _ in range(2):
        # The swap is the next thing that the build does.
        disturbed.kill(appears(f"{STAGED}/README.md"), either(appears(f"{STAGED}/gallery.html"), replaced()))
        disturbed.kill(appears(f"{STAGED}/README.md"), replaced())
    assert disturbed.kills == 10
    disturbed.finish()
