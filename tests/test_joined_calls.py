"""Requests that come together are answered by one call, each with its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from tasks_lib.errors import RefusedError, TransientError
from tasks_lib.models import ImageAnswer, ImageRequest
from tasks_lib.models.joined_calls import JoinedCalls


class Recorder:
    """Answers with the prompts' bytes and remembers what was asked together."""

    def __init__(self, short_by: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.running = self.most_running = 0
        self.short_by = short_by
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, requests: list[ImageRequest]) -> Sequence[ImageAnswer]:
        self.calls.append([request.prompt for request in requests])
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            answers = [ImageAnswer(request.prompt.encode()) for request in requests]
        finally:
            self.running -= 1
        return answers[: len(answers) - self.short_by]


@pytest.mark.parametrize(("count", "most", "sizes"), [(1, 4, [1]), (4, 4, [4]), (9, 4, [4, 4, 1]), (3, 1, [1, 1, 1])])
def test_together_and_in_order(count: int, most: int, sizes: list[int]) -> None:
    """Requests of one moment share calls of at most so many, and each gets its own answer."""

    async def ask() -> None:
        recorder = Recorder()
        joined = JoinedCalls(recorder, most)
        answers = await asyncio.gather(*(joined.answer(ImageRequest(f"{number}")) for number in range(count)))
        assert [answer.data.decode() for answer in answers] == [f"{number}" for number in range(count)]
        assert [len(call) for call in recorder.calls] == sizes

    asyncio.run(ask())


def test_only_equal_keys_share() -> None:
    """Requests with different keys never share a call."""

    async def ask() -> None:
        recorder = Recorder()
        joined = JoinedCalls(recorder, 8, key=lambda request: request.prompt)
        await asyncio.gather(*(joined.answer(ImageRequest(prompt)) for prompt in "abab"))
        assert sorted(recorder.calls) == [["a", "a"], ["b", "b"]]

    asyncio.run(ask())


def test_what_comes_meanwhile_is_gathered() -> None:
    """With one call at a time, requests that come while it runs share the next one."""

    async def ask() -> None:
        recorder = Recorder()
        recorder.gate.clear()
        joined = JoinedCalls(recorder, 4, at_once=1)
        first = asyncio.ensure_future(joined.answer(ImageRequest("first")))
        while not recorder.calls:
            await asyncio.sleep(0)
        later = []
        for number in range(5):
            later.append(asyncio.ensure_future(joined.answer(ImageRequest(f"{number}"))))
            await asyncio.sleep(0)
        recorder.gate.set()
        await asyncio.gather(first, *later)
        assert [len(call) for call in recorder.calls] == [1, 4, 1]
        assert recorder.most_running == 1

    asyncio.run(ask())


def test_too_few_images_are_a_fault_of_those_left_over() -> None:
    """Where fewer images come than were asked, the rest fail in a way that is asked again, each with its own error."""

    async def ask() -> None:
        joined = JoinedCalls(Recorder(short_by=2), 4)
        asked = (joined.answer(ImageRequest(f"{number}")) for number in range(4))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(each, TransientError) for each in outcomes] == [False, False, True, True]
        assert "2 images came back where 4 were asked" in str(outcomes[2])
        assert outcomes[2] is not outcomes[3]

    asyncio.run(ask())


def test_one_answer_may_be_an_error() -> None:
    """What went wrong with one image of a call is raised by its own request, and the others have their images."""

    async def call(requests: list[ImageRequest]) -> Sequence[ImageAnswer | Exception]:
        return [RefusedError("no") if each.prompt == "b" else ImageAnswer(each.prompt.encode()) for each in requests]

    async def ask() -> None:
        joined = JoinedCalls(call, 3)
        first, second, third = (asyncio.ensure_future(joined.answer(ImageRequest(prompt))) for prompt in "abc")
        with pytest.raises(RefusedError):
            await second
        assert (await first, await third) == (ImageAnswer(b"a"), ImageAnswer(b"c"))

    asyncio.run(ask())


def test_a_cancelled_caller_leaves_the_call_to_the_others() -> None:
    """One caller's cancellation costs the others nothing; when all have left, the call ends."""

    async def ask() -> None:
        recorder = Recorder()
        recorder.gate.clear()
        joined = JoinedCalls(recorder, 4)
        one, other = (asyncio.ensure_future(joined.answer(ImageRequest(name))) for name in ("one", "other"))
        while not recorder.calls:
            await asyncio.sleep(0)
        one.cancel()
        await asyncio.wait({one})
        assert recorder.running == 1
        other.cancel()
        await asyncio.wait({other})
        while recorder.running:
            await asyncio.sleep(0)

    asyncio.run(ask())
