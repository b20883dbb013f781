//! What stops a vCPU: breakpoints, watchpoints, steps.

use std::env;
use std::path::PathBuf;

use vmm_tests::command::{Folder, Vmm, skip};
use vmm_tests::gdb::{self, Target};

use super::{SHORT, address, held, rip, says, u64_register};

#[test]
fn the_guest_waits_before_its_first_instruction() {
    if !gdb::is_installed("the guest waits") {
        return;
    }
    let folder = Folder::new("gdb-first");
    let target = held(&folder, SHORT);
    let said = target.gdb(
        &gdb::payload(&folder),
        &[
            "info registers rip rbx cr0 efer",
            "info threads",
            "x/i $pc",
            "stepi",
            "continue",
        ],
    );
    says(
        &said,
        &[
            "pvh_entry",
            // PVH: the start info's address, protected mode without paging.
            "rip            0x100000",
            "rbx            0x6000",
            "cr0            0x11",
            "efer           0x0",
            "vcpu0, APIC ID 0: CPL 0",
            "vcpu1, APIC ID 1: waits for SIPI",
            "cld",
            "0x0000000000100001 in pvh_entry",
            "exited normally",
        ],
    );
    assert_eq!(target.finish().code, 0);
}

#[test]
fn breakpoints_in_registers_and_in_memory_stop_the_vcpu_that_meets_them() {
    if !gdb::is_installed("breakpoints") {
        return;
    }
    let folder = Folder::new("gdb-break");
    for (set, place) in [
        (
            "hbreak ap_main",
            format!("unix:{}", folder.path("gdb").display()),
        ),
        ("break ap_main", "tcp:127.0.0.1:0".to_owned()),
    ] {
        let target = Target::start(&Vmm::run("--vcpus 2 --gdb").arg(place).words(SHORT));
        let said = target.gdb(
            &gdb::payload(&folder),
            &[
                set,
                "continue",
                "info threads",
                "stepi",
                "x/i $pc",
                "delete",
                "continue",
            ],
        );
        says(
            &said,
            &[
                "Thread 2 hit Breakpoint 1",
                "in ap_main ()",
                "vcpu0, APIC ID 0",
                "* 2    Thread 1.2 (vcpu1, APIC ID 1: CPL 0)",
                "ap_main+1>",
                "exited normally",
            ],
        );
        assert_eq!(target.finish().code, 0, "{set}");
    }
}

#[test]
fn code_at_cpl_3_can_be_stopped_and_stepped() {
    let folder = Folder::new("gdb-cpl3");
    let target = held(&folder, "-- seconds=0.2 ring=3");
    let mut gdb = target.connect();
    let run = address("payload::workload::run");
    assert_eq!(gdb.ask(&format!("Z0,{run:x},1")), "OK");
    // Whoever comes first.
    let stop = gdb.ask("vCont;c");
    let thread = stop
        .split("thread:")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    assert!(stop.contains("swbreak"), "{stop}");
    assert_eq!(gdb.ask(&format!("z0,{run:x},1")), "OK");
    assert_eq!(gdb.ask(&format!("Hg{thread}")), "OK");
    assert_eq!(rip(&mut gdb), run);
    assert_eq!(u64_register(&mut gdb, 0x12) & 3, 3, "CS.RPL");
    let mut before = run;
    for _ in 0..20 {
        let stop = gdb.ask(&format!("vCont;s:{thread}"));
        assert!(stop.starts_with("T05"), "{stop}");
        let now = rip(&mut gdb);
        assert_ne!(now, before, "a step leads on");
        before = now;
    }
    assert_eq!(gdb.ask("vCont;c"), "W00");
    assert_eq!(target.finish().code, 0);
}

#[test]
fn one_vcpu_steps_while_the_other_stays() {
    let folder = Folder::new("gdb-locked");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    let entry = address("ap_main");
    assert_eq!(gdb.ask(&format!("Z1,{entry:x},1")), "OK");
    assert!(gdb.ask("vCont;c").contains("thread:02"));
    assert_eq!(gdb.ask(&format!("z1,{entry:x},1")), "OK");
    gdb.ask("Hg1");
    let first = gdb.ask("g");
    for _ in 0..10 {
        assert!(gdb.ask("vCont;s:2").starts_with("T05thread:02"));
    }
    gdb.ask("Hg1");
    assert_eq!(gdb.ask("g"), first, "only the second was let go");
    gdb.ask("Hg2");
    assert_ne!(rip(&mut gdb), entry);
    assert_eq!(gdb.ask("vCont;c"), "W00");
    assert_eq!(target.finish().code, 0);
}

#[test]
fn a_watchpoint_stops_where_the_host_has_them_and_is_refused_elsewhere() {
    let folder = Folder::new("gdb-watch");
    let target = held(&folder, SHORT);
    let mut gdb = target.connect();
    // The first push of the boot code is right below its stack's top; watch all CPUs' APIC IDs.
    let answer = gdb.ask("Z2,6000,8");
    if answer == "OK" {
        assert_eq!(gdb.ask("z2,6000,8"), "OK");
    } else {
        assert!(answer.starts_with('E'));
        skip("watchpoints", "this host's KVM has none for a guest");
    }
    assert_eq!(gdb.ask("D"), "OK");
    let finished = target.finish();
    assert_eq!(finished.code, 0);
    if answer != "OK" {
        assert!(
            finished.stderr.contains("can-use-hw-watchpoints 0"),
            "{finished}"
        );
    }
}

/// The small Linux of `make linux-guest`, which `make test-linux` names.
fn vmlinux() -> Option<PathBuf> {
    let folder = env::var_os("LINUX_GUEST").map(PathBuf::from);
    let image = folder.map(|folder| folder.join("vmlinux"));
    if image.is_none() {
        skip("gdb on Linux", "`make test-linux` has it");
    }
    image
}

#[test]
fn linux_stops_where_it_starts() {
    let Some(image) = vmlinux() else { return };
    if !gdb::is_installed("gdb on Linux") {
        return;
    }
    let run = Vmm::run("--vcpus 2 --serial null --gdb tcp:127.0.0.1:0").arg(&image);
    let target = Target::start(&run);
    let said = target.gdb(
        &image,
        &[
            "hbreak start_kernel",
            "continue",
            "bt",
            "info threads",
            "stepi",
            "x/i $pc",
            // Only now is it mapped where it was linked.
            "break rest_init",
            "continue",
            "bt",
            "kill",
        ],
    );
    says(
        &said,
        &[
            "hit Breakpoint 1",
            "in start_kernel ()",
            "in secondary_startup_64 ()",
            "vcpu0, APIC ID 0: CPL 0",
            "vcpu1, APIC ID 1: waits for SIPI",
            "start_kernel+",
            "hit Breakpoint 2",
            "in rest_init ()",
            "in start_kernel ()",
        ],
    );
    assert_eq!(target.finish().code, 0);
}
