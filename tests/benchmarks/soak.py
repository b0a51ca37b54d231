"""``python -m tests.benchmarks.soak``: kill -9 a long build time and again, and see whether every promise holds.

The endpoint lives in this process, the builds in processes of their own. Prints one JSON object; exits 1 when an image
that was in the store was asked again, the store has a fault, or the shards differ from those of an undisturbed build.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.processes import prefect_server
from tests.benchmarks.recipes import write_recipe
from tests.built_folders import shards
from tests.command import IMAGELOOM
from tests.endpoint import Call, Endpoint
from tests.processes import wait_until

__all__: list[str] = []

ROOT = Path(__file__).parents[2]
IN_FLIGHT = 8
LATENCY_S = 0.1
FAIL_SHARE = 0.2
LONGEST_S = 1.0
"""Between a build's first sign of life and its kill."""
PATIENCE_S = 180
EXPECTED = {"left behind by a writer that was killed", "an image without a readable record"}


@dataclass
class Account:
    """What became of the calls, kill by kill."""

    kills: int = 0
    cut_off: int = 0
    """Calls that a kill left without an answer."""
    lost_in_flight: int = 0
    """Images that were delivered, and not yet in the store when the kill came."""
    most_lost_at_a_kill: int = 0
    oldest_lost_s: float = 0.0
    """How long before the kill the oldest of them was delivered."""
    asked_although_in_the_store: int = 0
    lost: Counter[str] = field(default_factory=Counter)


class Soak:
    """One recipe, built and killed.

    Args:
        endpoint: answers the builds.
        folder: for recipe, store and datasets.
        prompts: how many images.
        environment: of the builds.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, prompts: int, environment: Mapping[str, str]) -> None:
        from tasks_lib.store import ImageStore

        self.account = Account()
        self._endpoint = endpoint
        self._folder = folder
        self._environment = environment
        self._recipe = write_recipe(folder, prompts, _model(endpoint), IN_FLIGHT)
        self._store = ImageStore(folder / "store")

    def kill_after(self, seconds: float) -> None:
        """Kill a build so long after its first sign of life, and account for its calls."""
        known, done = self._kept(), len(self._endpoint.calls)
        staged = set(self._staged())
        killed = self._build_and_kill(lambda: set(self._staged()) - staged, seconds)
        moment = time.monotonic()
        self._settle()
        self.account.kills += killed
        self._enter(self._endpoint.calls[done:], known, moment)

    def finish(self) -> float:
        """Build to the end; gives the peak memory of the process in MB."""
        known, done = self._kept(), len(self._endpoint.calls)
        peak_mb = self._build("dataset")
        self._enter(self._endpoint.calls[done:], known, time.monotonic())
        return peak_mb

    def figures(self) -> dict[str, Any]:
        """Everything that is counted."""
        peak_mb, undisturbed_mb = self.finish(), self._build("undisturbed")
        calls = self._endpoint.calls
        delivered = Counter(call.prompt for call in calls if self._is_image(call))
        faults = self._faults()
        return {
            "kills": self.account.kills,
            "calls": len(calls),
            "calls_by_status": dict(sorted(Counter(call.status for call in calls).items())),
            "cut_off": self.account.cut_off,
            "images_delivered": delivered.total(),
            "images_kept": len(self._kept()),
            "lost_in_flight": self.account.lost_in_flight,
            "most_lost_at_a_kill": self.account.most_lost_at_a_kill,
            "oldest_lost_s": round(self.account.oldest_lost_s, 3),
            "delivered_twice": (delivered - self.account.lost - Counter(delivered.keys())).total(),
            "asked_although_in_the_store": self.account.asked_although_in_the_store,
            "store_faults": len(faults),
            "temporary_files": sum(1 for _ in self._folder.glob("store/*/*.writing-*")),
            "shards_identical": shards(self._folder / "dataset") == shards(self._folder / "undisturbed"),
            "peak_mb": round(peak_mb, 1),
            "peak_mb_undisturbed": round(undisturbed_mb, 1),
        }

    def _enter(self, calls: list[Call], known: set[str], moment: float) -> None:
        kept = self._kept()
        lost = [call for call in calls if self._is_image(call) and call.prompt not in kept]
        account = self.account
        account.asked_although_in_the_store += sum(call.prompt in known for call in calls)
        account.cut_off += sum(not call.delivered and call.status == 200 for call in calls if call.prompt not in kept)
        account.lost_in_flight += len(lost)
        account.most_lost_at_a_kill = max(account.most_lost_at_a_kill, len(lost))
        account.oldest_lost_s = max([account.oldest_lost_s, *(moment - call.time_ended for call in lost)])
        account.lost.update(call.prompt for call in lost)

    def _is_image(self, call: Call) -> bool:
        image = self._endpoint.image_for(call.prompt, call.parameters)
        return call.delivered and call.sent_sha256 == hashlib.sha256(image).hexdigest()

    def _kept(self) -> set[str]:
        records = [record for record in self._store.records() if self._store.get(record.fingerprint)]
        return {str(record.request["prompt"]) for record in records}

    def _faults(self) -> dict[str, str]:
        return {name: fault for name, fault in self._store.verify().items() if fault not in EXPECTED}

    def _staged(self) -> list[Path]:
        return list((self._folder).glob(".dataset.building-*"))

    def _settle(self) -> None:
        wait_until(lambda: not self._endpoint.in_flight, PATIENCE_S, "calls in flight to end")

    def _start(self, output: str) -> "subprocess.Popen[bytes]":
        command = [IMAGELOOM, "build", str(self._recipe), "--json"]
        arguments = ["--output", str(self._folder / output)]
        return subprocess.Popen(
            [*command, *arguments], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _build(self, output: str) -> float:
        process = self._start(output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"a build that nobody killed ended with exit code {process.returncode}")
        return usage.ru_maxrss / 1024

    def _build_and_kill(self, alive: Any, seconds: float) -> bool:
        process = self._start("dataset")
        wait_until(lambda: process.poll() is not None or alive(), PATIENCE_S, "the build to get to work")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        return process.wait() < 0


def _model(endpoint: Endpoint) -> dict[str, Any]:
    return {"type": "inference_endpoints", "base_url": endpoint.url}


def main() -> int:
    """Soak; gives 1 when a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="chooses the moments and the faults")
    options = parser.parse_args()
    choice = random.Random(options.seed)
    with (
        TemporaryDirectory() as temporary,
        prefect_server(Path(temporary) / "prefect") as api_url,
        Endpoint(latency_s=LATENCY_S, fail_share=FAIL_SHARE, fail_seed=options.seed) as endpoint,
    ):
        environment = {**os.environ, "PREFECT_API_URL": api_url, "HF_HUB_OFFLINE": "1"}
        soak = Soak(endpoint, Path(temporary), options.prompts, environment)
        while soak.account.kills < options.kills:
            soak.kill_after(choice.uniform(0, LONGEST_S))
        figures = {"prompts": options.prompts, "seed": options.seed, **soak.figures()}
    broken = [name for name in ("delivered_twice", "asked_although_in_the_store", "store_faults") if figures[name]]
    broken += [] if figures["shards_identical"] else ["shards_identical"]
    broken += [] if figures["images_kept"] == options.prompts else ["images_kept"]
    print(json.dumps({**figures, "broken": broken}), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
