#!/bin/sh
# Runs on a host with VMX or SVM what no host without them can: the tests that are skipped there, every
# combination of --kick and --halt, the whole benchmark, the experiments; and packs what came out into one
# file to send back. docs/guide/real-hardware.md says more.
#
# RESULTS names another folder than target/real-hardware, VMM a build of vmm to use instead of a new one.
#
# A step that fails or takes too long is noted, and the next one runs. Nothing on the host is changed.
set -u
cd "$(dirname "$0")/.." || exit 1

all="facts build doctor conformance locks ple tests linux experiments bench"
usage="usage: tests/on-real-hardware.sh [--quick] [--only STEP]...
STEP: $(echo "$all" | sed 's/ /, /g')"

quick=
only=
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=--quick ;;
    --only)
      case " $all " in
        *" ${2:-} "*) only="$only $2" ;;
        *) echo "$usage" >&2; exit 2 ;;
      esac
      shift
      ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift
done

cargo=${CARGO:-cargo}
HOME=${HOME:-/}
# Every build below, made by make or not, goes to the same place.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export LC_ALL=C CARGO_TERM_COLOR=never RUST_BACKTRACE=0
given=${VMM:-}
vmm=${given:-$CARGO_TARGET_DIR/release/vmm}
bench=$CARGO_TARGET_DIR/release/bench
parent=${RESULTS:-$PWD/target/real-hardware}
name=vmm-real-hardware-$(date -u +%Y%m%d-%H%M%S)
out=$parent/$name
steps=$out/steps.txt
mkdir -p "$out" && : > "$steps" || exit 1
missing=

say() {
  echo "on-real-hardware: $*" >&2
}

# In a hurry the first, and else the second.
limit() {
  if [ -n "$quick" ]; then echo "$1"; else echo "$2"; fi
}

# step NAME SECONDS: runs step_NAME, whose output goes into NAME.txt, and adds a line to steps.txt. The
# seconds are the longest that all of it may take.
step() {
  step=$1
  seconds=$2
  case " ${only:-$all} " in
    *" $step "*) ;;
    *) return ;;
  esac
  begin=$(date +%s)
  case $step in
    facts | build) ;;
    *)
      if [ ! -x "$vmm" ]; then
        missing=yes
        printf '%-12s %6s s  %s\n' "$step" 0 "not run: there is no vmm" | tee -a "$steps" >&2
        return
      fi
      ;;
  esac
  echo "$step ..." >&2
  "step_$step" > "$out/$step.txt" 2>&1
  code=$?
  took=$(($(date +%s) - begin))
  case $code in
    0) said=done ;;
    77) said="not possible here: $(tail -n 1 "$out/$step.txt")" ;;
    124 | 137) said="ended after $took s, of the $seconds s that it may take" ;;
    *) said="exit code $code" ;;
  esac
  printf '%-12s %6s s  %s\n' "$step" "$took" "$said" | tee -a "$steps" >&2
}

# What the step under way has left, in seconds.
left() {
  echo $((begin + seconds - $(date +%s)))
}

# within SECONDS COMMAND...: not longer than that, and not longer than the step has left; 124 if it would be.
within() {
  most=$(left)
  [ "$most" -gt 0 ] || return 124
  [ "$1" -gt "$most" ] || most=$1
  shift
  timeout --kill-after=10 "$most" "$@"
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
  if [ -z "$given" ]; then
    within "$seconds" make build || return
  fi
  within "$seconds" "$cargo" build --release -p vmm-tests --bins && "$vmm" --version
}

step_doctor() {
  within "$seconds" "$vmm" doctor --json "$out/doctor.json" && within "$seconds" "$vmm" doctor
}

step_conformance() {
  within "$seconds" "$vmm" conformance --json "$out/conformance.json"
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
            [ "$(left)" -gt 0 ] || return 124
            within 60 "$vmm" run --vcpus "$vcpus" --kick "$kick" --halt "$halt" --serial null --timeout 30 \
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
      [ "$(left)" -gt 0 ] || return 124
      within 60 "$vmm" run --vcpus $((cpus * 2)) --ple "$ple" --serial null --timeout 30 \
        --json "$out/ple-hardware/$file.json" -- lock="$lock" mortal=0 settle=0.5 seconds="$(limit 0.5 3)" \
        > "$out/ple-hardware/$file.txt" 2>&1 || code=$?
      grep -E '^(vmm:|acquired|exits|FAILED|HUNG)' "$out/ple-hardware/$file.txt"
      # 2 and 3: this host's KVM cannot switch them off, and says so.
      case $code in 0 | 2 | 3) ;; *) bad=1 ;; esac
    done
  done
  return $bad
}

# In a hurry only what skips something somewhere: suites, which are files or folders, and unit tests.
step_tests() {
  if [ -n "$quick" ]; then
    set -- -p vmm --lib
    for suite in tests/e2e/*; do
      suite=${suite##*/}
      ! grep -rqE 'skip\(|SKIPPED' "tests/e2e/$suite" || set -- "$@" --test "${suite%.rs}"
    done
  else
    set -- --workspace
  fi
  # A unit test's reason is in what the harness keeps of a test that passes.
  within "$seconds" "$cargo" test --no-fail-fast "$@" -- --show-output
  code=$?
  echo
  echo "## still skipped"
  # A copy: this goes to the same file.
  cp "$out/tests.txt" "$out/tests-so-far"
  grep -aoE '(skipped|SKIPPED): .*' "$out/tests-so-far" | sort -u
  rm "$out/tests-so-far"
  return $code
}

