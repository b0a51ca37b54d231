"""What the tests of local pipelines share: tiny weights, and a look at what the network was asked."""

from collections.abc import Iterator

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel

from tests.local.network import NetworkCalls
from tests.local.tiny_pipeline import save_tiny_flux, save_tiny_stable_diffusion

# For networks this small, threads cost more than they give.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a pipeline with a U-Net."""
    return save_tiny_stable_diffusion(tmp_path_factory.mktemp("weights") / "tiny-stable-diffusion")


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a pipeline with a transformer."""
    return save_tiny_flux(tmp_path_factory.mktemp("weights") / "tiny-flux")


@pytest.fixture
def network() -> Iterator[NetworkCalls]:
    """What denoising networks are called with during the test."""
    calls = NetworkCalls((UNet2DConditionModel, FluxTransformer2DModel))
    hook = torch.nn.modules.module.register_module_forward_hook(calls.note, with_kwargs=True)
    yield calls
    hook.remove()
