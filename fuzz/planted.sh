#!/usr/bin/env bash
# Shows that fuzzing finds faults: runs the target `planted`, which is the message parser with a panic behind it for an
# rport of just 31 in the topmost Via of a well-formed request. No seed holds it. Succeeds when it is found in time.
#
#   fuzz/planted.sh [most seconds, 300 by default]
set -u
cd "$(dirname "$0")" || exit 2
seconds=${1:-300}
export CARGO_TARGET_DIR=$PWD/target
if grep -rqaE 'rport=31([^0-9]|$)' seeds; then
    echo "a seed holds the planted fault" >&2
    exit 2
fi
timeout 1800 cargo fuzz build --sanitizer none planted || exit 2
host=$(rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus" "$work/artifacts"
# One small request to begin with; all else is the fuzzer's own.
printf 'OPTIONS sip:a SIP/2.0\r\nv:SIP/2.0/UDP h;rport=1\r\nf:<sip:a>\r\nt:<sip:a>\r\ni:i\r\nCSeq:1 OPTIONS\r\n\r\n' >"$work/corpus/one"
begin=$SECONDS
timeout --kill-after=5 $((seconds + 30)) "$CARGO_TARGET_DIR/$host/release/planted" -max_total_time="$seconds" \
    -rss_limit_mb=1024 -max_len=128 -artifact_prefix="$work/artifacts/" -print_final_stats=1 \
    "$work/corpus" >"$work/log" 2>&1
status=$?
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log" | tail -1)
if ((status != 0)) && grep -q "the planted fault" "$work/log"; then
    echo "found after $((SECONDS - begin)) s and $executions executions, in this input:"
    head -c 2000 "$work"/artifacts/crash-* | cat -v
    exit 0
fi
echo "not found in $seconds s and $executions executions (status $status)" >&2
tail -n 5 "$work/log" >&2
exit 1
