//! vCPUs as threads.

use gdbstub::common::Tid;
use gdbstub::target::ext::thread_extra_info::ThreadExtraInfo;

use super::target::{Debugged, Fatal, tid, vcpu};
use crate::pv::apic_id::VcpuIndex;
use crate::vcpu::inspect::{Activity, Inspection};

impl Debugged<'_> {
    /// All of them.
    pub(super) fn threads(&self) -> impl Iterator<Item = Tid> + use<> {
        let count = u32::try_from(self.machine.board.all().len()).unwrap_or(u32::MAX);
        (0..count).map(|index| tid(VcpuIndex(index)))
    }
}

/// What `info threads` says of a vCPU.
fn describe(index: VcpuIndex, apic_id: u32, seen: Option<&Inspection>) -> String {
    let what = match seen {
        None => "has ended".to_owned(),
        Some(seen) => match (seen.activity, seen.pv_unhalted) {
            (Activity::Running, _) => format!("CPL {}", seen.sregs.ss.dpl),
            (Activity::Halted, false) => "halted".to_owned(),
            (Activity::Halted, true) => "halted, kicked".to_owned(),
            (Activity::WaitingForSipi, _) => "waits for SIPI".to_owned(),
        },
    };
    format!("vcpu{}, APIC ID {apic_id}: {what}", index.0)
}

impl ThreadExtraInfo for Debugged<'_> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Fatal> {
        let index = vcpu(tid);
        let Some(shared) = self.machine.board.vcpu(index) else {
            return Ok(0);
        };
        let seen = self.on(tid, |vcpu| vcpu.inspect().ok());
        let text = describe(index, shared.apic_id, seen.ok().flatten().as_ref());
        let bytes = text.len().min(buf.len());
        buf[..bytes].copy_from_slice(&text.as_bytes()[..bytes]);
        Ok(bytes)
    }
}
