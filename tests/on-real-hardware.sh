#!/bin/sh
# Runs on a host with VMX or SVM what no host without them can: the tests that are skipped there, every
# combination of --kick and --halt, the whole benchmark, the experiments; and packs what came out into one
# file to send back. docs/guide/real-hardware.md says more.
#
# RESULTS names another folder than target/real-hardware.
#
# A step that fails or takes too long is noted, and the next one runs. Nothing on the host is changed.
set -u
cd "$(dirname "$0")/.." || exit 1

usage="usage: tests/on-real-hardware.sh [--quick] [--only STEP]...
STEP: facts, build, doctor, conformance, locks, ple, tests, linux, experiments, bench"

quick=
only=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=--quick ;;
    --only)
      case " facts build doctor conformance locks ple tests linux experiments bench " in
        *" ${2:-} "*) only="$only $2" ;;
        *) echo "$usage" >&2; exit 2 ;;
      esac
      shift
      ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift
done

vmm=$PWD/target/release/vmm
bench=target/release/bench
parent=${RESULTS:-$PWD/target/real-hardware}
name=vmm-real-hardware-$(date -u +%Y%m%d-%H%M%S)
out=$parent/$name
steps=$out/steps.txt
cargo=${CARGO:-cargo}
HOME=${HOME:-/}
export LC_ALL=C CARGO_TERM_COLOR=never RUST_BACKTRACE=0
mkdir -p "$out"
: > "$steps"

# Longest that a step may take, in seconds: in a hurry, and else.
limit() {
  if [ -n "$quick" ]; then echo "$1"; else echo "$2"; fi
}

# step NAME SECONDS COMMAND...: output into NAME.txt, one line into steps.txt.
step() {
  step=$1
  seconds=$2
  shift 2
  if [ -n "$only" ]; then
    case " $only " in
      *" $step "*) ;;
      *) return ;;
    esac
  fi
  echo "$step ..." >&2
  begin=$(date +%s)
  if command -v "step_$step" > /dev/null; then
    # A function cannot be handed to timeout(1); its commands have limits of their own.
    "step_$step" "$seconds" > "$out/$step.txt" 2>&1
  else
    timeout --kill-after=10 "$seconds" "$@" > "$out/$step.txt" 2>&1
  fi
  code=$?
  took=$(($(date +%s) - begin))
  case $code in
    0) said=done ;;
    77) said="not possible here: $(tail -n 1 "$out/$step.txt")" ;;
    124 | 137) said="took longer than $seconds s" ;;
    *) said="exit code $code" ;;
  esac
  printf '%-12s %6s s  %s\n' "$step" "$took" "$said" | tee -a "$steps" >&2
}

# One heading and what a command says, as far as there is such a command.
show() {
  echo "## $*"
  "$@" 2>&1 || true
  echo
}

# Nothing that names the machine or its owner: no host name, no serial number, no address.
step_facts() {
  show uname -srvm
  show sed -n 's/^PRETTY_NAME=//p' /etc/os-release
  show lscpu
  show grep -m 1 microcode /proc/cpuinfo
  show free -m
  show cat /proc/loadavg
  show systemd-detect-virt
  echo "## kernel command line, what of it is about CPUs and KVM"
  tr ' ' '\n' < /proc/cmdline |
    grep -E '^(kvm|mitigations|isolcpus|nohz|rcu_nocbs|intel_|amd_|idle|processor|cpuidle|nosmt|preempt|tsc|clocksource)'
  echo
  for folder in /sys/module/kvm /sys/module/kvm_*; do
    [ -d "$folder/parameters" ] || continue
    echo "## ${folder#/sys/module/}"
    for parameter in "$folder"/parameters/*; do
      printf '%s=%s\n' "${parameter##*/}" "$(cat "$parameter" 2> /dev/null)"
    done
    echo
  done
  echo "## CPUs' clocks and idle states"
  for file in /sys/devices/system/cpu/cpu0/cpufreq/scaling_driver \
    /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor \
    /sys/devices/system/cpu/intel_pstate/no_turbo /sys/devices/system/cpu/cpufreq/boost \
    /sys/devices/system/cpu/cpuidle/current_governor \
    /sys/devices/system/clocksource/clocksource0/current_clocksource \
    /sys/devices/system/cpu/smt/active; do
    [ -r "$file" ] && echo "${file#/sys/devices/system/}=$(cat "$file")"
  done
  echo
  show grep -r . /sys/devices/system/cpu/vulnerabilities
}

step_build() {
  timeout 3600 "$cargo" build --release -p vmm &&
    timeout 3600 "$cargo" build --release -p vmm-tests --bins &&
    "$vmm" --version
}

step_doctor() {
  timeout "$1" "$vmm" doctor --json "$out/doctor.json" && timeout "$1" "$vmm" doctor
}

# Every lock under every way to kick and to halt, in both rings, at once and twice the CPUs.
step_locks() {
  cpus=$(nproc)
  mkdir -p "$out/locks"
  bad=0
  for vcpus in "$cpus" $((cpus * 2)); do
    for kick in kvm vmm; do
      for halt in kvm vmm; do
        for ring in 0 3; do
          for lock in pv-ticket pv-ticket-head pv-qspinlock; do
            file=$lock-$vcpus-$kick-$halt-ring$ring
            code=0
            timeout 60 "$vmm" run --vcpus "$vcpus" --kick "$kick" --halt "$halt" --serial null --timeout 30 \
              --json "$out/locks/$file.json" -- lock="$lock" ring="$ring" mortal=0 seconds="$(limit 0.3 2)" \
              > "$out/locks/$file.txt" 2>&1 || code=$?
            printf '%-14s %4s vCPUs  kick %s halt %s ring %s: %s\n' "$lock" "$vcpus" "$kick" "$halt" "$ring" \
              "$(grep -m 1 -E '^(PASSED|FAILED|HUNG|CRASHED|vmm:)' "$out/locks/$file.txt" || echo "exit code $code")"
            # 2 and 3: this host has no such combination, and says so.
            case $code in 0 | 2 | 3) ;; *) bad=1 ;; esac
          done
        done
      done
    done
  done
  return $bad
}

