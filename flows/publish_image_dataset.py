"""The flow that publishes a dataset folder to the Hub, and the task that a build publishes with."""

import asyncio
import time
from typing import Any, cast

from prefect import flow, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.secret_blocks import secrets_in_environment
from tasks_lib.errors import ImageloomError
from tasks_lib.publishing import publish_folder
from tasks_lib.publishing.report import PublishProgress, PublishReport

__all__ = ["publish_dataset", "publish_image_dataset"]

SECONDS_BETWEEN_UPDATES = 2.0


@flow(name="publish-image-dataset", flow_run_name="{repo_id}", persist_result=False)
async def publish_image_dataset(
    folder: str,
    repo_id: str,
    private: bool = True,
    overwrite: bool = False,
    dry_run: bool = True,
    token_block: str | None = None,
) -> PublishReport:
    """Publish a dataset folder to the Hugging Face Hub.

    Large files are sent first, and one commit makes all of it visible. A run that failed, crashed or was cancelled is
    continued by the next one, which sends only what is missing; an unchanged dataset gives no commit.

    Args:
        folder: a finished dataset, as a build leaves it.
        repo_id: the repository, such as me/shapes; made if it is not there.
        private: whether a new repository is private; an existing public one is then refused.
        overwrite: replace files of the same name that somebody else wrote or changed.
        dry_run: only say what would be done.
        token_block: the Prefect Secret block with the token, where HF_TOKEN is not set.
    """
    try:
        async with secrets_in_environment({"HF_TOKEN": token_block} if token_block else {}):
            report = await publish_dataset(folder, repo_id, private, overwrite=overwrite, dry_run=dry_run)
    except ImageloomError as error:
        return cast(PublishReport, Failed(message=str(error), data=error))
    return cast(PublishReport, Completed(message=report.headline, data=report))


async def publish_dataset(
    folder: str, repo_id: str, private: bool, *, overwrite: bool = False, dry_run: bool = False
) -> PublishReport:
    """Publish within the flow run that is under way, off its loop, as one task run.

    Raises:
        PublishError: the Hub did not take it.
    """
    sending = run_publication.submit(folder, repo_id, private, overwrite, dry_run)
    return cast(PublishReport, await asyncio.to_thread(sending.result))


@task(name="publish-dataset", task_run_name="{repo_id}", cache_policy=NO_CACHE, persist_result=False)
def run_publication(folder: str, repo_id: str, private: bool, overwrite: bool, dry_run: bool) -> PublishReport:
    """Publish, with a progress bar and a link on the run's page; the token comes from the environment."""
    bar = create_progress_artifact(progress=0.0, description=f"Publishing to {repo_id}")
    updated = 0.0

    def show(progress: PublishProgress) -> None:
        nonlocal updated
        share = progress.done_bytes / max(1, progress.total_bytes)
        if progress.stage != "reading" and (share >= 1 or time.monotonic() - updated > SECONDS_BETWEEN_UPDATES):
            update_progress_artifact(cast(Any, bar), progress=round(100 * share, 1))
            updated = time.monotonic()

    try:
        report = publish_folder(
            folder, repo_id, private=private, overwrite=overwrite, dry_run=dry_run, on_progress=show
        )
    except ImageloomError as error:
        # The sentence is enough to act on.
        return cast(PublishReport, Failed(message=str(error), data=error))
    lines = "\n".join(f"| {name} | {value} |" for name, value in report.to_dict().items())
    markdown = f"# {repo_id}\n\n| | |\n|---|---|\n{lines}\n"
    create_markdown_artifact(key="imageloom-publication", markdown=markdown, description=report.headline)
    if report.commit:
        create_link_artifact(
            key="imageloom-repository", link=report.url, link_text=repo_id, description=report.headline
        )
    return cast(PublishReport, Completed(message=report.headline, data=report))
