//! The trace as JSON in the Trace Event Format, which Perfetto, Chrome and other viewers open.
//!
//! Two processes, "guest" and "host", with a track for each vCPU. Every step of a kick's life is a
//! slice; the flow events of one life have the same `id`, and each the track, category and time
//! of its slice, which is what viewers bind them by.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::guest::GuestStep;
use super::life::{Joined, Life, Run};
use super::recording::{Recording, Track};
use super::summary::Summary;
use crate::pv::HaltIn;
use crate::pv::recorder::HostStep;

/// `pid` of the guest's tracks.
const GUEST: u32 = 1;
/// `pid` of the host's tracks.
const HOST: u32 = 2;
/// Of every slice and flow that viewers are to bind to each other.
const CATEGORY: &str = "kick";
/// Shortest slice, in ns: what is a moment and not a time.
const MOMENT_NS: u64 = 1;

/// A time in ns, written in µs as the format wants it.
#[derive(Clone, Copy, Debug)]
struct Micros(u64);

impl Serialize for Micros {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    ph: &'a str,
    pid: u32,
    tid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<Micros>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    args: Map<String, Value>,
}

fn args(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Writes the trace.
///
/// # Errors
/// What `out` says.
pub fn write(
    out: &mut dyn Write,
    recording: &Recording,
    joined: &Joined,
    summary: &Summary,
) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ns\",\n\"otherData\":")?;
    serde_json::to_writer(&mut *out, summary)?;
    out.write_all(b",\n\"traceEvents\":[")?;
    let mut writer = Writer {
        out,
        recording,
        kicked_until: kicked_until(joined),
        is_first: true,
    };
    writer.names()?;
    for (vcpu, track) in recording.vcpus.iter().enumerate() {
        writer.host(vcpu, track)?;
        writer.guest(vcpu, track)?;
    }
    for (index, life) in joined.lives.iter().enumerate() {
        writer.slices_of(life)?;
        writer.flow(index + 1, life)?;
    }
    out.write_all(b"\n]}\n")
}

/// When the kicks of each release were done, by vCPU and time of the release.
fn kicked_until(joined: &Joined) -> HashMap<(usize, u64), u64> {
    let mut until = HashMap::new();
    for life in &joined.lives {
        if let (Some(unlock), Some((_, done))) = (life.unlock, life.unhalt) {
            let last = until.entry((life.from, unlock)).or_insert(done);
            *last = done.max(*last);
        }
    }
    until
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    recording: &'a Recording,
    kicked_until: HashMap<(usize, u64), u64>,
    is_first: bool,
}

/// A track: process and vCPU.
type Place = (u32, usize);

