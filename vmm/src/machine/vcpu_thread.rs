//! The threads of vCPUs.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::Error;
use crate::os::affinity::{self, CpuList};
use crate::sandbox::{Role, Sandbox};
use crate::spec::HostSide;
use crate::vcpu::Vcpu;

/// vCPU threads need little; a thousand of them should not reserve gigabytes.
const STACK_BYTES: usize = 256 << 10;

/// Gives its vCPU back when it ends; `None` if it never had one.
pub(super) type VcpuThread = JoinHandle<Option<Vcpu>>;

/// What the threads of a machine's vCPUs do before they have one.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) cpus: Option<CpuList>,
    pub(super) sandbox: Sandbox,
}

impl Terms {
    pub(super) fn of(host: &HostSide) -> Self {
        Self {
            cpus: host.cpus.clone(),
            sandbox: host.sandbox.clone(),
        }
    }

    /// Starts the thread of vCPU `index`, which runs what `vcpu` says.
    pub(super) fn start(
        &self,
        index: u32,
        vcpu: impl FnOnce() -> Option<Vcpu> + Send + 'static,
    ) -> Result<VcpuThread, Error> {
        let Self { cpus, sandbox } = self.clone();
        let name = format!("vcpu{index}");
        let started = Builder::new()
            .name(name.clone())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                if let Some(cpus) = cpus {
                    // Each CPU was tried before the machine was built.
                    let _ = affinity::set_for_this_thread(&cpus);
                }
                sandbox.enter(Role::Vcpu);
                vcpu().map(Vcpu::run)
            });
        started.map_err(|e| Error::System(format!("thread {name}"), e))
    }
}

/// The first vCPU's thread, hired before there is a vCPU. The kernel takes a tenth of a start to make
/// a thread and its filter: meanwhile the machine is built. Without a vCPU it ends with this.
#[derive(Debug)]
pub(super) struct Hired {
    thread: VcpuThread,
    work: SyncSender<Vcpu>,
}

impl Hired {
    pub(super) fn hire(terms: &Terms) -> Result<Self, Error> {
        let (work, waits_for) = sync_channel::<Vcpu>(1);
        let thread = terms.start(0, move || waits_for.recv().ok())?;
        Ok(Self { thread, work })
    }

    /// Has it run `vcpu`. A thread that has ended already had a reason to tell.
    pub(super) fn run(self, vcpu: Vcpu) -> VcpuThread {
        let _ = self.work.send(vcpu);
        self.thread
    }
}
