use std::collections::BTreeMap;

use super::*;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::kick::Fate;
use crate::pv::recorder::HostEvent;
use crate::trace::guest::GuestEvent;
use crate::trace::join::join;
use crate::trace::recording::Locks;
use crate::trace::summary::SCHEMA;

const LOCKS: Locks = Locks {
    gpa: 0x20_0000,
    bytes: 128,
    count: 4,
};

/// vCPU 0 releases lock 2 and kicks vCPU 1.
fn recording() -> Recording {
    let host = |tsc, what| HostEvent { tsc, what };
    let guest = |tsc, step, target| GuestEvent {
        tsc,
        step,
        lock: LOCKS.gpa + 2 * LOCKS.bytes,
        ticket: 6,
        target,
    };
    let mut kicker = Track {
        apic_id: 0,
        host: vec![
            host(
                4000,
                HostStep::Kick {
                    number: 7,
                    destination: 4,
                },
            ),
            host(
                4100,
                HostStep::Unhalt {
                    number: 7,
                    target: VcpuIndex(1),
                    fate: Fate::ToHalted,
                    done: 4500,
                },
            ),
        ],
        host_lost: 3,
        ..Track::default()
    };
    kicker.guest.events = vec![guest(3000, GuestStep::Unlock, 4)];
    let mut target = Track {
        apic_id: 4,
        host: vec![
            host(2000, HostStep::Halted),
            host(4200, HostStep::Woke),
            host(4300, HostStep::Runs),
        ],
        ..Track::default()
    };
    target.guest.events = vec![
        guest(1800, GuestStep::Enter, 0),
        guest(1900, GuestStep::Halt, 0),
        guest(4400, GuestStep::Awake, 0),
        guest(5000, GuestStep::Acquire, 0),
    ];
    Recording {
        start: 1000,
        end: 9000,
        tsc_khz: 2_000_000,
        halt_in: HaltIn::Vmm,
        vcpus: vec![kicker, target],
        rekicks: 0,
        locks: LOCKS,
    }
}

fn written(recording: &Recording) -> Value {
    let joined = join(recording);
    let summary = Summary::new(recording, &joined);
    let mut file = Vec::new();
    write(&mut file, recording, &joined, &summary).unwrap();
    serde_json::from_slice(&file).unwrap()
}

fn events<'a>(trace: &'a Value, ph: &str) -> Vec<&'a Value> {
    let events = trace["traceEvents"].as_array().unwrap();
    events.iter().filter(|event| event["ph"] == ph).collect()
}

#[test]
fn each_step_is_a_slice_with_its_times_in_microseconds() {
    let trace = written(&recording());
    let slices: BTreeMap<_, _> = events(&trace, "X")
        .into_iter()
        .map(|slice| {
            let place = (
                slice["pid"].as_u64().unwrap(),
                slice["tid"].as_u64().unwrap(),
            );
            let times = (
                slice["ts"].as_f64().unwrap(),
                slice["dur"].as_f64().unwrap(),
            );
            ((place, slice["name"].as_str().unwrap().to_owned()), times)
        })
        .collect();
    let expected = [
        (((1, 0), "unlock"), (1.0, 0.75)),
        (((1, 1), "acquire"), (2.0, 0.001)),
        (((1, 1), "halt"), (0.45, 1.25)),
        (((1, 1), "run"), (1.7, 0.3)),
        (((1, 1), "slow path"), (0.4, 1.6)),
        (((2, 0), "kick"), (1.5, 0.25)),
        (((2, 1), "halted"), (0.5, 1.1)),
        (((2, 1), "run"), (1.65, 0.001)),
        (((2, 1), "wake"), (1.6, 0.05)),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|((place, name), times)| ((place, name.to_owned()), times))
        .collect();
    assert_eq!(slices, expected);
}

#[test]
fn the_arrows_of_one_kick_bind_to_its_slices() {
    let trace = written(&recording());
    let flow: Vec<_> = ["s", "t", "f"]
        .into_iter()
        .flat_map(|ph| events(&trace, ph))
        .collect();
    assert_eq!(flow.len(), 5);
    let slices = events(&trace, "X");
    for step in &flow {
        for field in ["id", "cat", "name"] {
            assert_eq!(step[field], flow[0][field], "{step}");
        }
        let is_its = |slice: &&&Value| {
            ["pid", "tid", "ts", "cat"]
                .iter()
                .all(|field| slice[field] == step[field])
        };
        assert_eq!(slices.iter().filter(is_its).count(), 1, "{step}");
    }
    assert_eq!(flow[4]["bp"], "e");
    assert_eq!(flow[0]["args"]["outcome"], "acquired");
}

#[test]
fn tracks_and_locks_have_names() {
    let trace = written(&recording());
    let names: Vec<_> = events(&trace, "M")
        .into_iter()
        .map(|name| name["args"]["name"].as_str().unwrap())
        .collect();
    let vcpus = ["vCPU 0 (APIC ID 0)", "vCPU 1 (APIC ID 4)"];
    assert_eq!(
        names,
        ["guest", vcpus[0], vcpus[1], "host", vcpus[0], vcpus[1]]
    );
    let slices = events(&trace, "X");
    let acquire = slices.iter().find(|slice| slice["name"] == "acquire");
    assert_eq!(acquire.unwrap()["args"], json!({ "lock": 2, "ticket": 6 }));
}

#[test]
fn the_summary_says_what_is_missing() {
    let trace = written(&recording());
    let summary = &trace["otherData"];
    assert_eq!(summary["schema"], SCHEMA);
    assert_eq!(
        (&summary["kicks"], &summary["whole"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(summary["host_events_lost"], 3);
    let recording = recording();
    let summary = Summary::new(&recording, &join(&recording));
    assert_eq!(
        summary.to_string(),
        "1 kick, 1 from unlock to acquire, 3 older events lost"
    );
}

#[test]
fn a_lock_that_is_none_of_the_guests_is_shown_by_its_address() {
    let mut recording = recording();
    recording.locks = Locks::default();
    let trace = written(&recording);
    let slices = events(&trace, "X");
    let acquire = slices.iter().find(|slice| slice["name"] == "acquire");
    assert_eq!(acquire.unwrap()["args"]["lock"], "0x200100");
}