step_linux() {
  within "$seconds" tests/linux/run || return
  ! grep -q '^SKIPPED' "$out/linux.txt" || return 77
}

# The built-in ones, and the collapse on all CPUs rather than on two.
step_experiments() {
  mkdir -p "$out/experiments"
  bad=0
  for experiment in overcommit ple kick-yield; do
    run_experiment $experiment $experiment || bad=1
  done
  cpus=$(nproc)
  most=$("$vmm" doctor --json - | sed -n '/"id": "max_vcpus"/,/}/s/.*"answer": "\([0-9]*\)".*/\1/p')
  vcpus=
  for factor in 1 2 4 8; do
    [ $((cpus * factor)) -gt "${most:-1024}" ] || vcpus=$vcpus,$((cpus * factor))
  done
  run_experiment overcommit overcommit-all-cpus --set "pcpus=$cpus" --set "vcpus=${vcpus#,}" || bad=1
  [ "$(left)" -gt 0 ] || return 124
  return $bad
}

# run_experiment NAME FOLDER [OPTION]...: the experiment and its report.
run_experiment() {
  experiment=$1
  folder=$out/experiments/$2
  shift 2
  echo "## ${folder##*/}"
  within "$seconds" "$vmm" experiment "$experiment" --output "$folder" \
    --repetitions "$(limit 2 5)" --seconds "$(limit 0.3 2)" "$@" &&
    within 300 "$vmm" report "$folder"
}

step_bench() {
  # shellcheck disable=SC2086 # nothing or one word
  within "$seconds" env VMM="$vmm" "$bench" $quick --json "$out/bench.json"
}

step facts 60
step build 7200
step doctor 120
step conformance 600
step locks "$(limit 900 3600)"
step ple "$(limit 300 900)"
step tests "$(limit 3000 7200)"
step linux "$(limit 1800 3600)"
step experiments "$(limit 2700 14400)"
step bench "$(limit 2400 7200)"
if [ -n "$missing" ]; then
  say "there is no $vmm; what needs one has not been run. What the build said is in $out/build.txt"
fi

# A host may be called what the results are full of anyhow, as kvm or linux; then it stays. The longer name
# first: the shorter one is its beginning.
taken_out="The host's name and the paths of checkout and home are taken out."
names=
for word in $({ uname -n; uname -n | cut -d . -f 1; } | sort -ru); do
  if grep -rqwiF -e "$word" README.md docs guest-payload/src vmm/src tests "$out/facts.txt" 2> /dev/null; then
    taken_out="The paths of checkout and home are taken out. The host's name, $word, is a word that stands in results
wherever they come from: it is NOT taken out."
    say "the host's name, $word, is a word that stands in results wherever they come from: it is not taken out"
  else
    names="$names $word"
  fi
done

cat > "$out/README.md" <<END
# What vmm did on a host

Made by \`tests/on-real-hardware.sh $quick\` of revision $("$vmm" --version 2> /dev/null || git rev-parse HEAD).
$taken_out

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
| experiments.txt, experiments/ | overcommit, ple and kick-yield, and overcommit on all CPUs: records, tables, report.html |
| bench.txt, bench.json | \`make bench\`; tests/bench-to-markdown makes a page of it |
END

# Whole words, and paths from their beginning: /vmm is not in target/release/vmm.
literally() {
  printf '%s\n' "$1" | sed 's/[][\\.*^$|]/\\&/g'
}
# The beginning of a path of one name alone, as /vmm, may be the middle of another.
beginning() {
  case $1 in
    /*/*) literally "$1" ;;
    *) printf '\\B%s' "$(literally "$1")" ;;
  esac
}
set --
for path in "$(pwd -P)" "$PWD"; do
  set -- "$@" -e "s|$(beginning "$path")\b|.|g"
done
for path in "$(cd -P "$HOME" && pwd)" "$HOME"; do
  # A home that is / is in every path.
  [ ${#path} -le 1 ] || set -- "$@" -e "s|$(beginning "$path")\b|~|g"
done
for word in $names; do
  set -- "$@" -e "s|\b$(literally "$word")\b|HOST|g"
done
if ! find "$out" -type f -exec sed -i "$@" {} +; then
  say "names and paths could not be taken out of all files in $out: nothing is packed"
  exit 1
fi

cd "$parent" || exit 1
archive=$name.tar
if ! tar -cf "$archive" "$name"; then
  say "$parent/$archive could not be written; the results are in $out"
  exit 1
fi
if command -v zstd > /dev/null; then
  pack="zstd -q -19 --rm"
  packed=$archive.zst
else
  pack=gzip
  packed=$archive.gz
fi
if ! $pack "$archive"; then
  say "$parent/$packed could not be written; the results are in $out and $archive"
  exit 1
fi
echo "packed into $parent/$packed, $(du -h "$packed" | cut -f 1)" >&2
[ -z "$missing" ]
