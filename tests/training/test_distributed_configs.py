"""The launch configurations: accelerate reads each, and each says in its head how to use it."""

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from tests.training.launch import CONFIGS

NAMES = {"cpu.yaml", "gpu.yaml", "multi_gpu.yaml", "fsdp.yaml", "multi_node.yaml"}


def test_the_promised_configurations_are_there():
    assert {path.name for path in CONFIGS.glob("*.yaml")} >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_configuration_is_read_and_explained(name):
    config = load_config_from_file(str(CONFIGS / name))
    assert (str(config.distributed_type) == "DistributedType.NO") == (config.num_processes == 1)
    head = (CONFIGS / name).read_text().split("compute_environment")[0]
    assert all(line.startswith("#") for line in head.splitlines()) and "accelerate launch" in head
