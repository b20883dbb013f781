//! Reports that the tests of this folder share.

use std::collections::BTreeMap;

use super::crash::{CrashReason, CrashReport, Registers};
use super::fairness::Fairness;
use super::hang::{Activity, HangReport, KickFate, LastKick, OnPcpu, StuckVcpu, WaitFor};
use super::hex::Hex;
use super::payload::{GuestCounters, PayloadResults};
use super::percentile::{KickNs, WaitNs};
use super::ple::{HardwareActs, KickFaultReport, Outcomes, PleBy, PleReport, Windows};
use super::run::*;
use super::violations::Violations;

/// The payload on 4 vCPUs, every check held.
pub(super) fn completed() -> RunReport {
    RunReport {
        schema: SCHEMA.into(),
        outcome: Outcome::Completed,
        ended_by: EndedBy::Guest,
        host: Host {
            kind: crate::host::Kind::Pvm,
            kernel: "6.12.0".into(),
        },
        config: config(),
        seconds: 3.0,
        payload: Some(payload()),
        kicks: Some(Kicks {
            handled: 1234,
            to_halted: 1200,
            to_running: 33,
            broadcast: 1,
            ..Kicks::default()
        }),
        vcpus: [900_000, 1_000_000, 990_000, 810_000]
            .into_iter()
            .zip([0, 1, 4, 5])
            .map(|(acquisitions, apic_id)| VcpuReport {
                apic_id,
                acquisitions: Some(acquisitions),
                halts: Some(300),
                kicks_sent: Some(308),
                wait_max_ns: Some(12_000_000),
                exits: 700,
            })
            .collect(),
        exits: named(&[("io", 2468), ("hlt", 12), ("mmio", 3)]),
        kvm_stats: named(&[("exits", 3100), ("halt_exits", 1200), ("hypercalls", 0)]),
        sched: None,
        ple: None,
        kick_faults: None,
        hang: None,
        crash: None,
        debug_exit: None,
    }
}

/// The same with its second kick dropped.
pub(super) fn hung() -> RunReport {
    RunReport {
        outcome: Outcome::Hung,
        ended_by: EndedBy::Watchdog,
        hang: Some(HangReport::new(3.04, hung_vcpus())),
        ..completed()
    }
}

/// The same under the VMM's scheduler, at 2 vCPUs a token.
pub(super) fn scheduled() -> RunReport {
    let mut report = hung();
    report.sched = Some(SchedReport {
        policy: "random".into(),
        pcpus: 2,
        slice_ns: 3_000_000,
        seed: 1,
        switches: 4321,
        expired: 900,
        yields: 12,
        preempted: 3,
        hand_over_p50_ns: Some(5200),
        hand_over_p99_ns: Some(61_000),
        decisions: 2100,
        draws_digest: Some(Hex(0x1234)),
        picks_digest: Hex(u64::MAX),
    });
    if let Some(hang) = &mut report.hang {
        let standings = [OnPcpu::Holds, OnPcpu::Waits, OnPcpu::Off, OnPcpu::Off];
        for (vcpu, on_pcpu) in hang.vcpus.iter_mut().zip(standings) {
            vcpu.on_pcpu = Some(on_pcpu);
        }
    }
    report
}

/// The same with soft PLE and kicks that go wrong, on a host that has PLE.
pub(super) fn with_ple() -> RunReport {
    let parameters = [("ple_gap", "128"), ("ple_window", "4096")];
    let parameters = parameters.map(|(name, value)| (name.into(), value.into()));
    RunReport {
        ple: Some(PleReport {
            by: PleBy::Soft,
            on_spin: "handshake".into(),
            window: Some(Windows {
                gap: 4096,
                window: 128,
                grow: 2,
                shrink: 0,
                least: 128,
                most: 65_536,
            }),
            spin_exits: 9876,
            outcomes: Some(Outcomes {
                yielded: 8000,
                nobody: 1876,
                ..Outcomes::default()
            }),
            hardware: HardwareActs::Off,
            parameters: parameters.into(),
            tracepoints: Some(named(&[("kvm_ple_window_update", 0)])),
            no_tracepoints: Some("/sys/kernel/tracing: no such file".into()),
        }),
        kick_faults: Some(KickFaultReport {
            seed: 1,
            drop: 0.001,
            dup: 0.01,
            misroute: 0.0,
            delay_ns: 50_000,
            dropped: 1,
            duplicated: 12,
            misrouted: 0,
            delayed: 1233,
            flushed: 0,
            crowded: 0,
            waiting: 1,
        }),
        ..completed()
    }
}

