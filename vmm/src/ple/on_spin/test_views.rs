//! vCPUs for tables.

use crate::sched::view::{Said, Standing, VcpuView, View};

fn vcpu(standing: Standing) -> VcpuView {
    VcpuView {
        standing,
        in_spin_loop: false,
        dy_eligible: false,
        in_kernel: true,
        has_pending_interrupt: false,
        has_lent: false,
        said: None,
    }
}

pub(super) fn running() -> VcpuView {
    vcpu(Standing::OnPcpu)
}

pub(super) fn preempted() -> VcpuView {
    vcpu(Standing::Preempted)
}

pub(super) fn kicked() -> VcpuView {
    vcpu(Standing::Kicked)
}

pub(super) fn halted() -> VcpuView {
    vcpu(Standing::Halted)
}

pub(super) fn away() -> VcpuView {
    vcpu(Standing::Away)
}

pub(super) fn spinning(vcpu: VcpuView) -> VcpuView {
    VcpuView {
        in_spin_loop: true,
        ..vcpu
    }
}

pub(super) fn eligible(vcpu: VcpuView) -> VcpuView {
    VcpuView {
        dy_eligible: true,
        ..vcpu
    }
}

pub(super) fn in_user_mode(vcpu: VcpuView) -> VcpuView {
    VcpuView {
        in_kernel: false,
        ..vcpu
    }
}

pub(super) fn interrupted(vcpu: VcpuView) -> VcpuView {
    VcpuView {
        has_pending_interrupt: true,
        ..vcpu
    }
}

/// It says nothing of any lock.
pub(super) fn thinks(vcpu: VcpuView) -> VcpuView {
    said(vcpu, Said::default())
}

pub(super) fn holds(vcpu: VcpuView, lock: u64) -> VcpuView {
    let said_so = vcpu.said.unwrap_or_default();
    said(
        vcpu,
        Said {
            holding_lock: lock,
            ..said_so
        },
    )
}

/// It waits for `ticket` of `lock`, which served `serving` when it looked.
pub(super) fn waits(vcpu: VcpuView, lock: u64, ticket: u32, serving: u32) -> VcpuView {
    let said_so = vcpu.said.unwrap_or_default();
    said(
        vcpu,
        Said {
            waiting_lock: lock,
            ticket,
            serving,
            ..said_so
        },
    )
}

fn said(vcpu: VcpuView, said: Said) -> VcpuView {
    VcpuView {
        said: Some(said),
        ..vcpu
    }
}

/// vCPU 0 spins, and nobody was boosted yet.
pub(super) fn view(vcpus: &[VcpuView]) -> View<'_> {
    View {
        vcpus,
        spinner: 0,
        last_boosted: 0,
    }
}
