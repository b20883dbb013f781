//! A vCPU under the VMM's scheduler: it enters the guest only with a token.

use super::control::Request;
use super::inspect::Activity;
use super::run::Vcpu;
use crate::pv::apic_id::Destination;
use crate::pv::halt::Wake;
use crate::sched::{Pcpus, Went};
use crate::spec::KickYield;
use crate::vcpu::ending::Ending;

impl Vcpu {
    /// Waits for a pCPU where the VMM has them scheduled. Whether the vCPU has one; else somebody
    /// wants its thread's attention.
    pub(super) fn gets_on_pcpu(&mut self) -> bool {
        let Some(sched) = &self.board.sched else {
            return true;
        };
        if self.has_token && sched.stays_on(self.index.place()) {
            return true;
        }
        let went = sched.get_on(self.index.place());
        // A vCPU that was picked again at once has not been off its pCPU.
        let kept = self.has_token && went == Went::Stayed;
        self.has_token = went != Went::Asked;
        if !kept {
            self.tells_spin_service();
        }
        self.has_token
    }

    /// A vCPU that has been off its pCPU does not spin any more.
    fn tells_spin_service(&self) {
        if let (Some(spin), true) = (&self.board.spin, self.has_token) {
            spin.gets_pcpu(self.index.place());
        }
    }

    /// Leaves the pCPU, or the queue for one, until the vCPU asks for one again.
    pub(super) fn leaves_pcpu(&mut self) {
        if let Some(sched) = &self.board.sched {
            sched.leave(self.index.place());
            self.has_token = false;
        }
    }

    /// Waits until it is kicked, gets INIT, or somebody wants its thread.
    pub(super) fn wait_halted(&mut self) -> Option<Ending> {
        match self.sleeps_halted() {
            Wake::Kicked => {
                self.board.trace.woke(self.index);
                self.activity = Activity::Running;
            }
            Wake::Init => {
                self.finish_instruction();
                self.activity = Activity::WaitingForSipi;
            }
            Wake::Request => {}
        }
        None
    }

    /// Halts; a kick wakes the vCPU as soon as there is a pCPU for it.
    fn sleeps_halted(&mut self) -> Wake {
        let poll = self.board.halt_poll;
        let Some(sched) = &self.board.sched else {
            return self.shared.halt.halt(poll);
        };
        if self.has_token {
            // It polls on its pCPU as long as nobody else could have that, as KVM does
            // (`kvm_vcpu_can_poll`).
            self.shared.halt.poll_halted(poll, || sched.is_wanted());
            if self.shared.halt.try_halt() {
                return Wake::Kicked;
            }
        }
        let wake = sched.halt(self.index.place());
        self.has_token = wake == Wake::Kicked;
        self.tells_spin_service();
        wake
    }

    /// Lets others run, as the guest asks.
    pub(super) fn yields_pcpu(&self) {
        match &self.board.sched {
            Some(sched) => sched.yield_turn(self.index.place()),
            None => std::thread::yield_now(),
        }
    }

    /// `--kick-yield on`: the token goes to the vCPU that was kicked, if that waits for one, as KVM
    /// does since Linux 5.3 (`kvm_sched_yield`). A broadcast yields to nobody there either.
    pub(super) fn yields_to_kicked(&self, kicked: Destination) {
        if let (Some(sched), KickYield::On) = (&self.board.sched, self.board.kick_yield)
            && let Some(target) = self.board.kick.sole_target(kicked)
        {
            sched.yield_to(self.index.place(), target.place());
        }
    }

    /// What the machine asks for is done without a pCPU: KVM_RUN is called with `immediate_exit` at
    /// most, and enters no guest.
    pub(super) fn leaves_pcpu_for(&mut self, asked: Request) {
        match asked {
            Request::Pause | Request::Task => self.leaves_pcpu(),
            Request::Run | Request::Stop => {}
        }
    }
}