impl Writer<'_> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let separator: &[u8] = if self.is_first { b"\n" } else { b",\n" };
        self.is_first = false;
        self.out.write_all(separator)?;
        serde_json::to_writer(&mut *self.out, event)?;
        Ok(())
    }

    fn name(&mut self, (pid, tid): Place, what: &str, name: &str) -> io::Result<()> {
        self.event(&Event {
            ph: "M",
            pid,
            tid,
            ts: None,
            dur: None,
            name: what,
            cat: None,
            id: None,
            bp: None,
            args: args(json!({ "name": name })),
        })
    }

    fn names(&mut self) -> io::Result<()> {
        for (pid, name) in [(GUEST, "guest"), (HOST, "host")] {
            self.name((pid, 0), "process_name", name)?;
            for (vcpu, track) in self.recording.vcpus.iter().enumerate() {
                let name = format!("vCPU {vcpu} (APIC ID {})", track.apic_id);
                self.name((pid, vcpu), "thread_name", &name)?;
            }
        }
        Ok(())
    }

    /// A slice from `begin` to `end`, at least a moment.
    fn slice(
        &mut self,
        (pid, tid): Place,
        name: &str,
        (begin, end): (u64, u64),
        args: Map<String, Value>,
    ) -> io::Result<()> {
        let ts = self.recording.ns(begin);
        let dur = self.recording.ns(end).saturating_sub(ts).max(MOMENT_NS);
        self.event(&Event {
            ph: "X",
            pid,
            tid,
            ts: Some(Micros(ts)),
            dur: Some(Micros(dur)),
            name,
            cat: Some(CATEGORY),
            id: None,
            bp: None,
            args,
        })
    }

    /// The thread of one vCPU: its kicks, its halts.
    fn host(&mut self, vcpu: usize, track: &Track) -> io::Result<()> {
        let place = (HOST, vcpu);
        let mut events = track.host.iter().peekable();
        let (mut halted, mut woke) = (None, None);
        while let Some(event) = events.next() {
            match event.what {
                HostStep::Kick {
                    number,
                    destination,
                } => {
                    let mut end = event.tsc;
                    while let Some(next) = events.next_if(|next| {
                        matches!(next.what, HostStep::Unhalt { number: same, .. } if same == number)
                    }) {
                        if let HostStep::Unhalt { done, .. } = next.what {
                            end = done;
                        }
                    }
                    let args = args(json!({ "number": number, "apic_id": destination }));
                    self.slice(place, "kick", (event.tsc, end), args)?;
                }
                HostStep::Halted => halted = Some(event.tsc),
                HostStep::Woke => {
                    if let Some(begin) = halted.take() {
                        self.slice(place, "halted", (begin, event.tsc), Map::new())?;
                    }
                    woke = Some(event.tsc);
                }
                HostStep::Runs => {
                    if let Some(begin) = woke.take() {
                        self.slice(place, "wake", (begin, event.tsc), Map::new())?;
                    }
                    self.slice(place, "run", (event.tsc, event.tsc), Map::new())?;
                }
                HostStep::Seen => {
                    self.slice(place, "seen", (event.tsc, event.tsc), Map::new())?;
                }
                HostStep::Unhalt { .. } => {}
            }
        }
        Ok(())
    }

    /// One CPU of the guest: its waits in slow paths.
    fn guest(&mut self, vcpu: usize, track: &Track) -> io::Result<()> {
        let place = (GUEST, vcpu);
        let events = &track.guest.events;
        let (mut entered, mut halted) = (None, None);
        for (at, event) in events.iter().enumerate() {
            let about = match self.recording.locks.index(event.lock) {
                Some(lock) => json!({ "lock": lock, "ticket": event.ticket }),
                None => json!({ "lock": format!("{:#x}", event.lock), "ticket": event.ticket }),
            };
            let about = args(about);
            let next = events.get(at + 1).map_or(event.tsc, |next| next.tsc);
            match event.step {
                GuestStep::Enter => {
                    entered.get_or_insert(event.tsc);
                }
                GuestStep::Halt => halted = Some(event.tsc),
                GuestStep::Awake => {
                    if let Some(begin) = halted.take() {
                        self.slice(place, "halt", (begin, event.tsc), about.clone())?;
                    }
                    self.slice(place, "run", (event.tsc, next), about)?;
                }
                GuestStep::Acquire => {
                    if let Some(begin) = entered.take() {
                        self.slice(place, "slow path", (begin, event.tsc), about.clone())?;
                    }
                    self.slice(place, "acquire", (event.tsc, event.tsc), about)?;
                }
                GuestStep::Unlock => {
                    let mut about = about;
                    about.insert("apic_id".to_owned(), event.target.into());
                    let done = self.kicked_until.get(&(vcpu, event.tsc)).copied();
                    let end = match events.get(at + 1) {
                        Some(next) => done.map_or(event.tsc, |done| done.min(next.tsc)),
                        None => done.unwrap_or(event.tsc),
                    };
                    self.slice(place, "unlock", (event.tsc, end), about)?;
                }
            }
        }
        Ok(())
    }

    /// Slices that only a whole life knows: the wake by KVM.
    fn slices_of(&mut self, life: &Life) -> io::Result<()> {
        if self.recording.halt_in == HaltIn::Kvm
            && let (Some(to), Some(wake)) = (life.to, life.wake)
        {
            // How long it takes KVM nobody sees; the target may run before the kicker knows.
            let args = args(json!({ "number": life.number }));
            self.slice((HOST, to), "wake", (wake, wake), args)?;
        }
        Ok(())
    }

    /// The arrows from step to step.
    fn flow(&mut self, id: usize, life: &Life) -> io::Result<()> {
        let to = life.to.unwrap_or(life.from);
        let run = life.run.map(|run| match run {
            Run::InGuest(tsc) => (GUEST, tsc),
            Run::Entered(tsc) | Run::SeenAfter(tsc) => (HOST, tsc),
        });
        let steps: Vec<(Place, u64)> = [
            life.unlock.map(|tsc| ((GUEST, life.from), tsc)),
            life.kick.map(|tsc| ((HOST, life.from), tsc)),
            life.wake.map(|tsc| ((HOST, to), tsc)),
            run.map(|(pid, tsc)| ((pid, to), tsc)),
            life.acquire.map(|tsc| ((GUEST, to), tsc)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if steps.len() < 2 {
            return Ok(());
        }
        for (at, ((pid, tid), tsc)) in steps.iter().enumerate() {
            let (ph, bp) = match at {
                0 => ("s", None),
                last if last + 1 == steps.len() => ("f", Some("e")),
                _ => ("t", None),
            };
            let details = if at == 0 {
                json!({ "number": life.number, "outcome": life.outcome, "whole": life.is_whole() })
            } else {
                Value::Null
            };
            self.event(&Event {
                ph,
                pid: *pid,
                tid: *tid,
                ts: Some(Micros(self.recording.ns(*tsc))),
                dur: None,
                name: CATEGORY,
                cat: Some(CATEGORY),
                id: Some(id),
                bp,
                args: args(details),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "chrome_test.rs"]
mod tests;
