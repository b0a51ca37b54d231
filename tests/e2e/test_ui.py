"""Prefect's own pages in a real browser, in both of its interfaces, and the example automation at work."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, Route, expect

from tests.command import IMAGELOOM
from tests.endpoint import Endpoint
from tests.gallery_browser import headless_chromium
from tests.prefect_server import PrefectServer, running_server
from tests.processes import wait_until
from tests.recipes import drawn_by, recipe_for

ROOT = Path(__file__).parents[2]
INTERFACES = ["", "/v2"]
ATTACK = "<img src=/a.png> ![x](/b.png) | **bold** `code` &amp;"
SHOWN = "() => [...document.images].map(image => [image.src.slice(0, 11), image.complete && image.naturalWidth > 0])"
NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with its pages and with the deployment that publishes."""
    with running_server(ROOT, tmp_path_factory.mktemp("prefect"), ui=True) as server:
        publish = "publish-image-dataset/default"
        for arguments in (
            ["work-pool", "create", "local", "--type", "process"],
            ["--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--name", publish],
        ):
            done = server.command(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        yield server


@pytest.fixture(scope="module")
def runs(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A run that ended well and one that failed, by the name of their recipe."""
    folder = tmp_path_factory.mktemp("builds")
    drawn = {"type": "procedural", "width": 96, "height": 96}
    places = {"store": str(folder / "store")}
    well = drawn_by(drawn, [f"{n} red circles" for n in range(30)], name="shapes", **places)
    assert build(server, folder, {**well, "output": {"path": str(folder / "shapes")}}) == 0
    with Endpoint() as endpoint:
        prompts = ["a cat", ATTACK, "a dog {{500 times=inf}}", "a gun {{refused-openai}}"]
        ill = recipe_for(endpoint, prompts, name="ill", limits={"max_attempts": 1}, **places)
        assert build(server, folder, {**ill, "output": {"path": str(folder / "ill")}}) == 1
    found = server.request("POST", "/flow_runs/filter", {"flows": {"name": {"any_": ["build-image-dataset"]}}})
    return {run["name"].split()[0]: run for run in found}


def build(server: PrefectServer, folder: Path, recipe: dict[str, Any], *arguments: str) -> int:
    """The exit code of ``imageloom build``."""
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [IMAGELOOM, "build", str(path), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, timeout=120, check=False)
    return done.returncode


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with headless_chromium() as browser:
        yield browser


@pytest.fixture
def page(server: PrefectServer, chromium: Browser) -> Iterator[Page]:
    """A page at the server's root that reaches nothing else: the newer interface would ask its makers' statistics."""
    root = server.url.removesuffix("/api")

    def within(route: Route) -> None:
        if route.request.url.startswith(f"{root}/"):
            route.continue_()
        else:
            route.abort()

    context = chromium.new_context(base_url=root, viewport={"width": 1280, "height": 900})
    context.route("**/*", within)
    yield context.new_page()
    context.close()


def artifact(server: PrefectServer, run: dict[str, Any], kind: str) -> str:
    """The path of the page of a run's artifact."""
    name = run["name"].split()[0]
    asked = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": [f"{name}-{kind}"]}}}
    (found,) = server.request("POST", "/artifacts/filter", asked)
    return f"/artifacts/artifact/{found['id']}"


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize(("name", "state"), [("shapes", "Completed"), ("ill", "Failed")])
def test_the_page_of_a_run_tells_its_story(
    server: PrefectServer, runs: dict[str, dict[str, Any]], page: Page, interface: str, name: str, state: str
) -> None:
    """A run's page has its name, its state, and a card for every artifact."""
    run = runs[name]
    page.goto(f"{interface}/runs/flow-run/{run['id']}")
    expect(page.get_by_text(run["name"]).first).to_be_visible(timeout=30_000)
    expect(page.get_by_text(state, exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Artifacts").or_(page.get_by_text("Artifacts", exact=True)).last.click()
    for kind in ("progress", "counts", "contact-sheet", "report", *(["failures"] if state == "Failed" else [])):
        expect(page.get_by_text(f"{name}-{kind}", exact=True).first).to_be_visible()


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize(("name", "count", "caption"), [("shapes", 24, "29 red circles"), ("ill", 2, "<img")])
def test_the_contact_sheet_shows_its_pictures(
    server: PrefectServer,
    runs: dict[str, dict[str, Any]],
    page: Page,
    interface: str,
    name: str,
    count: int,
    caption: str,
) -> None:
    """Every picture is really drawn, with its prompt below; a prompt's own markup loads nothing."""
    page.goto(f"{interface}{artifact(server, runs[name], 'contact-sheet')}")
    expect(page.locator("img[src^='data:image/']")).to_have_count(count, timeout=30_000)
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    assert page.evaluate(SHOWN) == [["data:image/", True]] * count
    expect(page.get_by_text(caption).first).to_be_visible()


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("counts", ["2 of 4 images, 1 failed, 1 refused, cost unknown", "share", "50.0%", "refused"]),
        ("failures", ["1 image:", "Your request was rejected by the safety system"]),
        ("report", ["2 of 4", "gallery.html", "README.md", "load_dataset"]),
        ("progress", ["100%"]),
    ],
)
def test_no_page_is_empty(
    server: PrefectServer,
    runs: dict[str, dict[str, Any]],
    page: Page,
    interface: str,
    kind: str,
    texts: list[str],
) -> None:
    """Each artifact's page shows what it is there for, as text that people read."""
    page.goto(f"{interface}{artifact(server, runs['ill'], kind)}")
    for text in texts:
        expect(page.get_by_text(text).first).to_be_visible(timeout=30_000)


def test_the_example_automation_publishes_what_was_built(server: PrefectServer, tmp_path: Path) -> None:
    """A whole dataset starts the publishing deployment with its folder, dry; a part of it starts nothing."""
    publishing = server.request("GET", "/deployments/name/publish-image-dataset/default")["id"]
    example = (ROOT / "deployments/automations/publish_when_built.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(example.replace(NOWHERE, publishing))
    done = server.command("automation", "create", "--from-file", str(tmp_path / "mine.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = {"type": "procedural", "width": 32, "height": 32}
    for folder, arguments in (("part", ["--limit", "2"]), ("whole", [])):
        output = {"path": str(tmp_path / folder)}
        recipe = drawn_by(drawn, ["a", "b", "c"], name="colour-shapes", store=str(tmp_path / "store"), output=output)
        assert build(server, tmp_path, recipe, *arguments) == 0
    wanted = {"deployments": {"id": {"any_": [publishing]}}}
    runs = wait_until(lambda: server.request("POST", "/flow_runs/filter", wanted), timeout_s=60, what="a publication")
    assert [run["parameters"] for run in runs] == [
        {"folder": str(tmp_path / "whole"), "repo_id": "me/colour-shapes", "dry_run": True}
    ]
    assert runs[0]["created_by"]["display_value"] == "Publish when built"
