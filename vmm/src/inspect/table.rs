//! The table of `vmm inspect`.

use std::fmt::{self, Write};

use super::parts::{Checked, Clock, Devices, Host, Machine, Memory, Section};
use super::vcpu::Vcpu;
use super::view::SnapshotView;
use crate::device::DeviceSet;
use crate::report::units;
use crate::report::wrap::wrap;
use crate::snapshot::Need;

/// Letters of a text from the file that are shown.
const TEXT_SHOWN: usize = 400;

impl SnapshotView {
    /// The table, with a newline at its end.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{}", Table(self));
        text
    }
}

struct Table<'a>(&'a SnapshotView);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.0;
        writeln!(f, "{}", verdict(view))?;
        writeln!(
            f,
            "format {}, written by {}, {}, of it {} data",
            view.format_version,
            view.writer,
            units::data(view.file_bytes),
            units::data(view.data_bytes),
        )?;
        writeln!(f)?;
        if let Some(machine) = &view.machine {
            write_machine(f, machine)?;
        }
        if let Some(host) = &view.host {
            write_host(f, host)?;
        }
        if let Some(clock) = &view.clock {
            write_clock(f, clock)?;
        }
        if let Some(devices) = &view.devices {
            write_devices(f, devices)?;
        }
        writeln!(f)?;
        write_vcpus(f, &view.vcpus)?;
        write_memory(f, &view.memory)?;
        write_sections(f, &view.sections)
    }
}

fn verdict(view: &SnapshotView) -> String {
    if !view.faults.is_empty() {
        return "DAMAGED: this is what can be read".to_owned();
    }
    let kicks = match view.hidden_kicks {
        0 => "no hidden kick".to_owned(),
        1 => "1 hidden kick".to_owned(),
        more => format!("{more} hidden kicks"),
    };
    match view.memory.checked {
        Checked::Good => format!("GOOD: every byte is as it was written; {kicks}"),
        _ => format!("GOOD: its state is as it was written, memory was not read; {kicks}"),
    }
}

/// A text from the file: short, and nothing that moves a cursor.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(TEXT_SHOWN) {
        match letter {
            '"' | '\'' => shown.push(letter),
            other => shown.extend(other.escape_debug()),
        }
    }
    let more = text.chars().count().saturating_sub(TEXT_SHOWN);
    if more > 0 {
        shown.push_str(&format!(" … and {more} letters more"));
    }
    shown
}

fn write_machine(f: &mut fmt::Formatter<'_>, machine: &Machine) -> fmt::Result {
    let Machine {
        guest,
        cmdline,
        vcpus,
        sockets,
        cores,
        threads,
        memory_bytes,
        kick,
        halt,
        ..
    } = machine;
    write!(f, "{}", wrap(&format!("guest    {}", shown(guest)), 0))?;
    if !cmdline.is_empty() {
        write!(f, "{}", wrap(&format!("cmdline  {}", shown(cmdline)), 0))?;
    }
    writeln!(
        f,
        "machine  vCPUs {vcpus} (sockets={sockets},cores={cores},threads={threads}), {}",
        units::bytes(*memory_bytes)
    )?;
    write!(f, "         kick {kick}, halt {halt}, PV_UNHALT ")?;
    f.write_str(if machine.pv_unhalt { "on" } else { "off" })?;
    for (is_on, name) in [
        (machine.enforce_pv, "enforced"),
        (machine.hint_realtime, "KVM_HINTS_REALTIME"),
        (machine.has_stub_page, "stub page"),
        (machine.xen, "Xen's interface"),
        (machine.devices == DeviceSet::Pc, "a PC"),
        (
            machine.devices == DeviceSet::TestImage,
            "a PC for test images",
        ),
    ] {
        if is_on {
            write!(f, ", {name}")?;
        }
    }
    if let Some(site) = machine.kick_site {
        write!(f, ", kicks taken at {site}")?;
    }
    if let Some(ns) = machine.halt_poll_ns {
        write!(f, ", polls {}", units::ns(ns.into()))?;
    }
    if !machine.disable_exits.is_empty() {
        write!(f, ", exits disabled: {}", machine.disable_exits.join(","))?;
    }
    writeln!(f)
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &Host) -> fmt::Result {
    write!(f, "host     {}, Linux {}", host.kind, shown(&host.kernel))?;
    if let Some(khz) = host.tsc_khz {
        write!(f, ", TSC {khz} kHz")?;
    }
    writeln!(
        f,
        ", {} CPUID entries, {} MSRs, XSAVE {} bytes",
        host.cpuid_entries, host.msrs, host.xsave_bytes
    )?;
    for capability in &host.capabilities {
        writeln!(f, "         needs {capability}")?;
    }
    Ok(())
}