/// A guest of somebody else's, crashed.
pub(super) fn crashed() -> RunReport {
    let mut report = RunReport {
        outcome: Outcome::Crashed,
        payload: None,
        kicks: None,
        vcpus: vec![VcpuReport::default(); 2],
        crash: Some(crash()),
        ..completed()
    };
    report.config.guest = "guests/other.elf".into();
    report.config.workload = None;
    report
}

pub(super) fn crash() -> CrashReport {
    let registers = Registers {
        bits: 64,
        rip: Hex(0x10_0040),
        rsp: Hex(0x20_0000),
        rflags: Hex(0x2),
        efer: Hex(0x500),
        cs: Hex(8),
        ..Registers::default()
    };
    let code = vec![0x0f, 0x0b, 0x90];
    CrashReport::new(1, 2, CrashReason::TripleFault, registers, code)
}

/// vCPU 2 sleeps although the lock is its own; the others wait for it.
pub(super) fn hung_vcpus() -> Vec<StuckVcpu> {
    let wait = |ticket, its_turn| {
        Some(WaitFor {
            lock_index: 0,
            ticket: Some(ticket),
            head: Some(14),
            tail: Some(20),
            slow_path: true,
            owner: None,
            its_turn,
        })
    };
    let mut vcpus: Vec<_> = (0..4).map(|i| stuck(i, Activity::Halted)).collect();
    vcpus[0].waits_for = wait(16, false);
    vcpus[1].waits_for = wait(18, false);
    vcpus[2].waits_for = wait(14, true);
    vcpus[2].last_kick = Some(LastKick {
        number: 17,
        from_apic_id: Some(0),
        age_ns: 3_041_000_000,
        fate: KickFate::Dropped,
    });
    vcpus[3].activity = Activity::Done;
    vcpus
}

pub(super) fn stuck(index: u32, activity: Activity) -> StuckVcpu {
    StuckVcpu {
        index,
        apic_id: index * 2,
        activity,
        interrupts_enabled: false,
        pv_unhalted: false,
        rip: Hex(0x10_0000 + u64::from(index)),
        waits_for: None,
        last_kick: None,
        on_pcpu: None,
    }
}

fn config() -> Config {
    Config {
        guest: BUNDLED_GUEST.into(),
        vcpus: 4,
        kick: crate::pv::KickBy::Vmm,
        halt: crate::pv::HaltIn::Kvm,
        workload: Some(Workload {
            lock: "pv-ticket-head".into(),
            ring: 3,
            ticket_bits: 16,
            pv_active: true,
            pv: Some("kvm".into()),
            threshold_spins: 2048,
            locks: 1,
            hold: 100,
            think: 400,
            workload_seconds: 3.0,
            seed: 1,
        }),
        memory_bytes: 128 << 20,
        topology: Topology {
            sockets: 2,
            cores: 2,
            threads: 1,
        },
        pv_unhalt: true,
        enforce_pv: false,
        hint_realtime: false,
        xen_hypercalls: None,
        halt_poll_ns: None,
        disabled_exits: Vec::new(),
        host_cpus: None,
        cmdline: None,
        kick_site: None,
        preempt: None,
    }
}

fn payload() -> PayloadResults {
    PayloadResults {
        acquisitions: 3_700_000,
        acquisitions_per_s: 1_233_333.5,
        violations: Violations::default(),
        fairness: Some(Fairness {
            jain: 0.9934,
            least: 810_000,
            most: 1_000_000,
        }),
        wait_ns: Some(WaitNs {
            p50: 210,
            p99: 1_203,
            p999: 43_100,
            max: 12_000_000,
        }),
        kick_ns: Some(KickNs {
            kick_p50_ns: 4_100,
            kick_p99_ns: 9_800,
            kick_max_ns: 1_250_000,
        }),
        guest: GuestCounters {
            taken_slow: 1240,
            taken_slow_pickup: 40,
            taken_slow_spurious: 0,
            released_slow: 1235,
            released_slow_kicked: 1233,
            time_blocked_ns: 1_210_000_000,
            histo_blocked: vec![0; 31],
            halts: 1200,
            kicks_sent: 1233,
            spin_exits: 0,
            freed: 12,
            io_turns: 462_000,
            clock_stops: 8,
        },
    }
}

fn named(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts
        .iter()
        .map(|&(name, count)| (name.into(), count))
        .collect()
}
