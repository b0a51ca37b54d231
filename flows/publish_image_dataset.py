"""The flow that publishes a dataset folder to the Hub, and the task that a build publishes with."""

from collections.abc import Callable
from typing import cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.run_secrets import refuse_secret_parameters, secrets_in_environment
from tasks_lib.errors import ImageloomError
from tasks_lib.prefect_tasks import final_state, result_of
from tasks_lib.publishing import publish_folder
from tasks_lib.publishing.report import PublishProgress, PublishReport
from tasks_lib.run_page import ProgressArtifact, show_publication

__all__ = ["publish_dataset", "publish_image_dataset"]


@flow(name="publish-image-dataset", flow_run_name="{repo_id}", persist_result=False, retries=0)
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
    ending = _published(folder, repo_id, private, overwrite, dry_run, token_block)
    return cast(PublishReport, await final_state(ending, lambda report: report.headline))


async def _published(
    folder: str, repo_id: str, private: bool, overwrite: bool, dry_run: bool, token_block: str | None
) -> PublishReport:
    refuse_secret_parameters()
    async with secrets_in_environment({"HF_TOKEN": token_block} if token_block else {}):
        return await publish_dataset(folder, repo_id, private, overwrite=overwrite, dry_run=dry_run)


async def publish_dataset(
    folder: str, repo_id: str, private: bool, *, overwrite: bool = False, dry_run: bool = False
) -> PublishReport:
    """Publish within the flow run that is under way, off its loop, as one task run, and show it on the run's page.

    Raises:
        PublishError: the Hub did not take it.
    """
    bar = ProgressArtifact(repo_id, "publication-progress", f"Sent to {repo_id}, in percent")
    sent: float | None = None

    def note(progress: PublishProgress) -> None:
        nonlocal sent
        if progress.stage != "reading":
            sent = progress.done_bytes / max(1, progress.total_bytes)

    async def tell() -> None:
        if sent is not None:
            await bar.show(sent)

    sending = run_publication.submit(folder, repo_id, private, overwrite, dry_run, note)
    report = await result_of(sending, tell)
    await tell()
    await show_publication(report)
    return report


@task(name="publish-dataset", task_run_name="{repo_id}", cache_policy=NO_CACHE, persist_result=False, retries=0)
def run_publication(
    folder: str,
    repo_id: str,
    private: bool,
    overwrite: bool,
    dry_run: bool,
    on_progress: Callable[[PublishProgress], None],
) -> PublishReport:
    """Publish; the token comes from the environment."""
    way_on = f"The dataset stays in {folder}; go on with: imageloom publish {folder} {repo_id}"
    try:
        report = publish_folder(
            folder,
            repo_id,
            private=private,
            overwrite=overwrite,
            dry_run=dry_run,
            on_progress=on_progress,
            way_on=way_on,
        )
    except ImageloomError as error:
        # The sentence is enough to act on.
        return cast(PublishReport, Failed(message=str(error), data=error))
    return cast(PublishReport, Completed(message=report.headline, data=report))
