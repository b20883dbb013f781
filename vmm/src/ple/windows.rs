//! The windows of all vCPUs under soft PLE, as they grow and shrink.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::config::Window;
use super::on_spin::Patience;
use super::slots::Slots;

/// A bounded window is at most so many times the base: an exit costs about as much as it spins then.
const BOUND: u32 = 16;

/// The window of each vCPU. Relaxed, all of it: its own thread writes, and the extremes order nothing.
#[derive(Debug)]
pub(super) struct Windows {
    settings: Window,
    each: Vec<AtomicU32>,
    least: AtomicU32,
    most: AtomicU32,
}

impl Windows {
    /// Of `vcpus` vCPUs.
    pub(super) fn new(settings: Window, vcpus: usize) -> Self {
        let base = || AtomicU32::new(settings.window);
        Self {
            settings,
            each: (0..vcpus).map(|_| base()).collect(),
            least: base(),
            most: base(),
        }
    }

    /// The least and the greatest so far, in PAUSEs.
    pub(super) fn extremes(&self) -> (u32, u32) {
        (self.least.load(Relaxed), self.most.load(Relaxed))
    }

    /// After an exit. One that is bounded is so before anybody sees it.
    pub(super) fn grow(&self, vcpu: usize, patience: Patience, slots: &Slots) {
        let most = match patience {
            Patience::AsKvm => u32::MAX,
            Patience::Bounded => self.settings.window.saturating_mul(BOUND),
        };
        self.change(vcpu, slots, |now| self.settings.grown(now).min(most));
    }

    /// When `vcpu` gets a pCPU again.
    pub(super) fn shrink(&self, vcpu: usize, slots: &Slots) {
        self.change(vcpu, slots, |now| self.settings.shrunk(now));
    }

    fn change(&self, vcpu: usize, slots: &Slots, change: impl FnOnce(u32) -> u32) {
        let Some(window) = self.each.get(vcpu) else {
            return;
        };
        let pauses = change(window.load(Relaxed));
        if window.swap(pauses, Relaxed) == pauses {
            return;
        }
        slots.set_window(vcpu, pauses);
        self.least.fetch_min(pauses, Relaxed);
        self.most.fetch_max(pauses, Relaxed);
    }
}
