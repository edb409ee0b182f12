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
# junit NAME FILE: adds what a JUnit file counts. Without a file, or with half a one, the run did not come to its end.
junit() {
  local numbers
  numbers=$(/usr/bin/python3 scripts/count_junit.py "$2" 2>"$results/count.log")
  if [ -n "$numbers" ]; then cat "$results/count.log" >&2; count "$1" $numbers; else count "$1 (no result file)" 0 1; fi
}
# bounded NAME SECONDS COMMAND...: cut by SIGTERM when its time is up, which is a failure of its own beside what had run by then.
# Returns the status of the command.
bounded() {
  local name=$1 seconds=$2 code=0; shift 2
  timeout -k 60 "$seconds" "$@" || code=$?
  # timeout(1): 124 when it had to end the command, 137 when it had to kill it.
  if [ $code = 124 ] || [ $code = 137 ]; then count "$name was cut after $seconds s" 0 1; echo "FAILED: $name was cut after $seconds s"; fi
  return $code
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
