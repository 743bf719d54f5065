#!/usr/bin/env bash
# The whole main job on real photographs: train, resume, export, convert, and look at what came out.
#
#     benchmarks/first_light.sh DATA [OUT]
#
# Needs the environment of `make test`. DATA holds train/photo (photographs), test/edges (drawings) and test/photo
# (the photographs of the same names).
# Two minutes of training and one after resuming: enough to see that everything works, not to see shoes.
set -euo pipefail
data=${1:?give the folder with train/photo, test/edges and test/photo}
out=${2:-runs/first-light}
bin=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin
[ ! -e "$out" ] || { echo "$out exists; name a new folder" >&2; exit 2; }
"$bin/translate" train sketch-to-photo --data "$data/train/photo" --out "$out" --max-time 3m --stop-after 2m
"$bin/translate" train sketch-to-photo --out "$out" --resume
"$bin/translate" export "$out" -o "$out/model.onnx"
"$bin/translate" convert "$data/test/edges" "$out/converted" --model "$out/model.onnx"
"$bin/translate" evaluate "$out/model.onnx" --data "$data/test" --folders edges photo --out "$out/evaluation"
# A picture that ignores the drawing has a line contrast of 1, a grey one a chroma of 0.
"$bin/python" - "$out/evaluation/summary.json" <<'PYTHON'
import json, sys
found = json.load(open(sys.argv[1]))
ok = found["line_contrast"] > 1.5 and found["chroma"] > 0.01
print(f"line contrast {found['line_contrast']:.2f} (above 1.5), chroma {found['chroma']:.3f} (above 0.01):", "pass" if ok else "FAIL")
sys.exit(0 if ok else 1)
PYTHON
