//! Xen's hypercalls: registers and the caller's memory in, what to do and RAX out.
//!
//! Answers and the order of the checks are those of Xen's `do_event_channel_op`, `do_sched_op`,
//! `xenmem_add_to_physmap`, `do_hvm_op` and `do_xen_version`, for the operations that are here. All
//! others are -ENOSYS.

use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

use guest_payload::abi::xen::{
    self as abi, AddToPhysmap, BindIpi, DOMID_SELF, EventPort, EventStatus, FeatureInfo, HvmParam,
    SchedPoll, errno,
};

use super::Xen;
use super::arguments::{Argument, CallerMemory, Fault};
use super::channels::{NoFreePort, NotBound, Port};
use super::shared_info::NotMapped;
use crate::memory::PAGE_BYTES;
use crate::pv::apic_id::VcpuIndex;
use crate::pv::hypercall::{CallerMode, Privilege};
use crate::pv::kick::KickService;

/// The registers of a hypercall of 64-bit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// RAX.
    pub number: u64,
    /// RDI, RSI, RDX: as many as any of the calls here takes.
    pub arguments: [u64; 3],
}

/// What the vCPU has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on with this in RAX.
    Answer(i64),
    /// Go on with 0 in RAX, when the others had their turn.
    Yield,
    /// Go on with 0 in RAX, after a halt.
    Halt,
}

/// Why an operation is refused: the answer, but for the sign.
struct Errno(i64);

impl From<Fault> for Errno {
    fn from(Fault: Fault) -> Self {
        Self(errno::EFAULT)
    }
}

impl From<NotMapped> for Errno {
    fn from(NotMapped: NotMapped) -> Self {
        Self(errno::EINVAL)
    }
}

impl From<NotBound> for Errno {
    fn from(NotBound: NotBound) -> Self {
        Self(errno::EINVAL)
    }
}

impl From<NoFreePort> for Errno {
    fn from(NoFreePort: NoFreePort) -> Self {
        Self(errno::ENOSPC)
    }
}

fn port(number: u32) -> Result<Port, Errno> {
    Port::new(number).ok_or(Errno(errno::EINVAL))
}

fn check_domain(id: u16) -> Result<(), Errno> {
    if id == DOMID_SELF {
        Ok(())
    } else {
        Err(Errno(errno::ESRCH))
    }
}

impl Xen {
    /// Serves a call of vCPU `by`. `memory` is the caller's.
    ///
    /// A caller that is not in 64-bit mode gets -ENOSYS: the structures of 32-bit guests are others.
    pub fn hypercall(
        &self,
        call: &Call,
        mode: CallerMode,
        privilege: Privilege,
        by: VcpuIndex,
        memory: &impl CallerMemory,
        kick: &KickService,
    ) -> Outcome {
        let served = match (privilege, mode) {
            (Privilege::Denied, _) => Err(Errno(errno::EPERM)),
            (_, CallerMode::Bits32) => Err(Errno(errno::ENOSYS)),
            (Privilege::Allowed, CallerMode::Bits64) => self.serve(call, by, memory, kick),
        };
        served.unwrap_or_else(|Errno(errno)| Outcome::Answer(-errno))
    }

    fn serve(
        &self,
        call: &Call,
        by: VcpuIndex,
        memory: &impl CallerMemory,
        kick: &KickService,
    ) -> Result<Outcome, Errno> {
        let [operation, at, _] = call.arguments;
        // Xen's `unsigned int`s and `int`s: the high half does not count.
        let operation = operation & u64::from(u32::MAX);
        let answer = match u32::try_from(call.number) {
            Ok(abi::HYPERCALL_EVENT_CHANNEL_OP) => {
                self.event_channel_op(operation, at, by, memory, kick)?
            }
            Ok(abi::HYPERCALL_SCHED_OP) => return self.sched_op(operation, at, by, memory),
            Ok(abi::HYPERCALL_XEN_VERSION) => xen_version(operation, at, memory)?,
            Ok(abi::HYPERCALL_MEMORY_OP) => self.memory_op(operation, at, by, memory, kick)?,
            Ok(abi::HYPERCALL_HVM_OP) => self.hvm_op(operation, at, memory)?,
            _ => return Err(Errno(errno::ENOSYS)),
        };
        Ok(Outcome::Answer(answer))
    }

    fn event_channel_op(
        &self,
        operation: u64,
        at: u64,
        by: VcpuIndex,
        memory: &impl CallerMemory,
        kick: &KickService,
    ) -> Result<i64, Errno> {
        match operation {
            abi::EVENT_SEND => {
                let port = port(EventPort::read(memory, at)?.port)?;
                return Ok(self.send(by, port, kick));
            }
            abi::EVENT_BIND_IPI => self.bind_ipi(at, memory)?,
            abi::EVENT_CLOSE => {
                let port = port(EventPort::read(memory, at)?.port)?;
                self.channels.close(port)?;
                // A port that is bound again starts without an event. Before there is a page no
                // event can have come.
                let _ = self.shared_info.clear_pending(port);
            }
            abi::EVENT_UNMASK => {
                let port = port(EventPort::read(memory, at)?.port)?;
                let owner = self.channels.owner(port).unwrap_or(VcpuIndex(0));
                self.shared_info.unmask(port, owner)?;
            }
            abi::EVENT_STATUS => self.status(at, memory)?,
            _ => return Err(Errno(errno::ENOSYS)),
        }
        Ok(0)
    }

