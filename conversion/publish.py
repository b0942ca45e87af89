"""Push a converted model to the Hub in one commit, read back and compared.

    python -m conversion.publish long-4096 --hub_model_id org/xlm-long-4096 --private

The token is that of `hf auth login` or HF_TOKEN; it is never a flag and appears in no message.
"""

import re
import tempfile
from pathlib import Path

from foundation.cli import UserError, command_parser, run
from foundation.files import read_json
from foundation.model_files import CONVERSION, REPLACED, stage_model
from foundation.push import push_folder, settle

WRITTEN = ("config.json", "model.safetensors", "README.md", "conversion_report.json")


def publish(folder: str | Path, hub_model_id: str, *, private: bool = False) -> str | None:
    """Push what `convert` wrote to `folder`; the commit's address, or None when the Hub held the same already.

    Raises:
        UserError: the folder is not a conversion's, there is no login, or the Hub refuses; nothing is half pushed.
    """
    folder = Path(folder)
    missing = [name for name in WRITTEN if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"FOLDER {str(folder)!r} lacks {', '.join(missing)}: give a folder that conversion.convert has written"
        )
    hub_model_id = settle(hub_model_id, "model", private=private)
    record = read_json(folder / "conversion_report.json", "FOLDER", dict)
    with tempfile.TemporaryDirectory() as staged:
        stage_model(folder, staged, CONVERSION)
        card = Path(staged) / "README.md"
        text = card.read_text(encoding="utf-8")
        card.unlink()  # it may be a hard link to the folder's own card, which must stay as it is
        card.write_text(_name_in_card(text, hub_model_id), encoding="utf-8")
        return push_folder(
            staged,
            hub_model_id,
            "model",
            private=private,
            message=f"{record.get('source', 'an encoder')} made long: {record.get('max_pos', '?')} tokens",
            delete_patterns=REPLACED,
        )


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
    parser.add_argument("--hub_model_id", required=True, help="org/name, or a name in your own space")
    parser.add_argument("--private", action="store_true", help="of a repository that is created")
    arguments = parser.parse_args()
    url = publish(arguments.folder, arguments.hub_model_id, private=arguments.private)
    print(url or f"{arguments.hub_model_id} holds these files already")


if __name__ == "__main__":
    run(main)
