"""Upload the page as a Space that runs as it stands: README with its header, pinned requirements, the rooms it needs.

python -m space.publish --repo_id org/long-doc-qa
python -m space.publish --repo_id org/long-doc-qa --model_name_or_path org/xlm-long-qa
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from foundation.cards import CARD, kept_line
from foundation.cli import UserError, command_parser, run
from foundation.files import atomic_folder
from foundation.push import push_folder, settle

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("foundation", "hub_datasets", "conversion", "training", "space")
TORCH_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"

START = '''"""Starts the page; the Space runs this file."""
{model}
from foundation.cli import run
from space.app import main

run(main)
'''
# README.md speaks of the shipped adapter from the first of these to the second. OWN takes its place.
OURS = ("The model is multilingual-e5-small", "it can be wrong. ")
OWN = """The model is [{name}](https://huggingface.co/{name}). It finds short answers that stand word for word in the
text; it does not sum up, count or combine, and it can be wrong. """
MODEL = """
import os

os.environ.setdefault("SPACE_MODEL", {name!r})
"""


def build(folder: Path, model_name_or_path: str | None = None, repo_id: str = "org/long-doc-qa") -> None:
    """Write the Space's files into an empty folder.

    Args:
        model_name_or_path: a QA model on the Hub; None takes the adapter shipped with this project.
        repo_id: of the Space, for the example of a call in its README.
    """
    adapter = ROOT / "space" / "adapter" / "adapter_model.safetensors"
    if model_name_or_path is None and not adapter.is_file():
        raise UserError(
            "--model_name_or_path is not given and the project's own adapter is not at space/adapter: train it with "
            "training/finetune.py, or name a question-answering model on the Hub"
        )
    if model_name_or_path is not None and Path(model_name_or_path).exists():
        raise UserError(
            f"--model_name_or_path {model_name_or_path!r} is a local folder, which a Space cannot reach: push it first "
            "and give its id"
        )
    if model_name_or_path is not None and not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model_name_or_path):
        raise UserError(f"--model_name_or_path {model_name_or_path!r} is no id of the Hub: give one such as org/name")
    from huggingface_hub import SpaceCard

    for file in _files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, folder / file)
    readme = (folder / "space" / "README.md").read_text(encoding="utf-8").replace("org/long-doc-qa", repo_id)
    (folder / "space" / "README.md").unlink()
    if model_name_or_path is not None:
        shutil.rmtree(folder / "space" / "adapter", ignore_errors=True)
        start, rest = readme.split(OURS[0])
        readme = start + OWN.format(name=model_name_or_path) + rest.split(OURS[1])[1]
    card = SpaceCard(readme)
    card.data["models"] = [model_name_or_path] if model_name_or_path else None  # the Hub makes links of them
    header = card.data.to_dict()
    (folder / CARD).write_text(f"{str(card).rstrip()}\n\n{kept_line(header)}\n", encoding="utf-8")
    (folder / "space" / "requirements.txt").unlink()
    (folder / "requirements.txt").write_text(requirements(), encoding="utf-8")
    model = MODEL.format(name=model_name_or_path) if model_name_or_path else ""
    (folder / "app.py").write_text(START.format(model=model), encoding="utf-8")
    shutil.copy(ROOT / "LICENSE", folder)


def _files() -> list[Path]:
    """The rooms' files: what git tracks of them, so that notes and data left lying there do not become public.

    Without git, as in an unpacked source archive, all of them.
    """
    if not (ROOT / ".git").exists():
        found = (file.relative_to(ROOT) for room in ROOMS for file in (ROOT / room).rglob("*") if file.is_file())
        return [file for file in found if not any(part == "__pycache__" or part[0] == "." for part in file.parts)]
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *ROOMS]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"{ROOT} is a git checkout, and git does not list its files: make `git status` work there"
        ) from error
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def requirements() -> str:
    """space/requirements.txt with every release pinned to the one in constraints.txt."""
    constraints = ROOT / "constraints.txt"
    if not constraints.is_file():
        raise UserError(f"{str(constraints)!r} is not there: publish from a checkout of the project")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", constraints.read_text(encoding="utf-8"), re.MULTILINE))
    lines = [TORCH_INDEX]
    for line in (ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").splitlines():
        name = re.split(r"[=\[]", line)[0]
        if line.startswith("#"):
            continue
        lines.append(line if "==" in line else f"{line}=={pins[name]}")
    return "\n".join(lines) + "\n"


def check_space(repo_id: str) -> None:
    """Refuse a Space that is not this page: the upload would replace its files."""
    from huggingface_hub import HfApi, errors

    try:
        files = set(HfApi().list_repo_files(repo_id, repo_type="space")) - {".gitattributes", "README.md"}
    except errors.RepositoryNotFoundError:
        return
    if files and "space/app.py" not in files:
        raise UserError(
            f"--repo_id {repo_id!r} is a Space of another kind ({', '.join(sorted(files)[:3])}), whose files would be "
            "replaced: choose another name"
        )


def main() -> None:
    parser = command_parser(
        description="Upload the page as a Gradio Space, in one commit.",
        example="python -m space.publish --repo_id org/long-doc-qa",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--repo_id", help="Space on the Hub, owner/name or a name in your own space; created when missing"
    )
    target.add_argument("--output_dir", help="write the Space's files into this folder and push nothing")
    parser.add_argument("--model_name_or_path", help="QA model on the Hub that it serves; by default our own adapter")
    parser.add_argument("--private", action="store_true", help="create the Space as private")
    arguments = parser.parse_args()
    if arguments.output_dir:
        if arguments.private:
            raise UserError("--private is for --repo_id, and --output_dir pushes nothing: leave it out")
        with atomic_folder(arguments.output_dir, replace_flag=None) as folder:
            build(folder, arguments.model_name_or_path)
        print(f"written: {arguments.output_dir} (start it there with `python app.py`)")
        return
    repo_id = settle(arguments.repo_id, "space", private=arguments.private, argument="--repo_id")
    with tempfile.TemporaryDirectory() as temporary:
        check_space(repo_id)
        build(Path(temporary), arguments.model_name_or_path, repo_id)
        url = push_folder(
            temporary,
            repo_id,
            "space",
            private=arguments.private,
            message="Publish the page",
            delete_patterns=[f"{room}/**" for room in ROOMS],
        )
    from huggingface_hub import constants

    print(f"{constants.ENDPOINT}/spaces/{repo_id}{'' if url else ' is up to date'}")


if __name__ == "__main__":
    run(main)
