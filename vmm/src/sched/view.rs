//! What the scheduler knows of each vCPU at one moment: all that an on-spin handler may look at.

/// What a vCPU does, as far as its pCPU is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds a token.
    OnPcpu,
    /// It could run, lost its token in the middle of something and waits for another.
    Preempted,
    /// It was kicked out of its halt and waits for a token: KVM's `vcpu->ready`.
    Kicked,
    /// It is halted.
    Halted,
    /// It waits for SIPI, or for the VMM's own business.
    Away,
}

impl Standing {
    /// Whether it could run and waits for a token.
    pub fn waits(self) -> bool {
        matches!(self, Self::Preempted | Self::Kicked)
    }
}

/// What a guest with the handshake says of one vCPU. Guest-controlled: anything may be in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The lock it waits for, 0 for none.
    pub waiting_lock: u64,
    /// The ticket it waits for.
    pub ticket: u32,
    /// The ticket that `waiting_lock` served when it last left through `spin_exit`.
    pub serving: u32,
    /// The lock it holds, 0 for none.
    pub holding_lock: u64,
}

/// One vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuView {
    /// What it does.
    pub standing: Standing,
    /// It is in a spin exit now, or was preempted in one: KVM's `spin_loop.in_spin_loop`.
    pub in_spin_loop: bool,
    /// KVM's `spin_loop.dy_eligible`.
    pub dy_eligible: bool,
    /// It was at CPL 0 when it last left the guest: KVM's `preempted_in_kernel`.
    pub in_kernel: bool,
    /// An interrupt waits for it.
    pub has_pending_interrupt: bool,
    /// It has lent its pCPU to one that runs, and will have it back when that is outside all locks.
    pub has_lent: bool,
    /// What the guest says of it; `None` where the handshake is not in use.
    pub said: Option<Said>,
}

/// All vCPUs, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// By index.
    pub vcpus: &'a [VcpuView],
    /// The one that spins.
    pub spinner: usize,
    /// The one that was boosted last: KVM's `last_boosted_vcpu`.
    pub last_boosted: usize,
}
