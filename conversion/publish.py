"""Push a converted model to the Hub in one commit, read back and compared.

    python -m conversion.publish long-4096 --hub_model_id org/xlm-long-4096 --private

The token is that of `hf auth login` or HF_TOKEN; it is never a flag and appears in no message.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from foundation.cli import UserError, command_parser, run
from foundation.files import read_json

WRITTEN = ("config.json", "model.safetensors", "README.md", "conversion_report.json")

PUSHED = ("*.safetensors", "*.json", "README.md", "*.model", "*.txt", "*.codes", "*.png")  # no checkpoints, no pickles


def check_model_id(hub_model_id: str) -> None:
    """Refuse what is not `name` or `org/name`, before anything is made."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(hub_model_id)
    except HFValidationError as error:
        raise UserError(f"--hub_model_id {hub_model_id!r} is not a Hub id: give org/name") from error


def publish(folder: str | Path, hub_model_id: str, *, private: bool = False) -> str | None:
    """Push what `convert` wrote to `folder`; the commit's address, or None when the Hub held the same already.

    Raises:
        UserError: the folder is not a conversion's, there is no login, or the Hub refuses; nothing is half pushed.
    """
    from foundation.push import push_folder

    folder = Path(folder)
    check_model_id(hub_model_id)
    missing = [name for name in WRITTEN if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"FOLDER {str(folder)!r} lacks {', '.join(missing)}: give a folder that conversion.convert has written"
        )
    record = read_json(folder / "conversion_report.json", "FOLDER", dict)
    with tempfile.TemporaryDirectory() as staged:
        stage_model(folder, staged)
        card = Path(staged) / "README.md"
        text = card.read_text(encoding="utf-8")
        card.unlink()  # it may be the same file as the folder's own
        card.write_text(_name_in_card(text, hub_model_id), encoding="utf-8")
        return push_folder(
            staged,
            hub_model_id,
            "model",
            private=private,
            message=f"{record.get('source', 'an encoder')} made long: {record.get('max_pos', '?')} tokens",
        )


def stage_model(folder: str | Path, staged: str | Path) -> None:
    """Put into `staged` what the top level of `folder` holds of a model, by links where both are on one disk."""
    for pattern in PUSHED:
        for path in Path(folder).glob(pattern):
            _link_or_copy(path, Path(staged) / path.name)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)


def _name_in_card(card: str, new: str) -> str:
    """Put `new` where the card names the model: in its title, and wherever that same name is loaded."""
    title = re.search(r"^# (.+)$", card, flags=re.MULTILINE)
    if title is None:
        return card
    old = title.group(1)
    renamed = card.replace(f'from_pretrained("{old}")', f'from_pretrained("{new}")')
    return renamed.replace(title.group(0), f"# {new}", 1)


def main() -> None:

    parser = command_parser(
        description="Push a converted model to the Hub in one commit, logged in by `hf auth login` or HF_TOKEN.",
        example="python -m conversion.publish long-4096 --hub_model_id org/xlm-long-4096 --private",
    )
    parser.add_argument("folder", metavar="FOLDER", help="what conversion.convert wrote")
    parser.add_argument("--hub_model_id", required=True, help="org/name")
    parser.add_argument("--private", action="store_true", help="of a repository that is created")
    arguments = parser.parse_args()
    url = publish(arguments.folder, arguments.hub_model_id, private=arguments.private)
    print(url or f"{arguments.hub_model_id} holds these files already")


if __name__ == "__main__":
    run(main)
