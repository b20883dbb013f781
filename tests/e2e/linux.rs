//! A Linux that nobody here wrote starts, uses PV spinlocks, and ends as it likes.
//!
//! `make test-linux` builds the kernel and names its folder in the environment. There is no user space
//! to speak of, `syscall` not working on every kind of host: the command line asks for all it does.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use vmm_tests::command::{Folder, Report, Vmm, skip};
use vmm_tests::process::Process;

/// Names the folder of the kernel.
const FOLDER: &str = "LINUX_GUEST";
/// No run may take longer. Where CPL 0 is emulated, seconds are what a start takes.
const LIMIT: Duration = Duration::from_secs(400);

/// The console, an end after a panic, and no time spent on write-protecting the kernel.
const COMMON: &str = "console=ttyS0 panic=-1 rodata=off";
/// The first thread rests for ever; without a root to mount there is nothing for it to do.
const NO_INIT: &str = "rootdelay=100000";
/// Lock torture by a thread a vCPU, without pauses, for this long; then it powers off.
const TORTURE: &str = "locktorture.shuffle_interval=0 locktorture.stutter=0 \
                       locktorture.stat_interval=4 locktorture.shutdown_secs=16";
/// For a kernel that is to meet a holder off its pCPU in each half of its torture: the last of two
/// parameters counts.
const LONGER: &str = "locktorture.shutdown_secs=48";
/// Lock torture is asked for a lock that there is not, and stays away.
const NO_TORTURE: &str = "locktorture.torture_type=none";
/// The kernel restarts on its own, for no reason.
const RESTART: &str = "hangcheck_timer.hangcheck_tick=0 hangcheck_timer.hangcheck_margin=0 \
                       hangcheck_timer.hangcheck_reboot=1";
/// Processors from the MP table, and less to start.
const NO_ACPI: &str = "acpi=off";

/// A vCPU is off for longer than a waiter spins, 2^15 times, before it halts. Where CPL 0 is
/// emulated these are a quarter of a second; elsewhere far less.
const PREEMPT: &str = "--preempt 0.6,1";

#[test]
fn one_vcpu_needs_no_pv_spinlocks() {
    let Some(linux) = boot("vmlinux", "--vcpus 1 --kick vmm", &[TORTURE, NO_INIT]) else {
        return;
    };
    linux.says("PV spinlocks disabled, single CPU");
    linux.tortured().powered_off();
    assert_eq!(linux.0.count("/kicks/handled"), 0, "{linux}");
}

#[test]
fn two_vcpus_kick_each_other() {
    kick_each_other(2);
}

#[test]
fn four_vcpus_kick_each_other() {
    kick_each_other(4);
}

fn kick_each_other(vcpus: u32) {
    let switches = format!("--vcpus {vcpus} --kick vmm {PREEMPT}");
    let Some(linux) = boot("vmlinux", &switches, &[&writers(vcpus), TORTURE, NO_INIT]) else {
        return;
    };
    linux.says("PV spinlocks enabled").has_up(vcpus);
    linux.tortured().powered_off();
    linux.kicked();
}

#[test]
fn a_saved_linux_goes_on_and_its_kicks_are_taken_there_too() {
    let Some(kernel) = file("vmlinux") else {
        return;
    };
    let folder = Folder::new("linux-saved");
    let (api, saved) = (folder.path("api"), folder.path("saved"));
    let serial = folder.path("serial");
    let run = Vmm::run("--memory 64M --vcpus 2").words(PREEMPT);
    let run = run.words("--serial").arg(&serial).words("--api").arg(&api);
    let run = run
        .arg("--cmdline")
        .arg(cmdline(&[&writers(2), TORTURE, LONGER, NO_INIT]));
    let process = Process::start(&run.arg(kernel).within(LIMIT), &api);
    process.wait_for_text(&serial, "Writes:");
    let snapshot = Vmm::new("snapshot --stop --api").arg(&api).arg(&saved);
    assert_eq!(snapshot.finish().code, 0);
    process.finish();
    let restored = Vmm::new("restore").words(PREEMPT).arg(saved).within(LIMIT);
    let linux = Linux(restored.report());
    linux.tortured().powered_off();
    linux.kicked();
}

#[test]
fn with_nopvspin_nobody_kicks() {
    let cmdline = ["nopvspin", &writers(2), TORTURE, NO_INIT];
    let switches = format!("--vcpus 2 --kick vmm {PREEMPT}");
    let Some(linux) = boot("vmlinux", &switches, &cmdline) else {
        return;
    };
    linux.says("PV spinlocks disabled").has_up(2);
    linux.tortured().powered_off();
    assert_eq!(linux.0.count("/kicks/handled"), 0, "{linux}");
}

#[test]
fn a_reset_by_the_keyboard_controller_is_an_end() {
    restarts("reboot=k", NO_ACPI, "completed", 0);
}

#[test]
fn a_reset_by_acpi_is_an_end() {
    restarts("reboot=a", "", "completed", 0);
}

#[test]
fn a_triple_fault_is_a_crash() {
    restarts("reboot=t", NO_ACPI, "crashed", 4);
}

