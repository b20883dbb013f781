//! The parts of a snapshot, put together.

use serde::Serialize;

use super::parts::{Checked, Clock, Devices, Host, Machine, Memory, Section};
use super::vcpu::Vcpu;
use crate::error_chain::in_one_line;
use crate::machine::blueprint::Blueprint;
use crate::machine::saved;
use crate::snapshot::{CheckedSnapshot, Error, Label, SectionKind};
use crate::vcpu::state::VcpuState;

const SCHEMA: &str = "vmm.inspect/1";

/// What is in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotView {
    schema: &'static str,
    /// The file.
    pub file: String,
    /// Version of the format.
    pub format_version: u32,
    /// What wrote it.
    pub writer: String,
    /// Its length.
    pub file_bytes: u64,
    /// What of that is no hole: state and memory.
    pub data_bytes: u64,
    /// How the machine was built.
    pub machine: Option<Machine>,
    /// The host it ran on.
    pub host: Option<Host>,
    /// Its clocks.
    pub clock: Option<Clock>,
    /// Its devices.
    pub devices: Option<Devices>,
    /// Its vCPUs, in the order of the file.
    pub vcpus: Vec<Vcpu>,
    /// Kicks that no MP_STATE shows.
    pub hidden_kicks: usize,
    /// Its memory.
    pub memory: Memory,
    /// The table of sections.
    pub sections: Vec<Section>,
    /// What is wrong with it, one by one.
    pub faults: Vec<String>,
}

/// Notes what is wrong.
struct Faults(Vec<String>);

impl Faults {
    fn take<T>(&mut self, part: Result<T, Error>) -> Option<T> {
        part.map_err(|error| self.0.push(in_one_line(&error))).ok()
    }
}

impl SnapshotView {
    /// Looks at `snapshot`, whose state has been checked; its memory is not read.
    pub fn of(snapshot: &CheckedSnapshot) -> Self {
        let mut faults = Faults(Vec::new());
        let machine: Option<Blueprint> = faults.take(saved::blueprint(snapshot));
        let mut vcpus = Vec::new();
        for section in snapshot.sections() {
            let Label::Known(SectionKind::Vcpu, index) = section.label else {
                continue;
            };
            let saved = faults.take(snapshot.decode::<VcpuState>(SectionKind::Vcpu, index));
            vcpus.extend(saved.map(|saved| Vcpu::of(index, &saved)));
        }
        let in_use = faults.take(snapshot.memory_use()).unwrap_or_default();
        let memory = Memory::of(snapshot, &in_use);
        let state_bytes = snapshot
            .memory_regions()
            .first()
            .map_or(0, |region| region.file_offset);
        let mut view = Self {
            schema: SCHEMA,
            file: snapshot.path().display().to_string(),
            format_version: snapshot.version(),
            writer: snapshot.writer().to_owned(),
            file_bytes: snapshot.file_bytes(),
            data_bytes: state_bytes + memory.data_bytes,
            host: faults
                .take(snapshot.decode(SectionKind::Host, 0))
                .map(|needs: crate::cpu::compat::HostNeeds| needs.into()),
            clock: faults
                .take(snapshot.decode(SectionKind::Clock, 0))
                .map(|sample: crate::cpu::clock::ClockSample| sample.into()),
            devices: faults
                .take(snapshot.decode(SectionKind::Devices, 0))
                .map(|state: crate::machine::state::DeviceState| state.into()),
            machine: None,
            hidden_kicks: vcpus.iter().filter(|vcpu| vcpu.hidden_kick).count(),
            vcpus,
            memory,
            sections: snapshot.sections().iter().map(Section::from).collect(),
            faults: faults.0,
        };
        if let Some(blueprint) = machine {
            view.check(&blueprint);
            view.machine = Some(blueprint.into());
        }
        view
    }

    /// Whether the machine can be what the other sections say.
    fn check(&mut self, blueprint: &Blueprint) {
        let file = &self.file;
        if let Err(error) = blueprint.topology() {
            self.faults.push(format!("{file}: {}", in_one_line(&error)));
        }
        match blueprint.memory() {
            Err(error) => self.faults.push(format!("{file}: {}", in_one_line(&error))),
            Ok(memory) if memory.bytes() != self.memory.bytes => self.faults.push(format!(
                "{file}: the machine has {} bytes of memory, the file {}",
                memory.bytes(),
                self.memory.bytes
            )),
            Ok(_) => {}
        }
        let is_vcpu = |section: &&Section| section.kind == SectionKind::Vcpu.number();
        let vcpus = self.sections.iter().filter(is_vcpu).count();
        if u32::try_from(vcpus) != Ok(blueprint.vcpus()) {
            self.faults.push(format!(
                "{file}: the machine has {} vCPUs, the file {vcpus}",
                blueprint.vcpus()
            ));
        }
    }

    /// Notes what reading all of memory has shown.
    pub fn memory_was_read(&mut self, read: Result<(), Error>) {
        self.memory.checked = match read {
            Ok(()) => Checked::Good,
            Err(error) => {
                self.faults.push(in_one_line(&error));
                Checked::Damaged
            }
        };
    }

    /// As JSON in ASCII: text of the file cannot move a terminal's cursor.
    ///
    /// # Errors
    /// Never: all of it can be written as JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string_pretty(self)?;
        let mut ascii = String::with_capacity(json.len() + 1);
        let mut units = [0; 2];
        for letter in json.chars() {
            // Only inside strings is there anything else.
            if matches!(letter, ' '..='~' | '\n') {
                ascii.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        ascii.push('\n');
        Ok(ascii)
    }
}

#[cfg(test)]
#[path = "view_test.rs"]
mod tests;
