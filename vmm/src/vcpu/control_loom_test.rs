//! Every interleaving of pause and run. Run with `RUSTFLAGS="--cfg loom"`.

use loom::sync::Arc;
use loom::thread;

use super::*;

/// KVM_RUN: a signal interrupts it only while it is under way; before, its handler runs in user
/// mode and leaves no trace.
#[derive(Debug)]
struct KvmRun {
    immediate_exit: AtomicBool,
    honours_immediate_exit: bool,
    state: Mutex<Running>,
    signalled: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    is_under_way: bool,
    is_signalled: bool,
    /// A signal came before KVM_RUN was under way.
    was_missed: bool,
}

impl KvmRun {
    fn new(honours_immediate_exit: bool) -> Self {
        Self {
            immediate_exit: AtomicBool::new(false),
            honours_immediate_exit,
            state: Mutex::new(Running::default()),
            signalled: Condvar::new(),
        }
    }

    /// Returns with EINTR, sooner or later.
    fn run(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_under_way = true;
        // loom's own detection of a deadlock cannot be caught by a test.
        assert!(
            self.honours_immediate_exit || !state.was_missed,
            "enters the guest though told not to, and no signal will come"
        );
        if !self.immediate_exit.load(crate::sync::Ordering::SeqCst) {
            while !state.is_signalled {
                state = self.signalled.wait(state).unwrap();
            }
        }
        state.is_under_way = false;
        state.is_signalled = false;
    }
}

impl Interrupt for Arc<KvmRun> {
    fn thread_starts(&self) {}

    fn set_immediate_exit(&self) {
        self.immediate_exit
            .store(true, crate::sync::Ordering::SeqCst);
    }

    fn clear_immediate_exit(&self) {
        self.state.lock().unwrap().was_missed = false;
        self.immediate_exit
            .store(false, crate::sync::Ordering::SeqCst);
    }

    fn signal(&self) {
        let mut state = self.state.lock().unwrap();
        if state.is_under_way {
            state.is_signalled = true;
            self.signalled.notify_all();
        } else {
            state.was_missed = true;
        }
    }
}

fn pause_and_stop(honours_immediate_exit: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let kvm_run = Arc::new(KvmRun::new(honours_immediate_exit));
        let control = Arc::new(Control::new(Arc::clone(&kvm_run)));
        let in_guest = Arc::new(AtomicBool::new(false));
        let (vcpu, guest) = (Arc::clone(&control), Arc::clone(&in_guest));
        let thread = thread::spawn(move || {
            loop {
                if vcpu.is_pending() && vcpu.obey(|_| ()) == Request::Stop {
                    break;
                }
                guest.store(true, release());
                kvm_run.run();
                guest.store(false, release());
            }
            vcpu.thread_ends();
        });
        control.request(Request::Pause);
        control.wait_until_still();
        assert!(
            !in_guest.load(Acquire),
            "the guest runs in a paused machine"
        );
        control.request(Request::Stop);
        thread.join().unwrap();
    });
}

#[test]
fn a_pause_stops_the_vcpu_wherever_it_is() {
    pause_and_stop(true);
}

#[test]
#[should_panic]
fn without_immediate_exit_a_pause_can_be_lost() {
    pause_and_stop(false);
}
