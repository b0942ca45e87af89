#!/bin/sh
# Everything that is to be known of a GPU, in some eight minutes on a large one: tests, the attention beside full
# attention, a pre-training step beside the cost model, a fine-tuning run, and reading whole against windows.
#
#   benchmarks/gpu.sh OUTPUT_DIR
#   DEVICE=cpu benchmarks/gpu.sh OUTPUT_DIR       # the same commands at tiny sizes, to see that they work
#
# A part that fails is named at the end, and the others go on. JSON and tables lie in OUTPUT_DIR; docs/ is not touched.
set -u
[ $# -eq 1 ] || { echo "error: give the folder for the figures: benchmarks/gpu.sh OUTPUT_DIR" >&2; exit 2; }
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
python=${PYTHON:-python}
failed=

if [ "${DEVICE:-cuda}" = cpu ]; then
  attention="--device cpu --tokens 256 --lengths 128 256 --layers 2 --width 96 --repeats 1 --warmup 0"
  systems="native ours compiled full masked floor"
  step="--device cpu --length 512 --layers 1 --width 96 --vocab_size 500 --steps 1"
  steps=2 lengths=300 repeats=2 concats=1
else
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    { echo "error: DEVICE=cuda: torch finds no such device here; DEVICE=cpu tries the commands" >&2; exit 2; }
  attention="--device cuda --tokens 32768 --lengths 512 1024 2048 4096 8192 16384 32768 65536 --layers 12 --dtype bfloat16 --repeats 5 --warmup 2"
  systems="native ours compiled graphs full masked modernbert floor"
  step="--device cuda --layers 12 --steps 5"
  steps=60 lengths=4096,16384 repeats=9 concats=12
fi

part() {
  name=$1
  shift
  echo "== $name: $*"
  started=$(date +%s)
  "$@" > "$out/$name.txt" 2>&1 || failed="$failed $name"
  tail -n 40 "$out/$name.txt"
  echo "== $name took $(($(date +%s) - started)) s"
}

part tests "$python" -m pytest -q -n 0 tests/conversion/test_attention_cuda.py
# shellcheck disable=SC2086  # the settings are words
part attention "$python" -m benchmarks.attention --modes forward training $attention --systems $systems --output "$out/attention.json"
# shellcheck disable=SC2086
part step "$python" -m benchmarks.pretraining step $step --output "$out/step.json"
part model "$python" -m benchmarks.scaling check --steps "$out/step.json"
part finetune "$python" -m accelerate.commands.launch training/finetune.py --model_name_or_path embedded-long \
  --dataset sample --language all --nr_concats "$concats" --lora_r 16 --do_train --max_steps "$steps" \
  --per_device_train_batch_size 8 --gradient_accumulation_steps 1 --logging_steps 10 --include_num_input_tokens_seen \
  --output_dir "$out/finetuned" --overwrite_output_dir
part reading "$python" -m benchmarks.reader --lengths "$lengths" --repeats "$repeats" --output "$out/reading.json"

[ -z "$failed" ] || { echo "error: failed:$failed; see OUTPUT_DIR" >&2; exit 1; }
