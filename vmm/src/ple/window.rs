//! The window of soft PLE: how many PAUSEs a vCPU may spin for until it leaves its loop. Grows and
//! shrinks as KVM's does (Linux 3.18, `b4a2d31da812`; `arch/x86/kvm/x86.h`).

use super::config::Window;

impl Window {
    /// The window after an exit from one of `now`, as `__grow_ple_window` has it. `grow=0` is not "as
    /// it is": it goes back to the base, as in KVM.
    pub fn grown(&self, now: u32) -> u32 {
        match self.grow {
            0 => self.window,
            factor if factor < self.window => now.saturating_mul(factor),
            more => now.saturating_add(more),
        }
    }

    /// The window of a vCPU that gets a pCPU again, as `__shrink_ple_window` has it: never below the
    /// base, and back there at once with `shrink=0`.
    ///
    /// KVM's subtraction wraps where a `shrink` above the base meets a window below it, and gives a
    /// window without end; this one stops at the base.
    pub fn shrunk(&self, now: u32) -> u32 {
        let less = match self.shrink {
            0 => self.window,
            divisor if divisor < self.window => now / divisor,
            less => now.saturating_sub(less),
        };
        less.max(self.window)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(grow: u32, shrink: u32) -> Window {
        Window {
            gap: 128,
            window: 4096,
            grow,
            shrink,
        }
    }

    #[test]
    fn a_window_grows_as_kvms() {
        for (grow, now, then, why) in [
            (2, 4096, 8192, "a factor"),
            (2, 8192, 16384, "again"),
            (4095, 4096, 4096 * 4095, "still a factor"),
            (4096, 4096, 8192, "from the base on added"),
            (1, 4096, 4096, "once is as it is"),
            (0, 65536, 4096, "0 goes back to the base"),
            (2, 3 << 30, u32::MAX, "the bound is that of 32 bits"),
            (u32::MAX, 4096, u32::MAX, "added, too"),
        ] {
            assert_eq!(with(grow, 0).grown(now), then, "{why}");
        }
    }

    #[test]
    fn a_window_shrinks_as_kvms() {
        for (shrink, now, then, why) in [
            (0, 1 << 20, 4096, "0 goes back to the base"),
            (2, 16384, 8192, "a divisor"),
            (2, 6000, 4096, "not below the base"),
            (4096, 16384, 12288, "from the base on subtracted"),
            (5000, 4096, 4096, "where KVM's would wrap"),
            (1, 16384, 16384, "by one is as it is"),
        ] {
            assert_eq!(with(2, shrink).shrunk(now), then, "{why}");
        }
    }

    proptest! {
        #[test]
        fn a_shrunk_window_is_never_below_the_base(
            window in 1_u32.., grow: u32, shrink: u32, now: u32,
        ) {
            let settings = Window { gap: 1, window, grow, shrink };
            prop_assert!(settings.shrunk(now) >= window);
            prop_assert!(settings.shrunk(settings.grown(now)) >= window);
        }
    }
}