fn write_clock(f: &mut fmt::Formatter<'_>, clock: &Clock) -> fmt::Result {
    write!(f, "clock    kvmclock {}", units::ns(clock.kvmclock_ns))?;
    if let Some(ns) = clock.realtime_ns {
        let seconds = ns / 1_000_000_000;
        write!(f, ", real time {seconds} s after 1970")?;
    }
    match clock.host_tsc {
        Some(tsc) => writeln!(f, ", host's TSC {tsc}"),
        None => writeln!(f),
    }
}

fn write_devices(f: &mut fmt::Formatter<'_>, devices: &Devices) -> fmt::Result {
    write!(
        f,
        "devices  counted {} writes and {} reads, serial output unsent {}",
        devices.counter_writes,
        devices.counter_reads,
        units::data(u64::try_from(devices.serial_unsent_bytes).unwrap_or(u64::MAX))
    )?;
    writeln!(
        f,
        "{}",
        match devices.user_hypercalls {
            true => ", hypercalls from CPL 3 allowed",
            false => "",
        }
    )
}

fn write_vcpus(f: &mut fmt::Formatter<'_>, vcpus: &[Vcpu]) -> fmt::Result {
    if vcpus.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "{:>5} {:>10}  {:11}  {:11}  {:3}  {:3}  {:18}  local APIC",
        "vCPU", "APIC ID", "state", "pv_unhalted", "IF", "CPL", "RIP"
    )?;
    for vcpu in vcpus {
        let kick = match (vcpu.pv_unhalted, vcpu.hidden_kick) {
            (_, true) => "hidden",
            (true, false) => "set",
            (false, false) => "-",
        };
        let lapic = vcpu.lapic.as_ref();
        writeln!(
            f,
            "{:>5} {:>10}  {:11}  {kick:11}  {:3}  {:3}  {:18}  {}",
            vcpu.index,
            vcpu.apic_id,
            vcpu.state.name(),
            if vcpu.interrupts_enabled { "on" } else { "off" },
            vcpu.cpl,
            vcpu.rip.to_string(),
            lapic.map_or_else(|| "none".to_owned(), ToString::to_string),
        )?;
    }
    writeln!(f)
}

fn write_memory(f: &mut fmt::Formatter<'_>, memory: &Memory) -> fmt::Result {
    writeln!(
        f,
        "{:18} {:>12}  {:>14}  {:>8}  {:>8}  {:>10}",
        "memory", "length", "offset", "chunks", "holes", "data"
    )?;
    for region in &memory.regions {
        writeln!(
            f,
            "{:18} {:>12}  {:>#14x}  {:>8}  {:>8}  {:>10}",
            region.gpa.to_string(),
            units::bytes(region.bytes),
            region.offset,
            region.chunks,
            region.holes,
            units::data(region.data_bytes),
        )?;
    }
    writeln!(f, "chunks of {}\n", units::bytes(memory.chunk_bytes.into()))
}

fn write_sections(f: &mut fmt::Formatter<'_>, sections: &[Section]) -> fmt::Result {
    writeln!(
        f,
        "{:18} {:>9}  {:>7}  {:8}  {:>10}  {:>10}  CRC-32",
        "section", "instance", "version", "need", "offset", "length"
    )?;
    for section in sections {
        let unknown = || format!("{} (unknown)", section.kind);
        writeln!(
            f,
            "{:18} {:>9}  {:>7}  {:8}  {:>#10x}  {:>10}  {:08x}",
            section.name.clone().unwrap_or_else(unknown),
            section.instance,
            section.version,
            match section.need {
                Need::Required => "required",
                Need::Optional => "optional",
            },
            section.offset,
            section.bytes,
            section.crc32.0,
        )?;
    }
    Ok(())
}
