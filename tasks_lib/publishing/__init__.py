"""Publishing: a finished dataset folder becomes a repository on the Hub."""

from tasks_lib.publishing.publishing import PublishProgress, PublishReport, check_token, publish_folder

__all__ = ["PublishProgress", "PublishReport", "check_token", "publish_folder"]