fn restarts(how: &str, acpi: &str, outcome: &str, code: i32) {
    let Some(linux) = boot("vmlinux", "--vcpus 1", &[how, acpi, RESTART, NO_TORTURE]) else {
        return;
    };
    linux.says("Hangcheck: hangcheck is restarting the machine");
    linux.ended(outcome, code);
}

#[test]
fn a_panic_is_a_crash_although_a_restart_follows() {
    let Some(linux) = boot("vmlinux", "--vcpus 1", &["reboot=k", NO_ACPI, NO_TORTURE]) else {
        return;
    };
    linux.says("Kernel panic - not syncing: No working init found.");
    linux.ended("crashed", 4);
}

#[test]
fn a_compressed_kernel_unpacks_itself_and_its_initramfs() {
    let Some(initrd) = file("initrd.cpio") else {
        return;
    };
    let switches = format!("--vcpus 2 --initrd {}", initrd.display());
    let Some(linux) = boot("bzImage", &switches, &[NO_TORTURE]) else {
        return;
    };
    linux.has_up(2).says("Run /init as init process");
    if linux.0.text("/host/kind") == "pvm" {
        // Its first system call ends init, see tests/linux/init.S. The panic is seen twice: on the
        // console, and by the panic device that ACPI names.
        linux.says("Kernel panic - not syncing: Attempted to kill init!");
        linux.ended("crashed", 4);
    } else {
        linux.says("init: user space runs").ended("completed", 0);
    }
}

/// As many threads of lock torture as vCPUs.
fn writers(vcpus: u32) -> String {
    format!("locktorture.nwriters_stress={vcpus}")
}

/// A file of the kernel; says aloud that there is none.
fn file(name: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os(FOLDER) else {
        skip("Linux", "`make test-linux` builds a kernel and boots it");
        return None;
    };
    Some(PathBuf::from(folder).join(name))
}

/// The words that every kernel gets, and these.
fn cmdline(words: &[&str]) -> String {
    [&[COMMON], words].concat().join(" ")
}

/// Runs the kernel to its end with the words of `cmdline`.
fn boot(image: &str, switches: &str, cmdline: &[&str]) -> Option<Linux> {
    let kernel = file(image)?;
    let run = Vmm::run("--memory 64M").words(switches);
    let run = run.arg("--cmdline").arg(self::cmdline(cmdline));
    let run = run.arg(kernel).within(LIMIT);
    Some(Linux(run.report()))
}

/// A run of Linux that is over.
struct Linux(Report);

impl Linux {
    /// Its console, and what the VMM says about the run.
    fn text(&self) -> &str {
        &self.0.finished.stderr
    }

    /// It said this.
    fn says(&self, what: &str) -> &Self {
        assert!(self.text().contains(what), "no `{what}`: {self}");
        self
    }

    /// So many CPUs came up.
    fn has_up(&self, cpus: u32) -> &Self {
        self.says(&format!("Brought up 1 node, {cpus} CPUs"))
    }

    /// It ended by itself, and this is what that means.
    fn ended(&self, outcome: &str, code: i32) {
        self.0.ended(outcome, code);
        assert_eq!(self.0.text("/ended_by"), "guest", "{self}");
    }

    /// Its kicks were taken, and each found its vCPU. How many find it halted depends on the host's load: with
    /// interrupts on, every tick wakes a waiter that then spins again.
    fn kicked(&self) {
        let kicks = |what: &str| self.0.count(&format!("/kicks/{what}"));
        assert!(kicks("handled") > 0, "{self}");
        assert_eq!(
            kicks("to_halted") + kicks("to_running"),
            kicks("handled"),
            "{self}"
        );
    }

    /// It powered off.
    fn powered_off(&self) {
        self.says("reboot: Power down").ended("completed", 0);
    }

    /// Every thread of lock torture took locks, more and more of them, and none saw another inside.
    fn tortured(&self) -> &Self {
        let statistics: Vec<_> = self.text().lines().filter_map(Statistics::of).collect();
        let [first, .., last] = &statistics[..] else {
            panic!("no two lines of statistics: {self}");
        };
        assert!(first.total < last.total, "no progress: {self}");
        assert!(last.least > 0, "a thread that got no lock: {self}");
        let failures: u64 = statistics.iter().map(|line| line.failures).sum();
        assert_eq!(failures, 0, "{self}");
        self.says("--- End of test: SUCCESS")
    }
}

impl std::fmt::Display for Linux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.finished.fmt(f)
    }
}

/// What lock torture says now and then:
/// `spin_lock-torture: Writes:  Total: 11  Max/Min: 6/5   Fail: 0`.
struct Statistics {
    total: u64,
    /// Locks of the thread that took the fewest.
    least: u64,
    failures: u64,
}

impl Statistics {
    fn of(line: &str) -> Option<Self> {
        let (_, line) = line.split_once("Writes:")?;
        let number = |name: &str| line.split_once(name)?.1.split_whitespace().next();
        Some(Self {
            total: number("Total:")?.parse().ok()?,
            least: number("Max/Min:")?.split_once('/')?.1.parse().ok()?,
            failures: number("Fail:")?.parse().ok()?,
        })
    }
}
