"""What `accelerate launch` will do with a configuration: asked of accelerate itself."""

import contextlib
import logging

from foundation.cli import UserError, one_line


def processes_of(config_file: str | None) -> int:
    """How many processes `accelerate launch` starts: by this configuration or, without one, by the user's default one
    (`accelerate config` writes it), or by the GPUs there are.

    Raises UserError for a configuration that accelerate refuses.
    """
    import yaml
    from accelerate.commands import launch

    words = [*(["--config_file", config_file] if config_file else []), "script.py"]
    where = f"--config_file {config_file!r}" if config_file else "accelerate's default configuration"
    logger = logging.getLogger(launch.__name__)
    before = logger.level
    logger.setLevel(logging.ERROR)  # the launcher will say itself which defaults it takes
    try:
        with contextlib.redirect_stderr(None):
            wanted = launch.launch_command_parser().parse_args(words)
            wanted, _, _ = launch._validate_launch_command(wanted)
    except FileNotFoundError as error:
        raise UserError(f"{where} is not a file: take one of training/configs") from error
    except (ValueError, TypeError, KeyError, AttributeError, OSError, yaml.YAMLError) as error:
        raise UserError(
            f"{where} is refused by accelerate ({one_line(error)}): take one of training/configs"
        ) from error
    finally:
        logger.setLevel(before)
    spreads = wanted.multi_gpu or wanted.use_fsdp or wanted.use_deepspeed or wanted.use_megatron_lm or wanted.tpu
    # On one device accelerate starts one process, whatever the number says (as in cpu.yaml), except under MPI.
    alone = wanted.cpu or not (spreads or wanted.mpirun_hostfile)
    return 1 if alone else max(1, int(wanted.num_processes or 1))
