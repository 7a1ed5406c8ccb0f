#!/usr/bin/env bash
# Line coverage of the readers by the seeds and the corpus: builds the replay program with coverage instrumentation,
# gives it every input of every target, and prints the figures of each file. Needs LLVM's tools, 19 or later
# (Debian: llvm-19). Fails when a file is below the mark.
#
#   fuzz/coverage.sh [mark in per cent, 85 by default]
set -eu
cd "$(dirname "$0")"
mark=${1:-85}
tool() {
    # The unversioned one may be too old to read what rustc writes.
    for name in "$1-22" "$1-19" "$1"; do
        if command -v "$name"; then
            return
        fi
    done
    echo "$1 19 or later is needed (apt-get install llvm-19)" >&2
    exit 2
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)
out=target/coverage
# Build scripts and macros are not measured.
RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE=/dev/null \
    cargo build --quiet --example replay --target-dir "$out"
rm -f "$out"/*.profraw
for target in sip_message sip_stream sdp rtp rtcp smpp; do
    LLVM_PROFILE_FILE="$out/$target.profraw" timeout 300 "$out/debug/examples/replay" "$target" "seeds/$target" "corpus/$target"
done
"$profdata" merge -sparse "$out"/*.profraw -o "$out/all.profdata"
files=(../src/sip/message/*.rs ../src/media/sdp/description.rs ../src/media/sdp/negotiation.rs ../src/media/rtp.rs
    ../src/media/rtcp.rs ../src/sms/smpp/pdu.rs ../src/sms/smpp/receipt.rs ../src/sms/smpp/joiner.rs)
"$cov" export "$out/debug/examples/replay" -instr-profile="$out/all.profdata" -summary-only >"$out/summary.json"
python3 - "$mark" "$out/summary.json" "${files[@]}" <<'PY'
import json, os, sys
mark, summary, files = float(sys.argv[1]), sys.argv[2], {os.path.realpath(f) for f in sys.argv[3:]}
low = 0
print(f"{'lines':>6} {'covered':>8} {'%':>6}  file")
total = [0, 0]
for entry in json.load(open(summary))["data"][0]["files"]:
    path = os.path.realpath(entry["filename"])
    if path not in files:
        continue
    lines = entry["summary"]["lines"]
    total[0] += lines["count"]
    total[1] += lines["covered"]
    below = lines["percent"] < mark
    low += below
    short = path[path.index("/src/") + 1:]
    print(f"{lines['count']:6} {lines['covered']:8} {lines['percent']:6.1f}  {short}{'  BELOW THE MARK' if below else ''}")
print(f"{total[0]:6} {total[1]:8} {100 * total[1] / max(total[0], 1):6.1f}  all")
sys.exit(1 if low or not total[0] else 0)
PY