    fn bind_ipi(&self, at: u64, memory: &impl CallerMemory) -> Result<(), Errno> {
        let argument = BindIpi::read(memory, at)?;
        let vcpu = self.vcpu(argument.vcpu).ok_or(Errno(errno::ENOENT))?;
        let port = self.channels.bind_ipi(vcpu)?;
        let told = field(at, offset_of!(BindIpi, port))
            .and_then(|at| memory.write(at, &port.number().to_le_bytes()));
        if told.is_err() {
            // The guest does not know the port, so nobody else would ever close it.
            let _ = self.channels.close(port);
        }
        Ok(told?)
    }

    fn status(&self, at: u64, memory: &impl CallerMemory) -> Result<(), Errno> {
        let argument = EventStatus::read(memory, at)?;
        check_domain(argument.dom)?;
        let (status, vcpu) = match self.channels.owner(port(argument.port)?) {
            Some(vcpu) => (abi::STATUS_IPI, vcpu.0),
            None => (abi::STATUS_CLOSED, 0),
        };
        let write = |offset, value: u32| memory.write(field(at, offset)?, &value.to_le_bytes());
        write(offset_of!(EventStatus, status), status)?;
        Ok(write(offset_of!(EventStatus, vcpu), vcpu)?)
    }

    fn sched_op(
        &self,
        operation: u64,
        at: u64,
        by: VcpuIndex,
        memory: &impl CallerMemory,
    ) -> Result<Outcome, Errno> {
        match operation {
            abi::SCHED_YIELD => Ok(Outcome::Yield),
            abi::SCHED_POLL => {
                let poll = SchedPoll::read(memory, at)?;
                if poll.nr_ports > abi::POLL_PORTS_MAX {
                    return Err(Errno(errno::EINVAL));
                }
                if poll.timeout != 0 {
                    return Err(Errno(errno::ENOSYS));
                }
                let mut ports = [port(0)?; abi::POLL_PORTS_MAX as usize];
                let count = usize::try_from(poll.nr_ports).unwrap_or(usize::MAX);
                let ports = ports.get_mut(..count).ok_or(Errno(errno::EINVAL))?;
                for (index, to) in (0..).zip(ports.iter_mut()) {
                    let at = poll.ports.checked_add(4 * index).ok_or(Fault)?;
                    *to = port(EventPort::read(memory, at)?.port)?;
                }
                Ok(self.poll(by, ports))
            }
            _ => Err(Errno(errno::ENOSYS)),
        }
    }

    fn memory_op(
        &self,
        operation: u64,
        at: u64,
        by: VcpuIndex,
        memory: &impl CallerMemory,
        kick: &KickService,
    ) -> Result<i64, Errno> {
        if operation != abi::MEMORY_ADD_TO_PHYSMAP {
            return Err(Errno(errno::ENOSYS));
        }
        let argument = AddToPhysmap::read(memory, at)?;
        check_domain(argument.domid)?;
        match (argument.space, argument.idx) {
            (abi::MAPSPACE_SHARED_INFO, 0) => {
                let page = argument.gpfn.checked_mul(PAGE_BYTES);
                for port in self.shared_info.map_at(page.ok_or(NotMapped)?)? {
                    // Once too often is harmless; one that was closed meanwhile needs no event.
                    let _ = self.send(by, port, kick);
                }
                Ok(0)
            }
            (abi::MAPSPACE_SHARED_INFO, _) => Err(Errno(errno::EINVAL)),
            _ => Err(Errno(errno::ENOSYS)),
        }
    }

    fn hvm_op(&self, operation: u64, at: u64, memory: &impl CallerMemory) -> Result<i64, Errno> {
        if !matches!(operation, abi::HVM_SET_PARAM | abi::HVM_GET_PARAM) {
            return Err(Errno(errno::ENOSYS));
        }
        let argument = HvmParam::read(memory, at)?;
        check_domain(argument.domid)?;
        if argument.index != abi::HVM_PARAM_CALLBACK_IRQ {
            return Err(Errno(errno::EINVAL));
        }
        if operation == abi::HVM_SET_PARAM {
            self.callback.store(argument.value, Relaxed);
        } else {
            let value = self.callback.load(Relaxed).to_le_bytes();
            memory.write(field(at, offset_of!(HvmParam, value))?, &value)?;
        }
        Ok(0)
    }
}

fn xen_version(operation: u64, at: u64, memory: &impl CallerMemory) -> Result<i64, Errno> {
    match operation {
        abi::VERSION_VERSION => Ok(abi::VERSION.into()),
        abi::VERSION_EXTRAVERSION => {
            let mut text = [0; abi::EXTRAVERSION_BYTES];
            text[..5].copy_from_slice(b".vmm\0");
            memory.write(at, &text)?;
            Ok(0)
        }
        abi::VERSION_GET_FEATURES => {
            let argument = FeatureInfo::read(memory, at)?;
            let features = match argument.submap_idx {
                0 => abi::FEATURES,
                _ => return Err(Errno(errno::EINVAL)),
            };
            let to = field(at, offset_of!(FeatureInfo, submap))?;
            memory.write(to, &features.to_le_bytes())?;
            Ok(0)
        }
        abi::VERSION_PAGESIZE => Ok(PAGE_BYTES.cast_signed()),
        _ => Err(Errno(errno::ENOSYS)),
    }
}

/// The address of a field.
fn field(at: u64, offset: usize) -> Result<u64, Fault> {
    u64::try_from(offset)
        .ok()
        .and_then(|offset| at.checked_add(offset))
        .ok_or(Fault)
}
