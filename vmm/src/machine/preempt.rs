//! `--preempt`: a random vCPU is kept off its pCPU now and then, as on a host with more vCPUs than
//! pCPUs. Where it holds a lock, the others wait for it beyond their spin threshold.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

use crate::spec::Preempt;
use crate::vcpu::board::Board;

/// Which vCPUs it takes is the same in every run.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Who keeps them off.
#[derive(Debug)]
pub(super) struct Preemptor {
    /// Readable when the next is due.
    pub(super) timer: TimerFd,
    hold: Duration,
    random: u64,
    board: Arc<Board>,
}

impl Preemptor {
    /// Begins with the first after one period.
    ///
    /// # Errors
    /// What the timer says.
    pub(super) fn start(asked: Preempt, board: &Arc<Board>) -> io::Result<Self> {
        let period = Duration::from_secs_f64(1.0 / asked.per_second);
        let mut timer = TimerFd::new()?;
        timer.reset(period, Some(period))?;
        Ok(Self {
            timer,
            hold: asked.hold,
            random: SEED,
            board: Arc::clone(board),
        })
    }

    /// Keeps one vCPU off. Called when the timer is readable.
    pub(super) fn next(&mut self) {
        let _ = self.timer.wait();
        let vcpus = self.board.all();
        let count = u64::try_from(vcpus.len()).unwrap_or(u64::MAX);
        let drawn = draw(&mut self.random);
        let chosen = drawn
            .checked_rem(count)
            .and_then(|index| vcpus.get(usize::try_from(index).ok()?));
        if let Some(vcpu) = chosen {
            vcpu.hold_off(Instant::now() + self.hold);
        }
    }
}

/// xorshift64* (Vigna 2016); its high bits.
fn draw(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vcpu_has_its_turn() {
        let mut state = SEED;
        let mut taken = [0; 4];
        for _ in 0..4000 {
            taken[usize::try_from(draw(&mut state) % 4).unwrap()] += 1;
        }
        assert!(taken.iter().all(|&times| times > 800), "{taken:?}");
    }
}
