#!/bin/bash
# Builds the Dockerfile for real, without a Docker engine, and runs the quickstart in the image as its own user.
#
#   sudo tests/test_docker.sh          15 minutes, as many for the pages, and 15 GB of scratch space under TMPDIR
#   sudo KEEP=/var/tmp/images tests/test_docker.sh   images stay in that folder, and what is there is not built again
#
# Needs root, buildah and debootstrap (Debian: apt-get install buildah debootstrap). The base image is made here from
# Debian 12's own Python 3.11, so no image registry is asked. Where pip looks for packages on this machine is handed in
# while building, and is not in the image afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in buildah debootstrap; do
  command -v "$tool" >/dev/null || { echo "error: $tool is not installed: apt-get install buildah debootstrap" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "error: run as root: the base image is a Debian that debootstrap unpacks" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/docker-test.XXXXXX")
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "${KEEP:-$work}/storage" --runroot "${KEEP:-$work}/run" "$@"; }
container=
cleanup() {
  if [ -n "$container" ]; then buildah umount "$container" >/dev/null 2>&1 || true; fi
  buildah rm --all >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
step() { echo "== $((SECONDS / 60)) min $((SECONDS % 60)) s: $*"; }

if ! buildah inspect --type image localhost/base >/dev/null 2>&1; then
  step "base image: Debian 12 with Python 3.11"
  container=$(buildah from scratch)
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm \
    "$(buildah mount "$container")" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log"; exit 1; }
  buildah umount "$container" >/dev/null
  buildah commit --quiet "$container" localhost/base >/dev/null
  buildah rm "$container" >/dev/null
  container=
fi

# This machine's pip settings as one file, and every folder of this machine that they name, mounted while building.
python3 - "$work/pip.conf" >"$work/mounts" <<'PYTHON'
import json, os, re, subprocess, sys
listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
settings = {}
for line in listing.stdout.splitlines():
    key, value = line.split("=", 1)
    settings[re.sub(r"^(:env:|global|user|site)\.", "", key)] = value.strip("'\"").replace("\\n", " ")
settings.pop("constraint", None)
with open(sys.argv[1], "w") as file:
    file.write("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
for path in sorted(set(re.findall(r"(?:file://)?(/[^\s']+)", " ".join(settings.values())))):
    path = path if os.path.isfile(path) else re.sub(r"/simple/?$", "", path)
    if os.path.exists(path):
        print(f"--volume={path}:{path}:ro")
PYTHON
mapfile -t mounts <"$work/mounts"
mounts+=("--volume=$work/pip.conf:/etc/pip.conf:ro")

# What git knows or would add, so that a change made meanwhile does not look like a lost layer.
mkdir "$work/context"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$work/context"

build() {
  buildah bud --layers --build-arg BASE_IMAGE=localhost/base --build-arg TORCH_CPU_INDEX= \
    "${mounts[@]}" --tag localhost/ours "$work/context" >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }
}
step "image"
build
step "image again, with another line of code: the dependencies' layer is kept"
echo "# changed" >>"$work/context/space/__init__.py"
build
grep -A3 "RUN python3 -c" "$work/build.log" | grep -q "Using cache" || { echo "the layer was not reused"; exit 1; }

container=$(buildah from localhost/ours)
inside() { buildah run "$container" -- "$@"; }
step "what is in it"
[ "$(inside id -un)" = worker ] || { echo "the image runs as root"; exit 1; }
inside sh -c '! command -v gcc && ! command -v cc && ! test -s /etc/pip.conf && ! pip config list | grep -qv "^:env:"' ||
  { echo "a compiler, or this machine's pip settings, stayed in the image"; exit 1; }
inside sh -c 'touch models/x logs/x data/x && rm models/x logs/x data/x' || { echo "the user cannot write"; exit 1; }

step "every command has its help"
for command in "-m conversion.convert" "-m hub_datasets.publish" training/finetune.py training/pretrain.py training/score.py; do
  inside accelerate launch $command --help >"$work/help.log" 2>&1 || { tail -n 20 "$work/help.log"; exit 1; }
done
step "the thesis's two commands, with its flags, on the sample and for two steps"
inside python -c 'import json, pathlib
corpora = [json.loads(file.read_text())["data"] for file in sorted(pathlib.Path("hub_datasets/sample").glob("*.json"))]
text = "\n".join(p["context"] for articles in corpora for article in articles for p in article["paragraphs"])
for name in ("train", "valid"):
    pathlib.Path(f"data/wiki.{name}.raw").write_text(text)'
thesis="--logging_dir logs/run --seed 42 --learning_rate 3e-5 --max_steps 2 --evaluate_during_training --logging_steps 1
  --eval_steps 2 --save_steps 6000 --per_device_eval_batch_size 2 --per_device_train_batch_size 1
  --gradient_accumulation_steps 2 --overwrite_output_dir --fp16 --do_train --do_eval"
launched() {
  inside env HF_HUB_OFFLINE=1 accelerate launch "$@" $thesis >"$work/thesis.log" 2>&1 || { tail -n 30 "$work/thesis.log"; exit 1; }
}
launched training/pretrain.py --model_name_or_path embedded --model_name long --output_dir models/long \
  --val_file_path data/wiki.valid.raw --train_file_path data/wiki.train.raw --max_pos 1024 --adam_epsilon 1e-8 \
  --warmup_steps 500 --weight_decay 0.01 --max_grad_norm 1.0
launched training/finetune.py --model_name_or_path models/long --output_dir models/qa --dataset sample --do_lowercase \
  --max_length 512
inside sh -c 'ls models/long/model.safetensors models/qa/model.safetensors logs/run/events* >/dev/null'
step "the pages' commands"
volumes=("--volume=$PWD/tests:/workspace/tests:ro")
[ -z "${SHARED_DATA:-}" ] || volumes+=("--volume=$SHARED_DATA:/data:ro" "--env=SHARED_DATA=/data")
buildah run "${volumes[@]}" "$container" -- python -m tests.docs_blocks
step "the quickstart, as its own user"
inside env HF_HUB_OFFLINE=1 python -m space.quickstart
buildah images --format '{{.Name}} {{.Size}}' | grep ours
step "passed"