# The processor's own pause-loop exits: what switching them off changes.
step_ple() {
  cpus=$(nproc)
  mkdir -p "$out/ple-hardware"
  bad=0
  for ple in host off host off; do
    for lock in ticket pv-ticket-head; do
      file=$ple-$lock-$(ls "$out/ple-hardware" | wc -l)
      echo "--ple $ple, $lock, $((cpus * 2)) vCPUs"
      code=0
      timeout 60 "$vmm" run --vcpus $((cpus * 2)) --ple "$ple" --serial null --timeout 30 \
        --json "$out/ple-hardware/$file.json" -- lock="$lock" mortal=0 settle=0.5 seconds="$(limit 0.5 3)" \
        > "$out/ple-hardware/$file.txt" 2>&1 || code=$?
      grep -E '^(vmm:|acquired|exits|FAILED|HUNG)' "$out/ple-hardware/$file.txt"
      # 2 and 3: this host's KVM cannot switch them off, and says so.
      case $code in 0 | 2 | 3) ;; *) bad=1 ;; esac
    done
  done
  return $bad
}

# In a hurry only the files in which something is skipped somewhere.
step_tests() {
  if [ -n "$quick" ]; then
    set -- $(grep -l 'skip(\|SKIPPED' tests/e2e/*.rs | sed 's|.*/\(.*\)\.rs|--test \1|')
    timeout 3000 "$cargo" test --no-fail-fast -p vmm "$@"
  else
    timeout 7200 "$cargo" test --no-fail-fast --workspace
  fi
  code=$?
  echo
  echo "## still skipped"
  # A copy: this goes to the same file.
  cp "$out/tests.txt" "$out/tests-so-far"
  grep -a '^skipped: ' "$out/tests-so-far" | sort -u
  rm "$out/tests-so-far"
  return $code
}

step_linux() {
  timeout "$1" tests/linux/run
}

step_experiments() {
  set -- --repetitions "$(limit 2 5)" --seconds "$(limit 0.3 2)"
  mkdir -p "$out/experiments"
  bad=0
  for experiment in overcommit ple kick-yield; do
    timeout "$(limit 900 14400)" "$vmm" experiment $experiment --output "$out/experiments/$experiment" "$@" &&
      "$vmm" report "$out/experiments/$experiment" || bad=1
  done
  return $bad
}

step_bench() {
  # shellcheck disable=SC2086 # nothing or one word
  timeout "$1" $bench $quick --json "$out/bench.json"
}

step facts 60
step build 7200
if [ ! -x "$vmm" ]; then
  echo "on-real-hardware: there is no $vmm, so nothing else can run; see $out/build.txt" >&2
fi
step doctor 120
step conformance 600 "$vmm" conformance --json "$out/conformance.json"
step locks 0
step ple 0
step tests 0
step linux "$(limit 1800 3600)"
step experiments 0
step bench "$(limit 2400 7200)"

cat > "$out/README.md" <<END
# What vmm did on a host

Made by \`tests/on-real-hardware.sh $quick\` of revision $("$vmm" --version 2> /dev/null || git rev-parse HEAD).
The host's name and the paths of checkout and home are taken out.

\`\`\`text
$(cat "$steps")
\`\`\`

| file | holds |
|---|---|
| steps.txt | which steps ran, how long, how they ended |
| facts.txt | kernel, CPU, memory, parameters of KVM's modules |
| doctor.txt, doctor.json | what this host's KVM can do |
| conformance.txt, .json | the kick hypercall under every --kick and --halt |
| locks.txt, locks/ | locks under every --kick, --halt and ring; a report each |
| ple.txt, ple-hardware/ | the processor's pause-loop exits on and off; a report each |
| tests.txt | the test suite; what was still skipped is at its end |
| linux.txt | an unmodified Linux, where its kernel could be built |
| experiments.txt, experiments/ | overcommit, ple and kick-yield: records, tables, report.html |
| bench.txt, bench.json | \`make bench\`; tests/bench-to-markdown makes a page of it |
END

# The host's name and where the checkout lies say nothing about the numbers.
literally() {
  printf '%s\n' "$1" | sed 's/[][\\.*^$|]/\\&/g'
}
host=$(literally "$(uname -n)")
set -- -e "s|$(literally "$PWD")|.|g"
# A home that is / is in every path.
[ ${#HOME} -le 1 ] || set -- "$@" -e "s|$(literally "$HOME")|~|g"
# JSON's keys stay as they are, whatever the host is called.
set -- "$@" -e "s|\\b$host\\b|HOST|g" -e "s|\"\([^\"]*\)\\bHOST\\b\([^\"]*\"[[:space:]]*:\)|\"\1$(uname -n)\2|g"
find "$out" -type f | while read -r file; do
  sed -i "$@" "$file"
done

cd "$parent" || exit 1
if command -v zstd > /dev/null; then
  archive=$name.tar.zst
  tar -cf - "$name" | zstd -q -19 -o "$archive"
else
  archive=$name.tar.gz
  tar -czf "$archive" "$name"
fi
echo "packed into $parent/$archive, $(du -h "$archive" | cut -f 1)" >&2
