# What scripts/test counts with; sourced by it. Wants $results, a directory, and $all, 1 or empty.
passed=0 failed=0 broken=()
# count NAME PASSED FAILED
count() {
  passed=$((passed + $2)) failed=$((failed + $3))
  [ "$3" = 0 ] || broken+=("$1: $3 failed")
}
# step NAME COMMAND...: one test, with its output kept and shown only when it fails.
step() {
  local name=$1 log="$results/$1.log"; shift
  if "$@" >"$log" 2>&1; then count "$name" 1 0; else count "$name" 0 1; tail -60 "$log"; echo "FAILED: $name (all of it: $log)"; fi
}
# junit NAME FILE: adds what a JUnit file counts, and names what failed. Without a file, or with half a one, the run did not come
# to its end.
junit() {
  local lines
  mapfile -t lines < <(/usr/bin/python3 scripts/count_junit.py "$2" 2>"$results/count.log")
  if [ ${#lines[@]} = 0 ]; then count "$1 (no result file)" 0 1; return; fi
  cat "$results/count.log" >&2
  count "$1" ${lines[0]}
  broken+=("${lines[@]:1}")
}
# bounded NAME SECONDS COMMAND...: cut by SIGTERM when its time is up, which is a failure of its own beside what had run by then.
# Returns the status of the command.
bounded() {
  local name=$1 seconds=$2 code=0; shift 2
  timeout -k 60 "$seconds" "$@" || code=$?
  unless_cut "$name" "$seconds" $code
}
# unless_cut NAME SECONDS STATUS: a failure where timeout(1) had to end the command (124) or to kill it (137). Returns the status.
unless_cut() {
  if [ "$3" = 124 ] || [ "$3" = 137 ]; then count "$1 was cut after $2 s" 0 1; echo "FAILED: $1 was cut after $2 s"; fi
  return "$3"
}
# gtest NAME SECONDS SHARDS PROGRAM: a GoogleTest program, so many parts of it side by side.
gtest() {
  local name=$1 seconds=$2 shards=$3 program=$4 shard part code pids=()
  for ((shard = 0; shard < shards; ++shard)); do
    part=$results/$name.$shard
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard \
      timeout -k 60 "$seconds" "$program" --gtest_brief=1 --gtest_output="xml:$part.xml" >"$part.log" 2>&1 &
    pids+=($!)
  done
  for ((shard = 0; shard < shards; ++shard)); do
    part=$results/$name.$shard code=0
    wait "${pids[shard]}" || code=$?
    unless_cut "$name" "$seconds" $code || tail -40 "$part.log"
    # A program that crashed wrote no result file.
    if [ -f "$part.xml" ]; then junit "$name" "$part.xml"; else count "$name (exit $code)" 0 1; fi
  done
}
# real_parts NAME SECONDS TESTS...: pytest with a bound; `all` has three times as long.
real_parts() {
  local name=$1 seconds=$2; shift 2
  bounded "$name" $((all ? 3 * seconds : seconds)) /usr/bin/python3 -m pytest -p no:cacheprovider -q -rs --tb=short \
    --junitxml="$results/$name.xml" "$@"
  # 1: some failed, which the file says. Anything else but 0 is no result: interrupted, no tests, a broken conftest.
  case $? in 0 | 1 | 124 | 137) ;; *) count "$name (pytest did not come to its end)" 0 1 ;; esac
  junit "$name" "$results/$name.xml"
}
# counts_itself NAME SECONDS COMMAND...: its own closing line is the count; without one it did not come to its end.
counts_itself() {
  local name=$1 numbers; shift
  bounded "$name" "$@" > >(tee "$results/$name.log") 2>&1
  wait $!   # for tee
  numbers=$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$results/$name.log" | tail -1)
  count "$name" ${numbers:-0 1}
}
