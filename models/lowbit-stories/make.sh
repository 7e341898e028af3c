#!/usr/bin/env bash
# Makes the model of this folder anew: lets a teacher write stories, keeps the clean ones, trains, and puts weights,
# tokenizer, curve and texts beside this script. About an hour on one core.
#   models/lowbit-stories/make.sh TEACHER [WORK [OUT]]
# TEACHER: the folder of TinyStories-656K. WORK: where the large intermediate files go; .lowbit/lowbit-stories if not given.
# OUT: where the result goes instead. To see every step work in a minute:
#   TEXTS=300 HELD_OUT=40 MINIMUM=2 STEPS=20 models/lowbit-stories/make.sh TEACHER work out
set -euo pipefail
teacher=${1:?usage: make.sh TEACHER [WORK [OUT]]}
work=${2:-.lowbit/lowbit-stories}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lowbit=$here/../../lowbit
out=${3:-$here}
mkdir -p "$work" "$out"

# write SEED TEXTS FILE: the teacher's texts number SEED, SEED + 1, ...
write() { "$lowbit" corpus "$teacher" --texts "$2" --temperature 0.7 --top-p 0.9 --max-tokens 400 --activations float --seed "$1" -o "$3" --force; }
clean() { awk -v MINIMUM="${MINIMUM:-10}" -f "$here/clean.awk" "$work/raw.jsonl" "$1"; } # words are counted in the training text

write 1 "${TEXTS:-25000}" "$work/raw.jsonl"
write 1000001 "${HELD_OUT:-400}" "$work/raw-held-out.jsonl"
clean "$work/raw.jsonl" >"$work/stories.jsonl"
clean "$work/raw-held-out.jsonl" >"$work/held-out.jsonl"

"$lowbit" train "$here/config.json" --new-tokenizer --text "$work/stories.jsonl" --eval-text "$work/held-out.jsonl" --type f16 --steps "${STEPS:-5000}" --batch 4 \
    --context 256 --learning-rate 2e-3 --beta2 0.99 --threads 1 -o "$work/model" --force

cp "$work"/model/{model.safetensors,tokenizer.json,training.svg} "$work/held-out.jsonl" "$out"
head -n 1200 "$work/stories.jsonl" >"$out/stories.jsonl"
[ "$out" -ef "$here" ] || cp "$here/config.json" "$out"
